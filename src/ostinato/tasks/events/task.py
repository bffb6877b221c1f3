"""What is an event predictor's own; all else is of `ostinato.tasks.base`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ostinato.data import EventLog, EventReading, TimeFormat, read_event_log
from ostinato.errors import DataError
from ostinato.tasks.base.batches import RowBatches, read_in_batches
from ostinato.tasks.base.class_units import class_units
from ostinato.tasks.base.classes import class_measures
from ostinato.tasks.base.holding_out import Held, Shares, cut, percent
from ostinato.tasks.base.lines import columns_of, is_table
from ostinato.tasks.base.steps import StepUnit
from ostinato.tasks.base.suited import Suited
from ostinato.tasks.base.summary import Panel
from ostinato.tasks.base.task import Baselines, Model, Task, reading_of
from ostinato.tasks.base.units import Parts, Units, mean_of
from ostinato.tasks.events.answers import answer_of, seconds_of
from ostinato.tasks.events.baselines import BoostedTrees, LastActivities, Predicted, WaitsByActivity
from ostinato.tasks.events.boosting import boosting_is_there
from ostinato.tasks.events.cases import Cases, EventBatch, EventEncoder, collate, count_firsts, encode_log, fit_encoder
from ostinato.tasks.events.mixture import Mixture
from ostinato.tasks.events.network import EventNetwork, EventObjective, together
from ostinato.tasks.events.panels import event_panels
from ostinato.tasks.events.parameters import EventParameters
from ostinato.tasks.events.stream import EventStream
from ostinato.words import counted

Events: TypeAlias = "Model[EventParameters, EventEncoder]"
_CASES = 256
_OF_TREES = 0.3  # of the time, to grow trees; half as much again, if it is trained once more


class EventTask(Task[EventParameters, EventLog, EventEncoder, Cases, Predicted]):
    """Event logs: what comes next in a case, and when."""

    records = "cases"
    content_name = "cases"
    decides = ("accuracy",)
    encoder_type = EventEncoder
    baseline_types = (LastActivities, WaitsByActivity, BoostedTrees)
    suited = Suited(1500, 5, 150)
    kept = "the activities, columns and values that are known, the scales of times, what was counted"

    def read(
        self,
        parameters: EventParameters,
        source: Any,
        reading: Any = None,
        *,
        labelled: bool = True,
    ) -> EventLog:
        if isinstance(source, EventLog):
            return source
        wanted = TimeFormat.wanted(
            day_first=parameters.day_first, time_format=parameters.time_format, time_zone=parameters.time_zone
        )
        return read_event_log(
            source, case=parameters.case, activity=parameters.activity, time=parameters.time or None,
            decimal=parameters.decimal, missing=parameters.all_missing, reading=reading, time_format=wanted,
            columns=parameters.wanted,
        )  # fmt: skip

    def reading(self, records: EventLog) -> EventReading:
        return records.reading

    def hold_out(self, parameters: EventParameters, records: EventLog, shares: Shares) -> Held[EventLog]:
        by_start = parameters.order == "start"
        rows = np.argsort(records.starts, kind="stable") if by_start else np.arange(len(records))
        train, validation, test = (records.take(rows[each]) for each in cut(len(rows), shares))
        if not any(train.activities):
            raise DataError(f"{records.origin} leaves {len(train)} cases to train on; give more, or hold fewer out")
        by = "that start last" if by_start else "of the file"
        return Held(train, validation, test, f"the last {percent(shares.test)} of cases, {by}")

    def contents(self, records: EventLog) -> Iterable[Any]:
        """Return the activities of each case and the seconds between them: not when it began, or what it is called."""
        return zip(records.activities, records.gaps, strict=True)

    def join(self, first: EventLog, second: EventLog) -> EventLog:
        return first.joined(second)

    def title(self, records: EventLog) -> str:
        return f"What comes next in {records.origin}"

    def encoder(self, parameters: EventParameters, train: EventLog) -> EventEncoder:
        return self._fitted(parameters, train, None)

    def encoder_again(self, parameters: EventParameters, train: EventLog, first: EventEncoder) -> EventEncoder:
        return self._fitted(parameters, train, first.mixture)

    def _fitted(self, parameters: EventParameters, train: EventLog, first: Mixture | None) -> EventEncoder:
        limit = parameters.max_seconds
        return fit_encoder(
            train, parameters.time_loss, chosen=parameters.wanted is not None,
            trees=parameters.trees and boosting_is_there(), time_trees=parameters.time_weight > 0,
            seconds=None if limit is None else _OF_TREES * limit, first=first,
        )  # fmt: skip

    def network(self, parameters: EventParameters, encoder: EventEncoder, train: EventLog | None) -> nn.Module:
        return EventNetwork(parameters, encoder)

    def encode(self, model: Events, records: EventLog) -> Cases:
        return encode_log(model.encoder, records)

    def batches(self, model: Events, examples: Cases, *, training: bool) -> RowBatches[EventBatch]:
        return RowBatches(
            examples.lengths,
            lambda rows: collate(model.encoder, [examples.cases[row] for row in rows]),
            batch_size=model.parameters.batch_size if training else _CASES,
            shuffle=training,
            seed=model.parameters.seed,
        )

    def objective(self, model: Events, train: Cases) -> EventObjective:
        weight = model.parameters.time_weight if model.encoder.unit[0] else 0.0
        return EventObjective(model.encoder.scales, weight)

    def calibrate(self, model: Events, validation: Cases | None) -> EventEncoder:
        encoder = model.encoder
        if encoder.mixture.weights:
            return encoder
        if validation is None:
            return replace(encoder, mixture=encoder.mixture.usual)
        network, times = self._network(model, validation)
        seen, count = validation.seen(encoder.counted), len(validation)
        mixture = encoder.mixture.weighed(network, seen, validation.following, count)
        mixture = mixture.weighed_times(times, seen, validation.waits, encoder.scales, count)
        if mixture.waits is not None:
            told = seconds_of(encoder, mixture.with_times(times, seen))
            owners = np.repeat(np.arange(count), validation.lengths)
            waits = mixture.waits.weighed(told, seen, validation.waits, owners)
            mixture = replace(mixture, waits=waits)
        return replace(encoder, mixture=mixture)

    def carried(self, first: Events, renewed: Events) -> EventEncoder:
        found, given = renewed.encoder.mixture, first.encoder.mixture
        if (found.trees is None) == (given.trees is None):
            found = replace(found, weights=given.weights)
        if (found.times is None) == (given.times is None):
            found = replace(found, time_weights=given.time_weights)
        if found.waits is not None and given.waits is not None:
            found = replace(found, waits=replace(found.waits, shares=given.waits.shares))
        return replace(renewed.encoder, mixture=found)

    def predict(self, model: Events, examples: Cases) -> Predicted:
        network, times = self._network(model, examples)
        seen, mixture = examples.seen(model.encoder.counted), model.encoder.mixture
        told = mixture.timed(times, seen, model.encoder.scales)
        return Predicted(mixture(network, seen), seconds_of(model.encoder, told))

    def _network(self, model: Events, examples: Cases) -> tuple[NDArray[np.float64], Tensor]:
        """Return the network's probabilities after each event of all cases, and the times, flat."""

        def read(rows: list[int]) -> Iterator[tuple[Tensor, Tensor]]:
            batch = collate(model.encoder, [examples.cases[row] for row in rows])
            scores, times = together(model.network(batch))
            for row, length in enumerate(batch.lengths.tolist()):
                yield scores[:length, row], times[:length, row]

        found = read_in_batches(examples.lengths, read, rows=_CASES)
        scores, times = (torch.cat([each[place] for each in found]) for place in (0, 1))
        return scores.double().softmax(-1).numpy(), times

    def baselines(self, model: Events, train: Cases, validation: Cases | None) -> Baselines:
        classes, whole = len(model.encoder.known) + 1, train.joined(validation)
        return {
            "last activity (Markov)": lambda: LastActivities.fit(whole, classes, 1),
            "last activities, backed off": lambda: LastActivities.chosen(train, validation, classes),
            "mean by last activity": lambda: WaitsByActivity.fit(whole, "mean"),
            "median by last activity": lambda: WaitsByActivity.fit(whole, "median"),
            "gradient boosting, same features": lambda: BoostedTrees.fit(
                whole, model.encoder, times=model.parameters.time_weight > 0
            ),
        }

    def step_unit(self, model: Events) -> StepUnit:
        return StepUnit("events")

    def settings(self, model: Events) -> Mapping[str, Any]:
        encoder = model.encoder
        read = ", ".join(encoder.covariates.names) or "none"
        return {
            "covariates": read + (f" (left out: {said_of(encoder.left)})" if encoder.left else ""),
            "mixed of": encoder.mixture.words,
        }

    def measures(self, model: Events, examples: Cases, predicted: Predicted) -> dict[str, float]:
        kept, found = self._judged(model, examples), dict[str, float]()
        if predicted.probabilities is not None:
            probabilities = predicted.probabilities[kept]
            truth = examples.following[kept]
            found = class_measures(truth, probabilities.argmax(-1), probabilities, probabilities.shape[1])
        word, seconds = model.encoder.unit
        for place, name in enumerate(("next", "left") if word and predicted.seconds is not None else ()):
            assert predicted.seconds is not None
            errors = np.abs(examples.waits[kept, place] - predicted.seconds[kept, place])
            known = np.isfinite(errors)
            if known.any():
                found[f"MAE {name}, {word}"] = float(errors[known].mean() / seconds)
        return found

    def units(self, model: Events, examples: Cases, predicted: Predicted) -> Units:
        """Return the measures by cases: what is said along one case hangs together."""
        kept = self._judged(model, examples)
        owners, count = np.repeat(np.arange(len(examples)), examples.lengths)[kept], len(examples)
        parts = dict[str, Parts]()
        if predicted.probabilities is not None:
            given = predicted.probabilities[kept]
            parts |= class_units(examples.following[kept], given.argmax(-1), given, given.shape[1], owners, count)
        word, seconds = model.encoder.unit
        if word and predicted.seconds is not None:
            errors = np.abs(examples.waits[kept] - predicted.seconds[kept]) / seconds
            parts |= {
                f"MAE {name}, {word}": mean_of(errors[:, place], owners, count)
                for place, name in enumerate(("next", "left"))
            }
        return Units(count, "cases", parts)

    def counted(self, model: Events, examples: Cases) -> tuple[int, str]:
        return int(self._judged(model, examples).sum()), "prefixes"

    def protocol(self, model: Events, examples: Cases) -> str:
        parameters = model.parameters
        end = "the end of the case counted as an activity" if parameters.count_end else "ends of cases not judged"
        return f"all prefixes of {parameters.first_prefix} or more events, {end}"

    def _judged(self, model: Events, examples: Cases) -> NDArray[np.bool_]:
        parameters = model.parameters
        return examples.judged(parameters.first_prefix, parameters.count_end, len(model.encoder.known) + 1)

    def facts(
        self,
        model: Events,
        parts: Held[EventLog],
        examples: Held[Cases],
    ) -> Iterable[tuple[str, str]]:
        for name, log in parts.named().items():
            events = 0 if log is None else sum(map(len, log.activities))
            yield name, "none" if log is None else f"{counted(len(log), 'cases')}, {counted(events, 'events')}"
        known = model.encoder.known
        yield "activities", f"{len(known)}: {', '.join(known[:20])}{', ...' * (len(known) > 20)}"
        yield "times", model.encoder.unit[0] or "none"

    def panels(self, model: Events, records: EventLog, examples: Cases, predicted: Predicted) -> Iterable[Panel]:
        return event_panels(model, records, examples, predicted, self._judged(model, examples))

    def pieces(self, model: Events, source: Any) -> Iterator[EventLog]:
        parameters = model.parameters
        if not is_table(source) and not isinstance(source, EventLog):
            names = [name for name in (parameters.case, parameters.activity, parameters.time) if name]
            source = columns_of(source, names, "events", also=list(model.encoder.reading.columns))
        yield self.read(parameters, source, reading_of(model))

    def answers(self, model: Events, records: EventLog) -> Iterator[Mapping[str, Any]]:
        cases = encode_log(model.encoder, records)
        for first in range(0, len(cases), _CASES):
            part = Cases(cases.cases[first : first + _CASES])
            network, times = self._network(model, part)
            last = np.cumsum(part.lengths) - 1
            mixture, seen = model.encoder.mixture, part.seen(model.encoder.counted).at(last)
            mixed = mixture(network[last], seen)
            moved = mixture.timed(times[torch.from_numpy(last)], seen, model.encoder.scales)
            for row, (value, said) in enumerate(zip(mixed, moved, strict=True)):
                yield answer_of(model.encoder, value, said, records.cases[first + row])

    def stream(self, model: Events, *, max_cases: int = 100_000, **options: Any) -> EventStream:
        return EventStream(model, lambda *each: answer_of(model.encoder, *each), max_cases)

    def updated(self, model: Events, parts: Held[EventLog]) -> EventEncoder:
        known, new = model.encoder, count_firsts(parts.train)
        firsts = {name: known.firsts.get(name, 0) + new.get(name, 0) for name in {**known.firsts, **new}}
        return replace(known, firsts=firsts)


