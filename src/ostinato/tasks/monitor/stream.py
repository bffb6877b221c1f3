"""Measurements one at a time, of many patients at once: the risk after each, as it would be in a batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.health.rows import Measured
from ostinato.data.health.summaries import Running, Singles
from ostinato.errors import StreamRowError, UsageError
from ostinato.streaming import Row, Steps, refused
from ostinato.tasks.base.patients import PatientRows, number_of, plain_measured
from ostinato.tasks.base.task import Model
from ostinato.tasks.monitor.stays import on_ticks, ticks_between

_FARTHEST = 50.0  # long stays that a patient may have been there
_MOST_TICKS = 20_000


@dataclass
class _Step:
    """A step that may still change: when it is, what was measured, and where everything stood before it."""

    hour: float
    measured: Measured
    row: Row
    running: Running
    x: Singles | None = None  # what the network read of it


@dataclass
class _Patient:
    """What is kept of a patient: where the network and the summaries stand, and the steps that may still change."""

    row: Row
    running: Running
    admitted: float
    steps: list[_Step] = field(default_factory=list)
    risk: float = 0.0

    @property
    def hour(self) -> float:
        """When the last step was; before the first, never."""
        return self.steps[-1].hour if self.steps else -math.inf


class PatientStream(PatientRows):
    """Measurements of patients as they come; what is kept of each does not grow with them.

    Measurements of one patient at one time are one step, as in a batch: each of them answers with the risk that all so
    far give. Between two times there is a step at every hour. One that comes late is put where it belongs, and the
    steps behind it are taken once more.

    Args:
        model: fitted.
        answer: from a patient's name, hours, risk and threshold to what is said.
        late: hours that a measurement may lie before the newest of its patient.
        most: patients held at a time; of more, the one that has been still for longest is forgotten.

    Raises:
        UsageError: `most` is not positive, or `late` is negative.
    """

    kind, option = "patient", ("late", "")

    def __init__(
        self, model: Model[Any, Any], answer: Callable[..., dict[str, Any]], *, late: float, most: int
    ) -> None:
        super().__init__(model, most=most)
        if not 0 <= late < math.inf:
            raise UsageError(f"late is {late}; expected hours, none or more")
        self.late, self._answer = float(late), answer

    def steps(self, row: Mapping[str, Any] | str) -> Steps:
        """Take a measurement; return the risk of its patient.

        Args:
            row: `{"id": 7, "time": 3.5, "variable": "HR", "value": 88}` by the columns of the training data, or by
                these names; without variable and value it says that time has passed; of a wide table, with several
                variables. Or a line of CSV with these four cells.

        Returns:
            The patient's `id`, the `hours` since admission, the `risk`, whether there is an `alarm`, and a `notice`.

        Raises:
            StreamRowError: something is missing or cannot be read, or the measurement is later than may be.
                The patient stays as they were.
        """
        patient, moment, measured = self._rows.read(row)
        held = self._patients.get(patient)
        if held is None:
            held = _Patient(
                Row(self._shared), self._new_running(), self._admitted(moment), risk=self.encoder.prevalence
            )
        hour = round(moment - held.admitted, 7)
        self._check(patient, held, hour)
        if not held.steps and not measured:  # nothing is known of them yet
            return self._answer(patient, hour, held.risk, self.encoder.threshold)
        if hour > held.hour:
            taken = [*((tick, {}) for tick in self._ticks(held.hour, hour)), (hour, measured)]
            if not measured and not on_ticks(np.array(hour), self.encoder.tick):
                taken.pop()  # that time passes is known by its ticks
            yield from self._take(held, taken)
        else:
            yield from self._put(held, hour, measured)
        self._hold(patient, held)
        return self._answer(patient, max(hour, held.hour), held.risk, self.encoder.threshold)

    # --- steps -----------------------------------------------------------------------------------------------------

    def _take(self, patient: _Patient, taken: Sequence[tuple[float, Measured]]) -> Steps:
        """Take steps behind the last one."""
        for place, (hour, measured) in enumerate(taken):
            is_last = place == len(taken) - 1
            if self.late or is_last:
                before = self._spare(patient, hour)
                before.row.assign(patient.row)
                before.running, before.hour, before.measured = patient.running.copy(), hour, measured
                before.x = None
                patient.steps.append(before)
            x = patient.running.step(hour, measured)
            logits = yield patient.row.ask(x)
            if is_last:
                patient.steps[-1].x, patient.risk = x, self._risk(logits)

    def _spare(self, patient: _Patient, hour: float) -> _Step:
        """Return what can hold a step: that of one which may no longer change, or a new one."""
        found = None
        while patient.steps and (patient.steps[0].hour < hour - self.late or not self.late):
            found = patient.steps.pop(0)
        return found or _Step(hour, {}, Row(self._shared), patient.running)

    def _put(self, patient: _Patient, hour: float, measured: Measured) -> Steps:
        """Put a measurement into a step that is there, or between two, and take what follows once more."""
        place = next(at for at, step in enumerate(patient.steps) if step.hour >= hour)
        following = patient.steps[place:]
        if len(following) == 1 and following[0].hour == hour:  # as most are: of the time that is now
            step = following[0]
            patient.row.assign(step.row)
            if step.x is None or measured.keys() & step.measured.keys():
                patient.running = step.running.copy()
                step.x = patient.running.step(hour, {**step.measured, **measured})
            else:
                patient.running.add(step.x, hour, measured)
            step.measured = {**step.measured, **measured}
            logits = yield patient.row.ask(step.x)
            patient.risk = self._risk(logits)
            return
        patient.row.assign(following[0].row)
        patient.running = following[0].running.copy()
        again = [(step.hour, dict(step.measured)) for step in following]
        if again[0][0] == hour:
            again[0][1].update(measured)
        elif measured:
            # one before all others comes with the ticks between, as if it had been there first
            first = place == 0 and not following[0].running.begun
            between: list[tuple[float, Measured]] = (
                [(tick, {}) for tick in self._ticks(hour, again[0][0])] if first else []
            )
            again = [(hour, measured), *between, *again]
        del patient.steps[place:]
        yield from self._take(patient, again)

    def _ticks(self, last: float, hour: float) -> list[float]:
        """Return the whole ticks after the last step and before an hour; before the first step there are none."""
        tick = self.encoder.tick
        if last == -math.inf:
            return []
        if math.floor(last / tick) + 1 >= math.ceil(hour / tick):  # as most are, without work
            return []
        found: list[float] = ticks_between(last, hour, tick).tolist()
        return [each for each in found if each < hour]

    def _risk(self, logits: NDArray[Any]) -> float:
        given = [_sigmoid(logit) for logit in logits.tolist()]
        mean = min(max(sum(given) / len(given), 1e-7), 1 - 1e-7)
        calibration = self.encoder.calibration
        return _sigmoid(calibration.slope * math.log(mean / (1 - mean)) + calibration.shift)

    # --- rows ------------------------------------------------------------------------------------------------------

    def _check(self, patient: str, own: _Patient, hour: float) -> None:
        if hour < 0:
            raise StreamRowError(
                f'patient "{patient}": the measurement lies {-hour:.6g} hours before admission; expected later ones'
            )
        if hour < own.hour and (not self.late or hour < own.hour - self.late):
            raise StreamRowError(
                f'patient "{patient}": the measurement is {own.hour - hour:.6g} hours late, but no more than '
                f"{self.late:g} are waited for; push measurements in the order of time, or open the stream with late="
            )
        longest = min(_FARTHEST * max(self.encoder.longest, self.encoder.tick), _MOST_TICKS * self.encoder.tick)
        if hour - max(own.hour, 0.0) > longest:
            raise StreamRowError(
                f'patient "{patient}": the measurement lies {hour - max(own.hour, 0.0):,.6g} hours after the one '
                "before, far more than any stay of the training data; mend its time, or discharge the patient first"
            )

    # --- states ----------------------------------------------------------------------------------------------------

    def _plain(self, name: str, patient: _Patient) -> dict[str, Any]:
        return {
            "id": name,
            "admitted": patient.admitted,
            "risk": patient.risk,
            "state": patient.row.state(),
            "summaries": patient.running.kept,
            "hour": patient.running.hour,
            "steps": [
                {
                    "hour": step.hour,
                    **plain_measured(step.measured),
                    "state": step.row.state(),
                    "summaries": step.running.kept,
                    "before": step.running.hour,
                }
                for step in patient.steps
            ],
        }

    def _restored(self, kept: Mapping[str, Any]) -> _Patient:
        steps = kept.get("steps")
        if not isinstance(steps, list) or not all(isinstance(step, Mapping) for step in steps):
            raise refused("holds no steps of a patient")
        admitted, risk = number_of(kept.get("admitted")), number_of(kept.get("risk"))
        running = self._running_of(kept.get("summaries"), kept.get("hour"))
        found = _Patient(self._row_of(kept.get("state")), running, admitted, [], risk)
        for step in steps:
            measured = self._measured_of(step.get("codes"), step.get("values"), "step")
            hour = number_of(step.get("hour"))
            if hour < found.hour:
                raise refused("holds steps that are not in the order of time")
            before = self._running_of(step.get("summaries"), step.get("before"))
            found.steps.append(_Step(hour, measured, self._row_of(step.get("state")), before))
        return found


def _sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit)) if logit > -700 else 0.0
