"""What is a patient monitor's own; all else is of `ostinato.tasks.base`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ostinato.data.health import Clock, HealthReading, Patients, read_patients, with_outcomes, with_statics
from ostinato.data.health.folders import outcomes_beside
from ostinato.data.health.plausible import read_limits, unit_of
from ostinato.data.notes import note
from ostinato.data.times import TimeFormat
from ostinato.errors import DataError, UsageError
from ostinato.nn.by_name import TRANSFORMER
from ostinato.tasks.base.batches import RowBatches, read_in_batches
from ostinato.tasks.base.holding_out import Held, Shares, percent
from ostinato.tasks.base.patients import drawn_by_outcome
from ostinato.tasks.base.resampling import intervals
from ostinato.tasks.base.steps import StepUnit
from ostinato.tasks.base.suited import Suited
from ostinato.tasks.base.summary import Better, Panel
from ostinato.tasks.base.task import Baselines, Model, Task, reading_of
from ostinato.tasks.base.units import Mean, Units
from ostinato.tasks.monitor.baselines import Prevalence, Regression, Severity, logistic
from ostinato.tasks.monitor.judged import IN_ALARM, LEAD, Ward, alarm_parts, hourly_auroc, measures_of, units_of
from ostinato.tasks.monitor.network import MonitorNetwork, MonitorObjective
from ostinato.tasks.monitor.panels import monitor_panels
from ostinato.tasks.monitor.parameters import NOTICE, MonitorParameters
from ostinato.tasks.monitor.stays import (
    Calibration,
    MonitorEncoder,
    StayBatch,
    Stays,
    collate,
    encode,
    fit_encoder,
    on_ticks,
)
from ostinato.tasks.monitor.stream import PatientStream
from ostinato.words import counted

Monitor: TypeAlias = "Model[MonitorParameters, MonitorEncoder]"
Risks: TypeAlias = "NDArray[np.float64]"
_ROWS = 256
_STEPS = 20_000  # of patients that are read together
_FEWEST = 10  # patients of each outcome that a calibration is found from


class MonitorTask(Task[MonitorParameters, Patients, MonitorEncoder, Stays, Risks]):
    """Patients: the risk of an outcome after every measurement and at every hour."""

    records = "patients"
    content_name = "patients"
    descriptive = Task.descriptive | {LEAD, IN_ALARM}
    decides = ("AUROC", "cross-entropy")
    encoder_type = MonitorEncoder
    baseline_types = (Regression, Severity, Prevalence)
    estimator_type = "classifier"
    suited = Suited(700, 8, 60)
    kept = "the variables that are known, their scales, the steps of time, the threshold of alarms"

    def check(self, parameters: MonitorParameters, *, tested: bool) -> None:
        if parameters.cell == TRANSFORMER:
            raise UsageError(
                "cell is transformer, whose memory grows with every measurement of a patient; choose a recurrent cell, "
                "such as gru-d or gru"
            )
        if parameters.window is not None and parameters.outcome_time is None:
            raise UsageError(
                "window says how far ahead the outcome is predicted, but no outcome_time (--outcome-time) says when it "
                "came; name its column, or leave window out"
            )
        read_limits(parameters.limits)

    def joined(self, data: Any, labels: Any) -> Any:
        return (data, labels)

    def read(
        self, parameters: MonitorParameters, source: Any, reading: Any = None, *, labelled: bool = True
    ) -> Patients:
        events, outcomes = source if isinstance(source, tuple) and len(source) == 2 else (source, None)
        patients = events if isinstance(events, Patients) else self._read(parameters, events, reading)
        if labelled and patients.outcomes is None:
            given = outcomes if outcomes is not None else parameters.outcomes
            patients = self._with_outcomes(parameters, patients, events, given)
        elif labelled and outcomes is not None:
            patients = self._with_outcomes(parameters, replace(patients, outcomes=None), events, outcomes)
        return _before_outcomes(patients, parameters) if labelled else patients

    def _read(self, parameters: MonitorParameters, source: Any, reading: HealthReading | None) -> Patients:
        times = TimeFormat.wanted(
            day_first=parameters.day_first, time_format=parameters.time_format, time_zone=parameters.time_zone
        )
        given = parameters
        beside = [column for column in (given.outcome, given.outcome_time) if column]
        patients = read_patients(
            source, id=given.id, time=given.time, variable=given.variable, value=given.value,
            clock=Clock(unit=given.time_unit or "hours", times=times), admission=given.admission,
            left=beside, outcome=given.outcome, outcome_time=given.outcome_time, limits=read_limits(given.limits),
            missing=given.all_missing, decimal=given.decimal, reading=reading, unit_given=given.time_unit is not None,
        )  # fmt: skip
        if given.statics is not None:
            patients = with_statics(
                patients, given.statics, left=beside, missing=given.all_missing, reading=reading
            )  # fmt: skip
        unread = [patients.variables.index(name) for name in given.left_out if name in patients.variables]
        absent = [name for name in given.left_out if name not in patients.variables]
        if absent and reading is None:
            raise UsageError(
                f'leave_out names "{absent[0]}", which is no variable of {patients.origin}; it has '
                f"{', '.join(patients.variables[:12])}"
            )
        if unread:
            patients = patients.kept(~np.isin(patients.codes, unread))
        return patients if given.until is None else patients.until(given.until)

    def _with_outcomes(self, parameters: MonitorParameters, patients: Patients, source: Any, outcomes: Any) -> Patients:
        if outcomes is None:
            outcomes = outcomes_beside(source)
            if outcomes is None:
                raise DataError(
                    f'{patients.origin} has no column "{parameters.outcome}"; give the table of outcomes as outcomes '
                    "(--outcomes FILE), and name its column with outcome (--outcome COLUMN)"
                )
            note(f"the outcomes are those of {outcomes.name}, which lies beside {patients.origin}")
        return with_outcomes(
            patients, outcomes, outcome=parameters.outcome, outcome_time=parameters.outcome_time,
            missing=parameters.all_missing, or_only=parameters.outcome == type(parameters).outcome,
        )  # fmt: skip

    def reading(self, records: Patients) -> HealthReading:
        return records.reading

    def hold_out(self, parameters: MonitorParameters, records: Patients, shares: Shares) -> Held[Patients]:
        _require(records, parameters.outcome)
        words = f"{percent(shares.test)} of the patients, drawn by outcome"
        return drawn_by_outcome(records, (0.0, 1.0), shares, parameters.seed, words)

    def contents(self, records: Patients) -> Iterable[Any]:
        return records.contents()

    def join(self, first: Patients, second: Patients) -> Patients:
        return first.joined(second)

    def title(self, records: Patients) -> str:
        return f"The risk of patients in {records.origin}"

    def encoder(self, parameters: MonitorParameters, train: Patients) -> MonitorEncoder:
        return fit_encoder(train, parameters.tick, parameters.outcome, parameters.window)

    def network(self, parameters: MonitorParameters, encoder: MonitorEncoder, train: Patients | None) -> nn.Module:
        return MonitorNetwork(parameters, len(encoder.variables), encoder.prevalence)

    def encode(self, model: Monitor, records: Patients) -> Stays:
        return encode(model.encoder, records, model.parameters.window)

    def batches(self, model: Monitor, examples: Stays, *, training: bool) -> RowBatches[StayBatch]:
        return RowBatches(
            examples.lengths,
            lambda rows: collate(model.encoder, examples, rows),
            batch_size=model.parameters.batch_size if training else _ROWS,
            shuffle=training,
            seed=model.parameters.seed,
        )

    def objective(self, model: Monitor, train: Stays) -> MonitorObjective:
        return MonitorObjective(last=model.parameters.window is None)

    def calibrate(self, model: Monitor, validation: Stays | None) -> MonitorEncoder:
        encoder = model.encoder
        if validation is None:
            return encoder
        found = replace(encoder, calibration=Calibration())
        raw = self._probabilities(model, validation)
        kept = validation.judged
        truth, owners = validation.labels[kept], validation.owners[kept]
        each = [len(np.unique(owners[truth == outcome])) for outcome in (0, 1)]
        if min(each) >= _FEWEST:
            given = np.clip(raw[kept], 1e-7, 1 - 1e-7)
            slope, shift = logistic(np.log(given / (1 - given)), truth, prior=20.0)
            found = replace(found, calibration=Calibration(max(slope, 0.05), shift))
        ward = Ward(validation, found.calibration(raw), encoder.tick, model.parameters.silence)
        return replace(found, threshold=ward.threshold(model.parameters.alarm_rate))

    def carried(self, first: Monitor, renewed: Monitor) -> MonitorEncoder:
        encoder = first.encoder
        return replace(renewed.encoder, calibration=encoder.calibration, threshold=encoder.threshold)

    def predict(self, model: Monitor, examples: Stays) -> Risks:
        return model.encoder.calibration(self._probabilities(model, examples))

    def _probabilities(self, model: Monitor, examples: Stays) -> Risks:
        """Return the members' mean probability after each step, `(steps,)`."""

        def read(rows: list[int]) -> Iterator[NDArray[np.float64]]:
            batch = collate(model.encoder, examples, rows)
            found = model.network(batch.x, batch.lengths).double().sigmoid().mean(0).numpy()
            for place, length in enumerate(batch.lengths.tolist()):
                yield found[:length, place]

        return np.concatenate(read_in_batches(examples.lengths, read, rows=_ROWS, steps=_STEPS))

    def embed(self, model: Monitor, examples: Stays) -> NDArray[np.float32]:
        """Return what the members know of each patient at the end, `(patients, features)`."""

        def read(rows: list[int]) -> Iterator[NDArray[np.float32]]:
            batch = collate(model.encoder, examples, rows)
            yield from model.network.encoded(batch.x, batch.lengths).numpy()

        return np.stack(read_in_batches(examples.lengths, read, rows=_ROWS, steps=_STEPS))

    def baselines(self, model: Monitor, train: Stays, validation: Stays | None) -> Baselines:
        return {
            "logistic regression, last mean min max": lambda: Regression.fit(
                train, model.encoder, model.parameters.seed
            ),
            "last values": lambda: Severity.fit(train, model.encoder),
            "prevalence": lambda: Prevalence.fit(train),
        }

    def measures(self, model: Monitor, examples: Stays, predicted: Risks) -> dict[str, float]:
        alarms = self._alarms(model, examples, predicted)
        return measures_of(examples, predicted) | {name: alarm.total for name, alarm in alarms.items()}

    def units(self, model: Monitor, examples: Stays, predicted: Risks) -> Units:
        found = units_of(examples, predicted)
        return replace(found, measures={**found.measures, **self._alarms(model, examples, predicted)})

    def _alarms(self, model: Monitor, examples: Stays, predicted: Risks) -> dict[str, Mean]:
        """Return the measures of alarms, if there is an outcome that they could come before."""
        if not (examples.outcomes == 1).any():
            return {}
        parameters = model.parameters
        return alarm_parts(Ward(examples, predicted, model.encoder.tick, parameters.silence), parameters.alarm_rate)

    def better(self, measure: str) -> Better:
        if measure.startswith("sensitivity"):
            return "higher"
        return super().better(measure)

    def counted(self, model: Monitor, examples: Stays) -> tuple[int, str]:
        of = "patients" if model.parameters.window is None else "hours of patients"
        return int(examples.judged.sum()), of

    def protocol(self, model: Monitor, examples: Stays) -> str:
        parameters = model.parameters
        until = "" if parameters.until is None else f" of the first {parameters.until:g} hours"
        if parameters.window is None:
            said = f'"{parameters.outcome}" predicted after the last measurement{until} of each patient'
        else:
            said = (
                f'"{parameters.outcome}" within {parameters.window:g} hours, predicted every '
                f"{'hour' if model.encoder.tick == 1 else f'{model.encoder.tick:g} hours'}{until}"
            )
        return f"{said}; alarms counted with {parameters.silence:g} hours of silence after each"

    def details(self, model: Monitor, examples: Stays, predicted: Mapping[str, Risks]) -> Mapping[str, Any]:
        hours = np.arange(1, 49) * max(model.encoder.tick, 1.0)
        hours = hours[hours <= max(model.encoder.longest, hours[0]) + 1]
        found = intervals(units_of(examples, predicted["model"]), seed=model.parameters.seed)
        return {
            "95 % intervals, patients drawn again": {name: list(value) for name, value in found.items()},
            "AUROC by hour": {
                name: {
                    f"{hour:g}": round(value, 4)
                    for hour, value in zip(hours.tolist(), hourly_auroc(examples, item, hours).tolist(), strict=True)
                    if np.isfinite(value)
                }
                for name, item in predicted.items()
            },
        }

    def remarks(self, values: Mapping[str, Mapping[str, float]], count: int = 0) -> Sequence[str]:
        return (NOTICE,)

    def step_unit(self, model: Monitor) -> StepUnit:
        return StepUnit("times of measurement")

    def settings(self, model: Monitor) -> Mapping[str, Any]:
        encoder = model.encoder
        return {
            "hours between steps": encoder.tick,
            "times are": encoder.reading.clock.words or "rows",
            "threshold of alarms": f"{encoder.threshold:.4g}",
            "calibration": f"slope {encoder.calibration.slope:.3g}, shift {encoder.calibration.shift:.3g}",
        }

    def facts(self, model: Monitor, parts: Held[Patients], examples: Held[Stays]) -> Iterable[tuple[str, str]]:
        for name, value in parts.named().items():
            if value is not None:
                came = int((value.outcomes == 1).sum()) if value.outcomes is not None else 0
                measured = counted(len(value.hours), "measurements")
                yield name, f"{counted(len(value), 'patients')}, {came:,} with the outcome, {measured}"
        names = model.encoder.variables
        yield "variables", f"{len(names)}: {', '.join(names[:40])}{', ...' * (len(names) > 40)}"
        counts = parts.train.impossible
        if counts:
            yield "impossible values left out", ", ".join(f"{name} {count:,}" for name, count in counts.items())
        units = [
            f"{name} in {unit}"
            for place, name in enumerate(parts.train.variables)
            if (values := parts.train.values[parts.train.codes == place]).size
            and (unit := unit_of(name, float(np.median(values))))
        ]
        if units:
            yield "units, as the values look", ", ".join(units)
        place = np.array([model.encoder.index.get(name, 0) for name in parts.train.variables])
        clipped = model.encoder.scales.outliers(place[parts.train.codes], parts.train.values)
        yield "clipped at training quantiles", counted(clipped, "values")

    def panels(self, model: Monitor, records: Patients, examples: Stays, predicted: Risks) -> Iterable[Panel]:
        return monitor_panels(model, records, examples, predicted)

    def answers(self, model: Monitor, records: Patients) -> Iterator[Mapping[str, Any]]:
        yield from self.answers_of(model, records)

    def answers_of(self, model: Monitor, records: Patients, *, hourly: bool = False) -> Iterator[dict[str, Any]]:
        """Yield the risk of each patient after the last measurement, and at every hour if that is asked for."""
        stays = self.encode(model, records)
        risks = self.predict(model, stays)
        threshold = model.encoder.threshold
        for row, name in enumerate(records.ids):
            held = slice(int(stays.bounds[row]), int(stays.bounds[row + 1]))
            found = answer(name, float(stays.hours[held][-1]), float(risks[held][-1]), threshold)
            if hourly:
                ticks = on_ticks(stays.hours[held], model.encoder.tick)
                found["by_hour"] = [
                    [float(hour), float(risk)]
                    for hour, risk in zip(stays.hours[held][ticks], risks[held][ticks], strict=True)
                ]
            yield found

    def pieces(self, model: Monitor, source: Any) -> Iterator[Patients]:
        from ostinato.tasks.base.lines import columns_of, is_table

        if not is_table(source) and not isinstance(source, (Patients, tuple)):
            reading = model.encoder.reading
            names = [name for name in (reading.id, reading.time, reading.variable, reading.value) if name]
            source = columns_of(
                source,
                names,
                "measurements",
                also=[] if reading.variable else [*model.encoder.variables, *reading.levels],
            )
        yield self.read(model.parameters, source, reading_of(model), labelled=False)

    def stream(
        self, model: Monitor, *, late: float = 0.0, max_patients: int = 100_000, **options: Any
    ) -> PatientStream:
        return PatientStream(model, answer, late=late, most=max_patients)


