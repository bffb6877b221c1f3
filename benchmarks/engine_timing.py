"""Timing several ways of computing the same thing, one after the other in rounds, and checking that it is the same."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

# a training step; it gives outputs and gradients, as tensors or as arrays of another library
Step = Callable[[], Any]

# each turn of a way lasts at least this long, so that short calls find their own data in the caches
_TURN_SECONDS = 0.01
_FEWEST_ROUNDS = 3


def timed(step: Step) -> tuple[Any, float]:
    """Return what one call gives, and how long it took."""
    began = time.perf_counter()
    result = step()
    return result, time.perf_counter() - began


def alternate(ways: Mapping[str, Callable[[], object]], budget: float) -> dict[str, float]:
    """Return the median seconds of each way, run in turns until `budget` seconds a way are spent.

    The first turn of each is a warm-up and does not count; three more count at least.
    """
    for call in ways.values():
        _turn(call)
    times: dict[str, list[float]] = {name: [] for name in ways}
    gc.collect()
    gc.disable()
    try:
        end = time.perf_counter() + budget * len(ways)
        rounds = 0
        while rounds < _FEWEST_ROUNDS or time.perf_counter() < end:
            for name, call in ways.items():
                times[name] += _turn(call)
            rounds += 1
    finally:
        gc.enable()
    return {name: statistics.median(own) for name, own in times.items()}


def _turn(call: Callable[[], object]) -> list[float]:
    times = [timed(call)[1]]
    while sum(times) < _TURN_SECONDS:
        times.append(timed(call)[1])
    return times


def difference(
    ours: Sequence[Tensor], theirs: Sequence[Tensor], kinks: float = 0.0, tolerance: float = 1e-3
) -> str | None:
    """Return where two results differ by more than float32 rounding explains, or `None` where they agree.

    Each tensor is measured in units of its own root mean square, since a gradient is a sum of many terms. `kinks` is
    the share of elements that may differ: at the kink of a ReLU the last bit decides whether a gradient passes.
    """
    if len(theirs) < len(ours):
        return f"{len(theirs)} tensors instead of {len(ours)}"
    for index, (own, their) in enumerate(zip(ours, theirs, strict=False)):
        if own.shape != their.shape:
            return f"tensor {index} has shape {tuple(own.shape)} instead of {tuple(their.shape)}"
        unit = float(their.detach().square().mean().sqrt())
        error = (own - their).abs()
        # a NaN is on neither side of a comparison, so it is counted by what is not close
        wrong = int((~(error <= tolerance * (their.abs() + unit))).sum())
        if wrong > kinks * own.numel():
            return f"tensor {index}: {wrong} of {own.numel()} elements differ, by up to {float(error.max()):.2g}"
    return None
