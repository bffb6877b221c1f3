"""How a case continues to its end: the most probable activity after the other, or drawn ones, with their times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ostinato.data.panel import time_text
from ostinato.data.zones import aware
from ostinato.errors import UsageError
from ostinato.tasks.events.cases import END, EventEncoder
from ostinato.tasks.events.stream import EventStream


def continue_case(
    stream: EventStream, events: Sequence[Mapping[str, Any]], *, length: int, sample: bool, seed: int
) -> list[dict[str, Any]]:
    """Return the events that are expected after some; see `EventPredictor.continue_case`.

    Raises:
        UsageError: there are no events, or `length` is negative.
        StreamRowError: an event does not fit the model.
    """
    if not events:
        raise UsageError("events is empty; expected one or more to continue from")
    if length < 0:
        raise UsageError(f"length is {length}; expected 0 or more events")
    rng = np.random.default_rng(seed)
    case, activity, time = stream.columns
    for event in events:
        answer = stream.push({**event, case: "it"})
    moment = stream.rows.moment(events[-1])
    # what else was known at the last event is taken to stay as it is
    others = {name: events[-1].get(name) for name in stream.encoder.reading.columns}
    expected: list[dict[str, Any]] = []
    word, seconds = stream.encoder.unit
    while len(expected) < length:
        chosen = _chosen(answer, rng) if sample else answer["next"]
        if chosen == END:
            expected.append({activity: END})
            break
        moment += answer.get(f"in_{word}", 0.0) * seconds
        row = {activity: chosen} | ({} if time is None else {time: _time(moment, stream.encoder)})
        expected.append({**row, "probability": answer["probabilities"][chosen]})
        answer = stream.push({**others, **row, case: "it"})
    return expected


def _chosen(answer: dict[str, Any], rng: np.random.Generator) -> str:
    probabilities: dict[str, float] = answer["probabilities"]
    values = np.array(list(probabilities.values()))
    return list(probabilities)[int(rng.choice(len(values), p=values / values.sum()))]


def _time(moment: float, encoder: EventEncoder) -> Any:
    """Return a moment as the times of the training data are: with their zone, if they have one."""
    if not np.isfinite(moment):
        return None
    if encoder.unit[0] != "days":
        return moment
    if encoder.reading.times.kind == "elapsed":
        return time_text(np.timedelta64(round(moment), "s"))
    instant = np.array([round(moment)]).astype("datetime64[s]").astype("datetime64[us]")
    when = aware(instant, encoder.reading.times.zone).item(0)
    return when.isoformat(sep=" ", timespec="seconds")
