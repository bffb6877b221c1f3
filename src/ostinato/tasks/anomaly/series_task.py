"""Series: what an anomaly detector of series declares."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ostinato.data.recordings import RecordingReading, places_of
from ostinato.errors import DataError, UsageError
from ostinato.tasks.anomaly.answering import row_answer, scored
from ostinato.tasks.anomaly.baselines import BASELINES, fit_baseline
from ostinato.tasks.anomaly.calibrating import calibrated_encoder
from ostinato.tasks.anomaly.encoder import Scales, SeriesEncoder, SeriesExamples, cycles_of, fingerprint_of
from ostinato.tasks.anomaly.judged import Scored
from ostinato.tasks.anomaly.key_panels import groups_of
from ostinato.tasks.anomaly.measuring import label_measures, step_measures, step_units
from ostinato.tasks.anomaly.network import SeriesNetwork
from ostinato.tasks.anomaly.novelty import Novelty
from ostinato.tasks.anomaly.panels import series_panels
from ostinato.tasks.anomaly.parameters import AnomalyParameters
from ostinato.tasks.anomaly.scoring import Calibration
from ostinato.tasks.anomaly.series_rows import SeriesRows, held_out, read_rows, season_of, tails_of
from ostinato.tasks.anomaly.stream import SeriesStream
from ostinato.tasks.anomaly.views import Pace
from ostinato.tasks.anomaly.windows import SeriesBatches, SeriesObjective, sequences_an_epoch
from ostinato.tasks.base.alarms import asked_words
from ostinato.tasks.base.batches import padded
from ostinato.tasks.base.embeddings import FEWEST_DRAWN, drawn, embedding_panel
from ostinato.tasks.base.holding_out import Held, Shares
from ostinato.tasks.base.lines import columns_of, is_table
from ostinato.tasks.base.steps import StepUnit
from ostinato.tasks.base.suited import Suited
from ostinato.tasks.base.summary import Panel
from ostinato.tasks.base.task import Baselines, Model, Task, reading_of
from ostinato.tasks.base.units import Units
from ostinato.words import counted

Watching: TypeAlias = "Model[AnomalyParameters, SeriesEncoder]"
_TAIL = 256  # rows from which a stream begins, beside a season
_MEMORY = (1000, 10_000)  # steps in which what is usual is learned again


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
        return read_rows(parameters, source, reading, labelled=labelled)

    def reading(self, records: SeriesRows) -> RecordingReading:
        return records.records.reading

    def hold_out(self, parameters: AnomalyParameters, records: SeriesRows, shares: Shares) -> Held[SeriesRows]:
        return held_out(records, shares)

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
        season = given.season or season_of(records, first, last)
        channels, rows = len(records.reading.channels), int((last - first).sum())
        memory = given.adaptation or int(np.clip(rows, *_MEMORY))
        pace = Pace(given.short_run, max(given.long_run, given.short_run + 1), memory, season)
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
        return calibrated_encoder(model, [validation])

    def finished(self, model: Watching, examples: Held[SeriesExamples]) -> SeriesEncoder:
        validation = examples.validation
        if validation is None:
            return calibrated_encoder(model, [examples.train])
        if validation.records is examples.train.records:  # the training rows lie before them
            return calibrated_encoder(model, [validation])
        return calibrated_encoder(model, [examples.train, validation])

    def predict(self, model: Watching, examples: SeriesExamples) -> Scored:
        return scored(model, examples)

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
            yield name, "none" if part is None else counted(len(part), "rows")

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


def _are_lines(source: Any) -> bool:
    first = source[0] if isinstance(source, (list, tuple)) and source else source
    return isinstance(first, (str, Mapping)) or hasattr(source, "__next__")
