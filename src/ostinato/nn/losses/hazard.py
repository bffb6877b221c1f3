"""Time to an event, in steps, where some rows have been watched only for a while (censored).

A row is watched for `lengths` steps. With `event` true the event came in the last of them, with `event` false it had
not come by their end. So a sequence of a network's outputs, one hazard a step, is judged as it stands; a network with
one output for each interval is transposed to `(time, batch)`. `discretise` makes lengths of durations.
"""

from __future__ import annotations

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


def hazard_loss(
    logits: Tensor, event: Tensor, lengths: Tensor | None = None, *, reduction: Reduction = "mean"
) -> Tensor:
    """Return the negative log-likelihood of each row, by hazards: that of the event now, if it has not come yet.

    Args:
        logits: `(time, batch)`, before the sigmoid, the hazard of each step.
        event: `(batch,)` booleans: the event came in the last step watched.
        lengths: `(batch,)`, the steps watched; `None` if all.
        reduction: "mean" divides by the number of rows, "sum", or "none", `(batch,)`.

    Raises:
        ShapeError: shapes do not fit each other.
        UsageError: `event` is not boolean, or a row has an event and no step.

    Source: M. Gensheimer and B. Narasimhan, "A scalable discrete-time survival model for neural networks", 2019,
    equation 3.

    >>> import torch
    >>> logits = torch.zeros(3, 2)  # every hazard is one half
    >>> loss = hazard_loss(logits, torch.tensor([True, False]), torch.tensor([2, 1]), reduction="none")
    >>> loss.exp().round(decimals=4).tolist()
    [4.0, 2.0]
    """
    check_steps(logits, 2, "(time, batch)", "logits")
    lengths = _watched(event, lengths, logits)
    real = real_steps(lengths, logits.shape[0])
    logits = fill_padding(logits, real)
    # -log h is softplus(-logit), and -log(1 - h) is softplus(logit)
    surprise = functional.softplus(torch.where(_at_last(lengths, logits.shape[0]) & event, -logits, logits))
    return reduce(fill_padding(surprise, real).sum(0), lengths.shape[0], reduction)


def deephit_loss(
    logits: Tensor, event: Tensor, lengths: Tensor | None = None, *, reduction: Reduction = "mean"
) -> Tensor:
    """Return the negative log-likelihood of each row, by one distribution over all steps, causes and "later".

    Args:
        logits: `(time, batch)` or, with several causes of which one comes first, `(time, batch, causes)`; "later",
            after the last step, has the logit 0. All steps are real: `lengths` says how many were watched.
        event: `(batch,)`: booleans, or whole numbers, 0 for censored and 1, 2, ... for the causes.
        lengths: `(batch,)`, the steps watched; `None` if all.
        reduction: "mean" divides by the number of rows, "sum", or "none", `(batch,)`.

    Raises:
        ShapeError: shapes do not fit each other.
        UsageError: `event` names no cause, or a row has an event and no step.

    Source: C. Lee et al., "DeepHit: a deep learning approach to survival analysis with competing risks", 2018, loss L1;
    "later" as in H. Kvamme and O. Borgan, "Continuous and discrete-time survival prediction with neural networks",
    2021.

    >>> import torch
    >>> logits = torch.zeros(3, 2)  # three steps and "later", a quarter each
    >>> loss = deephit_loss(logits, torch.tensor([True, False]), torch.tensor([2, 1]), reduction="none")
    >>> loss.neg().exp().round(decimals=4).tolist()
    [0.25, 0.75]
    """
    by_cause = logits[..., None] if logits.dim() == 2 else logits
    check_steps(by_cause, 3, "(time, batch) or (time, batch, causes)", "logits")
    lengths = _watched(event, lengths, by_cause)
    causes = event.long()
    if bool(((causes < 0) | (causes > by_cause.shape[2])).any()):
        raise UsageError(
            f"event runs from {int(causes.min())} to {int(causes.max())}; expected 0 to {by_cause.shape[2]}: 0 for "
            "censored, then the causes"
        )
    log_mass, log_later = _log_mass(by_cause)
    watched = real_steps(lengths, logits.shape[0])
    cause = torch.arange(1, by_cause.shape[2] + 1, device=logits.device) == causes[:, None]
    came = log_mass.masked_fill(~(_at_last(lengths, logits.shape[0])[..., None] & cause), 0.0).sum((0, 2))
    rest = log_mass.masked_fill(watched[..., None], float("-inf")).transpose(1, 2).flatten(0, 1)
    survived = torch.cat([rest, log_later[None]]).logsumexp(0)
    return reduce(-torch.where(causes > 0, came, survived), lengths.shape[0], reduction)


