"""Series: what an anomaly detector of series declares."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ostinato.data import MISSING, Frequency, Schema
from ostinato.data.anomaly_windows import is_window_file, labelled
from ostinato.data.panel import time_text
from ostinato.data.recordings import Recording, RecordingReading, RecordingSet, places_of, read_recordings
from ostinato.data.zones import aware
from ostinato.errors import DataError, UsageError
from ostinato.tasks.anomaly.baselines import BASELINES, fit_baseline
from ostinato.tasks.anomaly.encoder import Scales, SeriesEncoder, SeriesExamples, cycles_of, fingerprint_of
from ostinato.tasks.anomaly.judged import Scored
from ostinato.tasks.anomaly.key_panels import groups_of
from ostinato.tasks.anomaly.manners import usual_of
from ostinato.tasks.anomaly.measuring import label_measures, step_measures, step_units
from ostinato.tasks.anomaly.network import SeriesNetwork
from ostinato.tasks.anomaly.novelty import Novelty
from ostinato.tasks.anomaly.panels import series_panels
from ostinato.tasks.anomaly.parameters import AnomalyParameters
from ostinato.tasks.anomaly.reasons import answer_of
from ostinato.tasks.anomaly.scorer import SeriesScorer, errors_of, said_of
from ostinato.tasks.anomaly.scoring import Calibration, calibrated, live_scores, scores_of, z_of
from ostinato.tasks.anomaly.seasons import find_season
from ostinato.tasks.anomaly.stream import SeriesStream
from ostinato.tasks.anomaly.thresholds import best_threshold
from ostinato.tasks.anomaly.views import Pace
from ostinato.tasks.anomaly.windows import SeriesBatches, SeriesObjective, sequences_an_epoch
from ostinato.tasks.base.alarms import asked_words
from ostinato.tasks.base.batches import padded
from ostinato.tasks.base.embeddings import FEWEST_DRAWN, drawn, embedding_panel
from ostinato.tasks.base.holding_out import Held, Shares, cut, percent
from ostinato.tasks.base.lines import columns_of, is_table
from ostinato.tasks.base.steps import StepUnit
from ostinato.tasks.base.suited import Suited
from ostinato.tasks.base.summary import Panel
from ostinato.tasks.base.task import Baselines, Model, Task, reading_of
from ostinato.tasks.base.units import Units

Watching: TypeAlias = "Model[AnomalyParameters, SeriesEncoder]"
Ints = NDArray[np.int64]
FEWEST = 16  # rows to train on
_TAIL = 256  # rows from which a stream begins, beside a season
_LEAD = 4  # long runs
_CALIBRATED = 30_000  # rows, the newest, that calibrate; no fewer than _FEW of a series
_FEW = 500
_HELD = (100_000, 50_000)  # rows that validate, and that are tested, at most
_MEMORY = (1000, 10_000)  # steps in which what is usual is learned again


@dataclass(frozen=True)
class SeriesRows:
    """Some rows of series, `(series,)` each: from `start` to `stop`; `None`: all of them."""

    records: RecordingSet
    start: Ints | None = None
    stop: Ints | None = None

    def __len__(self) -> int:
        if self.start is None or self.stop is None:
            return len(self.records)
        return int((self.stop - self.start).sum())

    @property
    def origin(self) -> str:
        """What the data is called."""
        return self.records.origin

    @property
    def bounds(self) -> tuple[Ints, Ints]:
        """First and last rows."""
        lengths = np.array([len(one) for one in self.records.series], np.int64)
        return (
            np.zeros_like(lengths) if self.start is None else self.start,
            lengths if self.stop is None else self.stop,
        )


class SeriesTask(Task[AnomalyParameters, SeriesRows, SeriesEncoder, SeriesExamples, Scored]):
    """Series of one or many channels, as they were recorded."""

    records = "rows"
    suited = Suited(800, 8, 60)

    def read(
        self,
        parameters: AnomalyParameters,
        source: Any,
        reading: RecordingReading | None = None,
        *,
        labelled: bool = True,
    ) -> SeriesRows:
        if isinstance(source, SeriesRows):
            return source
        marks, named = None, parameters.labels if labelled else None
        if isinstance(source, Labelled):
            source, marks = source.data, source.labels
            if isinstance(marks, (str, Path)):
                marks, named = None, str(marks)
        file = named is not None and is_window_file(named)
        column = None if file else named
        records = read_recordings(source, schema_of(parameters), labels=column, reading=reading)
        if not records.series:
            raise DataError(f"{records.origin} has no rows; give some")
        given = named is not None and (reading is None or named != parameters.labels)
        if named is not None and given and not file and not records.labelled:
            raise DataError(
                f'{records.origin} has no column "{named}" of labels, and there is no file of that name; '
                "name a column, or a file of windows"
            )
        if file and named is not None:
            records = with_windows(records, named)
        return SeriesRows(records if marks is None else with_marks(records, marks))

    def reading(self, records: SeriesRows) -> RecordingReading:
        return records.records.reading

    def hold_out(self, parameters: AnomalyParameters, records: SeriesRows, shares: Shares) -> Held[SeriesRows]:
        first, last = records.bounds
        parts = [cut(int(stop - start), shares) for start, stop in zip(first, last, strict=True)]
        cuts = np.array([[part[0].stop, part[1].stop] for part in parts], np.int64).reshape(-1, 2) + first[:, None]
        most = [max(each // max(len(parts), 1), _FEW) for each in _HELD]  # what more would say is not worth its time
        validated = np.minimum(cuts[:, 1] - cuts[:, 0], most[0])
        cuts[:, 1] = np.maximum(cuts[:, 1], last - most[1])
        cuts[:, 0] = cuts[:, 1] - validated
        if not len(parts) or (cuts[:, 0] - first).max() < FEWEST:
            longest = int((last - first).max()) if len(parts) else 0
            raise DataError(
                f"{records.origin} has {longest} rows in its longest series, of which {FEWEST} must be left to train "
                "on; give more, or hold less of it out"
            )
        bounds = [(first, cuts[:, 0]), (cuts[:, 0], cuts[:, 1]), (cuts[:, 1], last)]
        train, validation, test = (replace(records, start=a, stop=b) for a, b in bounds)
        limited = f", {most[1]:,} rows at most" if len(parts) and (last - cuts[:, 1]).max() == most[1] else ""
        return Held(train, validation, test, f"the last {percent(shares.test)} of each series{limited}")

    def join(self, first: SeriesRows, second: SeriesRows) -> SeriesRows | None:
        if second.records is not first.records:
            return None
        return replace(first, stop=second.bounds[1])

    def title(self, records: SeriesRows) -> str:
        names = records.records.reading.channels
        return f"Anomalies of {', '.join(names[:3])}" + (", …" if len(names) > 3 else "")

    def steps_an_epoch(self, parameters: AnomalyParameters, train: SeriesRows) -> int:
        first, last = train.bounds
        steps = min(parameters.steps, max(2, int((last - first).max())))
        return -(-sequences_an_epoch(len(train), steps) // parameters.batch_size)

    def encoder(self, parameters: AnomalyParameters, train: SeriesRows) -> SeriesEncoder:
        records, (first, last) = train.records, train.bounds
        given = parameters
        scales = [Scales.of(one.values[a:b]) for one, a, b in zip(records.series, first, last, strict=True)]
        window = min(given.window, max(2, int((last - first).max()) // 2)) if given.method == "reconstruct" else 0
        season = given.season or _season_of(records, first, last)
        channels, rows = len(records.reading.channels), int((last - first).sum())
        memory = given.adaptation or int(np.clip(rows, *_MEMORY))
        pace = Pace(given.short_run, max(given.long_run, given.short_run + 1), memory)
        return SeriesEncoder(
            records.reading, tuple(one.id for one in records.series),
            np.stack([one.center for one in scales]), np.stack([one.scale for one in scales]),
            np.stack([one.change for one in scales]), season, cycles_of(records, last - first), window,
            Calibration.unknown(np.full(channels, 5.0), pace), np.inf, last, fingerprint_of(records),
            *tails_of(records, max(_TAIL, season + 2 * given.long_run)),
            np.stack([np.stack([Novelty().kept()] * channels)] * len(records.series)),
        )  # fmt: skip

    def network(self, parameters: AnomalyParameters, encoder: SeriesEncoder, train: SeriesRows | None) -> nn.Module:
        given = parameters
        return SeriesNetwork(
            encoder.network_sizes, given.cell, given.hidden_size, given.num_layers, given.dropout, given.code_size
        )

    def encode(self, model: Watching, records: SeriesRows) -> SeriesExamples:
        return SeriesExamples(model.encoder, records.records, *records.bounds)

    def batches(self, model: Watching, examples: SeriesExamples, *, training: bool) -> SeriesBatches | None:
        parameters = model.parameters
        found = SeriesBatches(
            examples, steps=parameters.steps,
            batch_size=parameters.batch_size if training else 4 * parameters.batch_size, training=training,
            seed=parameters.seed,
        )  # fmt: skip
        return found if len(found) else None

    def objective(self, model: Watching, train: SeriesExamples) -> SeriesObjective:
        return SeriesObjective()

    def calibrate(self, model: Watching, validation: SeriesExamples | None) -> SeriesEncoder:
        """Return the encoder with views, tails and threshold of normal rows up to the end of the validation part."""
        if validation is None:
            return model.encoder
        return self._calibrated(model, [validation])

    def finished(self, model: Watching, examples: Held[SeriesExamples]) -> SeriesEncoder:
        validation = examples.validation
        if validation is None:
            return self._calibrated(model, [examples.train])
        if validation.records is examples.train.records:  # the training rows lie before them
            return self._calibrated(model, [validation])
        return self._calibrated(model, [examples.train, validation])

    def _calibrated(self, model: Watching, parts: list[SeriesExamples]) -> SeriesEncoder:
        parameters, encoder = model.parameters, model.encoder
        freedom = encoder.calibration.freedom
        if not encoder.window:
            freedom = model.network.degrees().detach().double().numpy()
        errors, kept, marks, learned = [], [], [], []
        states: dict[str, tuple[Novelty, ...]] = {}
        for part in parts:
            learned += _learned(encoder, part.records)
            said = said_of(model.network, [inputs.features for inputs in part.inputs])
            for place, inputs in enumerate(part.inputs):
                rows, normal = max(_FEW, _CALIBRATED // len(part.inputs)), part.normal(place)
                values = states.setdefault(part.records.series[place].id, _nothing(encoder))
                errors.append(errors_of(encoder, inputs, said[place], part.scales[place].change, rows, normal, values))
                kept.append(normal[-rows:])
                learned[-len(part.inputs) + place] -= max(0, len(inputs.values) - rows)
                marks.append(None if part.records.series[place].labels is None else ~kept[-1])
        found = calibrated(errors, kept, freedom, encoder.calibration.pace, parameters.merge, learned)
        found = replace(found, manners=_manners(encoder, parts))
        threshold, words = (
            -math.log(parameters.false_alarm_rate),
            f"{parameters.false_alarm_rate:g} false alarms a step",
        )
        if parameters.threshold == "labels":
            related = [one.related(found.relations) for one in errors]
            raw = [scores_of(found, one, z_of(one, found.usual, found.freedoms, found.pace))[0] for one in related]
            scores = [live_scores(found, one) for one in raw]
            threshold, words = best_threshold(scores, marks, threshold, words, parameters.merge)
        seen = [np.stack([state.kept() for state in states.get(name, _nothing(encoder))]) for name in encoder.names]
        return replace(encoder, calibration=found, threshold=float(threshold), chosen=words, seen=np.stack(seen))

    def predict(self, model: Watching, examples: SeriesExamples) -> Scored:
        encoder = model.encoder
        said = said_of(model.network, [inputs.features for inputs in examples.inputs])
        parts = []
        for place, inputs in enumerate(examples.inputs):
            scales = examples.scales[place]
            scorer = SeriesScorer(encoder, scales.change, examples.records.series[place].id)
            start = int(examples.start[place])
            # of a part far into a series, the rows before it that what is usual is learned from again are enough
            begin = max(
                0, start - encoder.season - _LEAD * encoder.calibration.pace.long - encoder.calibration.pace.memory
            )
            steps = [scorer.push(inputs, row, said[place][row]) for row in range(begin, len(inputs.values))]
            steps = steps[start - begin :]
            shape = (len(steps), encoder.channels)
            expected, spread = (
                np.array([getattr(one, name) for one in steps]).reshape(shape) for name in ("expected", "spread")
            )
            scores = np.array([one.score for one in steps])
            parts.append(Scored(
                scores, scores >= encoder.threshold, expected * scales.scale + scales.center,
                np.array([one.why for one in steps], np.int64).reshape(-1, 3), spread * scales.scale,
                np.array([one.begins for one in steps], np.bool_),
            ))  # fmt: skip
        return Scored(*(np.concatenate([getattr(one, name) for one in parts]) for name in
                        ("scores", "alarms", "expected", "why", "spread", "begins")))  # fmt: skip

    def embed(self, model: Watching, examples: SeriesExamples) -> NDArray[np.float32]:
        """Return what the network knows at the end of each series; see `SeriesNetwork.encoded`."""
        held = [inputs.features for inputs in examples.inputs]
        if empty := next(
            (one.id for one, rows in zip(examples.records.series, held, strict=True) if not len(rows)), None
        ):
            raise DataError(f'series "{empty}" of {examples.records.origin} has no rows; leave it out')
        return self._embedded(model, held)

    def _embedded(self, model: Watching, features: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        lengths = torch.tensor([len(one) for one in features])
        with torch.no_grad():
            found: NDArray[np.float32] = model.network.encoded(padded(features), lengths).numpy()
        return found

    def baselines(self, model: Watching, train: SeriesExamples, validation: SeriesExamples | None) -> Baselines:
        base = validation if validation is not None and validation.records is train.records else train
        names = [name for name in BASELINES if name != "random scores" or base.records.labelled]
        return {name: partial(fit_baseline, name, model, base) for name in names}

    def measures(self, model: Watching, examples: SeriesExamples, predicted: Scored) -> dict[str, float]:
        found = step_measures(examples, predicted, model.parameters.merge)
        return {**found, **label_measures(examples, predicted, model.parameters.merge)}

    def units(self, model: Watching, examples: SeriesExamples, predicted: Scored) -> Units:
        return step_units(examples, predicted, model.parameters.merge)

    def counted(self, model: Watching, examples: SeriesExamples) -> tuple[int, str]:
        return len(examples), "steps"

    def protocol(self, model: Watching, examples: SeriesExamples) -> str:
        known = (
            "against labels" if examples.labels is not None else "unlabelled, so that every alarm may be a false one"
        )
        return (
            f"each step scored from those before it, {known}; alarms up to {model.parameters.merge} steps apart are "
            f"one; {self._asked(model)}"
        )

    def _asked(self, model: Watching) -> str:
        by_labels = model.parameters.threshold == "labels"
        return "alarms are set by labels" if by_labels else asked_words(model.parameters.false_alarm_rate, "steps")

    def facts(
        self, model: Watching, parts: Held[SeriesRows], examples: Held[SeriesExamples]
    ) -> Iterable[tuple[str, str]]:
        records, encoder = parts.train.records, model.encoder
        yield "channels", ", ".join(records.reading.channels)
        yield "series", f"{len(records.series):,}"
        gaps = sum(int((np.diff(places_of(one, records.reading.step)) > 1).sum()) for one in records.series)
        yield "rows", f"{len(records):,}" + (f", {gaps:,} gaps between them" if gaps else "")
        missing = sum(int(np.isnan(one.values).sum()) for one in records.series)
        yield "missing values", f"{missing:,}; they are not scored"
        if encoder.reading.step and records.series[0].times.dtype.kind in "mM":
            yield "usual step", encoder.frequency.describe()
        yield "labels", "known" if records.labelled else "none: what is usual is learned from all training rows"
        for name, part in parts.named().items():
            yield name, "none" if part is None else f"{len(part):,} rows"

    def step_unit(self, model: Watching) -> StepUnit:
        # without a calendar a step may be of numbers
        return StepUnit("rows", model.encoder.frequency.seconds if model.encoder.cycles else None)

    def settings(self, model: Watching) -> Mapping[str, Any]:
        encoder = model.encoder
        return {
            "method": "reconstruct" if encoder.window else "forecast", "target": encoder.reading.schema.target,
            "time": encoder.reading.schema.time, "series_id": encoder.reading.schema.series_id,
            "season": encoder.season, "adaptation": encoder.calibration.pace.memory,
            "alarm from": f"{encoder.threshold:.4g} nats ({encoder.chosen})",
        }  # fmt: skip

    def panels(
        self, model: Watching, records: SeriesRows, examples: SeriesExamples, predicted: Scored
    ) -> Iterable[Panel]:
        yield from series_panels(model, examples, predicted)
        there = [place for place in drawn(len(examples.inputs)).tolist() if len(examples.inputs[place].features)]
        if len(there) >= FEWEST_DRAWN:
            edges = np.append(0, np.cumsum(examples.stop - examples.start))
            alarms = np.array([predicted.alarms[edges[place] : edges[place + 1]].any() for place in there])
            features = [examples.inputs[place].features for place in there]
            yield embedding_panel(self._embedded(model, features), groups_of(alarms, None))

    def pieces(self, model: Watching, source: Any) -> Iterator[SeriesRows]:
        reading = model.encoder.reading
        if source is None:
            raise UsageError("there is nothing to score; give a file, or rows")
        if not is_table(source) and not isinstance(source, (SeriesRows, np.ndarray)) and _are_lines(source):
            names = [*reading.channels, *([reading.schema.series_id] if reading.schema.series_id else [])]
            names += [reading.schema.time] if reading.schema.time else []
            source = columns_of(source, [name for name in names if name], "rows")
        yield self.read(model.parameters, source, reading_of(model), labelled=False)

    def answers(self, model: Watching, records: SeriesRows) -> Iterator[Mapping[str, Any]]:
        examples = self.encode(model, records)
        found = self.predict(model, examples)
        offset = 0
        for one, a, b in zip(records.records.series, *records.bounds, strict=True):
            for row in range(int(a), int(b)):
                at = offset + row - int(a)
                yield row_answer(model.encoder, one, row, found, at)
            offset += int(b - a)

    def stream(
        self, model: Watching, *, series_id: str | None = None, warm: bool = True, cold: bool = False, **options: Any
    ) -> SeriesStream:
        if options:
            raise UsageError(f"a stream of series has no option {next(iter(options))}; it has series_id, warm and cold")
        return SeriesStream(model, series_id, warm=warm and not cold)


@dataclass(frozen=True)
class Labelled:
    """Data and its labels, given apart."""

    data: Any
    labels: Any


def schema_of(parameters: AnomalyParameters) -> Schema:
    """Return the roles of columns that parameters say."""
    given = parameters
    target = () if given.target is None else (given.target,) if isinstance(given.target, str) else tuple(given.target)
    return Schema(
        target=target, time=given.time, series_id=given.series_id, missing=(*MISSING, *given.all_missing),
        decimal=given.decimal, day_first=given.day_first, time_format=given.time_format, time_zone=given.time_zone,
    )  # fmt: skip


def with_windows(records: RecordingSet, file: str) -> RecordingSet:
    """Return series with the labels of a file of windows."""
    return labelled(records, file)


def with_marks(records: RecordingSet, marks: Any) -> RecordingSet:
    """Return one series with a label for each row.

    Raises:
        DataError: there are several series, or not as many labels as rows.
    """
    found = np.asarray(marks).ravel()
    if len(records.series) != 1:
        raise DataError("labels that are given apart are of one series; for several give them as a column, labels=...")
    if len(found) != len(records):
        raise DataError(f"there are {len(found)} labels for {len(records)} rows; expected one for each")
    return records.with_labels((found.astype(np.float64) != 0,))


def tails_of(records: RecordingSet, rows: int) -> tuple[tuple[NDArray[np.float64], ...], tuple[NDArray[Any], ...]]:
    """Return the newest rows of each series, and their times."""
    return (
        tuple(np.ascontiguousarray(one.values[-rows:]) for one in records.series),
        tuple(_plain_times(one.times[-rows:]) for one in records.series),
    )


def _plain_times(times: NDArray[Any]) -> NDArray[Any]:
    """Return times as numbers that a model's folder can hold."""
    return np.ascontiguousarray(times.astype(np.int64) if times.dtype.kind in "mM" else times)


