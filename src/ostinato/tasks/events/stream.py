"""Events one at a time, of many cases at once: what comes next in the case of each."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ostinato.data.cells import NO, YES
from ostinato.data.events import wall_seconds
from ostinato.data.frames import plain_value
from ostinato.data.identities import NO_NAMES
from ostinato.data.notes import note
from ostinato.data.times import FARTHEST
from ostinato.errors import StreamRowError, UsageError
from ostinato.streaming import Headed, Row, Steps, Stream, refused, shared_steps
from ostinato.tasks.base.rows import RowReader
from ostinato.tasks.base.task import Model
from ostinato.tasks.events.cases import event_codes
from ostinato.tasks.events.covariates import Cells
from ostinato.tasks.events.features import LAGS, Codes, Floats, Seen, time_numbers
from ostinato.tasks.events.network import Member, together

_DAY = 86_400.0
_YEAR, _STEPS = 366 * _DAY, 10_000


@dataclass
class _Open:
    """What is kept of a case: the members' recurrent states, how often what came, when it began and last went on."""

    rows: tuple[Row, ...]
    counts: NDArray[np.int64]
    lags: NDArray[np.int64]
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
        parameters = model.parameters
        self.model, self.encoder, self.most, self._answer = model, model.encoder, most, answer
        self.columns: tuple[str, str, str | None] = (parameters.case, parameters.activity, parameters.time or None)
        self.rows = RowReader(
            self.columns[:2], self.columns[2], self.encoder.reading.times, numbers=self.encoder.unit[0] != "days"
        )
        self._said: set[str] = set()
        self._shared = [shared_steps(member, partial(_stepped, member)) for member in model.network.members]
        copies: list[Any] = [each.copy for each in self._shared]
        self._members: list[Member] = [each.beside["whole"] for each in copies]
        self._cases: OrderedDict[str, _Open] = OrderedDict()

    @property
    def header(self) -> tuple[str, ...]:
        """The names that a row may have."""
        return (*self.bare, *self.encoder.reading.columns)

    @property
    def bare(self) -> tuple[str, ...]:
        """Case, activity and time, where a row names nothing."""
        return tuple(name for name in self.columns if name is not None)

    def __len__(self) -> int:
        """Return how many cases are held."""
        return len(self._cases)

    def steps(self, row: Mapping[str, Any] | str) -> Steps:
        """Take an event; return what comes next in its case.

        Args:
            row: with the columns of the training data, `{"case": 7, "activity": "open", "time": "2024-01-31 13:00"}`,
                or a line of CSV with case, activity and time in that order. The time is a text, a `datetime`, a number
                where the training data has numbers, or `None` if it is not known; a covariate that the row does not
                have is missing.

        Returns:
            `next`, its `probability`, when (`in_days`), and more; see `EventPredictor.answers`.

        Raises:
            StreamRowError: a column is missing, the time cannot be read, or lies before that of the event before it.
                The case stays as it was.
        """
        case, activity, moment = self.rows.read(row)
        cells = self._cells(row)
        opened = self._cases.get(case) or self._begun()
        if moment < opened.last:
            raise StreamRowError(
                f'case "{case}": the event "{activity}" lies {self._words(opened.last - moment)} before the last one; '
                "push the events of a case in the order of time"
            )
        self._check_gap(case, activity, moment - opened.last)
        kind, begun = self.encoder.index.get(activity, 0), opened.first if opened.events else moment
        counts = opened.counts + (self.encoder.counted == kind)
        numbers, codes = self._event(opened, moment, begun, cells)
        event = torch.from_numpy(numbers.astype(np.float32)), torch.from_numpy(codes)
        answers = []
        for row_of, member in zip(opened.rows, self._members, strict=True):
            with torch.no_grad():
                read = member.read(torch.tensor([kind]), *event, torch.tensor(counts[None], dtype=torch.float32))
            y = yield row_of.ask(read[0].numpy())
            with torch.no_grad():
                answers.append(member.predicted(torch.from_numpy(np.array(y))[None], read))
        if not kind and activity not in self._said:
            self._said.add(activity)
            note(f'the activity "{activity[:80]}" was not in training; it is taken as an unknown one')
        known = moment if math.isfinite(moment) else opened.last
        lags = np.append(kind + 1, opened.lags[:-1])
        self._cases[case] = _Open(opened.rows, counts, lags, opened.events + 1, begun, known)
        self._cases.move_to_end(case)
        if len(self._cases) > self.most:
            self._cases.popitem(last=False)
        scores, times = together(answers)
        seen = Seen(lags[None], counts[None], numbers, codes)
        mixed = self.encoder.mixture(scores.double().softmax(-1).numpy(), seen)
        told = self.encoder.mixture.timed(times, seen, self.encoder.scales)
        return self._answer(mixed[0], told[0], case)

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
        kept = [] if before is None else [each.state() for each in before.rows]
        forgotten = next(iter(self._cases.items()), None)
        try:
            found: dict[str, Any] = self.push(row)
            return found
        finally:
            self._said = said
            if before is None:
                self._cases.pop(case, None)
            else:
                for value, state in zip(before.rows, kept, strict=True):
                    value.restore(state)
                self._cases[case] = before
            if forgotten is not None:
                self._cases.setdefault(*forgotten)
            self._cases = OrderedDict((name, self._cases[name]) for name in order)

    def reset(self) -> None:
        """Forget all cases."""
        self._cases.clear()

    def mark(self) -> str:
        """Return what tells the model from others."""
        return " ".join(each.mark for each in self._shared)

    def kept(self) -> dict[str, Any]:
        """Return all cases, the one that has not gone on for longest first."""
        cases = self._cases.values()
        whole = [[case.events, *case.lags, *case.counts] for case in cases]
        return {
            "cases": list(self._cases),
            "whole": np.array(whole, np.int64).reshape(len(cases), self._width),
            "times": np.array([[case.first, case.last] for case in cases], np.float64).reshape(-1, 2),
            "states": [[row.state() for row in case.rows] for case in cases],
        }

    @property
    def _width(self) -> int:
        return 1 + LAGS + len(self.encoder.counted)

    def accept(self, kept: Mapping[str, Any]) -> None:
        """Resume with the cases of a state."""
        names, whole, times, states = (kept.get(name) for name in ("cases", "whole", "times", "states"))
        count, members = len(names) if isinstance(names, list) else -1, len(self._shared)
        if (
            not isinstance(names, list)
            or not isinstance(states, list)
            or not isinstance(whole, np.ndarray)
            or not isinstance(times, np.ndarray)
            or not all(isinstance(name, str) for name in names)
            or len(set(names)) != count
            or (whole.shape, times.shape, len(states)) != ((count, self._width), (count, 2), count)
            or (whole.dtype.kind, times.dtype.kind) != ("i", "f")
            or (whole < 0).any()
            or (whole[:, 1 : 1 + LAGS] > len(self.encoder.known) + 1).any()
            or (whole[:, 0] < 1).any()
            or (whole > FARTHEST).any()
            or (np.abs(times) > FARTHEST * 2).any()
            or not all(isinstance(each, (list, tuple)) and len(each) == members for each in states)
        ):
            raise refused("holds no cases of events")
        found = OrderedDict[str, _Open]()
        for name, value, (first, last), state in zip(names, whole, times.tolist(), states, strict=True):
            if any(one is None for one in state):
                raise refused(f'has no state of the case "{name[:80]}"')
            found[name] = self._restored(value, first, last, state)
        while len(found) > self.most:
            found.popitem(last=False)
        self._cases = found

    def _restored(self, whole: NDArray[np.int64], first: float, last: float, state: Sequence[Any]) -> _Open:
        found = _Open(self._begun().rows, whole[1 + LAGS :], whole[1 : 1 + LAGS], int(whole[0]), first, last)
        for row, value in zip(found.rows, state, strict=True):
            row.restore(value)
        return found

    def _check_gap(self, case: str, activity: str, gap: float) -> None:
        """Refuse a time so far after that of the event before that it is rather an error than a pause."""
        dates = self.encoder.unit[0] == "days"
        # ten thousand times a long pause of the training data, and a year at least
        most = max(_STEPS * self.encoder.longest, _YEAR if dates else _STEPS)
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

    def _begun(self) -> _Open:
        counts, lags = np.zeros(len(self.encoder.counted), np.int64), np.zeros(LAGS, np.int64)
        return _Open(tuple(map(Row, self._shared)), counts, lags)

    def _cells(self, row: Any) -> dict[str, NDArray[Any]]:
        """Return the covariates of an event, one cell each."""
        given = row if isinstance(row, Mapping) else {}
        return {name: _cell(name, kind, given.get(name)) for name, kind in self.encoder.reading.columns.items()}

    def _event(self, opened: _Open, moment: float, begun: float, cells: Cells) -> tuple[Floats, Codes]:
        """Return the numbers and codes of an event, `(1, ...)` each."""
        encoder = self.encoder
        calendar = encoder.unit[0] == "days" and encoder.reading.times.kind != "elapsed"
        known = np.array([moment, opened.last if opened.events else math.nan, begun])
        walls = wall_seconds(known, encoder.reading.times.zone) if calendar else np.full(3, math.nan)
        now, before, first = walls[:, None]
        gap, elapsed = known[:1] - known[1:2], known[:1] - known[2:]
        times = time_numbers(encoder.clock, [opened.events], gap, elapsed, (now, before, first))
        numbers = np.concatenate([times, encoder.covariates.values(cells, 1)], -1)
        return numbers, event_codes(encoder.covariates, now, cells)


def _stepped(member: Any) -> Headed:
    return Headed(member.stack, nn.Identity(), whole=member)


def _cell(name: str, kind: str, given: Any) -> NDArray[Any]:
    """Return a cell of a covariate as a column of one row.

    Raises:
        StreamRowError: it is no number where the training data has numbers.
    """
    value = plain_value(given)
    text = "" if value is None else str(value).strip()
    if text in ("", *NO_NAMES):
        return np.array([None if kind == "text" else math.nan])
    if kind == "text":
        return np.array([text], object)
    word = text.lower()
    try:
        return np.array([float(word in YES) if word in (*YES, *NO) else float(text)])
    except ValueError as error:
        raise StreamRowError(f'its "{name}" is "{text[:80]}"; expected a number, as in the training data') from error
