"""Time until an event, in discrete steps: likelihood with censoring, survival curves, and what to judge them by.

Source: M. Gensheimer and B. Narasimhan, "A scalable discrete-time survival model for neural networks", PeerJ 7, 2019.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ostinato.errors import ShapeError, UsageError


def hazard_loss(scores: Tensor, times: Tensor, events: Tensor) -> Tensor:
    """Return the mean negative log-likelihood of what was seen.

    Args:
        scores: `(steps, batch)`: the hazard of each step, before the sigmoid: how likely the event comes there if it
            has not come yet.
        times: `(batch,)` whole numbers from 0: the step of the event, or the last step that was seen without it.
        events: `(batch,)` boolean: whether the event came; else the row is censored.

    Raises:
        ShapeError: the shapes do not fit.
        UsageError: a time is out of range.

    >>> import torch
    >>> round(hazard_loss(torch.zeros(5, 1), torch.tensor([2]), torch.tensor([True])).item(), 4)  # 3 ln 2
    2.0794
    """
    _check(scores, times, events)
    steps = torch.arange(scores.shape[0], device=scores.device)[:, None]
    survived = torch.where(steps < times, functional.logsigmoid(-scores), torch.zeros_like(scores)).sum(0)
    at = scores.gather(0, times[None])[0]
    last = torch.where(events, functional.logsigmoid(at), functional.logsigmoid(-at))
    return -(survived + last).mean()


def survival_curve(scores: Tensor) -> Tensor:
    """Return the probability that the event has not come by the end of each step, `(steps, batch)`."""
    return functional.logsigmoid(-scores).cumsum(0).exp()


def concordance(risks: Tensor, times: Tensor, events: Tensor) -> float:
    """Return the share of comparable pairs in which the row of the earlier event was given the higher risk.

    A pair is comparable if the earlier of its two times is of an event; equal risks count one half.

    Args:
        risks: `(batch,)`; higher means sooner.
        times: `(batch,)`.
        events: `(batch,)` boolean.

    Raises:
        UsageError: no two rows can be compared.

    Source: F. Harrell et al., "Evaluating the yield of medical tests", JAMA 247, 1982.

    >>> import torch
    >>> concordance(torch.tensor([3.0, 2.0, 1.0]), torch.tensor([1, 2, 3]), torch.tensor([True, True, False]))
    1.0
    """
    earlier = (times[:, None] < times[None]) & events[:, None]
    pairs = int(earlier.sum())
    if not pairs:
        raise UsageError("no two rows can be compared: there is no event before the time of another row")
    higher = (risks[:, None] > risks[None]).double() + 0.5 * (risks[:, None] == risks[None]).double()
    return float((higher * earlier).sum() / pairs)


def brier_score(curves: Tensor, times: Tensor, events: Tensor) -> Tensor:
    """Return the mean squared error of survival curves at the end of each step, `(steps,)`.

    The mean of these is the integrated score. Rows censored before a step are made up for by the others: each counts by
    the inverse of the probability of not being censored, by Kaplan and Meier.

    Args:
        curves: survival probabilities `(steps, batch)`.
        times: `(batch,)` whole numbers, see `hazard_loss`.
        events: `(batch,)` boolean.

    Source: E. Graf et al., "Assessment and comparison of prognostic classification schemes for survival data",
    Statistics in Medicine 18, 1999.
    """
    _check(curves, times, events)
    steps = torch.arange(curves.shape[0])
    # the probability of being uncensored through each step; before the first one it is one
    at_risk = (times[None] >= steps[:, None]).sum(1).double().clamp_min(1)
    lost = ((times[None] == steps[:, None]) & ~events[None]).sum(1).double()
    free = torch.cat([torch.ones(1).double(), torch.cumprod(1 - lost / at_risk, 0)])
    scores = []
    for step in steps.tolist():
        gone = (times <= step) & events
        here = times > step
        curve = curves[step].double()
        by_event = torch.where(gone, curve.square() / free[times].clamp_min(1e-12), torch.zeros_like(curve))
        alive = torch.where(here, (1 - curve).square() / free[step + 1].clamp_min(1e-12), torch.zeros_like(curve))
        scores.append((by_event + alive).mean())
    return torch.stack(scores)


def _check(values: Tensor, times: Tensor, events: Tensor) -> None:
    if values.dim() != 2 or times.shape != values.shape[1:] or events.shape != times.shape:
        raise ShapeError(
            f"values have shape {tuple(values.shape)}, times {tuple(times.shape)} and events {tuple(events.shape)}; "
            "expected (steps, batch), (batch,) and (batch,)"
        )
    if times.numel() and (int(times.min()) < 0 or int(times.max()) >= values.shape[0]):
        raise UsageError(
            f"times run from {int(times.min())} to {int(times.max())}; expected 0 to {values.shape[0] - 1}, as there "
            f"are {values.shape[0]} steps"
        )
