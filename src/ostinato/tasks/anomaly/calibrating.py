"""How normal rows are scored, measured on the newest rows of the training and validation parts."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from ostinato.data.recordings import RecordingSet
from ostinato.tasks.anomaly.encoder import SeriesEncoder, SeriesExamples, fingerprint_of
from ostinato.tasks.anomaly.novelty import Novelty
from ostinato.tasks.anomaly.parameters import AnomalyParameters
from ostinato.tasks.anomaly.scorer import errors_of, said_of
from ostinato.tasks.anomaly.scoring import calibrated, live_scores, scores_of, z_of
from ostinato.tasks.anomaly.series_rows import FEW
from ostinato.tasks.anomaly.thresholds import best_threshold
from ostinato.tasks.base.task import Model

Watching: TypeAlias = "Model[AnomalyParameters, SeriesEncoder]"
_CALIBRATED = 30_000  # rows, the newest, that calibrate


def calibrated_encoder(model: Watching, parts: list[SeriesExamples]) -> SeriesEncoder:
    """Return the encoder of a model with views, tails and threshold of the normal rows of some parts."""
    parameters, encoder = model.parameters, model.encoder
    freedom = encoder.calibration.freedom
    if not encoder.window:
        freedom = model.network.degrees().detach().double().numpy()
    errors, kept, marks, learned = [], [], [], []
    states: dict[str, tuple[Novelty, ...]] = {}
    for part in parts:
        learned += _learned(encoder, part.records)
        said = said_of(model.network, [inputs.features for inputs in part.inputs])
        for place, inputs in enumerate(part.inputs):
            rows, normal = max(FEW, _CALIBRATED // len(part.inputs)), part.normal(place)
            values = states.setdefault(part.records.series[place].id, _nothing(encoder))
            errors.append(errors_of(encoder, inputs, said[place], part.scales[place].change, rows, normal, values))
            kept.append(normal[-rows:])
            learned[-len(part.inputs) + place] -= max(0, len(inputs.values) - rows)
            marks.append(None if part.records.series[place].labels is None else ~kept[-1])
    found = calibrated(errors, kept, freedom, encoder.calibration.pace, parameters.merge, learned)
    threshold, words = (
        -math.log(parameters.false_alarm_rate),
        f"{parameters.false_alarm_rate:g} false alarms a step",
    )
    if parameters.threshold == "labels":
        related = [one.related(found.relations) for one in errors]
        raw = [scores_of(found, one, z_of(one, found.usual, found.freedoms, found.pace)) for one in related]
        scores = [live_scores(found, one) for one in raw]
        threshold, words = best_threshold(scores, marks, threshold, words, parameters.merge)
    seen = [np.stack([state.kept() for state in states.get(name, _nothing(encoder))]) for name in encoder.names]
    return replace(encoder, calibration=found, threshold=float(threshold), chosen=words, seen=np.stack(seen))


def _learned(encoder: SeriesEncoder, records: RecordingSet) -> list[int]:
    """Return how many rows of each series the network was trained on, from the first."""
    if fingerprint_of(records) != encoder.fingerprint:
        return [0] * len(records.series)
    return [int(rows) for rows in encoder.trained]


def _nothing(encoder: SeriesEncoder) -> tuple[Novelty, ...]:
    return tuple(Novelty() for _ in range(encoder.channels))
