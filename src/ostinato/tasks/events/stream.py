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
from torch import Tensor, nn

from ostinato.data.events import wall_seconds
from ostinato.data.notes import note
from ostinato.data.times import FARTHEST
from ostinato.errors import StreamRowError, UsageError
from ostinato.streaming import Headed, Row, Steps, Stream, refused, shared_steps
from ostinato.tasks.base.rows import RowReader
from ostinato.tasks.base.task import Model
from ostinato.tasks.events.cases import TIMES
from ostinato.tasks.events.network import EventNetwork

_DAY = 86_400.0
_YEAR, _STEPS = 366 * _DAY, 10_000


class EventHead(nn.Module):
    """Scores and times of an event network side by side, `(batch, activities + 1 + TIMES * 2)`."""

    def __init__(self, network: EventNetwork) -> None:
        super().__init__()
        self.activity, self.times = network.activity, network.times

    def forward(self, ys: Tensor) -> Tensor:
        """Answer what the stack gives."""
        return torch.cat([self.activity(ys), self.times(ys)], -1)


@dataclass
class _Open:
    """What is kept of a case: the recurrent state, and when it began and last went on."""

    row: Row
    events: int = 0
    first: float = math.nan
    last: float = math.nan


class EventStream(Stream):
    """Cases as they continue; what is kept of each does not grow with its events.

    Args:
        model: fitted.
        answer: from probabilities, times and the name of a case to what is said of it.
        most: cases held at a time; of more, the one that has been still for longest is forgotten.

    Raises:
        UsageError: `most` is not positive.
    """

    kind = "event"

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
        network = model.network
        self._shared = shared_steps(
            network, lambda: Headed(network.stack, EventHead(network), embedding=network.embedding)
        )
        self._cases: OrderedDict[str, _Open] = OrderedDict()
        copied: Any = self._shared.copy
        self._vectors = copied.beside["embedding"].weight.detach().numpy()

    def __len__(self) -> int:
        """Return how many cases are held."""
        return len(self._cases)

    def steps(self, row: Mapping[str, Any] | str) -> Steps:
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
        own = self._cases.get(case) or _Open(Row(self._shared))
        if moment < own.last:
            raise StreamRowError(
                f'case "{case}": the event "{activity}" lies {self._words(own.last - moment)} before the last one; '
                "push the events of a case in the order of time"
            )
        self._check_gap(case, activity, moment - own.last)
        begun = own.first if own.events else moment
        y = yield own.row.ask(self._read(own, activity, moment, begun))
        if activity not in self._index and activity not in self._said:
            self._said.add(activity)
            note(f'the activity "{activity[:80]}" was not in training; it is taken as an unknown one')
        known = moment if math.isfinite(moment) else own.last
        self._cases[case] = _Open(own.row, own.events + 1, begun, known)
        self._cases.move_to_end(case)
        if len(self._cases) > self.most:
            self._cases.popitem(last=False)
        answers = torch.from_numpy(y)
        scores, times = answers[: -2 * TIMES], answers[-2 * TIMES :].reshape(TIMES, 2)
        return self._answer(scores.double().softmax(-1).numpy(), times, case)

    def slot(self, row: Any) -> str:
        """Return the case of an event."""
        try:
            case: str = self.rows.read(row)[0]
        except StreamRowError:  # it will be refused
            return ""
        return case

    def peek(self, row: Any = None) -> dict[str, Any]:
        """Return what `push(row)` would answer; the case stays as it was."""
        if row is None:
            return super().peek()  # type: ignore[no-any-return]
        case = self.slot(row)
        before, order, said = self._cases.get(case), list(self._cases), set(self._said)
        kept = None if before is None else before.row.state()
        forgotten = next(iter(self._cases.items()), None)
        try:
            found: dict[str, Any] = self.push(row)
            return found
        finally:
            self._said = said
            if before is None:
                self._cases.pop(case, None)
            else:
                before.row.restore(kept)
                self._cases[case] = before
            if forgotten is not None:
                self._cases.setdefault(*forgotten)
            self._cases = OrderedDict((name, self._cases[name]) for name in order)

    def reset(self) -> None:
        """Forget all cases."""
        self._cases.clear()

    def mark(self) -> str:
        """Return what tells the model from others."""
        return self._shared.mark

    def kept(self) -> dict[str, Any]:
        """Return all cases, the one that has not gone on for longest first."""
        cases = self._cases.values()
        return {
            "cases": list(self._cases),
            "events": np.array([own.events for own in cases], np.int64),
            "times": np.array([[own.first, own.last] for own in cases], np.float64).reshape(-1, 2),
            "states": [own.row.state() for own in cases],
        }

    def accept(self, kept: Mapping[str, Any]) -> None:
        """Go on with the cases of a state."""
        names, events, times, states = (kept.get(name) for name in ("cases", "events", "times", "states"))
        count = len(names) if isinstance(names, list) else -1
        if (
            not isinstance(names, list)
            or not isinstance(states, list)
            or not isinstance(events, np.ndarray)
            or not isinstance(times, np.ndarray)
            or not all(isinstance(name, str) for name in names)
            or len(set(names)) != count
            or (events.shape, times.shape, len(states)) != ((count,), (count, 2), count)
            or events.dtype.kind != "i"
            or times.dtype.kind != "f"
            or (events < 1).any()
            or (np.abs(times) > FARTHEST * 2).any()
        ):
            raise refused("holds no cases of events")
        found = OrderedDict[str, _Open]()
        for name, number, (first, last), state in zip(names, events.tolist(), times.tolist(), states, strict=True):
            if state is None:
                raise refused(f'has no state of the case "{name[:80]}"')
            found[name] = _Open(Row(self._shared), number, first, last)
            found[name].row.restore(state)
        while len(found) > self.most:
            found.popitem(last=False)
        self._cases = found

    def _check_gap(self, case: str, activity: str, gap: float) -> None:
        """Refuse a time so far after that of the event before that it is rather an error than a pause."""
        dates = self.encoder.unit[0] == "days"
        mean, deviation = self.encoder.features.gap
        # ten thousand times a long pause of the training data, and a year at least
        most = max(_STEPS * math.expm1(min(mean + 2 * deviation, 600.0)), _YEAR if dates else _STEPS)
        if gap > most:
            raise StreamRowError(
                f'case "{case}": the event "{activity}" comes {self._words(gap)} after the one before it, '
                "which is more than a pause; mend its time, or close the case and begin it again"
            )

    def _words(self, gap: float) -> str:
        return str(timedelta(seconds=min(gap, 1e12))) if self.encoder.unit[0] == "days" else f"{gap:.6g}"

    def close(self, case: Any) -> bool:
        """Forget a case that has ended; return whether it was there."""
        return self._cases.pop(str(case), None) is not None

    def _read(self, own: _Open, activity: str, moment: float, begun: float) -> np.ndarray[Any, Any]:
        """Return what the network reads of an event, `(features,)`."""
        calendar = self.encoder.unit[0] == "days" and self.encoder.reading.kind != "elapsed"
        shown = wall_seconds(np.array([moment]), self.encoder.reading.zone) if calendar else [math.nan]
        gap = moment - own.last if own.events else math.nan
        features = self.encoder.features([gap], [moment - begun], [own.events], shown)
        vector = self._vectors[self._index.get(activity, 0)]
        return np.concatenate([vector, features[0].astype(np.float32)]).astype(np.float32)
