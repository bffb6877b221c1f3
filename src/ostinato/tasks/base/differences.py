"""Two models on the same units: how far apart they are, between which limits, and whether chance explains it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from ostinato.tasks.base.units import Floats, Mean, Parts, Sums

Standing = Literal["better", "level", "worse", "unclear"]
LEVEL = 0.05
"""How often a difference is called one where there is none."""
_EXACT = 12  # units of which all subsets are counted
_SUBSETS = 4999
_MANY = 1000  # units from which on means of subsets are as good as normal
_DRAWS = 1000
_FEWEST_DRAWN = 20  # units of a bootstrap
_CELLS = 4_000_000  # of a table of draws


@dataclass(frozen=True)
class Difference:
    """How a model stands to another by one measure.

    Args:
        standing: of the model: better or worse where chance does not explain the difference; else level, if the
            interval holds no difference that matters, or unclear, if there are too few units to say.
        value: the model's measure less the other's.
        low, high: the interval that holds the true difference 95 times of 100.
        p: how often so great a difference comes by chance; corrected where a model is compared with several.
        units: how many it rests on; of: what one is, in the plural.
    """

    standing: Standing
    value: float
    low: float
    high: float
    p: float
    units: int
    of: str


@dataclass(frozen=True)
class Found:
    """What a test gives before it is known how many are made: see `Difference`."""

    value: float
    low: float
    high: float
    p: float
    units: int
    least: float  # the smallest p that so many units can give


def compare(ours: Parts, theirs: Parts) -> Found:
    """Compare the parts of two models' measure; NaN if no unit has both.

    A mean is tested by flipping the signs of the units' differences, all of them or at random, exact for any number of
    units whose differences are as likely to be one way as the other; of answers that are right or wrong this is
    McNemar's exact test. Its interval is that of the test, by means of random subsets (Hartigan), or that of Bonett and
    Price for answers. A measure of sums is tested by a paired bootstrap over units, as Koehn does for BLEU, with its
    standard error and Student's t.

    Sources: R. Fisher, "The design of experiments", 1935; Q. McNemar, Psychometrika 12, 1947; J. Hartigan, "Using
    subsample values as typical values", JASA 64, 1969; D. Bonett and R. Price, "Adjusted Wald confidence interval for a
    difference of binomial proportions based on paired data", 2012; P. Koehn, "Statistical significance tests for
    machine translation evaluation", EMNLP 2004.
    """
    if isinstance(ours, Mean) and isinstance(theirs, Mean):
        return _compare_means(ours, theirs)
    assert isinstance(ours, Sums)
    assert isinstance(theirs, Sums)
    return _compare_sums(ours, theirs)


def _compare_means(ours: Mean, theirs: Mean) -> Found:
    both = (ours.weights > 0) & (theirs.weights > 0)
    weights = ours.weights[both]
    differences = ours.values[both] - theirs.values[both]
    count = len(differences)
    if count < 2:
        value = float(differences[0]) if count else math.nan
        return Found(value, -math.inf, math.inf, 1.0, count, 1.0)
    value = float((weights * differences).sum() / weights.sum())
    alike = bool((weights == weights[0]).all())
    if alike and bool(np.isin(differences, (-1.0, 0.0, 1.0)).all()):
        return _compare_answers(differences, value)
    if count > _MANY:
        error = math.sqrt(float((weights**2 * (differences - value) ** 2).sum())) / float(weights.sum())
        return _normal(value, error, count)
    least = 2.0 ** (1 - count)
    chosen = _subsets(count)
    means = np.sort((chosen @ (weights * differences)) / (chosen @ weights))
    tries = len(means) + 1  # with the units as they are
    below, above = int((means <= 0).sum()), int((means >= 0).sum())
    p = min(1.0, 2 * (1 + min(below, above)) / tries) if differences.any() else 1.0
    place = int(LEVEL / 2 * tries)
    if not place:  # so few units hold the truth between any limits
        return Found(value, -math.inf, math.inf, p, count, least)
    return Found(value, float(means[place - 1]), float(means[-place]), p, count, least)


def _compare_answers(differences: Floats, value: float) -> Found:
    from scipy.stats import binomtest, norm

    count = len(differences)
    gained, lost = int((differences > 0).sum()), int((differences < 0).sum())
    p = float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0
    up, down = (gained + 1) / (count + 2), (lost + 1) / (count + 2)
    half = float(norm.ppf(1 - LEVEL / 2)) * math.sqrt((up + down - (up - down) ** 2) / (count + 2))
    low, high = max(-1.0, up - down - half), min(1.0, up - down + half)
    if p <= LEVEL:  # the exact test decides; the interval does not say otherwise
        low, high = (max(low, 0.0), high) if value > 0 else (low, min(high, 0.0))
    return Found(value, min(low, value), max(high, value), p, count, 2.0 ** (1 - count))


def _compare_sums(ours: Sums, theirs: Sums) -> Found:
    count = len(ours.sums)
    value = ours.total - theirs.total
    if count < 2 or not math.isfinite(value):
        return Found(value, -math.inf, math.inf, 1.0, count, 1.0)
    drawn = []
    for times in _draws(count):
        drawn.append(ours.of(times @ ours.sums) - theirs.of(times @ theirs.sums))
    spread = np.concatenate(drawn)
    spread = spread[np.isfinite(spread)]
    # a draw with replacement has the variance of n units, not of n - 1
    error = float(spread.std(ddof=1)) * math.sqrt(count / (count - 1)) if len(spread) > 1 else math.nan
    found = _normal(value, error, count)
    return found if count >= _FEWEST_DRAWN else Found(value, found.low, found.high, 1.0, count, 1.0)


def _normal(value: float, error: float, count: int) -> Found:
    from scipy.stats import t as student  # it takes half a second, which a prediction alone has no use for

    if not math.isfinite(error):
        return Found(value, -math.inf, math.inf, 1.0, count, 1.0)
    half = float(student.ppf(1 - LEVEL / 2, count - 1)) * error
    p = 1.0 if value == 0 else 0.0 if error == 0 else float(2 * student.sf(abs(value) / error, count - 1))
    return Found(value, value - half, value + half, p, count, 0.0)


@lru_cache(maxsize=2)
def _subsets(count: int) -> Floats:
    """Return which units are in each subset that is not empty, `(subsets, count)`: all of them, or some at random."""
    if count <= _EXACT:
        numbers = np.arange(1, 2**count)
        return (numbers[:, None] >> np.arange(count) & 1).astype(np.float64)
    chosen = np.random.default_rng(0).random((_SUBSETS, count), np.float32) < 0.5
    return chosen[chosen.any(1)].astype(np.float64)


def _draws(count: int) -> Iterator[Floats]:
    """Yield how often each unit is drawn, `(draws, count)`, in pieces; the same ones in each call."""
    rng = np.random.default_rng(0)
    left = int(np.clip(5 * _CELLS // count, 200, _DRAWS))
    while left > 0:
        rows = min(left, max(1, _CELLS // count))
        places = rng.integers(0, count, (rows, count)) + count * np.arange(rows)[:, None]
        yield np.bincount(places.ravel(), minlength=rows * count).reshape(rows, count).astype(np.float64)
        left -= rows


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p of several comparisons corrected for how many they are, in their order.

    Source: S. Holm, "A simple sequentially rejective multiple test procedure", 1979.

    >>> [round(p, 4) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    found, highest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        found[place] = highest
    return found


def standings(found: Mapping[str, Found], higher: bool, margins: Mapping[str, float], of: str) -> dict[str, Difference]:
    """Return how a model stands to several others by one measure, corrected for their number.

    Args:
        found: by the name of each other.
        higher: whether more of the measure is better.
        margins: for each, a difference that matters: one that lies within it, limits and all, is level.
        of: what a unit is, in the plural.
    """
    p_values = dict(zip(found, holm([each.p for each in found.values()]), strict=True))
    said = {}
    for name, value in found.items():
        standing = _standing(value, p_values[name], higher, margins[name], len(found))
        said[name] = Difference(standing, value.value, value.low, value.high, p_values[name], value.units, of)
    return said


def _standing(found: Found, p: float, higher: bool, margin: float, several: int) -> Standing:
    if p <= LEVEL and found.value != 0:
        return "better" if (found.value > 0) == higher else "worse"
    enough = found.least * several <= LEVEL  # else nothing that could have come out would have told
    return "level" if enough and -margin <= found.low and found.high <= margin else "unclear"


def fewest(several: int = 1) -> int:
    """Return how many units a comparison with several others needs to be able to tell.

    >>> fewest(), fewest(4)
    (6, 8)
    """
    return 1 + math.ceil(math.log2(several / LEVEL))


def plain_differences(against: Mapping[str, Mapping[str, Difference]]) -> dict[str, dict[str, Any]]:
    """Return how a model stands to baselines as plain data; a limit that is not finite is none."""
    return {name: {measure: _finite(asdict(value)) for measure, value in row.items()} for name, row in against.items()}


def differences_from(plain: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Difference]]:
    """Return what `plain_differences` was called on."""
    return {name: {measure: _difference(value) for measure, value in row.items()} for name, row in plain.items()}


def _difference(plain: Mapping[str, Any]) -> Difference:
    value, low, high = (plain[name] for name in ("value", "low", "high"))
    return Difference(
        plain["standing"],
        math.nan if value is None else value,
        -math.inf if low is None else low,
        math.inf if high is None else high,
        plain["p"], plain["units"], plain["of"],
    )  # fmt: skip


def _finite(plain: dict[str, Any]) -> dict[str, Any]:
    return {key: None if isinstance(one, float) and not math.isfinite(one) else one for key, one in plain.items()}
