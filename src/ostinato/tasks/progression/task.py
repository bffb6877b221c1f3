"""What is a progression model's own; all else is of `ostinato.tasks.base`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ostinato.data.health import Clock, HealthReading, Patients, read_patients
from ostinato.data.health.follow_up import FOLLOW_UP_NAMES, follow_up_column, with_follow_up
from ostinato.data.health.plausible import read_limits
from ostinato.data.notes import note
from ostinato.data.readers import read_table
from ostinato.data.table import Table
from ostinato.data.times import TimeFormat
from ostinato.errors import ColumnError, DataError, UsageError
from ostinato.nn.by_name import TRANSFORMER
from ostinato.tasks.base.batches import RowBatches, read_in_batches
from ostinato.tasks.base.embeddings import embedding_panel
from ostinato.tasks.base.holding_out import Held, Shares, percent
from ostinato.tasks.base.leaks import say_leaks
from ostinato.tasks.base.patients import drawn_by_outcome
from ostinato.tasks.base.resampling import intervals
from ostinato.tasks.base.steps import StepUnit
from ostinato.tasks.base.suited import Suited
from ostinato.tasks.base.summary import Better, Panel
from ostinato.tasks.base.task import Baselines, Model, Task, reading_of
from ostinato.tasks.base.units import Units
from ostinato.tasks.progression.baselines import CarriedForward, KaplanMeier, LandmarkCox, Linear
from ostinato.tasks.progression.beside import set_beside
from ostinato.tasks.progression.courses import CourseBatch, Courses, ProgressionEncoder, collate, encode, fit_encoder
from ostinato.tasks.progression.judged import Prediction, brier, measures_of, units_of
from ostinato.tasks.progression.network import ProgressionNetwork, ProgressionObjective
from ostinato.tasks.progression.panels import progression_panels
from ostinato.tasks.progression.parameters import NOTICE, ProgressionParameters
from ostinato.tasks.progression.predictions import answer, between, incidences, values_ahead
from ostinato.tasks.progression.starts import Start, fit_courses, fit_start
from ostinato.tasks.progression.stream import VisitStream
from ostinato.words import counted

Progression: TypeAlias = "Model[ProgressionParameters, ProgressionEncoder]"
_ROWS, _STEPS = 256, 20_000
_FEWEST_DRAWN = 8  # patients in a picture
_FEWEST = 20  # next values that the width of intervals is set by


class ProgressionTask(Task[ProgressionParameters, Patients, ProgressionEncoder, Courses, Prediction]):
    """Patients over visits: the risk of events by any time ahead, and what is measured next."""

    records = "patients"
    content_name = "patients"
    higher = frozenset({"C-index"})
    decides = ("C-index", "MAE next (SD)")
    encoder_type = ProgressionEncoder
    baseline_types = (LandmarkCox, KaplanMeier, CarriedForward, Linear)
    suited = Suited(600, 8, 60)
    kept = "the variables that are known, their scales, the intervals of time ahead, the landmarks"

    def check(self, parameters: ProgressionParameters, *, tested: bool) -> None:
        if parameters.cell == TRANSFORMER:
            raise UsageError(
                "cell is transformer, whose memory grows with every visit of a patient; choose a recurrent cell, such "
                "as gru or gru-d"
            )
        for name in ("landmarks", "horizons"):
            given = list(getattr(parameters, name))
            if not all(np.isfinite(each) and each >= ((name == "landmarks" and 0.0) or 1e-9) for each in given):
                raise UsageError(f"{name} is {given}; expected times in the unit of the data, above 0")
        read_limits(parameters.limits)

    def read(
        self, parameters: ProgressionParameters, source: Any, reading: Any = None, *, labelled: bool = True
    ) -> Patients:
        if isinstance(source, Patients):
            if labelled and (source.outcomes is None or source.outcome_hours is None):
                raise DataError(f"{source.origin} has no events; read them with ostinato.data.health.follow_up")
            return source
        given = parameters
        times = TimeFormat.wanted(day_first=given.day_first, time_format=given.time_format, time_zone=given.time_zone)
        table = read_table(source, decimal=given.decimal, missing=given.all_missing)
        follow_up = follow_up_column(table, given.follow_up if labelled or given.follow_up in table.columns else None)
        if labelled:
            table.require([given.event])
            if follow_up is None:
                raise ColumnError(
                    f"which column of {table.origin} says when follow-up ended is not known; expected one such as "
                    f"{FOLLOW_UP_NAMES[0]}, or name it with follow_up (--follow-up)"
                )
        beside = [name for name in (given.event, follow_up) if name is not None and name in table.columns]
        patients = read_patients(
            source, id=given.id, time=given.time, variable=given.variable, value=given.value,
            clock=Clock(unit=given.time_unit or "days", times=times),
            left=[*beside, *given.left_out, *_numbered(table)],
            limits=read_limits(given.limits), missing=given.all_missing, decimal=given.decimal, reading=reading,
            unit_given=given.time_unit is not None,
        )  # fmt: skip
        clock = patients.reading.clock
        if reading is None and clock.kind in ("dates", "elapsed"):  # what is said of times has a unit all the same
            unit = given.time_unit or ("days" if clock.kind == "dates" else "hours")
            patients = replace(patients, reading=replace(patients.reading, clock=replace(clock, unit=unit)))
        unread = [place for place, name in enumerate(patients.variables) if name in given.left_out]
        if unread:
            patients = patients.kept(~np.isin(patients.codes, unread))
        absent = [name for name in given.left_out if name not in (*patients.variables, *table.columns)]
        if absent and reading is None:
            raise UsageError(
                f'leave_out names "{absent[0]}", which is neither a column nor a variable of {table.origin}'
            )
        if not labelled:
            return patients
        assert follow_up is not None
        return with_follow_up(patients, table, event=given.event, follow_up=follow_up, missing=given.all_missing)

    def reading(self, records: Patients) -> HealthReading:
        return records.reading

    def hold_out(self, parameters: ProgressionParameters, records: Patients, shares: Shares) -> Held[Patients]:
        _require(records, parameters)
        assert records.outcomes is not None
        words = f"{percent(shares.test)} of the patients, drawn by event"
        return drawn_by_outcome(records, np.unique(records.outcomes), shares, parameters.seed, words)

    def contents(self, records: Patients) -> Iterable[Any]:
        return records.contents()

    def join(self, first: Patients, second: Patients) -> Patients:
        return first.joined(second)

    def title(self, records: Patients) -> str:
        return f"The progression of patients in {records.origin}"

    def encoder(self, parameters: ProgressionParameters, train: Patients) -> ProgressionEncoder:
        given = parameters
        _require(train, given)
        assert train.outcomes is not None
        say_leaks(train, (train.outcomes > 0).astype(np.float64), given.event)
        return fit_encoder(
            train, intervals=given.steps_ahead, event_code=given.event_code, landmarks=list(given.landmarks),
            horizon=given.horizon, horizons=list(given.horizons),
        )  # fmt: skip

    def network(
        self, parameters: ProgressionParameters, encoder: ProgressionEncoder, train: Patients | None
    ) -> nn.Module:
        found = ProgressionNetwork(parameters, encoder)
        if train is not None:
            found.begin(fit_start(encode(encoder, train), parameters.seed))
        return found

    def encode(self, model: Progression, records: Patients) -> Courses:
        return encode(model.encoder, records)

    def batches(self, model: Progression, examples: Courses, *, training: bool) -> RowBatches[CourseBatch]:
        return RowBatches(
            examples.lengths,
            lambda rows: collate(examples, rows),
            batch_size=model.parameters.batch_size if training else _ROWS,
            shuffle=training,
            seed=model.parameters.seed,
        )

    def objective(self, model: Progression, train: Courses) -> ProgressionObjective:
        return ProgressionObjective(model.network)

    def calibrate(self, model: Progression, validation: Courses | None) -> ProgressionEncoder:
        """Widen the intervals of next values so that they hold as many of the validation part as they promise."""
        changed = replace(model.encoder, stretch=np.ones(0))
        if validation is None or not changed.targets:
            return changed
        predicted = self.predict(replace(model, encoder=changed), validation).values
        pairs, stretch = validation.pairs, np.ones(len(changed.targets))
        if predicted is None:
            return changed
        side = np.where(
            pairs.value < predicted[:, 1], predicted[:, 1] - predicted[:, 0], predicted[:, 2] - predicted[:, 1]
        )
        off = np.abs(pairs.value - predicted[:, 1]) / np.maximum(side, 1e-6)
        for target in range(len(stretch)):
            mine = off[pairs.target == target]
            if len(mine) >= _FEWEST:
                level = min(0.8 * (len(mine) + 1) / len(mine), 1.0)
                stretch[target] = float(np.clip(np.quantile(mine, level), 0.3, 3.0))
        return replace(changed, stretch=stretch)

    def finished(self, model: Progression, examples: Held[Courses]) -> ProgressionEncoder:
        """Let a linear model count beside the network, then set the intervals; see `beside`."""
        network, validation = model.network, examples.validation
        for member in network.members:
            member.share.zero_()
        logits = None
        if validation is not None and len(validation):
            logits = network.hazards(torch.from_numpy(self.said(model, validation)))
        set_beside(network, examples.train, validation if logits is not None else None, logits)
        return self.calibrate(model, validation)

    def carried(self, first: Progression, renewed: Progression) -> ProgressionEncoder:
        return replace(renewed.encoder, stretch=first.encoder.stretch)

    def said(self, model: Progression, examples: Courses) -> NDArray[np.float32]:
        """Return what the members say after each step, `(members, steps, numbers)`."""

        def read(rows: list[int]) -> Iterator[NDArray[np.float32]]:
            batch = collate(examples, rows)
            found = model.network(batch.x, batch.lengths).numpy()
            for place, length in enumerate(batch.lengths.tolist()):
                yield found[:, :length, place]

        return np.concatenate(read_in_batches(examples.lengths, read, rows=_ROWS, steps=_STEPS), 1)

    def predict(self, model: Progression, examples: Courses) -> Prediction:
        encoder, marks, pairs = model.encoder, examples.marks, examples.pairs
        said = self.said(model, examples)
        curves = incidences(model.network, said[:, marks.step])
        gone = encoder.landmarks[marks.landmark] - examples.hours[marks.step]
        behind = np.array([[between(encoder, row, lag + encoder.ends) - between(encoder, row, lag) for row in curve]
                           for curve, lag in zip(curves, gone, strict=True)]).reshape(curves.shape)  # fmt: skip
        already = np.array([sum(float(between(encoder, row, lag)) for row in curve)
                            for curve, lag in zip(curves, gone, strict=True)])  # fmt: skip
        found = behind / np.maximum(1 - already, 1e-6)[:, None, None]
        values = None
        if encoder.targets:
            every = values_ahead(model.network, encoder, said[:, pairs.step], examples.newest[pairs.step], pairs.gap)
            values = every[np.arange(len(every)), pairs.target]
        return Prediction(np.clip(found, 0.0, 1.0), values)

    def embed(self, model: Progression, examples: Courses) -> NDArray[np.float32]:
        """Return what the members know of each patient at the end, `(patients, features)`."""

        def read(rows: list[int]) -> Iterator[NDArray[np.float32]]:
            batch = collate(examples, rows)
            yield from model.network.encoded(batch.x, batch.lengths).numpy()

        return np.stack(read_in_batches(examples.lengths, read, rows=_ROWS, steps=_STEPS))

    def baselines(self, model: Progression, train: Courses, validation: Courses | None) -> Baselines:
        found: dict[str, Any] = {
            "Cox at landmarks": lambda: LandmarkCox.fit(train, model.parameters.seed),
            "Kaplan-Meier": lambda: KaplanMeier.fit(train),
        }
        if model.encoder.targets:
            nothing = np.zeros((0, 0))
            found["last value carried forward"] = lambda: CarriedForward.fit(train)
            found["linear model of next values"] = lambda: Linear(Start(nothing, nothing, *fit_courses(train)))
        return found

    def measures(self, model: Progression, examples: Courses, predicted: Prediction) -> dict[str, float]:
        return measures_of(examples, predicted)

    def units(self, model: Progression, examples: Courses, predicted: Prediction) -> Units:
        return units_of(examples, predicted)

    def better(self, measure: str) -> Better:
        return "higher" if measure.startswith("C-index") else super().better(measure)

    def protocol(self, model: Progression, examples: Courses) -> str:
        encoder = model.encoder
        at = ", ".join(f"{hour / encoder.hours:g}" for hour in encoder.landmarks.tolist())
        others = "; other events count as censored in the C-index" if len(encoder.causes) > 1 else ""
        return (
            f'event {encoder.causes[encoder.cause]} of "{model.parameters.event}" within '
            f"{encoder.horizon / encoder.hours:.4g} {encoder.unit} from {at} on, of those followed beyond, by what "
            f"was known then; censoring weighed by its probability{others}"
        )

    def details(self, model: Progression, examples: Courses, predicted: Mapping[str, Prediction]) -> Mapping[str, Any]:
        found = intervals(units_of(examples, predicted["model"]), seed=model.parameters.seed)
        return {
            "95 % intervals, patients drawn again": {name: list(value) for name, value in found.items()},
            "Brier by landmark and time ahead": {
                name: brier(examples, value.incidence)
                for name, value in predicted.items()
                if value.incidence is not None
            },
        }

    def remarks(self, values: Mapping[str, Mapping[str, float]], count: int = 0) -> Sequence[str]:
        return (NOTICE,)

    def step_unit(self, model: Progression) -> StepUnit:
        return StepUnit("visits")

    def settings(self, model: Progression) -> Mapping[str, Any]:
        encoder = model.encoder

        def times(hours: Any) -> str:
            return ", ".join(f"{hour / encoder.hours:.4g}" for hour in hours.tolist())

        return {
            "event": encoder.causes[encoder.cause],
            "landmarks": f"{times(encoder.landmarks)} {encoder.unit}",
            "horizon": f"{encoder.horizon / encoder.hours:.4g} {encoder.unit}",
            "intervals end at": f"{times(encoder.ends)} {encoder.unit}",
            "linear model beside": f"{float(model.network.members[0].share):.0%} of what is said of hazards",
            "next values of": ", ".join(encoder.variables[target] for target in encoder.targets) or "nothing",
        }

    def facts(self, model: Progression, parts: Held[Patients], examples: Held[Courses]) -> Iterable[tuple[str, str]]:
        for name, value in parts.named().items():
            if value is not None and value.outcomes is not None:
                counts = ", ".join(
                    f"{int((value.outcomes == code).sum())} with event {code}" for code in model.encoder.causes
                )
                yield name, f"{counted(len(value), 'patients')}, {counts}, {counted(len(value.hours), 'measurements')}"
        names = model.encoder.variables
        yield "variables", f"{len(names)}: {', '.join(names[:40])}{', ...' * (len(names) > 40)}"

    def panels(
        self, model: Progression, records: Patients, examples: Courses, predicted: Prediction
    ) -> Iterable[Panel]:
        yield from progression_panels(model, self.said(model, examples), examples, predicted)
        if len(examples) >= _FEWEST_DRAWN:
            names = {0: "censored", -1: "not known", **dict(enumerate(map(str, model.encoder.causes), 1))}
            yield embedding_panel(self.embed(model, examples), [names[each] for each in examples.events.tolist()])

    def answers(self, model: Progression, records: Patients) -> Iterator[Mapping[str, Any]]:
        yield from self.answers_of(model, records)

    def answers_of(
        self, model: Progression, records: Patients, *, visits: bool = False, ahead: float | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield what is predicted of each patient after the last visit, and after each if that is asked for."""
        encoder = model.encoder
        hours = hours_ahead(encoder, ahead)
        courses = self.encode(model, records)
        said = self.said(model, courses)
        for row, name in enumerate(courses.ids):
            steps = range(int(courses.bounds[row]), int(courses.bounds[row + 1]))
            each = [
                answer(
                    model.network, encoder, name, float(courses.hours[step]), said[:, step], courses.newest[step], hours
                )
                for step in (steps if visits else steps[-1:])
            ]
            if each:
                yield {**each[-1], "by_visit": each[:-1]} if visits else each[-1]

    def pieces(self, model: Progression, source: Any) -> Iterator[Patients]:
        from ostinato.tasks.base.lines import columns_of, is_table

        if not is_table(source) and not isinstance(source, Patients):
            reading = model.encoder.reading
            names = [name for name in (reading.id, reading.time, reading.variable, reading.value) if name]
            source = columns_of(
                source, names, "visits", also=[] if reading.variable else [*model.encoder.variables, *reading.levels]
            )
        yield self.read(model.parameters, source, reading_of(model), labelled=False)

    def stream(
        self, model: Progression, *, ahead: float | None = None, max_patients: int = 100_000, **options: Any
    ) -> VisitStream:
        return VisitStream(model, ahead=hours_ahead(model.encoder, ahead), most=max_patients)


