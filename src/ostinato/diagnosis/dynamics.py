"""How the state moves: the Jacobian of a step, Lyapunov exponents, whether it is stuck or grows without end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ostinato.diagnosis.walks import Walk, step_of

_WIDEST = 768  # numbers of a state whose Jacobian is taken whole
_WORK = 3e10  # multiplications of all decompositions
_STEPS = (6, 100)
_STILL = 1e-3  # of the size of the state: what moves less in a step is still
_ALIKE = 1e-2  # of it: how far the rows' states lie apart at least, if they hold anything
_GROWS = 1.7  # from the middle to the end; a state that wanders at random grows by 1.4
_LARGE = 10.0  # beyond what tanh tells apart


@dataclass(frozen=True)
class Jacobians:
    """The Jacobian of the state by the state before, along one row.

    Args:
        singular: `(steps, 3)`, the largest, median and smallest singular value of each.
        exponents: Lyapunov exponents, per step, the largest first.
        steps: how many steps back from the end they were taken over.
    """

    singular: NDArray[np.float64]
    exponents: NDArray[np.float64]
    steps: int


@dataclass(frozen=True)
class Motion:
    """How the state moves.

    Args:
        speed: `(time,)`, how far it moves in a step over its size, the median of rows.
        stuck: whether it stands still though inputs go on, at the same place in all rows, or moves alike in all.
        growth: its size at the end over that in the middle.
        size: of its largest numbers at the end, on the average.
    """

    speed: NDArray[np.float64]
    stuck: bool
    growth: float
    size: float

    @property
    def grows(self) -> bool:
        """Whether it grows on at the end, and is large."""
        return self.growth > _GROWS and self.size > _LARGE


def jacobians(walk: Walk) -> Jacobians | None:
    """Return singular values and Lyapunov exponents along the longest row; `None`: the state is too wide.

    All of a step's derivatives come from one backward pass over as many rows as the state has numbers. The exponents
    are those of a product of Jacobians, made orthogonal again at every step (G. Benettin et al., 1980; of recurrent
    networks: R. Vogt et al., "On Lyapunov exponents for RNNs", 2020).
    """
    row = int(walk.real.sum(0).argmax())
    width = sum(leaf[0, 0].numel() for leaf in walk.states)
    low, high = _STEPS
    if width > _WIDEST or width == 0:
        return None
    most = min(_WORK / (20 * width**3), 40_000 / width)
    steps = min(high, int(walk.real[:, row].sum()), max(low, int(most)))
    if steps < 2:
        return None
    at = walk.real[:, row].nonzero()[-steps:, 0]
    leaves = [leaf[at, row].repeat_interleave(width, 0).requires_grad_() for leaf in walk.states]
    with torch.enable_grad():
        new = step_of(walk, walk.xs[at, row].repeat_interleave(width, 0), leaves)
        seeds = torch.eye(width, device=new.device, dtype=new.dtype).repeat(steps, 1)
        parts = torch.autograd.grad(new, leaves, seeds, allow_unused=True)
    flat = [torch.zeros_like(leaf) if part is None else part for leaf, part in zip(leaves, parts, strict=True)]
    taken = torch.cat([part.flatten(1) for part in flat], -1).reshape(steps, width, width).double().cpu()
    if not bool(torch.isfinite(taken).all()):
        return None
    values = torch.linalg.svdvals(taken).numpy()
    singular = np.stack([values[:, 0], np.median(values, 1), values[:, -1]], 1)
    return Jacobians(singular, _exponents(taken), steps)


def _exponents(taken: Tensor) -> NDArray[np.float64]:
    basis = torch.eye(taken.shape[-1], dtype=taken.dtype)
    total = torch.zeros(taken.shape[-1], dtype=taken.dtype)
    for jacobian in taken:
        basis, upper = torch.linalg.qr(jacobian @ basis)
        total += upper.diagonal().abs().clamp_min(1e-30).log()
    return np.sort((total / len(taken)).numpy())[::-1].copy()


def motion(walk: Walk) -> Motion:
    """Return how the state moves, and whether it is stuck or grows."""
    after = torch.cat(walk.after, -1).double()
    real = walk.real[..., None]
    before = torch.cat([leaf.flatten(2) for leaf in walk.states], -1).double()
    size = after.norm(dim=-1).clamp_min(1e-12)
    moved = (after - before).norm(dim=-1) / size
    moved = moved.masked_fill(~walk.real, float("nan"))
    speed = moved.nanmedian(1).values.cpu().numpy()
    late = slice(len(after) // 2, None)
    inputs = walk.xs.flatten(2).double()
    inputs_move = float(((inputs[1:] - inputs[:-1]).abs() * real[1:]).sum()) > 0
    apart = (after[late].std(1, correction=0) if after.shape[1] > 1 else after[late].std(0, correction=0)[None]).norm(
        dim=-1
    )
    alike = bool((apart <= _ALIKE * after[late].norm(dim=-1).mean(1).clamp_min(1e-12)).all())
    ignores = _ignores(after[late], inputs)
    still = bool(np.nanmax(speed[late], initial=0.0) < _STILL) or float(after[late].abs().max()) < 1e-9
    heights = torch.where(real, after.abs(), 0.0).amax(-1).sum(1) / walk.real.sum(1).clamp_min(1)
    quarter = max(1, len(heights) // 16)
    end, middle = float(heights[-quarter:].mean()), float(heights[len(heights) // 2 :][:quarter].mean())
    growth = end / middle if middle > 0 else 1.0
    whole = bool((walk.real.sum(0) == len(after)).all())
    return Motion(
        speed, inputs_move and ((alike and still) or ignores), growth if whole and len(after) >= 16 else 1.0, end
    )


def _ignores(after: Tensor, inputs: Tensor) -> bool:
    """Tell whether the state is the same in all rows, though their inputs are not."""
    if after.shape[1] < 2 or float(inputs.std(1, correction=0).sum()) == 0:
        return False
    apart = (after - after[:, :1]).norm(dim=-1).amax()
    return bool(apart <= 1e-6 * after.norm(dim=-1).amax().clamp_min(1e-12))
