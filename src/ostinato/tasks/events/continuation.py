"""How a case goes on to its end: the most probable activity after the other, or drawn ones, with their times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from ostinato.errors import UsageError
from ostinato.tasks.events.answering import Answer
from ostinato.tasks.events.cases import END
from ostinato.tasks.events.stream import EventStream, moment_of


def continue_case(
    stream: EventStream, events: Sequence[Mapping[str, Any]], *, length: int, sample: bool, seed: int
) -> list[Answer]:
    """Return the events that are expected after some; see `EventPredictor.continue_case`.

    Raises:
        UsageError: there are no events, or `length` is negative.
        StreamRowError: an event does not fit the model.
    """
    if not events:
        raise UsageError("events is empty; expected one or more to go on from")
    if length < 0:
        raise UsageError(f"length is {length}; expected 0 or more events")
    rng = np.random.default_rng(seed)
    case, activity, time = stream.columns
    for event in events:
        answer = stream.push({**event, case: "it"})
    moment = moment_of(stream.reader, None if time is None else events[-1].get(time))
    expected: list[Answer] = []
    word, seconds = stream.reader.unit
    while len(expected) < length:
        chosen = _chosen(answer, rng) if sample else answer["next"]
        if chosen == END:
            expected.append({activity: END})
            break
        moment += answer.get(f"in_{word}", 0.0) * seconds
        row = {activity: chosen} | ({} if time is None else {time: _time(moment, word)})
        expected.append({**row, "probability": answer["probabilities"][chosen]})
        answer = stream.push({**row, case: "it"})
    return expected


def _chosen(answer: Answer, rng: np.random.Generator) -> str:
    chances: dict[str, float] = answer["probabilities"]
    values = np.array(list(chances.values()))
    return list(chances)[int(rng.choice(len(values), p=values / values.sum()))]


def _time(moment: float, word: str) -> Any:
    if not np.isfinite(moment):
        return None
    if word != "days":
        return moment
    when = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=moment)
    return when.replace(tzinfo=None).isoformat(sep=" ", timespec="seconds")
