"""Events one at a time, of many cases at once: what comes next in the case of each."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import torch

from ostinato.data.delimited import cells_of_line
from ostinato.data.events import wall_seconds
from ostinato.data.frames import plain_value
from ostinato.data.identities import NO_NAMES
from ostinato.data.notes import note
from ostinato.data.times import FARTHEST, OPEN_ORDER, read_cell
from ostinato.errors import DataError, StreamRowError, UsageError
from ostinato.streaming import ArrayState, stepper
from ostinato.tasks.base.task import Model

_DAY = 86_400.0
_YEAR, _STEPS = 366 * _DAY, 10_000


@dataclass
class _Open:
    """What is kept of a case: the recurrent state, and when it began and last went on."""

    state: ArrayState | None = None
    events: int = 0
    first: float = math.nan
    last: float = math.nan


class EventStream:
    """Cases as they go on; what is kept of each does not grow with its events.

    Args:
        model: fitted.
        answer: from probabilities, times and the name of a case to what is said of it.
        most: cases held at a time; of more, the one that has not gone on for longest is forgotten.

    Raises:
        UsageError: `most` is not positive.
    """

    def __init__(self, model: Model[Any, Any], answer: Callable[..., dict[str, Any]], most: int) -> None:
        if most < 1:
            raise UsageError(f"max_cases is {most}; expected one or more")
        own = model.parameters
        self.model, self.encoder, self.most, self._answer = model, model.encoder, most, answer
        self.columns: tuple[str, str, str | None] = (own.case, own.activity, own.time or None)
        self._index = {name: number for number, name in enumerate(self.encoder.known, 1)}
        self._said: set[str] = set()
        self._step = stepper(model.network.stack)
        self._cases: OrderedDict[str, _Open] = OrderedDict()
        self._vectors = model.network.embedding.weight.detach().numpy()

    def __len__(self) -> int:
        """Return how many cases are held."""
        return len(self._cases)

    def push(self, row: Mapping[str, Any] | str) -> dict[str, Any]:
        """Take an event; return what comes next in its case.

        Args:
            row: with the columns of the training data, `{"case": 7, "activity": "open", "time": "2024-01-31 13:00"}`,
                or a line of CSV with case, activity and time in that order. The time is a text, a `datetime`, a number
                where the training data has numbers, or `None` if it is not known.

        Returns:
            `next`, its `probability`, when (`in_days`), and more; see `EventPredictor.answers`.

        Raises:
            StreamRowError: a column is missing, the time cannot be read, or lies before that of the event before it.
                The case stays as it was.
        """
        case, activity, moment = self._parsed(row)
        own = self._cases.get(case, _Open())
        if moment < own.last:
            raise StreamRowError(
                f'case "{case}": the event "{activity}" lies {self._words(own.last - moment)} before the last one; '
                "push the events of a case in the order of time"
            )
        self._check_gap(case, activity, moment - own.last)
        begun = own.first if own.events else moment
        if activity not in self._index and activity not in self._said:
            self._said.add(activity)
            note(f'the activity "{activity[:80]}" was not in training; it is taken as an unknown one')
        y = self._advance(own, activity, moment, begun)
        known = moment if math.isfinite(moment) else own.last
        self._cases[case] = _Open(self._step.state(), own.events + 1, begun, known)
        self._cases.move_to_end(case)
        if len(self._cases) > self.most:
            self._cases.popitem(last=False)
        with torch.inference_mode():
            scores, times = self.model.network.predicted(torch.from_numpy(y))
        return self._answer(scores[0].double().softmax(-1).numpy(), times[0], case)

    def _check_gap(self, case: str, activity: str, gap: float) -> None:
        """Refuse a time so far after that of the event before that it is rather an error than a pause."""
        dates = self.encoder.unit[0] == "days"
        mean, deviation = self.encoder.features.gap
        # ten thousand times a long pause of the training data, and a year at least
        most = max(_STEPS * math.expm1(min(mean + 2 * deviation, 600.0)), _YEAR if dates else _STEPS)
        if gap > most:
            raise StreamRowError(
                f'case "{case}": the event "{activity}" comes {self._words(gap)} after the one before it, '
                "which is more than a pause; mend its time, or close the case and begin it anew"
            )

    def _words(self, gap: float) -> str:
        return str(timedelta(seconds=min(gap, 1e12))) if self.encoder.unit[0] == "days" else f"{gap:.6g}"

    def close(self, case: Any) -> bool:
        """Forget a case that has ended; return whether it was there."""
        return self._cases.pop(str(case), None) is not None

    def _advance(self, own: _Open, activity: str, moment: float, begun: float) -> np.ndarray[Any, Any]:
        calendar = self.encoder.unit[0] == "days" and self.encoder.reading.kind != "elapsed"
        shown = wall_seconds(np.array([moment]), self.encoder.reading.zone) if calendar else [math.nan]
        gap = moment - own.last if own.events else math.nan
        features = self.encoder.features([gap], [moment - begun], [own.events], shown)
        vector = self._vectors[self._index.get(activity, 0)]
        self._step.restore(own.state)
        return self._step(np.concatenate([vector, features[0].astype(np.float32)])[None].astype(np.float32))

    def _parsed(self, row: Mapping[str, Any] | str) -> tuple[str, str, float]:
        if isinstance(row, str):
            row = self._cells(row)
        if not isinstance(row, Mapping):
            raise StreamRowError(f"it is a {type(row).__name__}; expected a mapping with {self._wanted()}")
        case, activity = (plain_value(row.get(name)) for name in self.columns[:2])
        for name, value in zip(self.columns, (case, activity), strict=False):
            if value is None or str(value).strip() in ("", *NO_NAMES):
                raise StreamRowError(f'it has no "{name}"; expected {self._wanted()}')
            if not isinstance(value, (str, bool, int, float)):
                raise StreamRowError(f'its "{name}" is a {type(value).__name__}; expected one text or number')
        time = self.columns[2]
        if time is not None and not all(name in row for name in ([time] if time in row else time.split("+"))):
            raise StreamRowError(f'it has no "{self.columns[2]}"; expected {self._wanted()} (null where not known)')
        return str(case).strip(), str(activity).strip(), self.moment_of(row)

    def _cells(self, line: str) -> dict[str, str]:
        names = [name for name in self.columns if name is not None]
        cells = [cell.strip() for cell in cells_of_line(line, len(names))]
        if len(cells) != len(names):
            raise StreamRowError(
                f"it has {len(cells)} cells; expected {self._wanted()}, in that order, or a JSON object"
            )
        return dict(zip(names, cells, strict=True))

    def _wanted(self) -> str:
        return ", ".join(f'"{name}"' for name in self.columns if name is not None)

    def moment_of(self, row: Mapping[str, Any]) -> float:
        """Return seconds from 1970 on, in UTC, or the number that stands for the time; NaN if it is not known.

        Args:
            row: with the event.

        Raises:
            StreamRowError: it cannot be read as the times of the training data are.
        """
        column = self.columns[2]
        if column is None:
            return math.nan
        cells = [row.get(name) for name in ([column] if column in row else column.split("+"))]
        if any(cell is None or cell == "" or (isinstance(cell, float) and not math.isfinite(cell)) for cell in cells):
            return math.nan
        time = cells[0]
        if self.encoder.unit[0] != "days":
            try:
                number = float(time)  # type: ignore[arg-type]
            except (TypeError, ValueError, OverflowError) as error:
                raise StreamRowError(
                    f"its time is {str(time)[:80]!r}; expected a number, as in the training data"
                ) from error
            if abs(number) < FARTHEST:
                return number
            raise StreamRowError(f"its time is {number:g}, which is too large for one; expected a number below 2**62")
        try:
            found = read_cell(row, column, self.encoder.reading)
        except (DataError, ValueError, TypeError, OverflowError) as error:
            shown = " ".join(map(str, cells)) if len(cells) > 1 or isinstance(time, datetime) else repr(time)
            if any(words in str(error) for words in ("not a time that exists", OPEN_ORDER)):
                raise StreamRowError(str(error)) from error
            raise StreamRowError(
                f"its time is {shown}; expected one such as 2024-01-31 13:00".replace("'", '"')
            ) from error
        return float(found.astype(f"{found.dtype.kind}8[us]").astype(np.int64) / 1e6)
