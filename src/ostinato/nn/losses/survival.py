"""Metrics of forecasts of a time to an event, under censoring: concordance and the Brier score.

Durations are in any unit; `event` says whether a duration ends with the event, or only with the watching.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ostinato.errors import UsageError
from ostinato.nn.losses.masking import check_same, check_steps

_BLOCK = 1 << 22  # pairs compared at once


def concordance_index(risk: Tensor, durations: Tensor, event: Tensor) -> float:
    """Return the share of comparable pairs in which the higher risk has the earlier event; ties in risk count half.

    A pair is comparable if one event is known to have come before the other could: the shorter duration ends with its
    event, or both are the same, one with its event and one censored.

    Args:
        risk: `(batch,)`, larger for an earlier event, such as minus the expected duration.
        durations: `(batch,)`.
        event: `(batch,)` booleans.

    Raises:
        ShapeError: shapes do not fit each other.
        UsageError: no pair is comparable.

    Source: F. Harrell et al., "Evaluating the yield of medical tests", 1982.

    >>> import torch
    >>> event = torch.tensor([True, False, True])
    >>> concordance_index(torch.tensor([3.0, 1.0, 2.0]), torch.tensor([1.0, 2.0, 3.0]), event)
    1.0
    """
    _check_rows(durations, event)
    check_same(risk, durations.shape, "risk", "as durations")
    known = event.bool()
    comparable, concordant = 0, 0.0
    # only rows with an event can be the earlier of a pair
    for part in known.nonzero()[:, 0].split(max(1, _BLOCK // max(1, len(durations)))):  # type: ignore[no-untyped-call]
        later = durations[part, None] < durations
        later |= (durations[part, None] == durations) & ~known
        comparable += int(later.sum())
        concordant += float((later & (risk[part, None] > risk)).sum())
        concordant += 0.5 * float((later & (risk[part, None] == risk)).sum())
    if not comparable:
        raise UsageError("no pair of rows can be compared: no event comes before another row's end")
    return concordant / comparable


def kaplan_meier(durations: Tensor, event: Tensor) -> tuple[Tensor, Tensor]:
    """Return the times of the events, rising, and the probability to last beyond each, both `(times,)`, in float64.

    Args:
        durations: `(batch,)`.
        event: `(batch,)` booleans.

    Raises:
        ShapeError: shapes do not fit each other.

    Source: E. Kaplan and P. Meier, "Nonparametric estimation from incomplete observations", 1958.

    >>> import torch
    >>> kaplan_meier(torch.tensor([1.0, 2.0, 2.0, 3.0]), torch.tensor([True, True, False, False]))[1].tolist()
    [0.75, 0.5]
    """
    _check_rows(durations, event)
    times, came = torch.unique(durations[event.bool()].double(), return_counts=True)
    at_risk = len(durations) - torch.searchsorted(durations.double().sort().values, times)
    return times, (1.0 - came / at_risk.double()).cumprod(0)


def brier_scores(survival: Tensor, times: Tensor, durations: Tensor, event: Tensor) -> Tensor:
    """Return the mean squared error of the probability to have no event by each time, `(times,)`, in float64.

    Rows that are censored before a time are not counted there, and the others stand for them: each is weighted by one
    over that not to have been censored, from the durations themselves (Kaplan-Meier of the censoring; an event
    comes before a censoring at the same time).

    Args:
        survival: `(times, batch)`, the forecasts, from 0 to 1.
        times: `(times,)`, rising.
        durations: `(batch,)`.
        event: `(batch,)` booleans.

    Raises:
        ShapeError: shapes do not fit each other.
        UsageError: the times do not rise, or a time is not before the longest duration: nobody was watched there.

    Source: E. Graf et al., "Assessment and comparison of prognostic classification schemes for survival data", 1999.

    >>> import torch
    >>> durations, event = torch.tensor([1.0, 3.0]), torch.tensor([True, True])
    >>> brier_scores(torch.tensor([[0.5, 0.5]]), torch.tensor([2.0]), durations, event).tolist()
    [0.25]
    """
    _check_rows(durations, event)
    check_steps(times, 1, "(times,)", "times")
    check_same(survival, (len(times), len(durations)), "survival", "(times, batch)")
    if bool((times.diff() <= 0).any()):
        raise UsageError(f"times are {times.tolist()}; expected them to rise")
    if len(times) and not bool(times[-1] < durations.max()):
        raise UsageError(
            f"the last time is {float(times[-1])}; expected all before the longest duration, {float(durations.max())}"
        )
    durations, times, forecast = durations.double(), times.double(), survival.double()
    watched_until, watched_beyond = _watching(durations, event.bool(), times)
    gone = (durations <= times[:, None]) & event.bool()
    there = durations > times[:, None]
    errors = gone * forecast.square() / watched_until + there * (1.0 - forecast).square() / watched_beyond[:, None]
    return errors.mean(1)


def integrated_brier_score(survival: Tensor, times: Tensor, durations: Tensor, event: Tensor) -> float:
    """Return the mean of `brier_scores` from the first to the last time, by the trapezoidal rule.

    Args:
        survival: `(times, batch)`, the forecasts, from 0 to 1.
        times: `(times,)`, rising, two or more.
        durations: `(batch,)`.
        event: `(batch,)` booleans.

    Raises:
        ShapeError: shapes do not fit each other.
        UsageError: there are fewer than two times, or as in `brier_scores`.

    Source: Graf et al., 1999.

    >>> import torch
    >>> durations, event = torch.tensor([1.0, 3.0]), torch.tensor([True, True])
    >>> integrated_brier_score(torch.full((2, 2), 0.5), torch.tensor([1.0, 2.0]), durations, event)
    0.25
    """
    scores = brier_scores(survival, times, durations, event)
    if len(times) < 2:
        raise UsageError(f"there are {len(times)} times; expected two or more to integrate over")
    area: Tensor = torch.trapezoid(scores, times.double())
    return float(area) / float(times[-1] - times[0])


def _watching(durations: Tensor, event: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
    """Return the probability not to be censored before each row's end, `(batch,)`, and by each time, `(times,)`."""
    at, censored = torch.unique(durations[~event], return_counts=True)
    ordered, ordered_events = durations.sort().values, durations[event].sort().values
    # who has the event at a time is no longer there to be censored at it; no probability asked for below is 0, since
    # whoever is there later was at risk
    at_risk = (len(durations) - torch.searchsorted(ordered, at)) - (
        torch.searchsorted(ordered_events, at, right=True) - torch.searchsorted(ordered_events, at)
    )
    probability = torch.cat([at.new_ones(1), (1.0 - censored / at_risk.double()).cumprod(0)])
    return probability[torch.searchsorted(at, durations)], probability[torch.searchsorted(at, times, right=True)]


def _check_rows(durations: Tensor, event: Tensor) -> None:
    check_steps(durations, 1, "(batch,)", "durations")
    check_same(event, durations.shape, "event", "as durations")