def row_answer(encoder: SeriesEncoder, one: Recording, row: int, found: Scored, at: int) -> dict[str, Any]:
    """Return what is said of a row of a file."""
    assert found.why is not None
    assert found.expected is not None
    assert found.spread is not None
    assert found.begins is not None
    time = one.times[row : row + 1]
    shown = aware(time, encoder.reading.time_format.zone)[0] if time.dtype.kind == "M" else time[0]
    answer: dict[str, Any] = {} if encoder.reading.schema.time is None else {"time": time_text(shown)}
    if encoder.reading.schema.time is None:
        answer["row"] = row + 1
    if encoder.reading.schema.series_id:
        answer["series"] = one.id
    return {
        **answer,
        **answer_of(
            encoder,
            one.values[row],
            float(found.scores[at]),
            found.why[at],
            found.expected[at],
            found.spread[at],
            begins=bool(found.begins[at]),
        ),
    }


def _learned(encoder: SeriesEncoder, records: RecordingSet) -> list[int]:
    """Return how many rows of each series the network was trained on, from the first."""
    if fingerprint_of(records) != encoder.fingerprint:
        return [0] * len(records.series)
    return [int(rows) for rows in encoder.trained]


def _manners(encoder: SeriesEncoder, parts: list[SeriesExamples]) -> NDArray[np.float64]:
    """Return how long channels stand still, and how they follow their season, on the newest normal rows."""
    rows = []
    for part in parts:
        newest = slice(-max(_FEW, _CALIBRATED // len(part.inputs)), None)
        for place, inputs in enumerate(part.inputs):
            held = inputs.values[newest], inputs.last[newest], inputs.season[newest]
            rows.append((*held, part.normal(place)[newest]))
    return usual_of(encoder.channels, encoder.season, rows)


def _nothing(encoder: SeriesEncoder) -> tuple[Novelty, ...]:
    return tuple(Novelty() for _ in range(encoder.channels))


def _are_lines(source: Any) -> bool:
    first = source[0] if isinstance(source, (list, tuple)) and source else source
    return isinstance(first, (str, Mapping)) or hasattr(source, "__next__")


def _season_of(records: RecordingSet, first: Ints, last: Ints) -> int:
    """Return the season that the training rows show, on the grid of usual steps."""
    step, parts = records.reading.step, []
    for one, a, b in zip(records.series, first, last, strict=True):
        changed = replace(one, values=one.values[a:b], times=one.times[a:b], labels=None)
        places = places_of(changed, step)
        if not len(places) or places[-1] > 20 * len(places) + 1000:
            parts.append(changed.values)
            continue
        grid = np.full((int(places[-1]) + 1, changed.values.shape[1]), np.nan)
        grid[places] = changed.values
        parts.append(grid)
    usual: tuple[int, ...] = ()
    if step and all(one.times.dtype.kind == "M" for one in records.series):
        usual = Frequency("us", step=max(1, int(step))).seasons
    return find_season(parts, usual)
