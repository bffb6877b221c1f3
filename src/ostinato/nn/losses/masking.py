"""What every loss here shares: which steps are real, and how losses of elements become one number.

A loss fills the padding of its inputs before it computes anything, so that whatever stands there (NaN as well) reaches
neither the loss nor a gradient.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import Tensor

from ostinato.errors import ShapeError, UsageError

Reduction: TypeAlias = Literal["mean", "sum", "none"]


def checked_lengths(
    lengths: Tensor | None, steps: int, batch: int, device: torch.device, name: str = "lengths", least: int = 0
) -> Tensor:
    """Return `lengths`, `(batch,)` whole numbers from `least` to `steps`, or as many steps for every row if `None`.

    Raises:
        ShapeError: they are not whole numbers, not one for each row, or out of range.
    """
    if lengths is None:
        lengths = torch.full((batch,), steps, device=device)
    if lengths.shape != (batch,) or lengths.is_floating_point() or lengths.dtype is torch.bool:
        raise ShapeError(
            f"{name} has shape {tuple(lengths.shape)} and type {lengths.dtype}; expected whole numbers, ({batch},), "
            "one for each row"
        )
    wrong = (lengths < least) | (lengths > steps)
    if bool(wrong.any()):
        row = int(wrong.nonzero()[0])
        raise ShapeError(f"row {row} of {name} is {int(lengths[row])}; expected {least} to {steps}")
    return lengths.to(device, torch.int64)


def real_steps(lengths: Tensor, steps: int) -> Tensor:
    """Return which steps are real, `(steps, batch)` booleans, from lengths `(batch,)`."""
    return torch.arange(steps, device=lengths.device)[:, None] < lengths


def fill_padding(values: Tensor, real: Tensor, fill: float = 0.0) -> Tensor:
    """Return `values (time, batch, ...)` with `fill` wherever `real (time, batch)` is false."""
    return values.masked_fill(~real.reshape(*real.shape, *[1] * (values.dim() - real.dim())), fill)


def check_steps(values: Tensor, dims: int, form: str, name: str) -> None:
    """Raise unless `values` has `dims` dimensions, which `form` names, as in `(time, batch, classes)`.

    Raises:
        ShapeError: it has another number.
    """
    if values.dim() != dims:
        raise ShapeError(f"{name} has shape {tuple(values.shape)}; expected {form}")


def check_same(values: Tensor, shape: tuple[int, ...], name: str, like: str) -> None:
    """Raise unless `values` has exactly `shape`, which `like` explains.

    Raises:
        ShapeError: it has another shape.
    """
    if tuple(values.shape) != tuple(shape):
        raise ShapeError(f"{name} has shape {tuple(values.shape)}; expected {tuple(shape)}, {like}")


def check_classes(labels: Tensor, real: Tensor, classes: int, name: str) -> None:
    """Raise if a real label is no class; `labels` and `real` share a shape whose last dimension is the batch.

    Raises:
        UsageError: a label is no whole number from 0 to `classes - 1`; its step and row are named.
    """
    if labels.is_floating_point() or labels.dtype is torch.bool:
        raise UsageError(f"{name} has type {labels.dtype}; expected whole numbers, the classes")
    wrong = real & ((labels < 0) | (labels >= classes))
    if bool(wrong.any()):
        place = wrong.nonzero()[0].tolist()
        where = f"row {place[-1]}" + (f", step {place[0]}" if len(place) > 1 else "")
        raise UsageError(f"{where}: {name} is {int(labels[tuple(place)])}; expected a class from 0 to {classes - 1}")


def check_reduction(reduction: str) -> None:
    """Raise unless `reduction` is known.

    Raises:
        UsageError: it is none of "mean", "sum" and "none".
    """
    if reduction not in ("mean", "sum", "none"):
        raise UsageError(f'reduction is "{reduction}"; expected "mean", "sum" or "none"')


def reduce(losses: Tensor, count: Tensor | float, reduction: Reduction) -> Tensor:
    """Return `losses`, already zero at padding, as they are, their sum, or their sum over `count`; 0 if that is 0."""
    check_reduction(reduction)
    if reduction == "none":
        return losses
    total = losses.sum()
    if reduction == "sum":
        return total
    share = torch.as_tensor(count, dtype=losses.dtype, device=losses.device)
    # smoothed targets have a loss even where their own classes weigh nothing
    return total.masked_fill(share == 0, 0.0) / torch.where(share == 0, torch.ones_like(share), share)
