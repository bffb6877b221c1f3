"""What a report shows of a detector of series: scores and alarms, how scores are spread, how true the rate is."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.panel import format_time
from ostinato.tasks.anomaly.encoder import SeriesExamples
from ostinato.tasks.anomaly.judged import Scored
from ostinato.tasks.anomaly.reasons import reason_of
from ostinato.tasks.base.alarms import asked_words, merged
from ostinato.tasks.base.summary import Curve, Panel, Table
from ostinato.tasks.base.task import Model

Floats = NDArray[np.float64]
_POINTS = 1500
_EVENTS = 12
_TICKS, _FEWEST = 5, 5
Words = tuple[tuple[float, str], ...]


def series_panels(model: Model[Any, Any], examples: SeriesExamples, predicted: Scored) -> Iterator[Panel]:
    """Yield the panels of rows that were held out."""
    bounds = list(zip(examples.start.tolist(), examples.stop.tolist(), strict=True))
    longest = int(np.argmax([b - a for a, b in bounds]))
    offset = sum(b - a for a, b in bounds[:longest])
    first, stop = bounds[longest]
    rows = slice(offset, offset + stop - first)
    words = _times(model, examples, longest, rows)
    yield _events(model, examples, predicted)
    yield from _series(model, examples, predicted, longest, rows, words)
    yield _scores(model, examples, predicted, rows, words)
    yield from _spread(model, examples, predicted)


def _times(model: Model[Any, Any], examples: SeriesExamples, series: int, rows: slice) -> Words:
    """Return some of the times of the rows that are drawn, at their places; none without times."""
    if model.encoder.reading.schema.time is None or rows.stop <= rows.start:
        return ()
    times, first = examples.records.series[series].times, int(examples.start[series])
    places = np.unique(np.linspace(0, rows.stop - rows.start - 1, _TICKS).round().astype(int)).tolist()
    zone = model.encoder.reading.time_format.zone
    return tuple((float(place), format_time(times[first + place], zone)) for place in places)


def _series(
    model: Model[Any, Any], examples: SeriesExamples, predicted: Scored, series: int, rows: slice, words: Words
) -> Iterator[Panel]:
    one, first = examples.records.series[series], int(examples.start[series])
    channel, name = 0, model.encoder.reading.channels[0]
    values = one.values[first : first + rows.stop - rows.start, channel]
    places = _thinned(predicted, rows)
    assert predicted.expected is not None
    lines = {name: _floats(values[places]), "expected": _floats(predicted.expected[rows, channel][places])}
    whose = f" of {one.id}" if one.id else ""
    begin = format_time(one.times[first], model.encoder.reading.time_format.zone)
    yield Curve(
        f"{name}{whose}, held out, from {begin}", _floats(places.astype(np.float64)), lines,
        "" if words else "step", name, shaded=_shaded(model, examples, predicted, rows), words=words,
    )  # fmt: skip


def _scores(model: Model[Any, Any], examples: SeriesExamples, predicted: Scored, rows: slice, words: Words) -> Panel:
    places = _thinned(predicted, rows)
    lines = {
        "score": _floats(predicted.scores[rows][places]),
        "alarm from": _floats(np.full(len(places), model.encoder.threshold)),
    }
    return Curve(
        "Scores", _floats(places.astype(np.float64)), lines, "" if words else "step", "nats",
        note="A score is -log of how many normal steps begin a peak of that height.",
        shaded=_shaded(model, examples, predicted, rows), words=words,
    )  # fmt: skip


def _shaded(
    model: Model[Any, Any], examples: SeriesExamples, predicted: Scored, rows: slice
) -> dict[str, tuple[tuple[float, float], ...]]:
    """Return the alarms, and what is labelled, as stretches of steps."""
    marks = {"alarm": merged(predicted.alarms[rows], model.parameters.merge)}
    if examples.labels is not None:
        marks["labelled anomalous"] = merged(examples.labels[rows], 0)
    return {name: tuple((a - 0.5, b - 0.5) for a, b in mark) for name, mark in marks.items() if mark}


def _events(model: Model[Any, Any], examples: SeriesExamples, predicted: Scored) -> Panel:
    found, offset, more = list[tuple[str | float, ...]](), 0, 0
    several = len(examples.records.series) > 1
    assert predicted.why is not None
    assert predicted.expected is not None
    assert predicted.spread is not None
    for one, first, stop in zip(examples.records.series, examples.start.tolist(), examples.stop.tolist(), strict=True):
        for a, b in merged(predicted.alarms[offset : offset + stop - first], model.parameters.merge):
            at = offset + a
            if len(found) == _EVENTS:
                more += 1
                continue
            why = reason_of(
                model.encoder, one.values[first + a], predicted.why[at], predicted.expected[at], predicted.spread[at]
            )
            when = format_time(one.times[first + a], model.encoder.reading.time_format.zone)
            highest = float(np.nanmax(predicted.scores[at : offset + b]))
            found.append((*([one.id] if several else []), when, b - a, round(highest, 2), why))
        offset += stop - first
    count, parameters = len(found) + more, model.parameters
    said = [f"{count:,} alarm{'s' * (count != 1)} in {offset:,} steps{', of which some are shown' if more else ''}."]
    if parameters.threshold == "rate":
        said.append(f"{asked_words(parameters.false_alarm_rate, 'steps').capitalize()}.")
    pace = model.encoder.calibration.pace
    said.append(
        f"Views of {pace.short} and {pace.long} steps find shifts and changed noise, so that an alarm begins up to "
        f"{pace.long} steps after what it is about, and may last as long after its end."
    )
    columns = (*(["series"] if several else []), "from", "steps", "highest score", "reason")
    return Table("Alarms", columns, tuple(found), " ".join(said))


def _spread(model: Model[Any, Any], examples: SeriesExamples, predicted: Scored) -> Iterator[Panel]:
    """Yield how many peaks of the scores reach each height, asked for and counted.

    Where nothing is labelled a few alarms at real events would look like a promise that is broken: so few are not
    shown.
    """
    encoder, gap = model.encoder, model.parameters.merge
    scores = np.where(predicted.scores == predicted.scores, predicted.scores, -1.0)
    if examples.labels is not None:
        scores = np.where(examples.labels, -1.0, scores)
    top = max(float(scores.max()), encoder.threshold if np.isfinite(encoder.threshold) else 1.0)
    if examples.labels is None and 0 < len(merged(predicted.alarms, gap)) < _FEWEST:
        return
    heights = np.linspace(0, top, 40)
    counted = [len(merged(scores >= height, gap)) / max(len(scores), 1) for height in heights]
    asked = np.exp(-heights).tolist()
    yield Curve(
        "False alarms a step, by the height of the threshold", _floats(heights),
        {"promised": tuple(asked), "counted on held-out steps": tuple(each or float("nan") for each in counted)},
        "threshold, nats", "alarms a step", logarithmic=True,
        note="Where steps are not labelled, every alarm counts as a false one.",
    )  # fmt: skip


def _thinned(predicted: Scored, rows: slice) -> NDArray[np.int64]:
    """Return places to draw: evenly spread, with the highest score of each piece among them."""
    scores = np.where(predicted.scores[rows] == predicted.scores[rows], predicted.scores[rows], -1.0)
    count = len(scores)
    if count <= _POINTS:
        return np.arange(count)
    edges = np.linspace(0, count, _POINTS // 2 + 1).astype(np.int64)
    highest = [int(a + scores[a:b].argmax()) for a, b in pairwise(edges)]
    return np.unique(np.concatenate([edges[:-1], highest]))


def _floats(values: NDArray[Any]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
