"""What is predicted of a patient after a visit: the risk by times ahead, and next values with intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ostinato.data.health.steps import Floats
from ostinato.tasks.progression.courses import ProgressionEncoder
from ostinato.tasks.progression.network import ProgressionNetwork, incidence
from ostinato.tasks.progression.parameters import NOTICE


def incidences(network: ProgressionNetwork, said: NDArray[Any]) -> Floats:
    """Return the mean of the members' incidences, `(..., causes, intervals)`, of `said (members, ..., numbers)`."""
    count = network.causes * network.intervals
    logits = said[..., :count].reshape(*said.shape[:-1], network.causes, network.intervals)
    return np.asarray(incidence(logits).mean(0))


def values_ahead(
    network: ProgressionNetwork, encoder: ProgressionEncoder, said: NDArray[Any], newest: NDArray[Any], ahead: Floats
) -> Floats:
    """Return quantiles of next values on their scales, `(..., targets, 3)`.

    Args:
        network: that said it.
        encoder: what was fitted.
        said: `(members, ..., numbers)`.
        newest: `(..., targets)`, the last values.
        ahead: `(...)` hours.
    """
    tensors = (torch.from_numpy(np.asarray(each, np.float64)) for each in (said, newest, ahead))
    found = network.quantiles(*tensors).mean(0).numpy()
    if len(encoder.stretch):
        middle = found[..., 1:2]
        found = middle + (found - middle) * encoder.stretch[:, None]
    return np.asarray(found)


def between(encoder: ProgressionEncoder, curve: Floats, hours: Any) -> Floats:
    """Return an incidence at times ahead, straight between the ends of intervals and level behind the last."""
    return np.asarray(np.interp(hours, np.append(0.0, encoder.ends), np.append(0.0, curve)))


def answer(
    network: ProgressionNetwork, encoder: ProgressionEncoder, patient: str, hour: float, said: NDArray[Any],
    newest: NDArray[Any], ahead: float,
) -> dict[str, Any]:  # fmt: skip
    """Return what is said of a patient after a visit.

    Args:
        network: that said it.
        encoder: what was fitted.
        patient: their name.
        hour: of the visit, since the beginning.
        said: `(members, numbers)`.
        newest: `(targets,)`, the last values on their scales.
        ahead: hours to what is predicted of next values.
    """
    curves = incidences(network, said)
    names = [f"{each / encoder.hours:g}" for each in encoder.horizons.tolist()]
    risks = np.array([between(encoder, curve, encoder.horizons) for curve in curves])
    found: dict[str, Any] = {
        "id": patient,
        "time": round(hour / encoder.hours, 6),
        "unit": encoder.unit,
        "risk": dict(zip(names, risks[encoder.cause].tolist(), strict=True)),
        "survival": dict(zip(names, (1 - risks.sum(0)).tolist(), strict=True)),
    }
    if len(encoder.causes) > 1:
        found["by_event"] = {
            str(code): dict(zip(names, row, strict=True))
            for code, row in zip(encoder.causes, risks.tolist(), strict=True)
        }
    if encoder.targets:
        codes = np.array(encoder.targets)
        predicted = values_ahead(network, encoder, said, newest, np.array(ahead))
        predicted = np.stack([encoder.scales.back(codes, column) for column in predicted.T], -1)
        found["ahead"] = ahead / encoder.hours
        found["next"] = {
            encoder.variables[code]: dict(zip(("low", "median", "high"), row, strict=True))
            for code, row in zip(codes.tolist(), predicted.tolist(), strict=True)
        }
    return {**found, "notice": NOTICE}
