"""The model beside its baselines, and what that comes to in plain words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ostinato.tasks.forecast.metrics import mae_by_step, score_all
from ostinato.tasks.record import Evaluation

Floats = NDArray[np.float64]
_CLOSE = 0.02  # models nearer than this to each other are not told apart
_MANY = 5.0  # beyond this many times, a percentage is harder to read than a factor


@dataclass(frozen=True)
class Forecasts:
    """One forecaster's output: `point (windows, horizon, targets)` and `quantiles`, one dimension more, or none."""

    point: Floats
    quantiles: Floats | None = None


def evaluate_forecasts(
    truth: Floats,
    forecasts: Mapping[str, Forecasts],
    levels: Sequence[float],
    scale: Floats,
    *,
    protocol: str,
    split: str,
) -> Evaluation:
    """Score the model, named `"model"`, and its baselines on the same windows.

    Args:
        truth: what came, `(windows, horizon, targets)`.
        forecasts: by name; the model first.
        levels: quantile levels.
        scale: `mase_scale` of each window's series, `(windows, targets)`.
        protocol: how the windows were made, in words.
        split: which part of the data they are from, in words.
    """
    scores = {name: score_all(truth, own.point, own.quantiles, levels, scale) for name, own in forecasts.items()}
    steps = {name: mae_by_step(truth, own.point) for name, own in forecasts.items()}
    return Evaluation(protocol, split, len(truth), scores, steps, verdict(scores))


def verdict(scores: Mapping[str, Mapping[str, float]]) -> str:
    """Say in plain words how the model stands against the best baseline, and whether its interval holds."""
    measure = "MASE" if not math.isnan(scores["model"].get("MASE", math.nan)) else "MAE"
    model = scores["model"][measure]
    rivals = {name: own[measure] for name, own in scores.items() if name != "model" and not math.isnan(own[measure])}
    if math.isnan(model) or not rivals:
        return "There is nothing to compare: the part to evaluate has no observed value."
    best = min(rivals, key=rivals.__getitem__)
    sentences = [
        _standing(measure, model, best, rivals[best]),
        *_random_walk(model, rivals),
        *_interval(scores["model"]),
    ]
    return " ".join(sentences)


def _standing(measure: str, model: float, name: str, best: float) -> str:
    if best == 0:
        return f"The {name} forecast is exact here ({measure} 0); the model's {measure} is {model:.3g}."
    change = (model - best) / best
    numbers = f"({measure} {_plain(model)} against {_plain(best)})"
    if change < -_CLOSE:
        worse = _further(best, model)
        return f"The model beats every baseline; the best of them, {name}, is worse {worse} {numbers}."
    if change <= _CLOSE:
        return f"The model is no better than the {name} baseline within {100 * _CLOSE:.0f} % {numbers}."
    return (
        f"The model LOSES to the {name} baseline {_further(model, best)} {numbers}: use the baseline, "
        "or give the model more to go on."
    )


def _plain(value: float) -> str:
    return f"{value:.3f}" if value < 1e4 else f"{value:.2e}"


def _further(worse: float, better: float) -> str:
    """Return by how much one error is larger than another: a share, or for what is far beyond it how many times."""
    if better <= 0 or worse > 1000 * better:
        return "by far"
    if worse > _MANY * better:
        return f"by a factor of {worse / better:.0f}"
    return f"by {100 * (worse - better) / better:.0f} %"


def _random_walk(model: float, rivals: Mapping[str, float]) -> list[str]:
    walks = [rivals[name] for name in ("naive", "drift") if name in rivals]
    others = [model, *(score for name, score in rivals.items() if name not in ("naive", "drift"))]
    if not walks or min(walks) > min(others) * (1 + _CLOSE):
        return []
    return [
        'The series behaves like a random walk here: "tomorrow is like today" is not beaten, and nothing in these '
        "numbers says that it can be."
    ]


def _interval(model: Mapping[str, float]) -> list[str]:
    name = next((key for key in model if key.startswith("coverage")), None)
    if name is None or math.isnan(model[name]):
        return []
    width = float(name.removeprefix("coverage ").removesuffix(" %"))
    gap = model[name] - width
    judged = "as it should" if abs(gap) <= 5 else "too narrow" if gap < 0 else "too wide"
    return [f"Its {width:.0f} % interval held {model[name]:.1f} % of the values ({judged})."]
