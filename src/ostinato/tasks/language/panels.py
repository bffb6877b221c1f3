"""What a report shows of a language model."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ostinato.nn.losses import perplexity
from ostinato.tasks.base.gradients import gradient_norms, gradient_panel
from ostinato.tasks.base.summary import Curve, Matrix, Panel, Sample, Table, WeightedText
from ostinato.tasks.base.task import Model
from ostinato.tasks.language.generation import Sampling, generate_tokens
from ostinato.tasks.language.network import LanguageNetwork
from ostinato.tasks.language.texts import LanguageEncoder
from ostinato.tasks.language.tokens_as_text import beginning, named, never_drawn, spelled

Ints = NDArray[np.int32]
_SHOWN, _READ, _UNITS = 120, 48, 24
_WRITTEN = {"character": 500, "word": 100, "subword": 120}
_WINDOWS, _SCORES = 256, 1 << 24
_GRADIENT_WINDOWS, _GRADIENT_STEPS = 16, 64


def language_panels(model: Model[Any, Any], tokens: Ints, losses: NDArray[np.float64]) -> Iterator[Panel]:
    """Yield what there is to see of a model as it reads a text; `losses` are of its tokens but the first, in nats."""
    network, encoder, steps = model.network, model.encoder, model.parameters.steps
    yield _sample(network, encoder, model.parameters.seed)
    if encoder.counts is not None:
        yield _by_frequency(encoder.counts, tokens, losses)
    yield _surprise(encoder, tokens, losses)
    if len(tokens) > 2:
        yield _memory(network, tokens, 2 * steps)
        yield _gradients(network, tokens, steps)
        yield _hidden(network, encoder, tokens)


def _sample(network: LanguageNetwork, encoder: LanguageEncoder, seed: int) -> Sample:
    vocabulary, level = encoder.vocabulary, encoder.level
    never, begin = never_drawn(vocabulary, level), beginning("", vocabulary, level)
    tokens = generate_tokens(network, begin, Sampling(temperature=0.8), never=never, seed=seed, mixture=encoder.mixture)
    text = "".join(spelled(islice(tokens, _WRITTEN[level]), vocabulary, level))
    return Sample("What it writes", text, f"from the beginning of a line; temperature 0.8, seed {seed}")


def _by_frequency(counts: NDArray[np.int64], tokens: Ints, losses: NDArray[np.float64]) -> Table:
    """Return the loss of rare and of frequent tokens, by how often they were seen in training."""
    seen, total = counts[tokens[1:]], max(int(counts.sum()), 1)
    size = np.where(seen > 0, np.floor(np.log10(np.maximum(seen, 1))), -1).astype(np.int64)
    rows: list[tuple[str | float, ...]] = []
    for power in np.unique(size).tolist():
        those = losses[size == power]
        name = "never" if power < 0 else f"{10**power:,} to {10 ** (power + 1) - 1:,} times"
        alone = -np.log((seen[size == power] + 1.0) / (total + len(counts))).mean()
        mean = float(those.mean())
        rows.append((name, 100 * len(those) / len(losses), mean, perplexity(mean), float(alone)))
    columns = ("seen in training", "% of the tokens", "nats", "perplexity", "nats by its share alone")
    return Table("Rare and frequent tokens", columns, tuple(rows), "the last column: what a count of tokens gives")


def _surprise(encoder: LanguageEncoder, tokens: Ints, losses: NDArray[np.float64]) -> WeightedText:
    shown = min(_SHOWN * (4 if encoder.level == "character" else 1), len(losses))
    bits = losses[:shown] / math.log(2.0)
    weights = bits / max(float(bits.max()), 1e-12)
    names = named(tokens[1 : shown + 1], encoder.vocabulary, encoder.level)
    note = f"the beginning of the text; the darkest token was worth {bits.max():.1f} bits"
    return WeightedText("What surprised it", names, tuple(weights.tolist()), note)


def windows(tokens: Ints, steps: int, count: int) -> Tensor:
    """Return up to `count` stretches of a text, evenly spread and as long as it allows, `(steps + 1, windows)`."""
    steps = max(1, min(steps, len(tokens) - 1))
    last = len(tokens) - 1 - steps
    starts = np.unique(np.linspace(0, last, max(1, min(count, last // steps + 1))).astype(np.int64))
    return torch.from_numpy(np.asarray(tokens[starts + np.arange(steps + 1)[:, None]], np.int64))


def loss_by_context(network: LanguageNetwork, tokens: Ints, steps: int) -> NDArray[np.float64]:
    """Return the mean loss of the token after 1, 2, ... tokens were read from a fresh state, in nats, `(steps,)`."""
    read = windows(tokens, steps, _WINDOWS)
    # the scores of all windows at a time would not fit for large vocabularies
    together = max(1, _SCORES // (len(read) * network.embedding.weight.shape[0]))
    parts = []
    with torch.inference_mode():
        for some in torch.split(read, together, 1):
            scores, _, _ = network(some[:-1])
            losses = functional.cross_entropy(scores.flatten(0, 1), some[1:].flatten(), reduction="none")
            parts.append(losses.view(some[1:].shape).double())
    means: NDArray[np.float64] = torch.cat(parts, 1).mean(1).numpy()
    return means


def _memory(network: LanguageNetwork, tokens: Ints, steps: int) -> Curve:
    losses = loss_by_context(network, tokens, steps)
    bounds = sorted({min(2**power, len(losses)) for power in range(len(losses).bit_length() + 1)})
    means = [float(losses[first:bound].mean()) for first, bound in zip([0, *bounds], bounds, strict=False)]
    note = "of the network alone, from a fresh state; where the line is flat, what was read earlier no longer helps"
    x = tuple(map(float, bounds))
    return Curve("What memory is worth", x, {"loss": tuple(means)}, "tokens read", "nats a token", note=note)


def _gradients(network: LanguageNetwork, tokens: Ints, steps: int) -> Curve:
    read = windows(tokens, min(steps, _GRADIENT_STEPS), _GRADIENT_WINDOWS)

    def loss(xs: Tensor) -> Tensor:
        ys, _ = network.stack(xs, network.start(read.shape[1]))
        return functional.cross_entropy(network.scores(network.narrow(ys[-1])), read[-1], reduction="sum")

    with torch.no_grad():
        xs = network.embedding(read[:-1])
    lengths = torch.full((read.shape[1],), len(read) - 1)
    return gradient_panel(gradient_norms(xs, lengths, loss), step="tokens", note="Of one token's loss.")


def _hidden(network: LanguageNetwork, encoder: LanguageEncoder, tokens: Ints) -> Matrix:
    """Return the units of the top layer that move most while a text is read."""
    with torch.inference_mode():
        _, ys, _ = network(torch.from_numpy(np.asarray(tokens[:_READ], np.int64))[:, None])
    values = ys[:, 0].double().numpy()
    most = np.sort(np.argsort(-values.std(0), kind="stable")[:_UNITS])
    note = "outputs of the top layer as it reads the beginning of what was held out; the units that move most"
    return Matrix(
        "Hidden states", tuple(f"unit {unit}" for unit in most),
        named(tokens[:_READ], encoder.vocabulary, encoder.level),
        tuple(tuple(row) for row in values[:, most].T.round(4).tolist()), "unit", "token read", note,
    )  # fmt: skip
