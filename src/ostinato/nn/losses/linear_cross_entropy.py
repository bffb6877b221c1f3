"""Cross-entropy of a linear layer's scores, with both as one operation: the scores are never kept.

For a vocabulary of ten thousand words the scores are most of a language model's memory and their products most of its
time. Here the gradients are made while the scores are at hand, in their place.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from ostinato.errors import ShapeError
from ostinato.nn.products import product

_TOGETHER = 1 << 25
"""Scores that are held at a time: 128 MiB."""


def linear_cross_entropy(
    features: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, *, ignore: int = -100
) -> Tensor:
    """Return the mean of `cross_entropy(features @ weight.T + bias, targets)` in nats.

    On a CPU in float32 it is one operation that holds at most 128 MiB of scores; elsewhere the two that it stands for.

    Args:
        features: `(..., width)`.
        weight: `(classes, width)`.
        bias: `(classes,)` or none.
        targets: `(...)`, whole numbers.
        ignore: the target of places that are left out; the mean is over the others, NaN without any.

    Returns:
        A scalar.

    Raises:
        ShapeError: shapes do not fit.

    >>> import torch
    >>> xs, weight = torch.zeros(7, 2, 3), torch.randn(5, 3)
    >>> round(linear_cross_entropy(xs, weight, None, torch.zeros(7, 2, dtype=torch.long)).exp().item(), 4)
    5.0
    """
    if features.shape[:-1] != targets.shape or features.shape[-1] != weight.shape[1]:
        raise ShapeError(
            f"features have shape {tuple(features.shape)}, targets {tuple(targets.shape)} and weight "
            f"{tuple(weight.shape)}; expected (..., width), (...) and (classes, width)"
        )
    rows, wanted = features.flatten(0, -2), targets.flatten()
    if not _suits(rows, weight):
        return functional.cross_entropy(functional.linear(rows, weight, bias), wanted, ignore_index=ignore)
    real = wanted != ignore
    if not bool(real.all()):
        rows, wanted = rows[real], wanted[real]
    found: Tensor = _Fused.apply(rows.contiguous(), weight, bias, wanted)  # type: ignore[no-untyped-call]
    return found


def _suits(rows: Tensor, weight: Tensor) -> bool:
    plain = rows.device.type == "cpu" and rows.dtype == weight.dtype == torch.float32
    return plain and not torch.is_autocast_enabled("cpu") and rows.numel() > 0


class _Fused(torch.autograd.Function):
    """Loss and gradients in one walk over the rows."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> Tensor:
        needed = any(ctx.needs_input_grad)
        losses = rows.new_empty(len(rows))
        by_rows = torch.empty_like(rows) if needed else None
        by_weight, by_bias = None, None
        together = max(1, _TOGETHER // len(weight))
        for some in range(0, len(rows), together):
            part = slice(some, some + together)
            chances = product(rows[part], weight, bias)
            places = targets[part, None]
            own = chances.gather(1, places)
            torch.softmax(chances, 1, out=chances)
            losses[part] = _negative_log(chances.gather(1, places)[:, 0], own[:, 0], rows[part], weight, bias)
            if by_rows is None:
                continue
            # the gradient by the scores: the chances less one at the target
            chances.scatter_add_(1, places, chances.new_full(places.shape, -1.0))
            by_rows[part] = product(chances, weight.t())
            sums, more = chances.sum(0), product(rows[part].t(), chances.t()).t()
            by_weight = more if by_weight is None else by_weight.add_(more)
            by_bias = sums if by_bias is None else by_bias.add_(sums)
        ctx.save_for_backward(by_rows, by_weight, by_bias)
        ctx.rows, ctx.has_bias = len(rows), bias is not None
        return losses.mean()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        by_rows, by_weight, by_bias = ctx.saved_tensors
        share = gradient / ctx.rows
        return by_rows * share, by_weight * share, by_bias * share if ctx.has_bias else None, None


def _negative_log(chances: Tensor, own: Tensor, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return `-log` of the targets' chances; where those are too small to hold, from the scores `own` again."""
    losses = -chances.log()
    lost = chances < torch.finfo(chances.dtype).tiny
    if bool(lost.any()):
        losses[lost] = product(rows[lost], weight, bias).logsumexp(1) - own[lost]
    return losses
