"""How wide a network must be to have a given number of weights, whatever its cell."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from ostinato.errors import UsageError
from ostinato.tasks.base.estimator import Estimator
from ostinato.training import Listener, listening

TOLERANCE = 0.02
"""How far from the wanted number of weights a round width may be."""
_ROUND = (16, 8, 4, 2, 1)
_TRIES = 12
_STEPS = 30
_WIDEST = 1 << 15


@dataclass(frozen=True)
class Size:
    """A width and the weights that it gives."""

    hidden_size: int
    parameters: int


class _Counted(Exception):
    """Raised when the network is built, so that it is not trained."""

    def __init__(self, weights: int) -> None:
        super().__init__(weights)
        self.weights = weights


class _Counter(Listener):
    def begin(self, module: nn.Module) -> None:
        raise _Counted(sum(weight.numel() for weight in module.parameters() if weight.requires_grad))


def count_weights(estimator: Estimator[Any], data: Mapping[str, Any]) -> int:
    """Return how many weights a fit would train: it reads the data, builds the network and ends there.

    Args:
        estimator: what would be fitted.
        data: the arguments of its `fit`.
    """
    unfitted = estimator.unfitted(progress=False)
    try:
        with listening(_Counter()):
            unfitted.fit(**data)
    except _Counted as counted:
        return counted.weights
    raise UsageError(
        f"a {type(unfitted).__name__} trains without ostinato.training.train: its weights cannot be counted"
    )


def match_size(count: Callable[[int], int], wanted: int, start: int) -> Size:
    """Return the width whose weights come nearest to a number; of those that are near enough, the roundest.

    Round widths are faster (whole vectors) and suit attention heads.

    Args:
        count: the weights of a width; raises `UsageError` for a width that cannot be.
        wanted: number of weights.
        start: a width to begin with.

    >>> match_size(lambda width: 4 * width * (width + 30), 50_000, 64)
    Size(hidden_size=98, parameters=50176)
    """
    counts = _Counts(count)
    power = _approach(counts, wanted, start)
    for step in _ROUND:
        nearest = counts.nearest(wanted)
        for width in {max(step, nearest // step * step), (nearest // step + 1) * step}:
            # counting reads the data, so that it is done where it may help only
            if abs(counts.known[nearest] / wanted * (width / nearest) ** power - 1) < 2 * TOLERANCE:
                counts.of(width)
        fitting = [value for value, n in counts.known.items() if value % step == 0 and abs(n / wanted - 1) <= TOLERANCE]
        if fitting:
            best = min(fitting, key=lambda each: abs(counts.known[each] - wanted))
            return Size(best, counts.known[best])
    _close_in(counts, wanted)
    best = counts.nearest(wanted)
    return Size(best, counts.known[best])


class _Counts:
    """The weights of widths, each counted once; `None` for a width that cannot be."""

    def __init__(self, count: Callable[[int], int]) -> None:
        self.count, self.known, self.impossible = count, dict[int, int](), dict[int, UsageError]()

    def of(self, width: int) -> int | None:
        """Return the weights of a width."""
        if width not in self.known and width not in self.impossible:
            try:
                self.known[width] = self.count(width)
            except UsageError as error:
                self.impossible[width] = error
        return self.known.get(width)

    def nearest(self, wanted: int) -> int:
        """Return the width counted so far whose weights come nearest."""
        return min(self.known, key=lambda width: abs(self.known[width] - wanted))

    def possible(self, width: int) -> int:
        """Return the width nearest to one that can be; the first that is tried."""
        for each in (width, width + 1, width - 1, width + 2, -(-width // 4) * 4, -(-width // 16) * 16):
            if each >= 1 and self.of(each) is not None:
                return each
        raise self.impossible[width]


def _approach(counts: _Counts, wanted: int, start: int) -> float:
    """Count widths nearer and nearer to what is wanted; return the power of the width by which weights grow there."""
    width, power = counts.possible(max(1, start)), 1.5
    for _ in range(_TRIES):
        before = width
        width = counts.possible(max(1, round(before * (wanted / counts.known[before]) ** (1 / power))))
        if width == before:
            break
        growth = math.log(max(1, counts.known[width]) / counts.known[before]) / math.log(width / before)
        power = min(3.0, max(0.5, growth))
        if width in list(counts.known)[:-1]:
            break  # it was counted before: the search goes to and fro between neighbours
    return power


def _close_in(counts: _Counts, wanted: int) -> None:
    """Halve the gap between a width with too few weights and one with too many, until they are neighbours."""
    low, high = _between(counts, wanted)
    for _ in range(_STEPS):
        inside = [width for width in _from_the_middle(low, high) if width not in counts.impossible]
        if not inside:
            break
        count = counts.of(inside[0])
        if count is not None:
            low, high = (inside[0], high) if count < wanted else (low, inside[0])


def _from_the_middle(low: int, high: int) -> list[int]:
    """Return some widths between two others, the middle one first."""
    middle = (low + high) // 2
    near = [middle, middle + 1, middle - 1, middle + 2, middle - 2]
    return [width for width in near if low < width < high]


def _between(counts: _Counts, wanted: int) -> tuple[int, int]:
    """Return a width with too few weights, or 0, and one with as many as wanted or more, or none so wide."""
    low = max((width for width, value in counts.known.items() if value < wanted), default=0)
    while not (above := [width for width, value in counts.known.items() if value >= wanted]) and low < _WIDEST:
        low = counts.possible(2 * low)
    low = max((width for width, value in counts.known.items() if value < wanted), default=0)
    return low, min(above, default=low)
