"""The gradient through time: how much what was read some steps ago moves the loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ostinato.tasks.base.summary import Curve
from ostinato.words import rough

_SHARE = 0.1  # of the sequences that must reach so far back: the mean of fewer would be noise
_RANGE = 1e3  # how far a gradient may shrink or grow before it is said to vanish or explode


def gradient_norms(xs: Tensor, lengths: Tensor, loss: Callable[[Tensor], Tensor]) -> NDArray[np.float64]:
    """Return the norm of the loss's gradient by what the stack reads, by how many steps before the end it was read.

    Args:
        xs: what the stack reads, `(time, batch, features)`, or more dimensions of features.
        lengths: `(batch,)`.
        loss: of what is read, summed over the batch; it runs the network from the stack on.

    Returns:
        `(steps,)`, the mean over sequences, as far back as a tenth of them reach.
    """
    with torch.enable_grad():
        read = xs.detach().clone().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(read), read)
    norms = gradient.flatten(2).norm(dim=-1).double().cpu().numpy()
    ago = lengths.cpu().numpy()[None] - 1 - np.arange(len(norms))[:, None]
    real = ago >= 0
    sums, counts = (np.bincount(ago[real], each, len(norms)) for each in (norms[real], np.ones(int(real.sum()))))
    kept = int((counts >= max(1.0, _SHARE * counts[0])).sum())
    return np.asarray(sums[:kept] / counts[:kept])


def gradient_panel(norms: Sequence[float] | NDArray[np.float64], *, step: str = "steps", note: str = "") -> Curve:
    """Return the gradient through time as a panel, with what it says in words.

    Args:
        norms: by steps before the last one; see `gradient_norms`.
        step: what a step is, in the plural.
        note: what else there is to say.
    """
    values = tuple(float(norm) for norm in norms)
    return Curve(
        "Gradient through time",
        x=tuple(map(float, range(len(values)))),
        lines={"norm": values},
        x_axis=f"{step} before the last",
        y_axis="norm of the loss's gradient by what is read",
        logarithmic=any(value > 0 for value in values),
        note=" ".join(filter(None, [judge_gradients(values), note])),
    )


def gradient_reach(norms: Sequence[float] | NDArray[np.float64]) -> int:
    """Return how many steps back gradients reach: the last place that has a thousandth of the largest norm.

    >>> gradient_reach([1.0, 0.1, 0.01, 0.0001, 0.00001])
    2
    """
    values = np.nan_to_num(np.asarray(norms, np.float64), nan=0.0)
    felt = np.flatnonzero(values >= values.max(initial=0.0) / _RANGE)
    return int(felt[-1]) if len(felt) and values.max() > 0 else 0


def gradients_explode(norms: Sequence[float] | NDArray[np.float64]) -> bool:
    """Tell whether norms grow with the distance, a thousandfold and more, and not at a few places only."""
    values = np.asarray(norms, np.float64)
    seen = values[values > 0]
    if len(seen) < 3:
        return False
    if not np.isfinite(seen).all():
        return True
    ranks = np.argsort(np.argsort(seen))
    rising = float(np.corrcoef(ranks, np.arange(len(seen)))[0, 1])
    return bool(seen[-1] / seen[0] > _RANGE and rising > 0.7)


def judge_gradients(norms: Sequence[float]) -> str:
    """Say whether gradients vanish, explode or reach back well (R. Pascanu, T. Mikolov and Y. Bengio, 2013)."""
    seen = [norm for norm in norms if np.isfinite(norm) and norm > 0]
    if len(seen) < 2:
        return "There are too few steps to see how gradients travel."
    ratio = seen[-1] / seen[0]
    numbers = (
        f"From the last step to the first, the gradient is multiplied by {rough(ratio)} "
        f"({ratio ** (1 / (len(seen) - 1)):.2f} a step)."
    )
    if ratio < 1 / _RANGE:
        return f"{numbers} It vanishes: the model can hardly learn from the beginning. Try a gated cell."
    if ratio > _RANGE:
        return f"{numbers} It explodes: lower gradient_clip or the learning rate, or try a gated cell."
    return f"{numbers} It reaches back to the first."
