"""A classifier of numeric sequences that answers step by step within one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ostinato.data.cells import cell_number
from ostinato.data.table import LARGEST
from ostinato.data.times import ANY, FARTHEST
from ostinato.errors import DataError, StreamRowError, UsageError
from ostinato.streaming import Headed, Row, Steps, Stream, refused, shared_steps
from ostinato.tasks.base.rows import RowReader
from ostinato.tasks.base.task import Model
from ostinato.tasks.classify.encoding import Floats, with_temperature

_GAPS = 1e9  # usual gaps: what is later by more is no pause, and would make every later step one of the past
Answer = Callable[[Floats], dict[str, Any]]


class SequenceStream(Stream):
    """One numeric sequence, a step a push, each answered by what the model makes of the steps so far.

    What is kept does not grow: the states of the layers, and of the pooling its running last, sum, maximum or weighted
    sum. After the last step the answer is that of the whole sequence.

    Args:
        model: whose layers read forward only and which has no convolutions.
        answer: from probabilities to what is returned.

    Raises:
        UsageError: the model needs the end of a sequence.
    """

    kind = "sequence"

    def __init__(self, model: Model[Any, Any], answer: Answer) -> None:
        own = model.parameters
        if own.bidirectional or own.convolutions:
            reason = "reads sequences from their end too" if own.bidirectional else "has convolutions in front"
            raise UsageError(
                f"the model {reason}, so that it cannot answer step by step; fit one with bidirectional=False and no "
                "convolutions, or predict whole sequences"
            )
        self.model, self._answer, self._name = model, answer, own.time or "time"
        times = getattr(model.encoder.reading, "time_format", ANY)
        self._rows = RowReader((), self._name, times, numbers=times.kind != "stamps")
        network = model.network
        self._shared = shared_steps(
            network, lambda: Headed(network.stack, nn.Identity(), pooling=network.pooling, top=network.head)
        )
        beside: Any = self._shared.copy
        self._pooling, self._head = beside.beside["pooling"], beside.beside["top"]
        self._row = Row(self._shared)
        self.reset()

    def reset(self) -> None:
        """Begin a new sequence."""
        self._row.restore(None)
        self._kept = self._pooling.start()
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
        state = self._row.state() if begins else None
        try:
            if begins:
                self._row.restore(None)
            stepped = yield self._row.ask(features)
        except BaseException as error:  # a step that is refused leaves the sequence before as it is
            if begins:
                self._row.restore(state)
            if isinstance(error, UsageError):
                raise StreamRowError(str(error)) from error
            raise
        kept = self._pooling.start() if begins else self._kept
        with torch.inference_mode():
            self._kept = self._pooling.advance(kept, torch.from_numpy(stepped)[None])
        self._time = now
        return self.now()

    def now(self) -> dict[str, Any]:
        """Return the answer of the steps so far."""
        if self._row.state() is None:
            raise UsageError("the stream has seen no step yet; push one")
        with torch.inference_mode():
            scores = self._head(self._pooling.finish(self._kept)).double().numpy()
        return self._answer(with_temperature(scores, self.model.encoder.temperature)[0])

    def mark(self) -> str:
        """Return what tells the model from others."""
        return self._shared.mark

    def kept(self) -> dict[str, Any]:
        """Return the states of layers and pooling, and the time of the last step."""
        state = self._row.state()
        pooled = None if state is None else [[own.numpy() for own in pool] for pool in self._kept]
        return {"state": state, "pooling": pooled, "time": self._time}

    def accept(self, kept: Mapping[str, Any]) -> None:
        """Go on from what was kept."""
        state, pooled, time = (kept.get(name) for name in ("state", "pooling", "time"))
        start = self._pooling.start()
        if not {"state", "pooling", "time"} <= kept.keys():
            raise refused("lacks a part")
        if time is not None and not (isinstance(time, float) and abs(time) < FARTHEST):
            raise refused("has a time that is none")
        if (state is None) != (pooled is None):
            raise refused("has a state of the layers or of the pooling, but not of both")
        if pooled is not None:
            if not isinstance(pooled, list) or not _is_like(pooled, start):
                raise refused("has another pooling than the model")
            start = [tuple(torch.from_numpy(own) for own in pool) for pool in pooled]
        self._row.restore(state)
        self._kept, self._time = start, time

    def _values(self, row: Any) -> Floats:
        channels = self.model.encoder.channels
        if isinstance(row, Mapping):
            unknown = next((name for name in channels if name not in row), None)
            if unknown is not None:
                raise StreamRowError(f'it has no "{unknown}"; expected {", ".join(channels[:12])}')
            row = [row[name] for name in channels]
        try:
            values = np.array([cell_number(own) for own in row], np.float64)
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


def _is_like(pooled: list[Any], start: list[Any]) -> bool:
    """Tell whether arrays are laid out as what a pooling keeps, and are numbers."""
    return len(pooled) == len(start) and all(
        isinstance(pool, list)
        and len(pool) == len(own)
        and all(
            isinstance(one, np.ndarray)
            and one.dtype == np.float32
            and one.shape == tuple(like.shape)
            and bool(np.isfinite(one).all())
            for one, like in zip(pool, own, strict=True)
        )
        for pool, own in zip(pooled, start, strict=True)
    )


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
