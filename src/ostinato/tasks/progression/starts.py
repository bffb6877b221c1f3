"""Linear models that the network begins at, and that stand beside it: of hazards, and of next values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ostinato.tasks.progression.courses import LEVELS, Courses, Floats, Pairs, elapsed, linear_parts

_RIDGES = (3.0, 10.0, 30.0, 100.0, 300.0)
_FOLDS = 4
_TAKEN = (0.25, 0.5, 0.75, 1.0)
_MOST = 20_000  # steps, or pairs of a target, that are fitted on
_WIDEST = 600  # numbers that next values are linear in; of more, each only in those of its own variable


@dataclass(frozen=True)
class Start:
    """A linear model of hazards and of next values.

    Args:
        base: `(intervals, causes)`.
        hazards: `(causes, numbers)`.
        courses: `(2 * targets, numbers)`, level and slope of each target.
        shifts: `(2 * targets,)`, likewise.
        spreads: `(4 * targets,)`, of their intervals.
    """

    base: Floats
    hazards: Floats
    courses: Floats
    shifts: Floats
    spreads: Floats


def fit_start(courses: Courses, seed: int) -> Start:
    """Fit the linear model on the training part, its penalty chosen on patients left out."""
    base, hazards = fit_hazards(courses, seed)
    weights, shifts, spreads = fit_courses(courses)
    return Start(base, hazards, weights, shifts, spreads)


def fit_hazards(courses: Courses, seed: int) -> tuple[Floats, Floats]:
    """Return `base (intervals, causes)` and weights `(causes, numbers)` of proportional hazards, by ridge."""
    from ostinato.nn.losses import discretise

    rng = np.random.default_rng(seed)
    encoder = courses.encoder
    steps = np.flatnonzero(courses.events[courses.owners] >= 0)
    if len(steps) > _MOST:
        steps = np.sort(rng.choice(steps, _MOST, replace=False))
    owners = courses.owners[steps]
    coded = torch.from_numpy(courses.events[owners])
    watched, came = discretise(
        torch.from_numpy(courses.remaining[steps]), coded > 0, torch.from_numpy(encoder.ends)
    )  # fmt: skip
    events = torch.where(came, coded, 0)
    x = torch.from_numpy(linear_parts(courses.numbers[steps], len(encoder.variables)).astype(np.float64))
    fold = torch.from_numpy(rng.permutation(len(courses))[owners] % _FOLDS)
    best, least = _RIDGES[-1], np.inf
    if len(courses) >= 2 * _FOLDS:
        for ridge in _RIDGES:
            total = 0.0
            for number in range(_FOLDS):
                inside, outside = fold != number, fold == number
                if not bool((events[inside] > 0).any()):
                    continue
                found = _newton(x[inside], events[inside], watched[inside], encoder, ridge)
                total += float(_negative(*found, x[outside], events[outside], watched[outside]).detach())
            if total < least:
                best, least = ridge, total
    base, weights = _newton(x, events, watched, encoder, best)
    return base.numpy(), weights.numpy()


def _negative(base: Tensor, weights: Tensor, x: Tensor, events: Tensor, watched: Tensor) -> Tensor:
    from ostinato.tasks.progression.network import event_loss

    logits = base[:, None] + (x @ weights.T)[None]
    return event_loss(logits, events, watched).sum()


def _newton(x: Tensor, events: Tensor, watched: Tensor, encoder: Any, ridge: float) -> tuple[Tensor, Tensor]:
    """Return base and weights that make a penalised likelihood greatest."""
    at_risk = torch.stack([(watched > place).sum() for place in range(len(encoder.ends))]).double()
    counts = torch.zeros(len(encoder.ends), len(encoder.causes), dtype=torch.float64)
    for cause in range(len(encoder.causes)):
        came = watched[events == cause + 1] - 1
        counts[:, cause] = torch.bincount(came, minlength=len(encoder.ends)).double()
    share = (counts + 0.1) / (at_risk + 1)[:, None]
    with torch.enable_grad():
        start = (share / (1 - share.sum(1, keepdim=True)).clamp(min=0.05)).log()
        base = start.clone().requires_grad_(True)
        weights = torch.zeros(len(encoder.causes), x.shape[1], dtype=torch.float64, requires_grad=True)
        search = torch.optim.LBFGS([base, weights], max_iter=60, history_size=20, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            search.zero_grad()
            held = ridge * weights.square().sum() + (base - start).square().sum()
            loss = _negative(base, weights, x, events, watched) + held / 2
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        search.step(closure)  # type: ignore[no-untyped-call]
    return base.detach(), weights.detach()


def fit_courses(courses: Courses, pairs: Pairs | None = None) -> tuple[Floats, Floats, Floats]:
    """Return weights `(2 * targets, numbers)`, shifts `(2 * targets,)` and spreads `(4 * targets,)` of next values."""
    encoder, found = courses.encoder, pairs or courses.pairs
    size, targets = len(encoder.variables), len(encoder.targets)
    numbers = linear_parts(courses.numbers, size)
    width = numbers.shape[1]
    weights, shifts = np.zeros((2 * targets, width)), np.zeros(2 * targets)
    spreads = np.zeros(4 * targets)
    for target, variable in enumerate(encoder.targets):
        mine = np.flatnonzero(found.target == target)
        if len(mine) > _MOST:
            mine = mine[:: -(-len(mine) // _MOST)]
        if 2 * width > _WIDEST:
            columns = np.array([variable, size + variable, 2 * size + variable, *range(width - 3, width)])
        else:
            columns = np.arange(width)
        by = elapsed(found.gap[mine], encoder.scale)[:, None]
        x = numbers[np.ix_(found.step[mine], columns)].astype(np.float64)
        change = found.value[mine] - courses.newest[found.step[mine], target]
        both = np.concatenate([x, x * by, by, np.ones_like(by)], 1)
        fitted, off = _ridge(both, change, courses.owners[found.step[mine]])
        level, slope = fitted[: len(columns)], fitted[len(columns) : 2 * len(columns)]
        weights[target, columns], weights[targets + target, columns] = level, slope
        shifts[target], shifts[targets + target] = fitted[-1], fitted[-2]
        low, high = (0.5, 0.5) if len(off) < 3 else np.quantile(off, (LEVELS[0], LEVELS[-1])).tolist()
        spreads[target], spreads[2 * targets + target] = _inverse(-low), _inverse(high)
    return weights, shifts, spreads


def _ridge(x: Floats, y: Floats, owners: Any) -> tuple[Floats, Floats]:
    """Return weights of a ridge regression, and errors on patients left out, `(rows,)`; the last column is 1.

    The penalty, and how much of what it says is taken, are those of least absolute error on patients left out: of
    values that mostly stay, such as grades, nothing is taken, and the last one is carried forward.
    """
    held = np.eye(x.shape[1])
    held[-1, -1] = 1e-6
    fold = owners % _FOLDS
    best: tuple[float, Floats, float, float] = (float(np.abs(y).sum()), y, _RIDGES[-1], 0.0)
    for ridge in _RIDGES[1:] if len(y) >= 2 * _FOLDS else ():
        said = np.zeros(len(y))
        for number in range(_FOLDS):
            inside = fold != number
            said[~inside] = x[~inside] @ np.linalg.solve(
                x[inside].T @ x[inside] + ridge * held, x[inside].T @ y[inside]
            )
        for taken in _TAKEN:
            if (error := float(np.abs(y - taken * said).sum())) < best[0]:
                best = (error, np.asarray(y - taken * said, np.float64), ridge, taken)
    found = np.linalg.solve(x.T @ x + best[2] * held, x.T @ y)
    return np.asarray(best[3] * found, np.float64), best[1]


def _inverse(value: float) -> float:
    """Return of what a value is the softplus."""
    value = max(value, 0.02)
    return float(value + np.log(-np.expm1(-value)))
