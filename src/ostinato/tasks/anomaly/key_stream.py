"""Events one at a time, of many sequences at once: how strange each is in its own."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ostinato.data.logs import LogReading
from ostinato.errors import StreamRowError, UsageError
from ostinato.streaming import Row, Steps, Stream, refused, shared_steps
from ostinato.tasks.anomaly.key_scoring import END, KeyEncoder, answer_of, judged, stepped
from ostinato.tasks.base.rows import RowReader
from ostinato.tasks.base.task import Model


@dataclass
class _Open:
    """What is kept of a sequence: its recurrent state, what may come next, and how many events came."""

    row: Row
    said: NDArray[np.float32]
    events: int


class KeyStream(Stream):
    """Sequences as they continue; made by `AnomalyDetector.stream`.

    Args:
        model: fitted.
        most: sequences held at a time; of more, the one that has been still for longest is forgotten.

    Raises:
        UsageError: `most` is not positive.
    """

    kind = "key"

    def __init__(self, model: Model[Any, KeyEncoder], most: int) -> None:
        if most < 1:
            raise UsageError(f"max_cases is {most}; expected one or more")
        parameters = model.parameters
        self.encoder, self.most = model.encoder, most
        self.columns: tuple[str, str] = (parameters.id or "id", parameters.event or "event")
        self._taken = 0  # rows so far
        self._rows = RowReader(self.columns, None, self.encoder.reading.times, numbers=True)
        self._known = {name: number for number, name in enumerate(self.encoder.keys, 1)}
        network = model.network
        self._shared = shared_steps(network, lambda: stepped(network))
        copied: Any = self._shared.copy
        with torch.no_grad():
            self._read: NDArray[np.float32] = copied.beside["embedding"].weight.detach().numpy()
        self._cases: OrderedDict[str, _Open] = OrderedDict()

    @property
    def header(self) -> tuple[str, ...] | None:
        """The names that a row may have."""
        return self.columns

    @property
    def bare(self) -> tuple[str, ...]:
        """Sequence and event, where a row names nothing."""
        return self.columns

    def __len__(self) -> int:
        """Return how many sequences are held."""
        return len(self._cases)

    def steps(self, row: Mapping[str, Any] | str) -> Steps:
        """Take an event; return how strange it is where it comes.

        Args:
            row: with the sequence and the event, or a line of CSV with both in that order.

        Raises:
            StreamRowError: one of them is missing.
        """
        case, event = self._read_row(row)
        held = self._cases.get(case)
        if held is None:
            begun = Row(self._shared)
            held = _Open(begun, np.asarray((yield begun.ask(self._read[len(self.encoder.keys) + 1]))), 0)
        key = self._known.get(event, 0)
        score, _, best, probability = judged(self.encoder, held.said, key)
        said = yield held.row.ask(self._read[key])
        self._cases[case] = _Open(held.row, np.array(said), held.events + 1)
        self._cases.move_to_end(case)
        self._taken += 1
        if len(self._cases) > self.most:
            self._cases.popitem(last=False)
        return answer_of(self.encoder, case, held.events + 1, event, score, best, probability)

    def close(self, case: Any) -> dict[str, Any]:
        """End a sequence: return how strange it is that it ends there, and forget it.

        Raises:
            UsageError: there is no such sequence.
        """
        held = self._cases.pop(str(case), None)
        if held is None:
            raise UsageError(f'there is no sequence "{str(case)[:80]}"; expected one that has begun')
        score, _, best, probability = judged(self.encoder, held.said, len(self.encoder.keys) + 1)
        return answer_of(self.encoder, str(case), held.events + 1, END, score, best, probability)

    def slot(self, row: Any) -> str:
        """Return the sequence of an event."""
        try:
            return self._read_row(row)[0]
        except StreamRowError:  # it will be refused
            return ""

    def _read_row(self, row: Any) -> tuple[str, str]:
        """Return the sequence and the event of a row."""
        case, event, _ = self._rows.read(row)
        return str(case), str(event)

    def reset(self) -> None:
        """Forget all sequences."""
        self._cases.clear()
        self._taken = 0

    def mark(self) -> str:
        """Return what tells the model from others."""
        found = [self.encoder.keys, self.encoder.threshold, self.encoder.top, self.encoder.reading]
        return self._shared.mark + hashlib.sha256(repr(found).encode()).hexdigest()[:16]

    def kept(self) -> dict[str, Any]:
        """Return all sequences, the one that has not gone on for longest first."""
        cases = self._cases.values()
        width = len(self.encoder.keys) + 2
        return {
            "taken": self._taken,
            "cases": list(self._cases),
            "said": np.array([case.said for case in cases], np.float32).reshape(len(cases), width),
            "events": np.array([case.events for case in cases], np.int64),
            "states": [case.row.state() for case in cases],
        }

    def accept(self, kept: Mapping[str, Any]) -> None:
        """Resume with the sequences of a state."""
        names, said, events, states = (kept.get(name) for name in ("cases", "said", "events", "states"))
        if (
            not isinstance(names, list)
            or not isinstance(states, list)
            or not isinstance(said, np.ndarray)
            or not isinstance(events, np.ndarray)
            or not all(isinstance(name, str) for name in names)
            or len(set(names)) != len(names)
            or said.shape != (len(names), len(self.encoder.keys) + 2)
            or (said.dtype, events.dtype, events.shape) != (np.float32, np.int64, (len(names),))
            or len(states) != len(names)
            or any(state is None for state in states)
            or not np.isfinite(said).all()
            or (events < 1).any()
            or not isinstance(kept.get("taken"), int)
            or kept["taken"] < 0
        ):
            raise refused("holds no sequences of events")
        found = OrderedDict[str, _Open]()
        for place, name in enumerate(names):
            row = Row(self._shared)
            row.restore(states[place])
            found[name] = _Open(row, said[place].copy(), int(events[place]))
        while len(found) > self.most:
            found.popitem(last=False)
        self._cases, self._taken = found, int(kept["taken"])


class LogStream(KeyStream):
    """Lines of a raw log as they come; made by `AnomalyDetector.stream`.

    Where no pattern names the sequences, `run` lines are one, and then the next line begins another.
    """

    kind = "log"
    takes_text = True

    @property
    def header(self) -> None:
        """None: a row is a line."""
        return

    @property
    def bare(self) -> tuple[str, ...]:
        """None: a row is a line."""
        return ()

    @property
    def _log(self) -> LogReading:
        found = self.encoder.reading
        assert isinstance(found, LogReading)
        return found

    def steps(self, row: Any) -> Steps:
        """Take a line; return how strange it is where it comes.

        Raises:
            StreamRowError: it is no text, or nothing in it names a sequence.
        """
        answer = yield from super().steps(row)
        held = self._cases.get(answer["id"])
        if not self._log.pattern and held is not None and held.events == self._log.run:
            del self._cases[answer["id"]]
        return answer

    def slot(self, row: Any) -> str:
        """Return the sequence of a line; runs are one after another."""
        return super().slot(row) if self._log.pattern else ""

    def _read_row(self, row: Any) -> tuple[str, str]:
        if not isinstance(row, str) or not row.strip():
            raise StreamRowError(f"the row is {type(row).__name__}; expected a line of the log, as text")
        line = row.strip()
        case = self._log.case_of(line, self._taken)
        if not case:
            raise StreamRowError(f'nothing in the line is as "{self._log.pattern}", which names its sequence')
        return case, self._log.template_of(line)
