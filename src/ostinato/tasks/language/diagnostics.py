"""What happens inside a language model while it reads: surprise, memory, gradients, hidden states."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ostinato.nn import TransformerStack
from ostinato.tasks.backflow import gradient_norms, watch, watched_steps
from ostinato.tasks.language.network import LanguageNetwork

_WINDOWS = 256
_SCORES = 1 << 24
_GRADIENT_WINDOWS = 16
_GRADIENT_STEPS = 64


def windows(corpus: NDArray[np.int32], steps: int, count: int) -> Tensor:
    """Return up to `count` stretches of a corpus, evenly spread and as long as it allows, `(steps + 1, windows)`."""
    steps = max(1, min(steps, len(corpus) - 1))
    last = len(corpus) - 1 - steps
    starts = np.unique(np.linspace(0, last, max(1, min(count, last // steps + 1))).astype(np.int64))
    return torch.from_numpy(np.asarray(corpus[starts + np.arange(steps + 1)[:, None]], np.int64))


def loss_by_context(network: LanguageNetwork, corpus: NDArray[np.int32], steps: int) -> NDArray[np.float64]:
    """Return the mean loss of the token after 1, 2, ... tokens were read from a fresh state, in nats, `(steps,)`."""
    tokens = windows(corpus, steps, _WINDOWS)
    # the scores of all windows at a time would not fit for large vocabularies
    together = max(1, _SCORES // (len(tokens) * network.settings.vocabulary_size))
    parts = []
    with torch.inference_mode():
        for some in torch.split(tokens, together, 1):
            scores, _, _ = network(some[:-1])
            losses = functional.cross_entropy(scores.flatten(0, 1), some[1:].flatten(), reduction="none")
            parts.append(losses.view(some[1:].shape).double())
    means: NDArray[np.float64] = torch.cat(parts, 1).mean(1).numpy()
    return means


def gradient_through_time(network: LanguageNetwork, corpus: NDArray[np.int32], steps: int) -> NDArray[np.float64]:
    """Return the norm of the gradient of one token's loss by the top layer's state 0, 1, ... steps before it.

    For 0 it is that by the output. The norm is taken over all parts of the state and averaged over windows; `(steps,)`,
    nothing for a Transformer, which passes no state on.
    """
    if isinstance(network.stack, TransformerStack):
        return np.zeros(0)
    tokens = windows(corpus, min(steps, _GRADIENT_STEPS), _GRADIENT_WINDOWS)
    xs = network.embedding(tokens[:-1]).detach()
    y, _, seen = watched_steps(network.stack, xs, network.start(tokens.shape[1]))
    assert y is not None
    seen[-1] = [y]
    watch(seen[-1])
    loss = functional.cross_entropy(network.scores(network.narrow(y)), tokens[-1], reduction="sum")
    torch.autograd.backward(loss)
    norms = gradient_norms(reversed(seen))
    network.zero_grad(set_to_none=True)
    return norms


def hidden_states(network: LanguageNetwork, tokens: NDArray[np.int32], units: int) -> tuple[list[int], NDArray[Any]]:
    """Return which units of the top layer move most while a text is read, and their values, `(units, tokens)`."""
    with torch.inference_mode():
        _, ys, _ = network(torch.from_numpy(np.asarray(tokens, np.int64))[:, None])
    values = ys[:, 0].double().numpy()
    most = np.sort(np.argsort(-values.std(0), kind="stable")[:units])
    return most.tolist(), values[:, most].T
