"""Classifiers that answer as their input comes: line by line, or step by step within one sequence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from ostinato.data.cells import cell_number
from ostinato.data.table import LARGEST
from ostinato.data.times import ANY, FARTHEST
from ostinato.errors import DataError, StreamRowError, UsageError
from ostinato.streaming import stepper
from ostinato.tasks.base.rows import RowReader
from ostinato.tasks.base.task import Model
from ostinato.tasks.classify.encoding import Floats, with_temperature

_GAPS = 1e9  # usual gaps: what is later by more is no pause, and would make every later step one of the past
Answer = Callable[[Floats], dict[str, Any]]


class TextStream:
    """Texts, one a push, each answered by itself."""

    takes_text: ClassVar[bool] = True

    def __init__(self, answer: Callable[[str], Mapping[str, Any]]) -> None:
        self._answer = answer

    def push(self, line: Any) -> Mapping[str, Any]:
        """Return the label of a text, its probability and those of all classes.

        Raises:
            StreamRowError: it is no text.
        """
        if isinstance(line, Mapping) and isinstance(line.get("text"), str):
            line = line["text"]
        if not isinstance(line, str):
            raise StreamRowError(f'it is a {type(line).__name__}; expected a text, or {{"text": "..."}}')
        return self._answer(line)


class SequenceStream:
    """One numeric sequence, a step a push, each answered by what the model makes of the steps so far.

    What is kept does not grow: the states of the layers, and of the pooling its running last, sum, maximum or weighted
    sum. After the last step the answer is that of the whole sequence.

    Args:
        model: whose layers read forward only and which has no convolutions.
        answer: from probabilities to what is returned.

    Raises:
        UsageError: the model needs the end of a sequence.
    """

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
        self._advance = stepper(model.network.stack)
        self.reset()

    def reset(self) -> None:
        """Begin a new sequence."""
        self._advance.reset()
        self._kept = self.model.network.pooling.start()
        self._time: float | None = None

    def push(self, row: Mapping[str, Any] | Sequence[Any] | NDArray[Any], time: Any = None) -> dict[str, Any]:
        """Take in a step and return the answer so far.

        Args:
            row: a value a channel, in their order or by name; `None` or NaN where missing. By name, it may have the
                time of the step too, and `"reset": true` at the first step of a new sequence.
            time: of the step, for a model that was trained with times: a number (of seconds, unless the training
                data had others), or a date with its clock.

        Raises:
            StreamRowError: the row does not fit the model.
        """
        begins = isinstance(row, Mapping) and row.get("reset") is True
        state = self._advance.state() if begins else None  # a step that is refused leaves it as it is
        before = self._kept, self._time
        try:
            return self._pushed(row, time)
        except BaseException:
            self._kept, self._time = before
            if begins:
                self._advance.restore(state)
            raise

    def _pushed(self, row: Any, time: Any) -> dict[str, Any]:
        if isinstance(row, str):
            row = [None if not cell.strip() else cell for cell in row.split(",")]
        if isinstance(row, Mapping):
            if row.get("reset") is True:
                self.reset()
            time = row.get(self._name, time)
        values = self._values(row)
        gap = self._gap(time)
        network = self.model.network
        try:
            gaps = None if gap is None else np.array([gap])
            with np.errstate(over="ignore", invalid="ignore"):  # what becomes infinite is refused as such
                features = self.model.encoder.features(values[None], gaps, "the row")
                stepped = self._advance(features)
        except (DataError, UsageError) as error:
            raise StreamRowError(str(error)) from error
        with torch.inference_mode():
            self._kept = network.pooling.advance(self._kept, torch.from_numpy(stepped))
            scores = network.head(network.pooling.finish(self._kept)).double().numpy()
        return self._answer(with_temperature(scores, self.model.encoder.temperature)[0])

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

    def _gap(self, time: Any) -> float | None:
        if self.model.encoder.gap is None:
            return None
        now = self._moment(time)
        if now is None or not abs(now) < FARTHEST:
            raise StreamRowError(
                f'it has no "{self._name}" that is a time; the model was trained with times: give a number, or a date '
                "such as 2024-01-31 13:00"
            )
        before, self._time = self._time, now
        if before is not None and now <= before:
            self._time = before
            raise StreamRowError(f"its time {now:g} does not come after that of the step before, {before:g}")
        gap = 0.0 if before is None else now - before
        usual = self.model.encoder.gap
        if usual > 0 and gap > _GAPS * usual:
            raise StreamRowError(
                f"its time {now:g} is {gap:g} after that of the step before, {before:g}, where {usual:g} is usual"
            )
        return gap


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
