"""Losses of every step of padded sequences, and of one answer a sequence.

Values are `(time, batch, ...)` and `lengths` is `(batch,)`; a padded batch has exactly the losses of its sequences one
by one. With `reduction="mean"` the sum is divided by the number of real elements, as each function says; with "none"
the losses of padding are zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional

from ostinato.errors import ShapeError, UsageError
from ostinato.nn.heads import Quantiles
from ostinato.nn.losses.masking import (
    Reduction,
    check_classes,
    check_same,
    check_steps,
    checked_lengths,
    fill_padding,
    real_steps,
    reduce,
)


def cross_entropy(
    logits: Tensor,
    target: Tensor,
    lengths: Tensor | None = None,
    *,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
) -> Tensor:
    """Return the cross-entropy, in nats, of a class at each step, or of one class for each sequence.

    Args:
        logits: unnormalised scores: `(time, batch, classes)`, or `(batch, classes)`, one answer a sequence.
        target: classes: `(time, batch)`, one a step; or `(batch,)`, one a sequence: logits of steps are then read at
            each row's last real step. What stands in padding is not read.
        lengths: `(batch,)`; `None` if all steps are real. A row of length 0 counts nowhere.
        weight: `(classes,)`, how much each class counts; see `class_weights`.
        ignore_index: a target that counts nowhere.
        label_smoothing: share of the target given to all classes alike, 0 to 1 (Szegedy et al., 2016, section 7).
        reduction: "mean" divides by the number of real targets (with `weight`, by the sum of their weights), "sum",
            or "none", which has the shape of `target`.

    Raises:
        ShapeError: shapes do not fit each other.
        UsageError: a real target is no class, or a setting is out of range.

    Source: C. Szegedy et al., "Rethinking the Inception architecture for computer vision", 2016; weights and smoothing
    together as in `torch.nn.functional.cross_entropy`.

    >>> import torch
    >>> logits = torch.zeros(3, 2, 4)
    >>> target = torch.tensor([[0, 1], [2, 3], [1, 77]])
    >>> loss = cross_entropy(logits, target, torch.tensor([3, 2]))
    >>> round(loss.item(), 4)
    1.3863
    """
    if not 0.0 <= label_smoothing <= 1.0:
        raise UsageError(f"label_smoothing is {label_smoothing}; expected a share from 0 to 1")
    logits, target, real = real_targets(logits, target, lengths, ignore_index)
    if weight is not None:
        check_same(weight, (logits.shape[-1],), "weight", "one number a class")
    losses = functional.cross_entropy(
        logits.flatten(0, -2), target.flatten(), weight=weight, label_smoothing=label_smoothing, reduction="none"
    ).reshape(target.shape)
    losses = losses.masked_fill(~real, 0.0)
    counted = real if weight is None else weight[target].masked_fill(~real, 0.0)
    return reduce(losses, counted.sum(), reduction)


def squared_error(
    prediction: Tensor, target: Tensor, lengths: Tensor | None = None, *, reduction: Reduction = "mean"
) -> Tensor:
    """Return the squared error of values at each step.

    Args:
        prediction: `(time, batch, ...)`, any number of features.
        target: the same shape.
        lengths: `(batch,)`; `None` if all steps are real.
        reduction: "mean" divides by the number of real values (real steps times features), "sum", or "none".

    Raises:
        ShapeError: shapes do not fit each other.

    Source: the plain squared error; its minimum is the conditional mean.

    >>> import torch
    >>> prediction = torch.tensor([[[1.0], [1.0]], [[2.0], [float("nan")]]])
    >>> squared_error(prediction, torch.zeros(2, 2, 1), torch.tensor([2, 1])).item()
    2.0
    """
    check_same(target, prediction.shape, "target", "as prediction")
    real = _real(prediction, lengths)
    losses = (fill_padding(prediction, real) - fill_padding(target, real)).square()
    return reduce(losses, real.sum() * math.prod(losses.shape[2:]), reduction)


def quantile_loss(
    prediction: Tensor,
    target: Tensor,
    levels: Sequence[float],
    lengths: Tensor | None = None,
    *,
    reduction: Reduction = "mean",
) -> Tensor:
    """Return the pinball loss of quantiles at each step, averaged over the levels and doubled, as `heads.Quantiles`.

    Args:
        prediction: `(time, batch, ..., levels)`.
        target: `(time, batch, ...)`.
        levels: rising, each between 0 and 1.
        lengths: `(batch,)`; `None` if all steps are real.
        reduction: "mean" divides by the number of real values of `target`, "sum", or "none", the shape of `target`.

    Raises:
        ShapeError: shapes do not fit each other.
        UsageError: the levels do not rise or are out of range.

    Source: R. Koenker and G. Bassett, "Regression quantiles", 1978.

    >>> import torch
    >>> quantile_loss(torch.zeros(1, 1, 2), torch.ones(1, 1), (0.25, 0.75)).item()
    1.0
    """
    head = Quantiles(levels)
    if any(low >= high for low, high in pairwise(levels)):
        raise UsageError(
            f"levels are {tuple(levels)}; expected them to rise, each once, as the last dimension has them"
        )
    check_same(prediction, (*target.shape, head.size), "prediction", "the shape of target, then the levels")
    real = _real(target, lengths)
    losses = head.loss(fill_padding(prediction, real), fill_padding(target, real), target.new_ones(()))
    return reduce(losses, real.sum() * math.prod(losses.shape[2:]), reduction)


def binary_cross_entropy(
    logits: Tensor,
    target: Tensor,
    lengths: Tensor | None = None,
    *,
    positive_weight: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Return the negative log-likelihood, in nats, of frames of independent yes-or-no labels, as notes that sound.

    Args:
        logits: `(time, batch, notes)`, before the sigmoid.
        target: the same shape, 0 or 1 (or a probability).
        lengths: `(batch,)`; `None` if all frames are real.
        positive_weight: `(notes,)` or one number, how much a sounding note counts against a silent one.
        reduction: notes are always summed; "mean" divides by the number of real frames, "sum", or "none", which is
            `(time, batch)`.

    Raises:
        ShapeError: shapes do not fit each other.

    Source: N. Boulanger-Lewandowski, Y. Bengio and P. Vincent, "Modeling temporal dependencies in high-dimensional
    sequences: application to polyphonic music generation and transcription", 2012 (log-likelihood of a frame).

    >>> import torch
    >>> round(binary_cross_entropy(torch.zeros(5, 1, 88), torch.zeros(5, 1, 88)).item(), 3)
    60.997
    """
    check_steps(logits, 3, "(time, batch, notes)", "logits")
    check_same(target, logits.shape, "target", "as logits")
    real = _real(logits, lengths)
    losses = functional.binary_cross_entropy_with_logits(
        fill_padding(logits, real),
        fill_padding(target, real).to(logits.dtype),
        pos_weight=positive_weight,
        reduction="none",
    )
    return reduce(fill_padding(losses, real).sum(-1), real.sum(), reduction)


