"""What is said of scores beside the verdict: a random walk, and whether an interval held what it promised."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ostinato.words import counted

_CLOSE = 0.02  # errors nearer than this to each other are not told apart
_OFF = 5.0  # points: an interval that holds more or fewer is called too wide or too narrow


def random_walk(values: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Say so where the last value is not beaten."""
    measure = next((name for name in ("MASE", "MAE") if not math.isnan(values["model"].get(name, math.nan))), "MAE")
    scores = {name: row[measure] for name, row in values.items() if not math.isnan(row.get(measure, math.nan))}
    walks = [scores[name] for name in ("naive", "drift") if name in scores]
    others = [score for name, score in scores.items() if name not in ("naive", "drift")]
    if not walks or not others or min(walks) > min(others) * (1 + _CLOSE):
        return []
    return [
        'The series behaves like a random walk here: "tomorrow is like today" is not beaten, and nothing in these '
        "numbers says that it can be."
    ]


def interval(model: Mapping[str, float], forecasts: int = 0) -> list[str]:
    """Say how much the interval held, and whether that is more or less than it promised by more than chance.

    Args:
        model: its measures.
        forecasts: how many were judged; 0: many. The steps of one go wrong together, and count once.
    """
    name = next((key for key in model if key.startswith("coverage")), None)
    if name is None or math.isnan(model[name]):
        return []
    width = float(name.removeprefix("coverage ").removesuffix(" %"))
    gap = model[name] - width
    chance = 2 * math.sqrt(width * (100 - width) / forecasts) if forecasts else 0.0
    judged = "as it should" if abs(gap) <= _OFF else "too narrow" if gap < 0 else "too wide"
    if _OFF < abs(gap) <= chance:
        judged = f"which chance may do to {counted(forecasts, 'forecasts')}"
    return [f"Its {width:.0f} % interval held {model[name]:.1f} % of the values ({judged})."]
