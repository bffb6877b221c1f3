"""The panels of a language model's report."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from ostinato.data.text import Vocabulary
from ostinato.nn.losses import perplexity
from ostinato.tasks.language.corpus import Corpus, Level
from ostinato.tasks.language.diagnostics import gradient_through_time, hidden_states, loss_by_context
from ostinato.tasks.language.generation import Sampling, generate_tokens
from ostinato.tasks.language.network import LanguageNetwork
from ostinato.tasks.language.spelling import beginning, named, never_drawn, spelled
from ostinato.tasks.base.summary import Curve, Matrix, Panel, Sample, Table, WeightedText

_SHOWN = 120
_READ = 48
_UNITS = 24
_WRITTEN = {"character": 500, "word": 100, "subword": 120}


def panels(
    network: LanguageNetwork, corpus: Corpus, level: Level, losses: NDArray[np.float64], seed: int
) -> Iterator[Panel]:
    """Yield what there is to see of a trained network, in evaluation mode.

    Args:
        network: the model's.
        corpus: what it was trained on and is tested on.
        level: what a token is.
        losses: of each token of the test part but the first, in nats; empty if nothing was held out.
        seed: of the sample.
    """
    yield _sample(network, corpus.vocabulary, level, seed)
    held_out = next((part for part in (corpus.test, corpus.validation) if len(part) > 2), corpus.train)
    if len(losses):
        yield _by_frequency(corpus, losses)
        yield _surprise(corpus, level, losses)
    if len(held_out) > 2:
        yield _memory(network, held_out)
        yield from _gradients(network, held_out)
        yield _hidden(network, corpus.vocabulary, held_out, level)


def _sample(network: LanguageNetwork, vocabulary: Vocabulary, level: Level, seed: int) -> Sample:
    never, begin = never_drawn(vocabulary, level), beginning("", vocabulary, level)
    tokens = generate_tokens(network, begin, Sampling(temperature=0.8), never=never, seed=seed)
    text = "".join(spelled(islice(tokens, _WRITTEN[level]), vocabulary, level))
    return Sample("What it writes", text, f"from the beginning of a line; temperature 0.8, seed {seed}")


def _by_frequency(corpus: Corpus, losses: NDArray[np.float64]) -> Table:
    """Return the loss of rare and of frequent tokens, by how often they were seen in training."""
    counts = np.bincount(corpus.train, minlength=len(corpus.vocabulary))
    seen, total = counts[corpus.test[1:]], max(int(counts.sum()), 1)
    size = np.where(seen > 0, np.floor(np.log10(np.maximum(seen, 1))), -1).astype(np.int64)
    rows: list[tuple[str | float, ...]] = []
    for power in np.unique(size).tolist():
        own = losses[size == power]
        name = "never" if power < 0 else f"{10**power:,} to {10 ** (power + 1) - 1:,} times"
        alone = -np.log((seen[size == power] + 1.0) / (total + len(counts))).mean()
        rows.append(
            (name, 100 * len(own) / len(losses), float(own.mean()), perplexity(float(own.mean())), float(alone))
        )
    columns = ("seen in training", "% of the test's tokens", "nats", "perplexity", "nats by its share alone")
    return Table("Rare and frequent tokens", columns, tuple(rows), "the last column: what a count of tokens gives")


def _surprise(corpus: Corpus, level: Level, losses: NDArray[np.float64]) -> WeightedText:
    shown = min(_SHOWN * (4 if level == "character" else 1), len(losses))
    bits = losses[:shown] / math.log(2.0)
    weights = bits / max(float(bits.max()), 1e-12)
    tokens = named(corpus.test[1 : shown + 1], corpus.vocabulary, level)
    note = f"the beginning of the test text; the darkest token was worth {bits.max():.1f} bits"
    return WeightedText("What surprised it", tokens, tuple(weights.tolist()), note)


def _memory(network: LanguageNetwork, held_out: NDArray[np.int32]) -> Curve:
    losses = loss_by_context(network, held_out, 2 * network.settings.steps)
    bounds = sorted({min(2**power, len(losses)) for power in range(len(losses).bit_length() + 1)})
    means, x, first = [], [], 0
    for bound in bounds:
        x.append(float(bound))
        means.append(float(losses[first:bound].mean()))
        first = bound
    note = "from a fresh state; where the line is flat, what was read earlier no longer helps"
    return Curve("What memory is worth", tuple(x), {"loss": tuple(means)}, "tokens read", "nats a token", note=note)


def _gradients(network: LanguageNetwork, held_out: NDArray[np.int32]) -> Iterator[Curve]:
    norms = gradient_through_time(network, held_out, network.settings.steps)
    if len(norms) > 1 and norms.max() > 0:
        note = "of one token's loss by the top layer's state; a steep fall: it learns little from further back"
        steps = tuple(float(back) for back in range(len(norms)))
        yield Curve(
            "The gradient through time", steps, {"norm": tuple(norms.tolist())},
            "steps back", "gradient norm", logarithmic=True, note=note,
        )  # fmt: skip


def _hidden(network: LanguageNetwork, vocabulary: Vocabulary, held_out: NDArray[np.int32], level: Level) -> Matrix:
    units, values = hidden_states(network, held_out[:_READ], _UNITS)
    note = "outputs of the top layer as it reads the beginning of what was held out; the units that move most"
    return Matrix(
        "Hidden states", tuple(f"unit {unit}" for unit in units), named(held_out[:_READ], vocabulary, level),
        tuple(tuple(row) for row in values.round(4).tolist()), "unit", "token read", note,
    )  # fmt: skip
