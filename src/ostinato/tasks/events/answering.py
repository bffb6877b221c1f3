"""What a user is told of a case: what comes next, how sure that is, and when."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ostinato.data import EventLog
from ostinato.errors import DataError
from ostinato.tasks.events.batches import collate
from ostinato.tasks.events.cases import END, Case, Log, encode_log
from ostinato.tasks.events.prediction import Reader

Answer: TypeAlias = "dict[str, Any]"
_LEVELS = (0.1, 0.9)
_CASES = 256


def answer_of(reader: Reader, chances: NDArray[np.float64], times: Tensor, case: str) -> Answer:
    """Return what is said after the last event of a case.

    Args:
        reader: of the model.
        chances: `(activities + 1,)`.
        times: `(TIMES, 2)`, as the network says them.
        case: its name.
    """
    labels = (*reader.known, END)
    best = int(chances.argmax())
    answer: Answer = {"next": labels[best], "probability": float(chances[best])}
    if reader.unit[0]:
        word, seconds = reader.unit
        wait, left = reader.seconds(times) / seconds
        answer[f"in_{word}"] = float(wait)
        answer[f"left_{word}"] = float(left)
        if reader.scales[0].loss == "lognormal":
            low, high = reader.scales[0].quantiles(times[0], _LEVELS) / seconds
            answer[f"range_{word}"] = [float(low), float(high)]
    answer["case"] = case
    answer["probabilities"] = {labels[at]: float(chances[at]) for at in np.argsort(-chances, kind="stable")}
    return answer


def answers_of(reader: Reader, log: EventLog) -> Iterator[Answer]:
    """Yield what is said after the last event of each case of a log."""
    cases = encode_log(log, reader.known, reader.features)
    for first in range(0, len(cases), _CASES):
        own = cases[first : first + _CASES]
        batch = collate(own, reader.scales, len(reader.known))
        with torch.inference_mode():
            scores, times = reader.network(batch.kinds, batch.features, batch.lengths)
        for row, length in enumerate(batch.lengths.tolist()):
            chances = scores[length - 1, row].double().softmax(-1).numpy()
            yield answer_of(reader, chances, times[length - 1, row], log.cases[first + row])


def whole_case_scores(reader: Reader, firsts: Mapping[str, int], log: EventLog) -> Iterator[Answer]:
    """Yield how strange each case of a log is; see `EventPredictor.score_cases`."""
    cases = encode_log(log, reader.known, reader.features)
    foretold = reader.read(cases)
    total = sum(firsts.values())
    first = 0
    for row, case in enumerate(cases):
        chances = foretold.chances[first : first + len(case.kinds)]
        first += len(case.kinds)
        begun = (firsts.get(log.activities[row][0], 0) + 1) / (total + len(reader.known) + 1)
        losses = -np.log(np.append(begun, _chance_of(case, chances, 1 / (total + 1))))
        names = (*log.activities[row], END)
        worst = int(losses.argmax())
        yield {"score": float(losses.mean()), "case": log.cases[row], "strangest": names[worst], "place": worst + 1}


def _chance_of(case: Case, chances: NDArray[np.float64], least: float) -> NDArray[np.float64]:
    """Return the chance given to each thing that came; to what was never seen, less than once in all of training."""
    seen = case.following < chances.shape[1]
    own = chances[np.arange(len(chances)), np.where(seen, case.following, 0)]
    return np.where(seen, np.maximum(own, 1e-12), least)


def columns_of(lines: Iterable[str], names: tuple[str, ...]) -> Log:
    """Return lines, as they come from stdin, as columns: JSON objects, or CSV with a header.

    Raises:
        DataError: there are no lines, or one is not like the first.
    """
    import csv
    import json

    rows = (line for line in lines if line.strip())
    head = next(rows, None)
    if head is None:
        raise DataError(f"there are no events; expected JSON objects, or CSV with a header: {', '.join(names)}")
    found: list[Mapping[str, Any]]
    try:
        if head.startswith("{"):
            found = [json.loads(line) for line in chain([head], rows)]
        else:
            found = list(csv.DictReader(chain([head], rows)))
    except ValueError as error:
        raise DataError(f"a line of the events is no JSON object ({error}), as the first is") from error
    for number, row in enumerate(found, 1):
        missing = [name for name in names if row.get(name) is None]
        if missing:
            raise DataError(f'event {number} has no "{missing[0]}"; expected {", ".join(names)}')
    return {name: [str(row[name]) for row in found] for name in names}


def is_path(source: Any) -> bool:
    """Tell whether a source is a file, a log or a table, rather than lines."""
    return isinstance(source, (str, Path, EventLog, Mapping)) or hasattr(source, "columns")
