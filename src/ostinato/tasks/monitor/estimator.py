"""`PatientMonitor`: the risk of an outcome after every measurement and at every hour."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.errors import UsageError
from ostinato.tasks.base.estimator import Estimator
from ostinato.tasks.base.resampling import intervals
from ostinato.tasks.monitor.contributions import changes
from ostinato.tasks.monitor.parameters import MonitorParameters
from ostinato.tasks.monitor.task import MonitorTask

_TOP = 5


class PatientMonitor(Estimator[MonitorTask], MonitorParameters):
    """The risk of an outcome after every measurement of a patient and at every hour. This is no medical device.

    Measurements are read as they were recorded, at uneven times and with most values missing; nothing is filled in:
    values, masks and time gaps go to the cell together (GRU-D, if no other is asked for), beside summaries of each
    variable up to the step. The members of a small ensemble are trained together; their mean probability is calibrated
    on patients held out. Patients are in one part only, drawn by outcome.

    `fit` takes a long table (patient, time, variable, value), a wide one, a folder or archive with a file for each
    patient, WFDB records of a monitor's numbers, or `ostinato.data.health.Patients`; outcomes are a second argument, a
    second file, the parameter `outcomes`, or a column of the table. Its parameters are those of `MonitorParameters`.

    Source: Z. Che, S. Purushotham, K. Cho, D. Sontag and Y. Liu, "Recurrent neural networks for multivariate time
    series with missing values", Scientific Reports 8, 2018.

    >>> import numpy as np
    >>> from ostinato import PatientMonitor
    >>> rng, rows, died = np.random.default_rng(0), [], []
    >>> for patient in range(80):
    ...     ill = patient % 2
    ...     died.append({"id": patient, "outcome": ill})
    ...     for hour in range(6):
    ...         pulse = 80 + 9 * ill * hour + rng.normal()
    ...         rows.append({"id": patient, "time": hour, "variable": "HR", "value": pulse})
    >>> options = {"time_unit": "hours", "epochs": 8, "members": 1, "hidden_size": 8, "progress": False}
    >>> model = PatientMonitor(**options).fit(rows, died)
    >>> stream = model.stream()
    >>> first = stream.push({"id": "new", "time": 0, "variable": "HR", "value": 81})["risk"]
    >>> stream.push({"id": "new", "time": 4, "variable": "HR", "value": 121})["risk"] > first
    True
    """

    task = MonitorTask()

    @property
    def classes_(self) -> NDArray[Any]:
        """The outcomes: 0, it does not come; 1, it does."""
        return np.array([0, 1])

    def predict(self, source: Any) -> NDArray[np.int64]:
        """Return whether there is an alarm for each patient after the last measurement, `(patients,)`, 1 or 0."""
        return np.array([int(answer["alarm"]) for answer in self.answers(source)], np.int64)

    def predict_proba(self, source: Any) -> NDArray[np.float64]:
        """Return the risk of each patient after the last measurement, `(patients, 2)`: of no outcome, and of it."""
        risks = np.array([answer["risk"] for answer in self.answers(source)], np.float64)
        return np.stack([1 - risks, risks], 1)

    def answers(
        self, source: Any, *, hourly: bool | None = None, explain: float | None = None, **changes: Any
    ) -> Iterator[Mapping[str, Any]]:
        """Yield the risk of each patient of a source after the last measurement, in the order in which they first come.

        Args:
            source: measurements, without outcomes or with them.
            hourly: the risk at every hour too, `by_hour`.
            explain: which variables changed the risk over so many hours, `because`; see `explain`.
            changes: parameters that are to be other than the model's.

        Raises:
            DataError: the source cannot be read.
            UsageError: `explain` is not above 0.
        """
        model = self._changed(changes)
        for records in self.task.pieces(model, source):
            why = self._why(model, records, explain) if explain is not None else {}
            for answer in self.task.answers_of(model, records, hourly=bool(hourly)):
                yield {**answer, "because": why[answer["id"]]} if why else answer

    def explain(self, source: Any, *, hours: float = 6.0) -> dict[str, dict[str, Any]]:
        """Return which variables changed the risk of each patient over the last hours, by occlusion.

        Args:
            source: measurements, as `answers` takes them.
            hours: before the last measurement.

        Returns:
            By patient: `before` and `after`, the risks, and `variables`: by how much the risk is higher than if the
            variable had not been measured in these hours, the strongest first. This is no medical device.

        Raises:
            UsageError: `hours` is not above 0.
        """
        model = self._model()
        found: dict[str, dict[str, Any]] = {}
        for records in self.task.pieces(model, source):
            found |= self._why(model, records, hours, top=None)
        return found

    def intervals(self, source: Any, outcomes: Any = None) -> dict[str, tuple[float, float]]:
        """Return 95 % intervals of the measures on patients, who are drawn again; see `evaluate`."""
        scores = self.evaluate(source, outcomes)
        return intervals(scores.units["model"], seed=self.seed)

    def one_answer(self) -> tuple[str, Any] | None:
        """Return what one answer is: a measurement pushed into a stream of one patient."""
        stream, encoder = self.stream(), self._checked().model.encoder
        clock = {"numbers": 1.0, "elapsed": "1:00"}.get(encoder.reading.clock.kind, "2024-01-01 01:00")
        row = {"id": "one", "time": clock, "variable": encoder.variables[0], "value": float(encoder.scales.low[0])}
        row |= {encoder.variables[0]: row["value"]}
        return "a measurement of one patient", lambda: stream.push(row)

    def _why(self, model: Any, records: Any, hours: float, top: int | None = _TOP) -> dict[str, dict[str, Any]]:
        if not hours > 0:
            raise UsageError(f"explain is {hours}; expected hours, more than 0")
        stays = self.task.encode(model, records)
        risks = self.task.predict(model, stays)
        predicted = changes(stays, risks, lambda each: self.task.predict(model, each), range(len(stays)), hours)
        names, found = model.encoder.variables, {}
        for patient, (before, after, shares) in zip(stays.ids, predicted, strict=True):
            strongest = sorted(shares, key=lambda code: -abs(shares[code]))[:top]
            found[patient] = {
                "before": before, "after": after, "variables": {names[code]: shares[code] for code in strongest}
            }  # fmt: skip
        return found
