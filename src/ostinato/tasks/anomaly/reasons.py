"""Why a step is an alarm, in words: which channel, what was expected, what came."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.tasks.anomaly.encoder import SeriesEncoder
from ostinato.tasks.anomaly.scoring import ASTRAY, MISSING, NOVELTY, STUCK
from ostinato.tasks.anomaly.views import VIEWS
from ostinato.words import number

_RANGE = 2.0  # spreads on either side of what was expected


def reason_of(
    encoder: SeriesEncoder,
    values: NDArray[np.float64],
    why: Any,
    expected: NDArray[np.float64],
    spread: NDArray[np.float64],
) -> str:
    """Return the reason of an alarm in a sentence without a full stop.

    Args:
        encoder: of the model.
        values: what came, `(channels,)`.
        why: view, side and channel of the score.
        expected: `(channels,)`, in the units of the data.
        spread: of that, likewise.
    """
    view, side, channel = (int(each) for each in why)
    names, relations = encoder.reading.channels, encoder.calibration.relations
    if channel >= len(names):
        relation = channel - len(names)
        name, other = names[int(relations.of[relation])], names[relations.partner(relation)]
        came, beside = float(values[relations.of[relation]]), float(values[relations.partner(relation)])
        return f"{name}: no longer moves with {other}; {number(came)} came, and {number(beside)} of {other}"
    name, came = names[channel], float(values[channel])
    place, width = float(expected[channel]), float(spread[channel])
    low, high = number(place - _RANGE * width), number(place + _RANGE * width)
    seen = f"{number(place)} ({low} to {high}) was expected, {number(came)} came"
    pace = encoder.calibration.pace
    if view == MISSING:
        usual = 100 * float(encoder.calibration.absent[channel])
        return f"{name}: {side} % of the last {pace.long} values or so are missing; {usual:.2g} % is usual"
    if view == STUCK:
        return f"{name}: stuck at {number(came)} for {side} steps; {number(place)} was expected"
    if view == ASTRAY:
        return f"{name}: no longer follows its course of {encoder.season} steps; {seen}"
    if view == NOVELTY:
        return f"{name}: {'lower' if side else 'higher'} than any value near it so far; {seen}"
    kind = VIEWS[view]
    if kind == "step":
        return f"{name}: a sudden {'rise' if came >= place else 'drop'}; {seen}"
    steps = pace.long if kind.startswith("long") else pace.short
    if kind.endswith("shift"):
        return f"{name}: {'lower' if side else 'higher'} than expected for about {steps} steps; {seen}"
    return f"{name}: {'steadier' if side else 'less steady'} than usual for about {steps} steps; {seen}"


def answer_of(
    encoder: SeriesEncoder,
    values: NDArray[np.float64],
    score: float,
    why: Any,
    expected: NDArray[np.float64],
    spread: NDArray[np.float64],
    *,
    begins: bool,
) -> dict[str, Any]:
    """Return what is said of a row: its score, how often normal rows have it, whether it is an alarm, and why."""
    known = score == score
    alarm = bool(known and score >= encoder.threshold)
    return {
        "score": round(score, 4) if known else None,
        "probability": float(f"{math.exp(-score):.3g}") if known else None,
        "alarm": alarm,
        "reason": reason_of(encoder, values, why, expected, spread) if alarm else "",
        "begins": begins,
        **{
            f"expected {name}": float(f"{value:.6g}") if value == value else None
            for name, value in zip(encoder.reading.channels, expected.tolist(), strict=True)
        },
    }
