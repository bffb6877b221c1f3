"""For classes of unequal size: weights from counts, and the focal loss."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor
from torch.nn import functional

from ostinato.errors import ShapeError, UsageError
from ostinato.nn.losses.masking import (
    Reduction,
    check_same,
    check_steps,
    checked_lengths,
    fill_padding,
    real_steps,
    reduce,
)
from ostinato.nn.losses.sequence import real_targets

WeightScheme: TypeAlias = Literal["balanced", "square_root", "effective"]


def class_weights(counts: Tensor, scheme: WeightScheme = "balanced", *, beta: float = 0.999) -> Tensor:
    """Return weights for classes from how often each was seen, `(classes,)`.

    Args:
        counts: `(classes,)`, none negative. A class never seen gets the weight 0.
        scheme: "balanced": total / (classes seen * count); "square_root": the square root of that, gentler;
            "effective": (1 - beta) / (1 - beta ** count), scaled so that the weights seen have the mean 1.
        beta: for "effective", from 0 (all alike) to below 1 (nearly balanced).

    Raises:
        ShapeError: `counts` is not `(classes,)`.
        UsageError: a count is negative, all are zero, or a setting is out of range.

    Sources: G. King and L. Zeng, "Logistic regression in rare events data", 2001; Y. Cui et al., "Class-balanced loss
    based on effective number of samples", 2019, section 4.

    >>> import torch
    >>> class_weights(torch.tensor([30, 10, 0])).tolist()
    [0.6666666865348816, 2.0, 0.0]
    """
    if counts.dim() != 1:
        raise ShapeError(f"counts has shape {tuple(counts.shape)}; expected (classes,)")
    values = counts.to(counts.dtype if counts.is_floating_point() else torch.get_default_dtype())
    seen = values > 0
    if bool((values < 0).any()) or not bool(seen.any()):
        raise UsageError(f"counts are {counts.tolist()}; expected none below zero and one above")
    if scheme == "effective":
        weights = _effective(values, seen, beta)
    elif scheme in get_args(WeightScheme):
        weights = values.sum() / (seen.sum() * values)
        weights = weights.sqrt() if scheme == "square_root" else weights
    else:
        raise UsageError(f'scheme "{scheme}" is not known; choose one of {", ".join(get_args(WeightScheme))}')
    return weights.masked_fill(~seen, 0.0)


def focal_loss(
    logits: Tensor,
    target: Tensor,
    lengths: Tensor | None = None,
    *,
    gamma: float = 2.0,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> Tensor:
    """Return the focal loss of classes, `-weight (1 - p) ** gamma log p`: what is easy counts little.

    Args:
        logits: `(time, batch, classes)` or `(batch, classes)`, as in `cross_entropy`.
        target: `(time, batch)` or `(batch,)`, as in `cross_entropy`.
        lengths: `(batch,)`; `None` if all steps are real.
        gamma: 0 or more; 0 is the cross-entropy.
        weight: `(classes,)`, alpha in the paper.
        ignore_index: a target that counts nowhere.
        reduction: "mean" divides by the number of real targets (with or without weights), "sum", or "none".

    Raises:
        ShapeError: shapes do not fit each other.
        UsageError: a real target is no class, or gamma is negative.

    Source: T.-Y. Lin et al., "Focal loss for dense object detection", 2017, equation 5, over a softmax.

    >>> import torch
    >>> round(focal_loss(torch.zeros(1, 2), torch.tensor([0])).item(), 4)  # ln 2 / 4
    0.1733
    """
    _check_gamma(gamma)
    logits, target, real = real_targets(logits, target, lengths, ignore_index)
    log_p = functional.log_softmax(logits, -1).gather(-1, target[..., None])[..., 0]
    losses = _modulated(log_p, gamma)
    if weight is not None:
        check_same(weight, (logits.shape[-1],), "weight", "one number a class")
        losses = losses * weight[target]
    return reduce(losses.masked_fill(~real, 0.0), real.sum(), reduction)


def binary_focal_loss(
    logits: Tensor,
    target: Tensor,
    lengths: Tensor | None = None,
    *,
    gamma: float = 2.0,
    positive_share: float | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Return the focal loss of frames of independent yes-or-no labels.

    Args:
        logits: `(time, batch, labels)`, before the sigmoid.
        target: the same shape, 0 or 1.
        lengths: `(batch,)`; `None` if all steps are real.
        gamma: 0 or more; 0 is the binary cross-entropy.
        positive_share: alpha in the paper: positives weigh as much, negatives `1 - positive_share`; `None`: both 1.
        reduction: labels are always summed; "mean" divides by the number of real frames, "sum", or "none", which is
            `(time, batch)`.

    Raises:
        ShapeError: shapes do not fit each other.
        UsageError: a setting is out of range.

    Source: T.-Y. Lin et al., "Focal loss for dense object detection", 2017, equations 4 and 5.

    >>> import torch
    >>> round(binary_focal_loss(torch.zeros(1, 1, 1), torch.ones(1, 1, 1), positive_share=0.25).item(), 4)
    0.0433
    """
    _check_gamma(gamma)
    if positive_share is not None and not 0.0 <= positive_share <= 1.0:
        raise UsageError(f"positive_share is {positive_share}; expected a share from 0 to 1")
    check_steps(logits, 3, "(time, batch, labels)", "logits")
    check_same(target, logits.shape, "target", "as logits")
    steps, batch = logits.shape[:2]
    real = real_steps(checked_lengths(lengths, steps, batch, logits.device), steps)
    positive = fill_padding(target, real) > 0.5
    logits = fill_padding(logits, real)
    losses = _modulated(functional.logsigmoid(torch.where(positive, logits, -logits)), gamma)
    if positive_share is not None:
        losses = losses * torch.where(positive, positive_share, 1.0 - positive_share)
    return reduce(fill_padding(losses, real).sum(-1), real.sum(), reduction)


def _effective(values: Tensor, seen: Tensor, beta: float) -> Tensor:
    if not 0.0 <= beta < 1.0:
        raise UsageError(f"beta is {beta}; expected 0 or more and less than 1")
    # 1 - beta ** count by expm1 in float64: beta near 1 would lose its digits
    log_beta = torch.tensor(beta, dtype=torch.float64, device=values.device).log()
    raw = (1.0 - beta) / -torch.expm1(values.double() * log_beta)
    return (raw * seen.sum() / raw[seen].sum()).to(values.dtype)


def _modulated(log_p: Tensor, gamma: float) -> Tensor:
    # 1 - p by expm1, since p near 1 would lose its digits; p = 1 itself has no finite slope when gamma is below 1
    tiny = torch.finfo(log_p.dtype).tiny
    return -((-torch.expm1(log_p)).clamp_min(tiny) ** gamma) * log_p if gamma else -log_p


def _check_gamma(gamma: float) -> None:
    if gamma < 0:
        raise UsageError(f"gamma is {gamma}; expected 0 or more")
