"""Events one at a time, of many cases at once: what comes next in the case of each."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import torch

from ostinato.data.events import wall_seconds
from ostinato.data.notes import note
from ostinato.errors import StreamRowError, UsageError
from ostinato.streaming import ArrayState, stepper
from ostinato.tasks.base.rows import RowReader
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
    """Cases as they continue; what is kept of each does not grow with its events.

    Args:
        model: fitted.
        answer: from probabilities, times and the name of a case to what is said of it.
        most: cases held at a time; of more, the one that has been still for longest is forgotten.

    Raises:
        UsageError: `most` is not positive.
    """

    def __init__(self, model: Model[Any, Any], answer: Callable[..., dict[str, Any]], most: int) -> None:
        if most < 1:
            raise UsageError(f"max_cases is {most}; expected one or more")
        own = model.parameters
        self.model, self.encoder, self.most, self._answer = model, model.encoder, most, answer
        self.columns: tuple[str, str, str | None] = (own.case, own.activity, own.time or None)
        self.rows = RowReader(
            self.columns[:2], self.columns[2], self.encoder.reading, numbers=self.encoder.unit[0] != "days"
        )
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
        case, activity, moment = self.rows.read(row)
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