def answer(patient: str, hours: float, risk: float, threshold: float) -> dict[str, Any]:
    """Return what is said of a patient."""
    return {"id": patient, "hours": hours, "risk": risk, "alarm": risk >= threshold, "notice": NOTICE}


def _require(patients: Patients, outcome: str) -> None:
    """Refuse patients of whom nothing can be learned."""
    assert patients.outcomes is not None
    came = int((patients.outcomes == 1).sum())
    if came == 0 or came == len(patients):
        raise DataError(
            f"{'all' if came else 'none'} of the {len(patients):,} patients of {patients.origin} "
            f'{"have" if came else "has"} the outcome "{outcome}"; there is nothing to tell apart: expected both'
        )
    if min(came, len(patients) - came) < 2:
        raise DataError(
            f'only one patient of {patients.origin} has the outcome "{outcome}" {"1" if came == 1 else "0"}; expected '
            "several of each"
        )


def _before_outcomes(patients: Patients, parameters: MonitorParameters) -> Patients:
    """Return patients without what was measured after their outcome, which would tell it, and say so."""
    if patients.outcome_hours is None:
        return patients
    owners = np.repeat(np.arange(len(patients)), np.diff(patients.bounds))
    after = patients.hours >= patients.outcome_hours[owners]
    if after.any():
        note(
            f"{int(after.sum()):,} measurements of {patients.origin} were made at or after the outcome and are left "
            "out: they would tell it"
        )
        patients = patients.kept(~after)
    empty = np.diff(patients.bounds) == 0
    if empty.any():
        gone = ", ".join(f'"{patients.ids[row]}"' for row in np.flatnonzero(empty)[:3])
        note(f"{int(empty.sum()):,} patients have no measurement before the outcome and are left out: {gone}")
        patients = patients.take(np.flatnonzero(~empty))
    if not len(patients):
        raise DataError(
            f"nothing in {patients.origin} was measured before the outcome; expected measurements before it"
        )
    if parameters.window is not None and patients.outcomes is not None:
        assert patients.outcome_hours is not None
        lost = int(((patients.outcomes == 1) & ~np.isfinite(patients.outcome_hours)).sum())
        if lost:
            note(f'{lost:,} patients have the outcome, but no "{parameters.outcome_time}"; they are not learned from')
    return patients
