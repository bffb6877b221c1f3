"""Losses of each step of a sequence: cross-entropy, squared error, pinball; and penalties on activations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from ostinato.errors import ShapeError, UsageError
from ostinato.nn.norms import real_steps

Reduction = Literal["mean", "sum", "none"]


def cross_entropy(
    scores: Tensor,
    targets: Tensor,
    lengths: Tensor | None = None,
    *,
    weight: Tensor | None = None,
    label_smoothing: float = 0.0,
    focus: float = 0.0,
    reduction: Reduction = "mean",
) -> Tensor:
    """Return the negative log-likelihood of the target classes, in nats.

    Args:
        scores: before the softmax, `(time, batch, classes)`, or `(batch, classes)` for one target a sequence.
        targets: class numbers `(time, batch)` or `(batch,)`.
        lengths: `(batch,)` real steps; what stands after them counts for nothing.
        weight: of each class, `(classes,)`; the mean is then over weights.
        label_smoothing: the share of the likelihood that is spread over all classes (Szegedy et al., 2016).
        focus: of the focal loss: steps are weighed by `(1 - p) ** focus` (Lin et al., 2017).
        reduction: `"mean"` over the real steps, `"sum"`, or `"none"` for one loss a step, zero past the end.

    Raises:
        ShapeError: the shapes do not fit.
        UsageError: there are no real steps to take a mean over.

    >>> import torch
    >>> round(cross_entropy(torch.zeros(7, 2, 4), torch.zeros(7, 2, dtype=torch.long), torch.tensor([7, 3])).item(), 4)
    1.3863
    """
    if scores.shape[:-1] != targets.shape:
        raise ShapeError(
            f"scores have shape {tuple(scores.shape)} and targets {tuple(targets.shape)}; expected scores "
            "(time, batch, classes) and targets (time, batch), or both without time"
        )
    real = _real(targets, lengths)
    weight = None if weight is None else weight.to(scores)
    shown = targets if real is None else targets.masked_fill(~real, 0)
    if real is not None:
        scores = scores.masked_fill(~real[..., None], 0.0)
    flat = functional.cross_entropy(
        scores.flatten(0, -2), shown.flatten(), weight, reduction="none", label_smoothing=label_smoothing
    )
    losses = flat.view(targets.shape)
    if focus:
        chance = scores.log_softmax(-1).gather(-1, shown[..., None])[..., 0].exp()
        losses = losses * (1 - chance) ** focus
    counts = torch.ones_like(losses) if weight is None else weight.to(losses)[shown]
    return _reduced(losses, real, reduction, counts)


def frame_cross_entropy(
    scores: Tensor, targets: Tensor, lengths: Tensor | None = None, *, reduction: Reduction = "mean"
) -> Tensor:
    """Return the negative log-likelihood of frames of yes and no, such as the notes that sound: summed over a frame.

    Args:
        scores: before the sigmoid, `(time, batch, notes)`.
        targets: zeros and ones of that shape.
        lengths: `(batch,)` real frames.
        reduction: `"mean"` over the real frames of the batch, `"sum"`, or `"none"`.

    Source: N. Boulanger-Lewandowski, Y. Bengio and P. Vincent, ICML 2012, who report this mean.

    >>> import torch
    >>> round(frame_cross_entropy(torch.zeros(5, 2, 88), torch.zeros(5, 2, 88)).item(), 3)
    60.997
    """
    _same_shape(scores, targets)
    real = _real(targets[..., 0], lengths)
    scores, targets = _blanked(scores, real), _blanked(targets, real)
    losses = functional.binary_cross_entropy_with_logits(scores, targets, reduction="none").sum(-1)
    return _reduced(losses, real, reduction)


def squared_error(
    values: Tensor, targets: Tensor, lengths: Tensor | None = None, *, reduction: Reduction = "mean"
) -> Tensor:
    """Return the squared difference, the mean over features; `(time, batch, features)` both. See `cross_entropy`.

    >>> import torch
    >>> squared_error(torch.zeros(5, 2, 3), torch.ones(5, 2, 3), torch.tensor([5, 1])).item()
    1.0
    """
    _same_shape(values, targets)
    real = _real(targets[..., 0], lengths)
    return _reduced((_blanked(values, real) - _blanked(targets, real)).square().mean(-1), real, reduction)


def quantile_loss(
    values: Tensor,
    targets: Tensor,
    levels: Sequence[float],
    lengths: Tensor | None = None,
    *,
    reduction: Reduction = "mean",
) -> Tensor:
    """Return the pinball loss, the mean over levels; `ostinato.nn.heads.Quantiles` is the head that goes with it.

    Args:
        values: a quantile for each level, `(time, batch, levels)`.
        targets: `(time, batch)`.
        levels: between 0 and 1.
        lengths: `(batch,)` real steps.
        reduction: see `cross_entropy`.

    Source: R. Koenker and G. Bassett, "Regression quantiles", Econometrica 46, 1978.

    >>> import torch
    >>> quantile_loss(torch.zeros(5, 2, 1), torch.ones(5, 2), [0.9]).item()
    0.8999999761581421
    """
    if values.shape != (*targets.shape, len(levels)):
        raise ShapeError(
            f"values have shape {tuple(values.shape)}; expected {(*targets.shape, len(levels))}, one for each level"
        )
    real = _real(targets, lengths)
    values = _blanked(values, real)
    targets = targets if real is None else targets.masked_fill(~real, 0.0)
    at = values.new_tensor(list(levels))
    error = targets[..., None] - values
    return _reduced(torch.maximum(at * error, (at - 1) * error).mean(-1), real, reduction)


def activation_penalty(ys: Tensor, lengths: Tensor | None = None) -> Tensor:
    """Return the mean square of activations `(time, batch, features)`: "AR" of Merity, McCann and Socher, 2017."""
    return _reduced(ys.square().mean(-1), _real(ys[..., 0], lengths), "mean")


def slowness_penalty(ys: Tensor, lengths: Tensor | None = None) -> Tensor:
    """Return the mean square of the change from step to step: "TAR" of Merity, McCann and Socher, 2017."""
    later = None if lengths is None else (lengths - 1).clamp_min(0)
    changes = (ys[1:] - ys[:-1]).square().mean(-1)
    if changes.numel() == 0 or (later is not None and int(later.sum()) == 0):
        return ys.sum() * 0
    return _reduced(changes, _real(changes, later), "mean")


def perplexity(loss: float) -> float:
    """Return `exp(loss)` of a mean loss in nats; infinite where that is more than a float holds."""
    return math.exp(loss) if loss < 709 else math.inf


def bits_per_step(loss: float) -> float:
    """Return a mean loss in bits rather than nats: bits per character, if a step is one."""
    return loss / math.log(2)


def class_weights(counts: Sequence[int]) -> Tensor:
    """Return weights that make all classes count the same, `total / (classes * count)`.

    >>> class_weights([10, 30]).tolist()
    [2.0, 0.6666666865348816]
    """
    if not counts or min(counts) < 1:
        raise UsageError(f"class counts are {list(counts)}; expected one or more of each class")
    total = sum(counts)
    return torch.tensor([total / (len(counts) * count) for count in counts])


def _real(steps: Tensor, lengths: Tensor | None) -> Tensor | None:
    """Return the mask of real steps, of the shape of `(time, batch)` or `(batch,)`."""
    if lengths is None or steps.dim() == 1:
        return None
    if lengths.shape != steps.shape[1:]:
        raise ShapeError(f"lengths have shape {tuple(lengths.shape)}; expected ({steps.shape[1]},), one for each row")
    return real_steps(steps, lengths)


def _blanked(values: Tensor, real: Tensor | None) -> Tensor:
    return values if real is None else values.masked_fill(~real[..., None], 0.0)


def _same_shape(values: Tensor, targets: Tensor) -> None:
    if values.shape != targets.shape:
        raise ShapeError(
            f"values have shape {tuple(values.shape)} and targets {tuple(targets.shape)}; expected the same"
        )


def _reduced(losses: Tensor, real: Tensor | None, reduction: Reduction, counts: Tensor | None = None) -> Tensor:
    if real is not None:
        losses = torch.where(real, losses, torch.zeros_like(losses))
    if reduction == "none":
        return losses
    if reduction == "sum":
        return losses.sum()
    if reduction != "mean":
        raise UsageError(f'reduction is {reduction!r}; expected "mean", "sum" or "none"')
    ones = torch.ones_like(losses) if counts is None else counts
    total = (ones if real is None else ones * real).sum()
    if not losses.numel() or not bool(total > 0):
        raise UsageError("there are no real steps to take a mean over; every length is zero")
    return losses.sum() / total
