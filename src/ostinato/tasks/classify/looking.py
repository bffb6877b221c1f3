"""Looking inside a classifier: what each step weighed in an answer, and how gradients come back through time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from ostinato.tasks.classify.batches import padded, reading_order
from ostinato.tasks.classify.examples import Integers
from ostinato.tasks.classify.network import ClassifierNetwork

_STEPS_BACK = 100


def step_weights(network: ClassifierNetwork, array: NDArray[Any]) -> NDArray[np.float64]:
    """Return how much each step weighed in what was told of one example, `(time,)`, the largest being one.

    With attention pooling, its weights; else the size of gradient times input, the gradient that of the likeliest
    class's score (A. Shrikumar et al., 2016).
    """
    inputs, lengths = padded([array])
    with torch.no_grad():
        xs, lengths = network.front(inputs, lengths)
    attention = network.pooling.attention
    if attention is not None:
        with torch.no_grad():
            weights = attention.weights(network.outputs(xs, lengths), lengths)[:, 0].double().numpy()
    else:
        xs = xs.detach().clone().requires_grad_()
        scores = network.scores(xs, lengths)
        (gradient,) = torch.autograd.grad(scores[0, scores[0].argmax()], xs)
        weights = (gradient * xs).sum(-1).abs()[:, 0].detach().double().numpy()
    largest = float(weights.max())
    shown: NDArray[np.float64] = weights / largest if largest > 0 else weights
    return shown


def attended(network: ClassifierNetwork) -> str:
    """Return what `step_weights` shows, in words."""
    return "attention" if network.pooling.attention is not None else "gradient times input"


def gradients_back(network: ClassifierNetwork, arrays: Sequence[NDArray[Any]], targets: Integers) -> list[float]:
    """Return the mean norm of the loss's gradient at the stack's inputs, by how many steps before the end they are."""
    sums, counts = np.zeros(_STEPS_BACK), np.zeros(_STEPS_BACK)
    for rows in reading_order([len(array) for array in arrays]):
        inputs, lengths = padded([arrays[row] for row in rows])
        with torch.no_grad():
            xs, lengths = network.front(inputs, lengths)
        xs = xs.detach().clone().requires_grad_()
        loss = functional.cross_entropy(network.scores(xs, lengths), torch.from_numpy(targets[rows]), reduction="sum")
        (gradient,) = torch.autograd.grad(loss, xs)
        norms = gradient.norm(dim=-1).double().numpy()
        for column, length in enumerate(lengths.tolist()):
            back = norms[:length, column][::-1][:_STEPS_BACK]
            sums[: len(back)] += back
            counts[: len(back)] += 1
    # few sequences are as long as the longest: their mean would be noise
    kept = int((counts >= max(1, 0.1 * counts[0])).sum())
    return (sums[:kept] / counts[:kept]).tolist()  # type: ignore[no-any-return]
