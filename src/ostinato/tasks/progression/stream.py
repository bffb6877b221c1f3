"""Visits one at a time, of many patients at once: what is predicted after each, as it would be in a batch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.health.clock import LONGEST
from ostinato.data.health.rows import Measured
from ostinato.data.health.summaries import Running
from ostinato.errors import StreamRowError
from ostinato.streaming import Row, Steps, refused
from ostinato.tasks.base.patients import PatientRows, number_of, plain_measured
from ostinato.tasks.base.task import Model
from ostinato.tasks.progression.predictions import answer


@dataclass
class _Patient:
    """What is kept of a patient: before the last visit, of it, and after it."""

    before: Row
    running: Running
    after: Row
    summed: Running
    admitted: float
    hour: float = -math.inf
    measured: Measured = field(default_factory=dict)
    said: NDArray[Any] = field(default_factory=lambda: np.zeros(0))


class VisitStream(PatientRows):
    """Visits of patients as they come; what is kept of each does not grow with them.

    Rows of one patient at one time are one visit. A visit before the last one of its patient is refused.

    Args:
        model: fitted.
        ahead: hours to what is predicted of next values.
        most: patients held at a time; of more, the one that has been still for longest is forgotten.

    Raises:
        UsageError: `most` is not positive.
    """

    kind, option = "visits", ("ahead", " hours")

    def __init__(self, model: Model[Any, Any], *, ahead: float, most: int) -> None:
        super().__init__(model, most=most)
        self.ahead = ahead

    def steps(self, row: Mapping[str, Any] | str) -> Steps:
        """Take a visit; return what is predicted of its patient.

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
        held = self._patients.get(patient)
        if held is None:
            before, after = self._new_running(), self._new_running()
            held = _Patient(Row(self._shared), before, Row(self._shared), after, self._admitted(moment))
        hour = round(moment - held.admitted, 7)
        self._check(patient, held, hour, measured)
        if measured:
            yield from self._take(held, hour, measured)
        self._hold(patient, held)
        return self._answer(patient, held)

    def _take(self, patient: _Patient, hour: float, measured: Measured) -> Steps:
        if hour == patient.hour:  # more of the same visit: it is taken once more
            measured = {**patient.measured, **measured}
        else:
            if patient.measured:
                patient.running = patient.summed
                patient.before.assign(patient.after)
            patient.hour = hour
        patient.measured = measured
        patient.after.assign(patient.before)
        patient.summed = patient.running.copy()
        said = yield patient.after.ask(patient.summed.step(hour, measured))
        patient.said = said.reshape(len(self.model.network.members), -1)

    def _answer(self, patient: str, own: _Patient) -> dict[str, Any]:
        newest = own.summed.kept[0, list(self.encoder.targets)]
        return answer(self.model.network, self.encoder, patient, own.hour, own.said, newest, self.ahead)

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

    def _plain(self, name: str, patient: _Patient) -> dict[str, Any]:
        return {
            "id": name,
            "admitted": patient.admitted,
            "hour": patient.hour,
            **plain_measured(patient.measured),
            "before": patient.before.state(),
            "after": patient.after.state(),
            "summaries": patient.running.kept,
            "summed": patient.running.hour,
            "said": patient.said,
        }

    def _restored(self, kept: Mapping[str, Any]) -> _Patient:
        measured = self._measured_of(kept.get("codes"), _array(kept.get("values"), "f", 1), "visit")
        if not measured:
            raise refused("holds a visit that was not measured so")
        said = _array(kept.get("said"), "f", 2)
        network = self.model.network
        if said.shape != (len(network.members), network.causes * network.intervals + 6 * len(network.targets)):
            raise refused("holds answers of another shape")
        running = self._running_of(_array(kept.get("summaries"), "f", 2), kept.get("summed"))
        before, after = self._row_of(kept.get("before")), self._row_of(kept.get("after"))
        hour = number_of(kept.get("hour"))
        if hour < running.hour:
            raise refused("holds visits that are not in the order of time")
        summed = running.copy()
        summed.step(hour, measured)
        return _Patient(before, running, after, summed, number_of(kept.get("admitted")), hour, measured, said)


def _array(value: Any, kind: str, dimensions: int) -> NDArray[Any]:
    if (
        not isinstance(value, np.ndarray)
        or value.dtype.kind != kind
        or value.ndim != dimensions
        or not np.isfinite(value).all()
    ):
        raise refused("holds something else where numbers belong")
    return value
