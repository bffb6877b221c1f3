"""Sequences of event keys: what an anomaly detector of events declares."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ostinato.data import EventLog, EventReading, TimeFormat, read_event_log
from ostinato.data.logs import LogReading, read_raw_log
from ostinato.errors import DataError, UsageError
from ostinato.tasks.anomaly.key_baselines import KnownSequences, LastKey
from ostinato.tasks.anomaly.key_panels import groups_of, key_panels
from ostinato.tasks.anomaly.key_scoring import (
    Found,
    KeyEncoder,
    KeyExamples,
    answers_of,
    indices,
    say_if_unheard,
    scored,
    sequence_score,
)
from ostinato.tasks.anomaly.key_stream import KeyStream, LogStream
from ostinato.tasks.anomaly.measuring import ALARMS
from ostinato.tasks.anomaly.network import KeyNetwork
from ostinato.tasks.anomaly.parameters import AnomalyParameters
from ostinato.tasks.anomaly.thresholds import best_split
from ostinato.tasks.base.alarms import asked_words
from ostinato.tasks.base.areas import auprc, auroc
from ostinato.tasks.base.batches import RowBatches, padded, read_in_batches
from ostinato.tasks.base.embeddings import drawn, embedding_panel
from ostinato.tasks.base.holding_out import Held, Shares, cut, percent
from ostinato.tasks.base.lines import columns_of, is_table
from ostinato.tasks.base.steps import StepUnit
from ostinato.tasks.base.suited import Suited
from ostinato.tasks.base.summary import Panel
from ostinato.tasks.base.tail import Tail
from ostinato.tasks.base.task import Baselines, Model, Task, reading_of
from ostinato.tasks.base.units import Sums, Units, mean_of
from ostinato.training.objective import Step
from ostinato.words import counted

Watching: TypeAlias = "Model[AnomalyParameters, KeyEncoder]"
_UNKNOWN = 0.01  # of the keys are taken for unknown ones in training
_NORMAL = frozenset({"", "0", "0.0", "no", "n", "false", "f", "normal", "ok", "none", "benign"})


class KeyTask(Task[AnomalyParameters, EventLog, KeyEncoder, KeyExamples, Found]):
    """Sequences of keys, such as the templates of log lines by session."""

    records = "sequences"
    suited = Suited(1500, 3, 40)

    def read(
        self, parameters: AnomalyParameters, source: Any, reading: EventReading | None = None, *, labelled: bool = True
    ) -> EventLog:
        given = parameters
        if isinstance(source, EventLog):
            return source
        if (
            isinstance(reading, LogReading)
            or given.method == "logs"
            or (given.method == "auto" and given.event is None)
        ):
            known = reading if isinstance(reading, LogReading) else None
            return read_raw_log(source, pattern=given.id, run=given.log_run, reading=known)
        if given.event is None:
            return sessions_of(source)
        if given.id is None:
            raise UsageError("events need the column that says to which sequence each belongs; name it with id (--id)")
        wanted = TimeFormat.wanted(day_first=given.day_first, time_format=given.time_format, time_zone=given.time_zone)
        common: dict[str, Any] = {
            "case": given.id, "activity": given.event, "time": given.time, "decimal": given.decimal,
            "missing": given.all_missing, "time_format": wanted,
        }  # fmt: skip
        if reading is not None:  # labels are read where they are there
            reading = EventReading(reading.times, {})
        if given.labels is None or not labelled:
            return read_event_log(source, columns=(), reading=reading, **common)
        try:
            return read_event_log(source, columns=(given.labels,), **common)
        except DataError:
            if reading is None:
                raise
            return read_event_log(source, columns=(), reading=reading, **common)

    def reading(self, records: EventLog) -> EventReading:
        return records.reading

    def hold_out(self, parameters: AnomalyParameters, records: EventLog, shares: Shares) -> Held[EventLog]:
        rows = np.argsort(records.starts, kind="stable") if parameters.time else np.arange(len(records))
        train, validation, test = (records.take(rows[each]) for each in cut(len(rows), shares))
        if not len(train):
            raise DataError(f"{records.origin} leaves no sequence to train on; give more, or hold fewer out")
        return Held(train, validation, test, f"the last {percent(shares.test)} of sequences")

    def contents(self, records: EventLog) -> Iterable[Any]:
        return ()  # normal sequences are much alike: that they repeat is what is learned

    def join(self, first: EventLog, second: EventLog) -> EventLog:
        return first.joined(second)

    def title(self, records: EventLog) -> str:
        return f"Anomalies of {records.origin}"

    def encoder(self, parameters: AnomalyParameters, train: EventLog) -> KeyEncoder:
        labels = labels_of(parameters, train)
        normal = [each for each, bad in zip(train.activities, labels or [False] * len(train), strict=True) if not bad]
        keys = tuple(sorted({key for each in normal for key in each}))
        if not keys:
            raise DataError(f"{train.origin} has no normal event to learn from; give some")
        events = sum(map(len, normal))
        return KeyEncoder(train.reading, keys, events, parameters.top, Tail(1.0, 1.0, 1.0, 0.0), math.inf, "")

    def network(self, parameters: AnomalyParameters, encoder: KeyEncoder, train: EventLog | None) -> nn.Module:
        given = parameters
        return KeyNetwork(
            len(encoder.keys), given.embedding_size, given.cell, given.hidden_size, given.num_layers, given.dropout
        )

    def encode(self, model: Watching, records: EventLog) -> KeyExamples:
        labels = labels_of(model.parameters, records)
        return KeyExamples(
            records, tuple(indices(model.encoder, each) for each in records.activities),
            None if labels is None else np.array(labels, np.bool_),
        )  # fmt: skip

    def batches(self, model: Watching, examples: KeyExamples, *, training: bool) -> RowBatches[Any] | None:
        keys = len(model.encoder.keys)
        rows = [i for i in range(len(examples)) if examples.labels is None or not examples.labels[i]]
        if not rows:
            return None
        rng = np.random.default_rng(model.parameters.seed)

        def collate(places: list[int]) -> tuple[torch.Tensor, ...]:
            found = [examples.keys[rows[place]] for place in places]
            return collated(found, keys, rng if training else None)

        return RowBatches(
            [len(examples.keys[row]) + 1 for row in rows], collate,
            batch_size=model.parameters.batch_size * (1 if training else 8), shuffle=training,
            seed=model.parameters.seed,
        )  # fmt: skip

    def objective(self, model: Watching, train: KeyExamples) -> Any:
        def loss(network: Any, batch: Any, carry: Any) -> Step:  # noqa: ARG001
            keys, following, lengths = batch
            scores = network(keys, lengths)
            found = nn.functional.cross_entropy(scores.flatten(0, 1), following.flatten(), ignore_index=-1)
            return Step(found, int((following >= 0).sum()))

        return loss

    def calibrate(self, model: Watching, validation: KeyExamples | None) -> KeyEncoder:
        return model.encoder if validation is None else self._calibrated(model, validation)

    def finished(self, model: Watching, examples: Held[KeyExamples]) -> KeyEncoder:
        encoder = self._calibrated(model, examples.validation or examples.train)
        if model.parameters.threshold == "rate" and model.parameters.top is None:
            say_if_unheard(encoder, model.parameters.false_alarm_rate)
        return encoder

    def _calibrated(self, model: Watching, examples: KeyExamples) -> KeyEncoder:
        parameters, encoder = model.parameters, model.encoder
        found = scored(model.network, encoder, examples.keys)
        scores = np.array([sequence_score(one) for one in found])
        normal = scores if examples.labels is None else scores[~examples.labels]
        tail = Tail.fit(normal, share=max(0.05, min(0.5, 20 / max(len(normal), 1))))
        threshold, words = (
            tail.threshold(parameters.false_alarm_rate),
            f"{parameters.false_alarm_rate:g} false alarms a sequence",
        )
        # what is likelier than not is never strange
        threshold = max(threshold, math.log(2))
        if parameters.threshold == "labels" and examples.labels is not None and examples.labels.any():
            threshold, words = best_split(scores, examples.labels), "by labels"
        if parameters.top is not None:
            threshold, words = float(parameters.top), f"an event that is not among the {parameters.top} expected most"
        return replace(encoder, tail=tail, threshold=float(threshold), chosen=words)

    def predict(self, model: Watching, examples: KeyExamples) -> Found:
        parts = scored(model.network, model.encoder, examples.keys)
        scores = np.array([sequence_score(one) for one in parts])
        return Found(scores, scores >= model.encoder.threshold, tuple(one.nats for one in parts))

    def embed(self, model: Watching, examples: KeyExamples) -> NDArray[np.float32]:
        """Return the state of the network at the end of each sequence, `(sequences, features)`."""
        begin = len(model.encoder.keys) + 1

        def read(rows: list[int]) -> Iterator[NDArray[np.float32]]:
            found = [np.concatenate([[begin], examples.keys[row]]) for row in rows]
            lengths = torch.tensor([len(one) for one in found])
            yield from model.network.encoded(padded(found), lengths).numpy()

        return np.stack(read_in_batches([len(key) for key in examples.keys], read, rows=256))

    def baselines(self, model: Watching, train: KeyExamples, validation: KeyExamples | None) -> Baselines:
        held = validation or train
        rate = model.parameters.false_alarm_rate
        return {
            "last key (Markov)": lambda: LastKey.fit(model.encoder, train, held, rate),
            "sequences seen before": lambda: KnownSequences.fit(train),
        }

    def measures(self, model: Watching, examples: KeyExamples, predicted: Found) -> dict[str, float]:
        found = {name: measure.total for name, measure in self.units(model, examples, predicted).measures.items()}
        labels = examples.labels
        if labels is not None and labels.any() and not labels.all():
            found |= {"AUROC": auroc(labels, predicted.scores), "AUPRC": auprc(labels, predicted.scores)}
        return found

    def units(self, model: Watching, examples: KeyExamples, predicted: Found) -> Units:
        count = len(examples)
        measures: dict[str, Any] = {}
        if predicted.nats is not None:
            owners = np.repeat(np.arange(count), [len(nat) for nat in predicted.nats])
            measures["cross-entropy"] = mean_of(np.concatenate(predicted.nats), owners, count)
        measures[ALARMS] = mean_of(1e4 * predicted.alarms, np.arange(count), count)
        labels = examples.labels
        if labels is not None and labels.any() and not labels.all():
            hits = np.stack([predicted.alarms & labels, predicted.alarms, labels], -1).astype(np.float64)
            measures |= {
                "F1": Sums(hits, lambda sums: _share(2 * sums[:, 0], sums[:, 1] + sums[:, 2])),
                "precision": Sums(hits, lambda sums: _share(sums[:, 0], sums[:, 1])),
                "recall": Sums(hits, lambda sums: _share(sums[:, 0], sums[:, 2])),
                "false positive rate": mean_of(predicted.alarms[~labels], np.flatnonzero(~labels), count),
            }
        return Units(count, "sequences", measures)

    def protocol(self, model: Watching, examples: KeyExamples) -> str:
        known = (
            "against labels" if examples.labels is not None else "unlabelled, so that every alarm may be a false one"
        )
        said = f"a sequence is strange if any of its events is, or its end, {known}"
        by_rate = model.parameters.threshold == "rate" and model.parameters.top is None
        return f"{said}; {asked_words(model.parameters.false_alarm_rate, 'sequences')}" if by_rate else said

    def facts(self, model: Watching, parts: Held[EventLog], examples: Held[KeyExamples]) -> Iterable[tuple[str, str]]:
        for name, log in parts.named().items():
            events = 0 if log is None else sum(map(len, log.activities))
            yield name, "none" if log is None else f"{counted(len(log), 'sequences')}, {counted(events, 'events')}"
        keys = model.encoder.keys
        yield "keys", f"{len(keys)}: {', '.join(keys[:20])}{', ...' * (len(keys) > 20)}"
        if isinstance(model.encoder.reading, LogReading):
            yield "templates", f"{len(model.encoder.reading.templates):,}, found in all lines that were given"
        yield "labels", "known" if examples.train.labels is not None else "none: what is usual is learned from all"

    def step_unit(self, model: Watching) -> StepUnit:
        return StepUnit("lines" if isinstance(model.encoder.reading, LogReading) else "events")

    def settings(self, model: Watching) -> Mapping[str, Any]:
        encoder = model.encoder
        return {
            "method": "logs" if isinstance(encoder.reading, LogReading) else "events",
            "alarm from": f"{encoder.threshold:.4g} ({encoder.chosen})",
        }

    def panels(self, model: Watching, records: EventLog, examples: KeyExamples, predicted: Found) -> Iterable[Panel]:
        yield from key_panels(model.encoder, records, examples, predicted)
        if len(places := drawn(len(examples))):
            some = replace(examples, keys=tuple(examples.keys[place] for place in places.tolist()))
            yield embedding_panel(
                self.embed(model, some),
                groups_of(predicted.alarms[places], None if examples.labels is None else examples.labels[places]),
            )

    def pieces(self, model: Watching, source: Any) -> Iterator[EventLog]:
        parameters = model.parameters
        if source is None:
            raise UsageError("there is nothing to score; give a file, or sequences")
        if (
            parameters.event is not None
            and parameters.id is not None
            and not is_table(source)
            and not isinstance(source, EventLog)
        ):
            names = [name for name in (parameters.id, parameters.event, parameters.time) if name]
            source = columns_of(source, names, "events")
        yield self.read(parameters, source, reading_of(model), labelled=False)

    def answers(self, model: Watching, records: EventLog) -> Iterator[Mapping[str, Any]]:
        examples = self.encode(model, records)
        for row, found in enumerate(scored(model.network, model.encoder, examples.keys)):
            yield from answers_of(model.encoder, records.cases[row], records.activities[row], found)

    def stream(self, model: Watching, *, max_cases: int = 100_000, **options: Any) -> KeyStream:
        return (LogStream if isinstance(model.encoder.reading, LogReading) else KeyStream)(model, max_cases)

    def updated(self, model: Watching, parts: Held[EventLog]) -> KeyEncoder:
        return model.encoder


def sessions_of(source: Any) -> EventLog:
    """Return sessions of keys, one a line of a file with white space between, or each a list.

    Raises:
        DataError: it cannot be read, or there is none.
    """
    origin = "the sequences"
    if isinstance(source, (str, Path)):
        origin = Path(source).name
        try:
            text = Path(source).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{source} cannot be read ({error}); expected a session of keys a line") from error
        rows: list[tuple[str, ...]] = [tuple(line.split()) for line in text.splitlines()]
        rows = [row for row in rows if row]
    elif isinstance(source, Sequence):
        rows = [tuple(each.split()) if isinstance(each, str) else tuple(map(str, each)) for each in source]
        if wrong := next((number for number, row in enumerate(rows, 1) if not row), None):
            raise DataError(f"sequence {wrong} is empty; expected one key or more")
    else:
        raise DataError(
            f"a {type(source).__name__} holds no sequences of keys; give lists, or name id and event of a table"
        )
    if not rows:
        raise DataError(f"{origin} has no sequences; expected a session of keys a line")
    names = tuple(map(str, range(1, len(rows) + 1)))
    return EventLog(origin, names, tuple(rows), tuple(np.full(len(row), np.nan) for row in rows), np.arange(len(rows)))


def labels_of(parameters: AnomalyParameters, log: EventLog) -> list[bool] | None:
    """Return whether each sequence is anomalous, one event of it being so is enough; `None`: not known."""
    cells = log.columns.get(parameters.labels or "")
    if cells is None:
        return None
    return [any(_is_marked(cell) for cell in each) for each in cells]


def _is_marked(cell: Any) -> bool:
    if isinstance(cell, (float, np.floating)):
        return bool(cell == cell and cell != 0)
    return str(cell if cell is not None else "").strip().lower() not in _NORMAL


def collated(
    given: Sequence[NDArray[np.int64]], keys: int, rng: np.random.Generator | None
) -> tuple[torch.Tensor, ...]:
    """Return keys as they are read, what follows each, and lengths; with a generator, some are taken for unknown."""
    longest = max(map(len, given)) + 1
    read = np.full((longest, len(given)), 0, np.int64)
    following = np.full((longest, len(given)), -1, np.int64)
    read[0] = keys + 1
    for column, one in enumerate(given):
        read[1 : len(one) + 1, column] = one
        following[: len(one), column] = one
        following[len(one), column] = keys + 1
    if rng is not None:
        lost = rng.random(read[1:].shape) < _UNKNOWN
        read[1:][lost] = 0
        following[:-1][lost & (following[:-1] >= 0) & (following[:-1] <= keys)] = 0
    lengths = np.array([len(one) + 1 for one in given], np.int64)
    return torch.from_numpy(read), torch.from_numpy(following), torch.from_numpy(lengths)


def _share(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