def real_targets(
    logits: Tensor, target: Tensor, lengths: Tensor | None, ignore_index: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return logits and targets with 0 where nothing counts, and where something does; shapes as `cross_entropy`'s.

    Raises:
        ShapeError: shapes do not fit each other.
        UsageError: a target that counts is no class.
    """
    logits, real = _answers(logits, target, lengths)
    check_same(target, logits.shape[:-1], "target", "one class for each row of logits")
    real = real & (target != ignore_index)
    check_classes(target, real, logits.shape[-1], "target")
    return fill_padding(logits, real), target.masked_fill(~real, 0).long(), real


def _answers(logits: Tensor, target: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the logits that the targets are held against, and which of them are real."""
    if logits.dim() == 2 and lengths is not None:
        raise ShapeError(
            f"logits has shape {tuple(logits.shape)}, one answer a sequence, but lengths were given; "
            "pass logits (time, batch, classes), or no lengths"
        )
    if logits.dim() == 2:
        return logits, torch.ones(logits.shape[:1], dtype=torch.bool, device=logits.device)
    check_steps(logits, 3, "(time, batch, classes) or (batch, classes)", "logits")
    steps, batch = logits.shape[:2]
    lengths = checked_lengths(lengths, steps, batch, logits.device)
    if target.dim() == 2:
        return logits, real_steps(lengths, steps)
    if not steps:
        return logits.sum(0), lengths > 0
    last = (lengths - 1).clamp_min(0)
    return logits[last, torch.arange(batch, device=logits.device)], lengths > 0


def _real(values: Tensor, lengths: Tensor | None) -> Tensor:
    if values.dim() < 2:
        raise ShapeError(f"values have shape {tuple(values.shape)}; expected (time, batch, ...)")
    steps, batch = values.shape[:2]
    return real_steps(checked_lengths(lengths, steps, batch, values.device), steps)
