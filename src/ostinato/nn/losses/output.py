"""The output layer and its cross-entropy in one: the scores of a large vocabulary are never all there at once."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from ostinato.errors import ShapeError, UsageError
from ostinato.nn.products import product

_PIECE = 2**21
"""Scores that are held at once: eight megabytes, which the caches of a processor hold."""
_FEW = 2**15
"""Scores up to which the two steps are made one after the other: of 16 rows of 65 they take 0.2 ms less."""
_MULTIPLE = 16
"""Rows are filled up to a multiple of this with zeros, so that the pieces have few different sizes; see `products`."""
_ROWS = 128
"""At least, however large the vocabulary: the gradient of its matrix is gone through once a piece."""


def linear_cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    target: Tensor,
    bias: Tensor | None = None,
    *,
    label_smoothing: float = 0.0,
    ignore_index: int = -100,
    reduction: Literal["mean", "sum"] = "mean",
) -> Tensor:
    """Return `cross_entropy(hidden @ weight.T + bias, target)`, and have its gradients ready at once.

    The scores are made piece by piece; each piece gives its loss and its share of the gradients before the next one
    takes its memory. Targets that are ignored cost nothing. Forward and backward took 35 ms where the two steps after
    one another take 57 (400 x 200 numbers, 10,000 classes; one core of Zen 5), and 133 where they take 283 (2,048 x
    256, 6,000 classes, smoothed): `python3 dev.py bench output`.

    Args:
        hidden: `(..., features)`.
        weight: `(classes, features)`.
        target: classes, of the shape of `hidden` without its features.
        bias: `(classes,)`.
        label_smoothing: share of the target given to all classes alike, 0 to 1.
        ignore_index: a target that counts nowhere.
        reduction: "mean" over the targets that count (0 if none does), or "sum".

    Raises:
        ShapeError: shapes do not fit each other.
        UsageError: a setting is out of range, or a target is no class.

    >>> import torch
    >>> hidden, weight = torch.randn(5, 2, 8), torch.randn(30, 8)
    >>> target = torch.randint(30, (5, 2))
    >>> loss = linear_cross_entropy(hidden, weight, target)
    >>> two_steps = torch.nn.functional.cross_entropy((hidden @ weight.t()).flatten(0, 1), target.flatten())
    >>> torch.allclose(loss, two_steps, atol=1e-5)
    True
    """
    _check(hidden, weight, target, bias)
    if not 0.0 <= label_smoothing <= 1.0:
        raise UsageError(f"label_smoothing is {label_smoothing}; expected a share from 0 to 1")
    if reduction not in ("mean", "sum"):
        raise UsageError(f'reduction is {reduction!r}; expected "mean" or "sum"')
    rows, classes = hidden.flatten(0, -2), target.flatten().long()  # few and many scores take other types else
    least, most = _range(classes)
    if least <= ignore_index <= most:
        counted = classes != ignore_index
        rows, classes = rows[counted], classes[counted]
        least, most = _range(classes)
    if len(classes) and not 0 <= least <= most < len(weight):
        raise UsageError(f"targets run from {least} to {most}; there are {len(weight)} classes")
    if 0 < len(classes) * len(weight) <= _FEW:
        scores = functional.linear(rows, weight, bias)
        return functional.cross_entropy(scores, classes, label_smoothing=label_smoothing, reduction=reduction)
    fused: Any = _Fused
    total: Tensor = fused.apply(rows, weight, bias, classes, label_smoothing)
    return total / max(len(classes), 1) if reduction == "mean" else total


def _range(classes: Tensor) -> tuple[int, int]:
    """Return the least and the largest of some classes; 0 and -1 if there are none."""
    if not len(classes):
        return 0, -1
    least, most = torch.aminmax(classes)
    return int(least), int(most)


class _Fused(torch.autograd.Function):
    """The sum of the losses; the gradients are made on the way forward and only scaled on the way back."""

    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None, classes: Tensor, smoothing: float
    ) -> Tensor:
        wanted = ctx.needs_input_grad
        grads = (
            torch.empty_like(rows) if wanted[0] else None,
            torch.zeros_like(weight) if wanted[1] else None,
            torch.zeros_like(bias) if bias is not None and wanted[2] else None,
        )
        total = rows.new_zeros(())
        piece = max(_ROWS, _PIECE // max(len(weight), 1) // _MULTIPLE * _MULTIPLE)
        for start in range(0, len(rows), piece):
            part = slice(start, start + piece)
            total += _piece(rows[part], weight, bias, classes[part], smoothing, part, grads)
        ctx.save_for_backward(*grads)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, ...]:
        scaled = tuple(None if grad is None else grad * scale for grad in ctx.saved_tensors)
        return (*scaled, None, None)


def _piece(
    rows: Tensor, weight: Tensor, bias: Tensor | None, classes: Tensor, smoothing: float, part: slice,
    grads: tuple[Tensor | None, Tensor | None, Tensor | None],
) -> Tensor:  # fmt: skip
    """Return the loss of some rows, and add their share to the gradients."""
    rows, count = _filled(rows), len(rows)
    logs = product(rows, weight, bias).log_softmax(-1)
    found = logs[:count].gather(1, classes[:, None])
    loss = -found.sum()
    if smoothing:
        loss = (1 - smoothing) * loss - smoothing * logs[:count].mean(-1).sum()
    by_rows, by_weight, by_bias = grads
    if by_rows is None and by_weight is None and by_bias is None:
        return loss
    given = logs.exp_()
    if smoothing:
        given -= smoothing / len(weight)
    given[:count].scatter_add_(1, classes[:, None], torch.full_like(found, smoothing - 1.0))
    given[count:] = 0
    if by_rows is not None:
        by_rows[part] = product(given, weight.t())[:count]
    if by_weight is not None:
        by_weight += product(given.t(), rows.t())
    if by_bias is not None:
        by_bias += given.sum(0)
    return loss


def _filled(rows: Tensor) -> Tensor:
    """Return rows with zeros below them, to a multiple of `_MULTIPLE`."""
    missing = -len(rows) % _MULTIPLE
    return functional.pad(rows, (0, 0, 0, missing)) if missing else rows


def _check(hidden: Tensor, weight: Tensor, target: Tensor, bias: Tensor | None) -> None:
    if hidden.dim() < 2 or weight.dim() != 2 or hidden.shape[-1] != weight.shape[1]:
        raise ShapeError(
            f"hidden has shape {tuple(hidden.shape)} and weight {tuple(weight.shape)}; expected (..., features) and "
            "(classes, features)"
        )
    if target.shape != hidden.shape[:-1]:
        raise ShapeError(f"target has shape {tuple(target.shape)}; expected {tuple(hidden.shape[:-1])} as hidden has")
    if target.is_floating_point() or target.is_complex() or target.dtype is torch.bool:
        raise UsageError(f"target is of type {target.dtype}; expected whole numbers, the classes")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ShapeError(f"bias has shape {tuple(bias.shape)}; expected ({len(weight)},), one for each class")