def hours_ahead(encoder: ProgressionEncoder, ahead: float | None) -> float:
    """Return how far ahead next values are predicted, in hours.

    Raises:
        UsageError: it is negative or no number.
    """
    if ahead is None:
        return encoder.gap
    if not 0 <= ahead < np.inf:
        raise UsageError(f"ahead is {ahead}; expected a time in {encoder.unit}, 0 or more")
    return float(ahead * encoder.hours)


def _numbered(table: Table) -> list[str]:
    """Return columns that number the rows, as programs write them in front of tables: they say nothing of a patient."""
    found = []
    for name in table.columns:
        bare = name.lower().strip("_ .")
        if bare in ("", "rownames", "row_names", "index", "unnamed: 0", "x1"):
            found.append(name)
    if found:
        note(f'column "{found[0]}" of {table.origin} numbers the rows, and is not read')
    return found


def _require(patients: Patients, parameters: ProgressionParameters) -> None:
    """Refuse patients of whom nothing can be learned."""
    assert patients.outcomes is not None
    if len(patients) < 2:
        raise DataError(f"{patients.origin} has one patient; expected several, who are held out by turns")
    came = int((patients.outcomes > 0).sum())
    if came == 0:
        raise DataError(
            f"all {len(patients):,} patients of {patients.origin} are censored; there is no event to learn from: "
            f'expected codes of 1 or more in column "{parameters.event}"'
        )
    if came < 2:
        raise DataError(f"only one patient of {patients.origin} has an event; expected several")