def survival_curve(logits: Tensor) -> Tensor:
    """Return the probability that the event has not come by the end of each step, `(time, batch)`, from hazards.

    Args:
        logits: `(time, batch)`, as in `hazard_loss`. A step's value depends on no later one, nor on padding after it.

    Raises:
        ShapeError: `logits` has another number of dimensions.

    Source: Gensheimer and Narasimhan, 2019, equation 2.

    >>> import torch
    >>> survival_curve(torch.zeros(3, 1))[:, 0].tolist()
    [0.5, 0.25, 0.125]
    """
    check_steps(logits, 2, "(time, batch)", "logits")
    return functional.logsigmoid(-logits).cumsum(0).exp()


def deephit_survival(logits: Tensor) -> Tensor:
    """Return the probability of no event by the end of each step, `(time, batch)`, from logits of `deephit_loss`.

    Args:
        logits: `(time, batch)` or `(time, batch, causes)`.

    Raises:
        ShapeError: `logits` has another number of dimensions.

    Source: Lee et al., 2018, section 3.

    >>> import torch
    >>> deephit_survival(torch.zeros(3, 1))[:, 0].tolist()
    [0.75, 0.5, 0.25]
    """
    by_cause = logits[..., None] if logits.dim() == 2 else logits
    check_steps(by_cause, 3, "(time, batch) or (time, batch, causes)", "logits")
    log_mass, log_later = _log_mass(by_cause)
    # summed from the end, so that small probabilities of long survival keep their digits
    after = torch.cat([log_mass.exp().sum(-1)[1:], log_later.exp()[None]])
    return after.flip(0).cumsum(0).flip(0)


def discretise(durations: Tensor, event: Tensor, ends: Tensor) -> tuple[Tensor, Tensor]:
    """Return how many intervals each row is watched for, and whether the event comes in the last of them.

    Args:
        durations: `(batch,)`, until the event or the end of watching, 0 or more.
        event: `(batch,)` booleans.
        ends: `(intervals,)`, rising: where each interval ends; the first begins at 0.

    Returns:
        `lengths` and `event`, `(batch,)`. An event belongs to the interval that ends at or after it, and one after the
        last interval is censored. A censored row has survived the intervals of which it was watched at least half.

    Raises:
        ShapeError: shapes do not fit each other.
        UsageError: durations are negative, or the ends do not rise from above 0.

    Source: Gensheimer and Narasimhan, 2019, section 2 (credit for half an interval).

    >>> import torch
    >>> ends, event = torch.tensor([1.0, 2.0, 4.0]), torch.tensor([True, False, True])
    >>> lengths, event = discretise(torch.tensor([1.5, 3.5, 9.0]), event, ends)
    >>> lengths.tolist(), event.tolist()
    ([2, 3, 3], [True, False, False])
    """
    check_steps(durations, 1, "(batch,)", "durations")
    check_same(event, durations.shape, "event", "as durations")
    check_steps(ends, 1, "(intervals,)", "ends")
    starts = torch.cat([ends.new_zeros(1), ends[:-1]])
    if not bool((ends > starts).all()) or not ends.numel():
        raise UsageError(f"ends are {ends.tolist()}; expected them to rise from above 0")
    if not bool((durations >= 0).all()):
        raise UsageError(f"row {int((~(durations >= 0)).nonzero()[0])}: the duration is negative or not a number")
    came = event.bool() & (durations <= ends[-1])
    last = torch.searchsorted(ends, durations.to(ends.dtype)) + 1
    survived = torch.searchsorted((starts + ends) / 2, durations.to(ends.dtype), right=True)
    return torch.where(came, last, survived), came


def _at_last(lengths: Tensor, steps: int) -> Tensor:
    """Return where each row's last real step is, `(steps, batch)` booleans."""
    return torch.arange(1, steps + 1, device=lengths.device)[:, None] == lengths


def _log_mass(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Return log-probabilities of each step and cause, shaped as logits, and of "later", `(batch,)`."""
    time, batch, causes = logits.shape
    flat = logits.transpose(1, 2).reshape(time * causes, batch)
    scores = functional.log_softmax(torch.cat([flat, flat.new_zeros((1, batch))]), 0)
    return scores[:-1].reshape(time, causes, batch).transpose(1, 2), scores[-1]


def _watched(event: Tensor, lengths: Tensor | None, logits: Tensor) -> Tensor:
    """Return the lengths, checked against the events."""
    steps, batch = logits.shape[:2]
    if event.shape != (batch,):
        raise ShapeError(f"event has shape {tuple(event.shape)}; expected ({batch},), one for each row")
    if logits.dim() == 2 and event.dtype is not torch.bool:
        raise UsageError(f"event has type {event.dtype}; expected booleans")
    if event.is_floating_point():
        raise UsageError(f"event has type {event.dtype}; expected booleans, or whole numbers for causes")
    lengths = checked_lengths(lengths, steps, batch, logits.device)
    early = (lengths == 0) & event.bool()
    if bool(early.any()):
        raise UsageError(f"row {int(early.nonzero()[0])} has an event but no step; an event takes one step or more")
    return lengths
