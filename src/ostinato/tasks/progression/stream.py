"""Visits one at a time, of many patients at once: what is told after each, as it would be in a batch."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.health.clock import LONGEST
from ostinato.data.health.rows import Measured, RowReader
from ostinato.data.health.summaries import COUNTS, Running, width
from ostinato.errors import StreamRowError, UsageError
from ostinato.streaming import Row, Steps, Stream, refused, shared_steps
from ostinato.tasks.base.irregular import StepCell
from ostinato.tasks.base.task import Model
from ostinato.tasks.progression.told import answer


@dataclass
class _Patient:
    """What is kept of a patient: before the last visit, of it, and after it."""

    before: Row
    running: Running
    after: Row
    admitted: float
    hour: float = -math.inf
    measured: Measured = field(default_factory=dict)
    said: NDArray[Any] = field(default_factory=lambda: np.zeros(0))


class VisitStream(Stream):
    """Visits of patients as they come; what is kept of each does not grow with them.

    Rows of one patient at one time are one visit. A visit before the last one of its patient is refused.

    Args:
        model: fitted.
        ahead: hours to what is told of next values.
        most: patients held at a time; of more, the one that has been still for longest is forgotten.

    Raises:
        UsageError: `most` is not positive.
    """

    kind = "visits"

    def __init__(self, model: Model[Any, Any], *, ahead: float, most: int) -> None:
        if most < 1:
            raise UsageError(f"max_patients is {most}; expected one or more")
        own = model.encoder
        self.model, self.encoder, self.ahead, self.most = model, own, ahead, most
        self._width = width(len(own.variables))
        self._shared = shared_steps(model.network, lambda: StepCell(model.network, self._width))
        self._rows = RowReader(own.reading, own.variables, own.scales, model.parameters.limits)
        self._patients: OrderedDict[str, _Patient] = OrderedDict()

    @property
    def bare(self) -> tuple[str, ...]:
        """Patient, time, and what else a row that names nothing has."""
        return self._rows.bare

    @property
    def header(self) -> tuple[str, ...]:
        """The names that a row may have."""
        return self._rows.header

    def __len__(self) -> int:
        """Return how many patients are held."""
        return len(self._patients)

    def steps(self, row: Mapping[str, Any] | str) -> Steps:
        """Take a visit; return what is told of its patient.

        Args:
            row: `{"id": 7, "day": 350, "bili": 2.1, "albumin": 3.4}` by the columns of the training data; of a long
                table, a measurement.

        Returns:
            As `ProgressionModel.answers` has it.

        Raises:
            StreamRowError: something is missing or cannot be read, or the patient had a later visit already. The
                patient stays as they were.
        """
        patient, moment, measured = self._rows.read(row)
        own = self._patients.get(patient)
        if own is None:
            admitted = moment if self.encoder.reading.clock.kind == "dates" else 0.0
            running = Running(len(self.encoder.variables), self.encoder.scale)
            own = _Patient(Row(self._shared), running, Row(self._shared), admitted)
        hour = round(moment - own.admitted, 7)
        self._check(patient, own, hour, measured)
        if measured:
            yield from self._take(own, hour, measured)
        self._patients[patient] = own
        self._patients.move_to_end(patient)
        if len(self._patients) > self.most:
            self._patients.popitem(last=False)
        return self._answer(patient, own)

    def _take(self, own: _Patient, hour: float, measured: Measured) -> Steps:
        if hour == own.hour:  # more of the same visit: it is taken once more
            measured = {**own.measured, **measured}
        else:
            if own.measured:
                own.running.step(own.hour, own.measured)
                own.before.assign(own.after)
            own.hour = hour
        own.measured = measured
        own.after.assign(own.before)
        said = yield own.after.ask(own.running.copy().step(hour, measured))
        own.said = said.reshape(len(self.model.network.members), -1)

    def _answer(self, patient: str, own: _Patient) -> dict[str, Any]:
        last = own.running.copy()
        last.step(own.hour, own.measured)
        newest = last.kept[0, list(self.encoder.targets)]
        return answer(self.model.network, self.encoder, patient, own.hour, own.said, newest, self.ahead)

    def slot(self, row: Any) -> str:
        """Return the patient of a row."""
        return self._rows.patient(row)

    def discharge(self, patient: Any) -> bool:
        """Forget a patient; return whether they were there."""
        return self._patients.pop(str(patient), None) is not None

    def reset(self) -> None:
        """Forget all patients."""
        self._patients.clear()

    def mark(self) -> str:
        """Return what tells the model from others."""
        return self._shared.mark

    def _check(self, patient: str, own: _Patient, hour: float, measured: Measured) -> None:
        unit = self.encoder.hours
        if hour < 0:
            raise StreamRowError(
                f'patient "{patient}": the visit lies {-hour / unit:.6g} {self.encoder.unit} before the beginning; '
                "expected later ones"
            )
        if hour < own.hour:
            raise StreamRowError(
                f'patient "{patient}": the visit lies {(own.hour - hour) / unit:.6g} {self.encoder.unit} before the '
                "last one; push visits in the order of time"
            )
        if hour > LONGEST:
            raise StreamRowError(
                f'patient "{patient}": the visit lies {hour / 8766:,.0f} years after the beginning; mend its time'
            )
        if not measured and not own.measured:
            raise StreamRowError(
                f'patient "{patient}": nothing that is known of was measured; expected a value or more'
            )

    # --- states ----------------------------------------------------------------------------------------------------

    def kept(self) -> dict[str, Any]:
        """Return all patients, the one that has been still for longest first."""
        return {"ahead": self.ahead, "patients": [self._plain(name, own) for name, own in self._patients.items()]}

    def _plain(self, name: str, own: _Patient) -> dict[str, Any]:
        return {
            "id": name,
            "admitted": own.admitted,
            "hour": own.hour,
            "codes": np.array(list(own.measured), np.int64),
            "values": np.array(list(own.measured.values()), np.float64),
            "before": own.before.state(),
            "after": own.after.state(),
            "summaries": own.running.kept,
            "summed": own.running.hour,
            "said": own.said,
        }

    def accept(self, kept: Mapping[str, Any]) -> None:
        """Go on with the patients of a state."""
        given = kept.get("patients")
        if not isinstance(given, list) or not all(isinstance(own, Mapping) for own in given):
            raise refused("holds no patients")
        if kept.get("ahead") != self.ahead:
            raise refused(f"is of a stream with ahead={kept.get('ahead')!r} hours, and this one has {self.ahead:g}")
        found: OrderedDict[str, _Patient] = OrderedDict()
        for own in given:
            name = own.get("id")
            if not isinstance(name, str) or name in found:
                raise refused("holds a patient without a name, or one twice")
            found[name] = self._restored(own)
        while len(found) > self.most:
            found.popitem(last=False)
        self._patients = found

    def _restored(self, own: Mapping[str, Any]) -> _Patient:
        size = len(self.encoder.variables)
        codes, values = own.get("codes"), _array(own.get("values"), "f", 1)
        if (
            not isinstance(codes, np.ndarray)
            or codes.dtype.kind != "i"
            or codes.shape != values.shape
            or not len(codes)
            or codes.min() < 0
            or codes.max() >= size
        ):
            raise refused("holds a visit that was not measured so")
        said = _array(own.get("said"), "f", 2)
        network = self.model.network
        if said.shape != (len(network.members), network.causes * network.intervals + 6 * len(network.targets)):
            raise refused("holds answers of another shape")
        summaries, running = _array(own.get("summaries"), "f", 2), Running(size, self.encoder.scale)
        if summaries.shape != running.kept.shape or summaries.dtype != running.kept.dtype:
            raise refused("holds no summaries of a patient")
        if (summaries[COUNTS] < 0).any():
            raise refused("holds summaries of fewer than no measurements")
        running.restore(summaries, _number(own.get("summed")))
        before, after = Row(self._shared), Row(self._shared)
        before.restore(own.get("before"))
        after.restore(own.get("after"))
        hour = _number(own.get("hour"))
        if hour < running.hour:
            raise refused("holds visits that are not in the order of time")
        measured = dict(zip(codes.tolist(), values.tolist(), strict=True))
        return _Patient(before, running, after, _number(own.get("admitted")), hour, measured, said)


def _array(value: Any, kind: str, dimensions: int) -> NDArray[Any]:
    if (
        not isinstance(value, np.ndarray)
        or value.dtype.kind != kind
        or value.ndim != dimensions
        or not np.isfinite(value).all()
    ):
        raise refused("holds something else where numbers belong")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise refused("holds something else where a number belongs")
    return float(value)
