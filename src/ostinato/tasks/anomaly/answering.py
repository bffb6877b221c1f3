"""What is said of rows of a file: a row at a time, as a stream would."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from ostinato.data.panel import time_text
from ostinato.data.recordings import Recording
from ostinato.data.zones import aware
from ostinato.tasks.anomaly.encoder import SeriesEncoder, SeriesExamples
from ostinato.tasks.anomaly.judged import Scored
from ostinato.tasks.anomaly.parameters import AnomalyParameters
from ostinato.tasks.anomaly.reasons import answer_of
from ostinato.tasks.anomaly.scorer import SeriesScorer, said_of
from ostinato.tasks.base.task import Model

Watching: TypeAlias = "Model[AnomalyParameters, SeriesEncoder]"
LEAD = 4  # long runs before the first row that is asked for


def scored(model: Watching, examples: SeriesExamples) -> Scored:
    """Return what is found of rows."""
    encoder = model.encoder
    said = said_of(model.network, [inputs.features for inputs in examples.inputs])
    parts = []
    for place, inputs in enumerate(examples.inputs):
        scales = examples.scales[place]
        scorer = SeriesScorer(encoder, scales.change, examples.records.series[place].id)
        start = int(examples.start[place])
        # of a part far into a series, the rows before it that what is usual is learned from again are enough
        begin = max(0, start - encoder.season - LEAD * encoder.calibration.pace.long - encoder.calibration.pace.memory)
        steps = [scorer.push(inputs, row, said[place][row]) for row in range(begin, len(inputs.values))]
        steps = steps[start - begin :]
        shape = (len(steps), encoder.channels)
        expected, spread = (
            np.array([getattr(one, name) for one in steps]).reshape(shape) for name in ("expected", "spread")
        )
        scores = np.array([one.score for one in steps])
        parts.append(Scored(
            scores, scores >= encoder.threshold, expected * scales.scale + scales.center,
            np.array([one.why for one in steps], np.int64).reshape(-1, 3), spread * scales.scale,
            np.array([one.begins for one in steps], np.bool_),
        ))  # fmt: skip
    return Scored(*(np.concatenate([getattr(one, name) for one in parts]) for name in
                    ("scores", "alarms", "expected", "why", "spread", "begins")))  # fmt: skip


def row_answer(encoder: SeriesEncoder, one: Recording, row: int, found: Scored, at: int) -> dict[str, Any]:
    """Return what is said of a row of a file."""
    assert found.why is not None
    assert found.expected is not None
    assert found.spread is not None
    assert found.begins is not None
    time = one.times[row : row + 1]
    shown = aware(time, encoder.reading.time_format.zone)[0] if time.dtype.kind == "M" else time[0]
    answer: dict[str, Any] = {} if encoder.reading.schema.time is None else {"time": time_text(shown)}
    if encoder.reading.schema.time is None:
        answer["row"] = row + 1
    if encoder.reading.schema.series_id:
        answer["series"] = one.id
    return {
        **answer,
        **answer_of(
            encoder,
            one.values[row],
            float(found.scores[at]),
            found.why[at],
            found.expected[at],
            found.spread[at],
            begins=bool(found.begins[at]),
        ),
    }
