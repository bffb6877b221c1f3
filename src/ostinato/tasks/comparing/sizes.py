"""How wide a network must be to have a given number of weights, whatever its cell."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from ostinato.errors import UsageError
from ostinato.tasks.estimator import Estimator
from ostinato.training import Listener, listening

TOLERANCE = 0.02
"""How far from the wanted number of weights a round width may be."""
_ROUND = (16, 8, 4, 2, 1)
_TRIES = 12


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


def count_weights(estimator: Estimator, data: Mapping[str, Any]) -> int:
    """Return how many weights a fit would train: it reads the data, builds the network and ends there.

    Args:
        estimator: what would be fitted.
        data: the arguments of its `fit`.
    """
    own = estimator.unfitted(**({"progress": False} if "progress" in estimator.get_params() else {}))
    try:
        with listening(_Counter()):
            own.fit(**data)  # type: ignore[attr-defined]
    except _Counted as counted:
        return counted.weights
    raise UsageError(f"a {type(own).__name__} trains without ostinato.training.train: its weights cannot be counted")


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
    known: dict[int, int] = {}
    nearest, power = _approach(count, wanted, start, known)
    for step in _ROUND:
        for width in {max(step, nearest // step * step), (nearest // step + 1) * step}:
            # counting reads the data, so that it is done where it may help only
            about = known[nearest] * (width / nearest) ** power
            if width not in known and abs(about / wanted - 1) < 2 * TOLERANCE:
                _try(count, width, known)
        fitting = [width for width in known if width % step == 0 and abs(known[width] / wanted - 1) <= TOLERANCE]
        if fitting:
            break
    best = min(fitting or known, key=lambda width: abs(known[width] - wanted))
    return Size(best, known[best])


def _approach(count: Callable[[int], int], wanted: int, start: int, known: dict[int, int]) -> tuple[int, float]:
    """Return the width nearest to what is wanted, and the power of the width by which weights grow there."""
    width, power = _possible(count, max(1, start), known), 1.5
    for _ in range(_TRIES):
        following = max(1, round(width * (wanted / known[width]) ** (1 / power)))
        if following in known:
            break
        before, width = width, _possible(count, following, known)
        if width != before and known[width] != known[before]:
            power = math.log(known[width] / known[before]) / math.log(width / before)
            power = min(3.0, max(0.5, power))
    return min(known, key=lambda own: abs(known[own] - wanted)), power


def _possible(count: Callable[[int], int], width: int, known: dict[int, int]) -> int:
    """Return the first width from one upwards, or just below it, that can be; it is counted."""
    for own in (width, width + 1, width - 1, width + 2, -(-width // 4) * 4, -(-width // 16) * 16):
        if own >= 1 and (own in known or _try(count, own, known)):
            return own
    count(width)  # says what is wrong
    raise AssertionError("a width that could not be counted now can")


def _try(count: Callable[[int], int], width: int, known: dict[int, int]) -> bool:
    try:
        known[width] = count(width)
    except UsageError:
        return False
    return True