def said_of(left: Mapping[str, str]) -> str:
    """Return which columns are left out, and why."""
    return "; ".join(f"{name} {why}" for name, why in left.items())


def whole_case_scores(model: Events, task: EventTask, log: EventLog) -> Iterator[dict[str, Any]]:
    """Yield how strange each case of a log is; see `EventPredictor.score_cases`."""
    encoder, cases = model.encoder, task.encode(model, log)
    predicted = task.predict(model, cases).probabilities
    assert predicted is not None
    total, first = sum(encoder.firsts.values()), 0
    for row, case in enumerate(cases.cases):
        probabilities = predicted[first : first + len(case.kinds)]
        first += len(case.kinds)
        begun = (encoder.firsts.get(log.activities[row][0], 0) + 1) / (total + len(encoder.known) + 1)
        # what was never seen came less than once in all of training
        seen = case.following < probabilities.shape[1]
        given = probabilities[np.arange(len(probabilities)), np.where(seen, case.following, 0)]
        losses = -np.log(np.append(begun, np.where(seen, np.maximum(given, 1e-12), 1 / (total + 1))))
        worst = int(losses.argmax())
        strangest = (*log.activities[row], encoder.labels[-2])[worst]
        yield {"score": float(losses.mean()), "case": log.cases[row], "strangest": strangest, "place": worst + 1}
