"""A classifier of numeric sequences that answers step by step within one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ostinato.data.cells import cell_number
from ostinato.data.table import LARGEST
from ostinato.data.times import ANY, FARTHEST
from ostinato.errors import DataError, StreamRowError, UsageError
from ostinato.nn.pooling import is_like
from ostinato.streaming import Steps, Stream, refused
from ostinato.tasks.base.members import mean_probability
from ostinato.tasks.base.rows import RowReader
from ostinato.tasks.base.task import Model
from ostinato.tasks.base.temperature import with_temperature
from ostinato.tasks.classify.encoding import Floats
from ostinato.tasks.classify.member_steps import MemberSteps
from ostinato.tasks.classify.plan import Plan

_GAPS = 1e9  # usual gaps: what is later by more is no pause, and would make every later step one of the past
Answer = Callable[[Floats], dict[str, Any]]


class SequenceStream(Stream):
    """One numeric sequence, a step a push, each answered by what the model makes of the steps so far.

    What is kept does not grow: of each network the states of its layers, of the pooling the running last, sum, maximum
    or weighted sum, and so many of the last steps as its convolutions see. After the last step the answer is that of
    the whole sequence.

    Args:
        model: whose layers read forward only, and every step.
        answer: from probabilities to what is returned.

    Raises:
        UsageError: the model needs the end of a sequence.
    """

    kind = "sequence"

    def __init__(self, model: Model[Any, Any], answer: Answer) -> None:
        parameters = model.parameters
        plan = Plan.of(parameters, model.encoder)
        if parameters.bidirectional or plan.stride > 1 or plan.wide.kernels:
            reason = (
                "reads sequences from their end too" if parameters.bidirectional
                else "reads several steps as one" if plan.stride > 1 else "has random convolutions"
            )  # fmt: skip
            raise UsageError(
                f"the model {reason}, so that it cannot answer step by step; fit one with bidirectional=False "
                "(--no-bidirectional), and stride and kernels left out, or predict whole sequences"
            )
        self.model, self._answer, self._name = model, answer, parameters.time or "time"
        times = getattr(model.encoder.reading, "time_format", ANY)
        self._rows = RowReader((), self._name, times, numbers=times.kind != "stamps")
        self._members = [MemberSteps(member) for member in model.network.members]
        self.reset()

    def reset(self) -> None:
        """Begin a new sequence."""
        for member in self._members:
            member.restore(None)
        self._kept = [member.start() for member in self._members]
        self._window: NDArray[np.float32] | None = None
        self._time: float | None = None

    def push(self, row: Mapping[str, Any] | Sequence[Any] | NDArray[Any] | str, time: Any = None) -> dict[str, Any]:
        """Take in a step and return the answer so far; see `steps`.

        Args:
            row: as there.
            time: of the step, for a model that was trained with times, if it is not in the row.
        """
        found: dict[str, Any] = super().push(row if time is None else _Timed(row, time))
        return found

    def steps(self, row: Any) -> Steps:
        """Take in a step and return the answer so far.

        Args:
            row: a value a channel, in their order or by name; `None` or NaN where missing. By name, it may have the
                time of the step too, and `"reset": true` at the first step of a new sequence. The time is a number (of
                seconds, unless the training data had others), or a date with its clock.

        Raises:
            StreamRowError: the row does not fit the model; all is as it was.
        """
        row, time = (row.row, row.time) if isinstance(row, _Timed) else (row, None)
        if isinstance(row, str):
            row = [None if not cell.strip() else cell for cell in row.split(",")]
        begins = False
        if isinstance(row, Mapping):
            begins, time = row.get("reset") is True, row.get(self._name, time)
        values = self._values(row)
        before = None if begins else self._time
        gap, now = self._gap(time, before)
        try:
            gaps = None if gap is None else np.array([gap])
            with np.errstate(over="ignore", invalid="ignore"):  # what becomes infinite is refused as such
                features = self.model.encoder.features(values[None], gaps, "the row")[0]
        except (DataError, UsageError) as error:
            raise StreamRowError(str(error)) from error
        window = self._seen(features, None if begins else self._window)
        before_row = [member.state() for member in self._members]
        try:
            if begins:
                for member in self._members:
                    member.restore(None)
            kept = [member.start() for member in self._members] if begins else self._kept
            after = []
            for member, value in zip(self._members, kept, strict=True):
                read, value = member.read(features, window, value)
                stepped = yield member.ask(read)
                after.append(member.advance(value, stepped))
        except BaseException as error:  # a step that is refused leaves the sequence before as it is
            for member, state in zip(self._members, before_row, strict=True):
                member.restore(state)
            if isinstance(error, UsageError):
                raise StreamRowError(str(error)) from error
            raise
        self._kept, self._window, self._time = after, window, now
        return self.now()

    def _seen(self, features: NDArray[np.float32], window: NDArray[np.float32] | None) -> NDArray[np.float32] | None:
        """Return the last steps and their changes, as many as convolutions see, `(steps, twice the features)`."""
        reach = max(member.reach for member in self._members)
        if not reach:
            return None
        change = np.zeros_like(features) if window is None else features - window[-1, : len(features)]
        row = np.concatenate([features, change])[None]
        return row if window is None else np.concatenate([window, row])[-reach:]

    def now(self) -> dict[str, Any]:
        """Return the answer of the steps so far."""
        if self._members[0].state() is None:
            raise UsageError("the stream has seen no step yet; push one")
        logs = [member.finish(value) for member, value in zip(self._members, self._kept, strict=True)]
        with torch.inference_mode():
            mean = mean_probability(torch.stack(logs))
            scores = (self.model.network.shares[0] * mean).double().numpy()
        return self._answer(with_temperature(scores, self.model.encoder.temperature)[0])

    def mark(self) -> str:
        """Return what tells the model from others."""
        return "-".join(member.mark for member in self._members)

    def kept(self) -> dict[str, Any]:
        """Return the states of layers and pooling, the last steps, and the time of the last."""
        states = [member.state() for member in self._members]
        seen = states[0] is not None
        pooled = [[[each.numpy() for each in pool] for pool in kept] for kept in self._kept] if seen else None
        return {"states": states if seen else None, "pooling": pooled, "window": self._window, "time": self._time}

    def accept(self, kept: Mapping[str, Any]) -> None:
        """Resume from what was kept."""
        if not {"states", "pooling", "window", "time"} <= kept.keys():
            raise refused("lacks a part")
        states, pooled, window, time = (kept[name] for name in ("states", "pooling", "window", "time"))
        if time is not None and not (isinstance(time, float) and abs(time) < FARTHEST):
            raise refused("has a time that is none")
        if (states is None) != (pooled is None):
            raise refused("has a state of the layers or of the pooling, but not of both")
        start = [member.start() for member in self._members]
        if pooled is not None:
            if not all(isinstance(each, list) and len(each) == len(start) for each in (states, pooled)):
                raise refused("has other networks than the model")
            if not all(is_like(value, like) for value, like in zip(pooled, start, strict=True)):
                raise refused("has another pooling than the model")
            start = [[tuple(torch.from_numpy(each) for each in pool) for pool in kept] for kept in pooled]
        self._check_window(window, seen=states is not None)
        before = [member.state() for member in self._members]
        try:
            for member, state in zip(self._members, states or before, strict=True):
                member.restore(state if states is not None else None)
        except BaseException:
            for member, state in zip(self._members, before, strict=True):
                member.restore(state)
            raise
        self._kept, self._window, self._time = start, window, time

    def _check_window(self, window: Any, *, seen: bool) -> None:
        reach, width = max(member.reach for member in self._members), 2 * self.model.encoder.width
        if (window is not None) != (seen and reach > 0):
            raise refused("has last steps where the model keeps none, or lacks them")
        if window is not None and not (
            isinstance(window, np.ndarray)
            and window.dtype == np.float32
            and window.ndim == 2
            and 1 <= window.shape[0] <= reach
            and window.shape[1] == width
            and bool(np.isfinite(window).all())
        ):
            raise refused("has last steps of another form than the model's")

    def _values(self, row: Any) -> Floats:
        channels = self.model.encoder.channels
        if isinstance(row, Mapping):
            unknown = next((name for name in channels if name not in row), None)
            if unknown is not None:
                raise StreamRowError(f'it has no "{unknown}"; expected {", ".join(channels[:12])}')
            row = [row[name] for name in channels]
        try:
            values = np.array([cell_number(each) for each in row], np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            raise StreamRowError(
                f"it holds something that is no number ({str(error)[:80]}); expected a value a channel"
            ) from error
        if values.shape != (len(channels),):
            raise StreamRowError(f"it has {len(values)} values; expected {len(channels)}: {', '.join(channels[:12])}")
        if (np.abs(values) > LARGEST).any():
            raise StreamRowError(
                "it holds an infinite number, or one too large for float32; expected finite ones, or null where missing"
            )
        return values

    def _moment(self, time: Any) -> float | None:
        """Return a date as the training data has it, a number, or `None` for what is no time."""
        if not isinstance(time, str) or self._rows.numbers:
            return _seconds(time)
        try:
            return float(time)
        except ValueError:
            return self._rows.moment({self._name: time})

    def _gap(self, time: Any, before: float | None) -> tuple[float | None, float | None]:
        """Return how long the step comes after the one before, and its time."""
        if self.model.encoder.gap is None:
            return None, None
        now = self._moment(time)
        if now is None or not abs(now) < FARTHEST:
            raise StreamRowError(
                f'it has no "{self._name}" that is a time; the model was trained with times: give a number, or a date '
                "such as 2024-01-31 13:00"
            )
        if before is not None and now <= before:
            raise StreamRowError(f"its time {now:g} does not come after that of the step before, {before:g}")
        gap = 0.0 if before is None else now - before
        usual = self.model.encoder.gap
        if usual > 0 and gap > _GAPS * usual:
            raise StreamRowError(
                f"its time {now:g} is {gap:g} after that of the step before, {before:g}, where {usual:g} is usual"
            )
        return gap, now


@dataclass(frozen=True)
class _Timed:
    """A row whose time was given apart."""

    row: Any
    time: Any


def _seconds(time: Any) -> float | None:
    """Return a number as it is, a date as seconds, `None` for anything else."""
    try:
        return float(time)
    except (TypeError, ValueError):
        pass
    except OverflowError:
        return None
    try:
        moment = np.datetime64(time.removesuffix("Z") if isinstance(time, str) else time, "us")
    except (TypeError, ValueError, OverflowError):
        return None
    return None if np.isnat(moment) else float(moment.astype(np.int64)) / 1e6
