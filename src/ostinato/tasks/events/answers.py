"""What an event predictor says after an event, as plain data."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ostinato.tasks.events.cases import EventEncoder

_LEVELS = (0.1, 0.9)


def seconds_of(encoder: EventEncoder, times: Tensor) -> NDArray[np.float64]:
    """Return medians in seconds, `(..., TIMES)`, of what the network says."""
    return np.stack([scale.seconds(times[..., place, :]) for place, scale in enumerate(encoder.scales)], -1)


def answer_of(encoder: EventEncoder, probabilities: NDArray[np.float64], times: Tensor, case: str) -> dict[str, Any]:
    """Return what is said after the last event of a case.

    Args:
        encoder: of the model.
        probabilities: `(activities + 1,)`.
        times: `(TIMES, 2)`, as the network says them.
        case: its name.
    """
    best, labels = int(probabilities.argmax()), encoder.labels
    answer: dict[str, Any] = {"next": labels[best], "probability": float(probabilities[best])}
    word, seconds = encoder.unit
    if word:
        wait, left = seconds_of(encoder, times) / seconds
        answer |= {f"in_{word}": float(wait), f"left_{word}": float(left)}
        if encoder.scales[0].loss == "lognormal":
            answer[f"range_{word}"] = (encoder.scales[0].quantiles(times[0], _LEVELS) / seconds).tolist()
    answer["case"] = case
    answer["probabilities"] = {labels[at]: float(probabilities[at]) for at in np.argsort(-probabilities, kind="stable")}
    return answer
