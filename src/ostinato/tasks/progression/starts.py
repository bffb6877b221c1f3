"""Linear models that the network begins at, and that stand beside it: of hazards, and of next values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ostinato.tasks.progression.courses import LEVELS, Courses, Floats, Pairs, elapsed, linear_parts

_RIDGES = (3.0, 10.0, 30.0, 100.0, 300.0)
_FOLDS = 4
_TAKEN = (0.25, 0.5, 0.75, 1.0)
_MOST = 20_000  # steps, or pairs of a target, that are fitted on
_CHOSEN = 5000  # steps that a penalty is chosen on
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


class Examples(NamedTuple):
    """Steps as examples of time to an event: `x (steps, numbers)`, events, watched intervals, and whose they are.

    `visits`: how many steps of the same patient there are; `steps`: their places among all.
    """

    x: Tensor
    events: Tensor
    watched: Tensor
    owners: Tensor
    visits: Tensor
    steps: Tensor


def examples_of(courses: Courses, parts: Callable[[Tensor], Tensor], rng: Any = None) -> Examples:
    """Return the steps of patients whose outcome is known, not too many of them.

    Args:
        courses: of the patients.
        parts: what of the numbers of a step is read.
        rng: by which steps are drawn if there are too many; `None`: one of its own.
    """
    from ostinato.nn.losses import discretise

    steps = np.flatnonzero(courses.events[courses.owners] >= 0)
    if len(steps) > _MOST:
        drawn = np.random.default_rng(0) if rng is None else rng
        steps = np.sort(drawn.choice(steps, _MOST, replace=False))
    owners = courses.owners[steps]
    coded = torch.from_numpy(courses.events[owners])
    watched, came = discretise(
        torch.from_numpy(courses.remaining[steps]), coded > 0, torch.from_numpy(courses.encoder.ends)
    )
    visits = np.bincount(owners, minlength=len(courses))[owners].astype(np.float64)
    return Examples(
        parts(torch.from_numpy(np.asarray(courses.numbers[steps], np.float64))), torch.where(came, coded, 0), watched,
        torch.from_numpy(owners), torch.from_numpy(visits), torch.from_numpy(steps),
    )  # fmt: skip


def chosen_ridge(examples: Examples, encoder: Any, seed: int) -> float:
    """Return the penalty of the least loss on patients left out."""
    whose = torch.unique(examples.owners)
    if len(whose) < 2 * _FOLDS:
        return _RIDGES[-1]
    rng = np.random.default_rng(seed)
    folds = torch.zeros(int(whose.max()) + 1, dtype=torch.int64)
    folds[whose] = torch.from_numpy(rng.permutation(len(whose)) % _FOLDS)
    kept = examples
    if len(examples.x) > _CHOSEN:
        rows = torch.from_numpy(np.sort(rng.choice(len(examples.x), _CHOSEN, replace=False)))
        kept = Examples(*(part[rows] for part in examples))
    fold, best, least = folds[kept.owners], _RIDGES[-1], np.inf
    # the penalty stands to the number of steps as it will
    share = len(kept.x) / len(examples.x)
    for ridge in _RIDGES:
        total = 0.0
        for number in range(_FOLDS):
            inside, outside = (Examples(*(part[rows] for part in kept)) for rows in (fold != number, fold == number))
            if not bool((inside.events > 0).any()):
                continue
            found = fitted(inside, encoder, ridge * share)
            total += float(_negative(*found, outside.x, outside.events, outside.watched))
        if total < least:
            best, least = ridge, total
    return best


def fitted(examples: Examples, encoder: Any, ridge: float) -> tuple[Tensor, Tensor]:
    """Return `base (intervals, causes)` and weights `(causes, numbers)` of the greatest penalised likelihood."""
    return _newton(examples.x, examples.events, examples.watched, encoder, ridge)


def fit_hazards(courses: Courses, seed: int) -> tuple[Floats, Floats]:
    """Return `base (intervals, causes)` and weights `(causes, numbers)` of proportional hazards, by ridge."""
    encoder = courses.encoder
    size = len(encoder.variables)
    examples = examples_of(courses, lambda numbers: linear_parts(numbers, size), np.random.default_rng(seed))
    base, weights = fitted(examples, encoder, chosen_ridge(examples, encoder, seed))
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
    whole, aims = x.T @ x, x.T @ y
    outside = [(x[fold == number].T @ x[fold == number], x[fold == number].T @ y[fold == number])
               for number in range(_FOLDS)]  # fmt: skip
    best: tuple[float, Floats, float, float] = (float(np.abs(y).sum()), y, _RIDGES[-1], 0.0)
    for ridge in _RIDGES[1:] if len(y) >= 2 * _FOLDS else ():
        said = np.zeros(len(y))
        for number in range(_FOLDS):
            square, aim = outside[number]
            left = np.linalg.solve(whole - square + ridge * held, aims - aim)
            said[fold == number] = x[fold == number] @ left
        for taken in _TAKEN:
            if (error := float(np.abs(y - taken * said).sum())) < best[0]:
                best = (error, np.asarray(y - taken * said, np.float64), ridge, taken)
    found = np.linalg.solve(whole + best[2] * held, aims)
    return np.asarray(best[3] * found, np.float64), best[1]


def _inverse(value: float) -> float:
    """Return of what a value is the softplus."""
    value = max(value, 0.02)
    return float(value + np.log(-np.expm1(-value)))
