"""From a trained classifier to its summary: scores beside baselines, what the data was, what is to be seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ostinato.tasks.classify.baselines import COMMONEST, commonest
from ostinato.tasks.classify.batches import scores_of
from ostinato.tasks.classify.calibration import with_temperature
from ostinato.tasks.classify.examples import counts_in_words
from ostinato.tasks.classify.fitting import Task, trained_weights
from ostinato.tasks.classify.metrics import BETTER, Floats, Prediction, calibration_error, scores_for
from ostinato.tasks.classify.network import ClassifierNetwork
from ostinato.tasks.classify.panels import class_panels, verdict
from ostinato.tasks.classify.parts import Part, Parts
from ostinato.tasks.base.summary import Summary, history_rows, in_words
from ostinato.training import History


@dataclass(frozen=True)
class _Read:
    """A part with the probabilities that the network gives, before and after the temperature."""

    part: Part
    raw: Floats
    chances: Floats

    @classmethod
    def of(cls, network: ClassifierNetwork, part: Part | None, temperature: float) -> _Read | None:
        if part is None:
            return None
        scores = scores_of(network, part.arrays)
        return cls(part, with_temperature(scores, 1.0), with_temperature(scores, temperature))

    def calibration(self) -> str:
        errors = [calibration_error(own, self.part.targets) for own in (self.raw, self.chances)]
        return f"{errors[0]:.4f} before and {errors[1]:.4f} after"


def summarise(
    task: Task, network: ClassifierNetwork, encoder: Any, parts: Parts, temperature: float, history: History
) -> Summary:
    """Return what there is to see of a fit."""
    validation, test = (_Read.of(network, part, temperature) for part in (parts.validation, parts.test))
    seen = test or validation or _Read.of(network, parts.train, temperature)
    assert seen is not None
    scores, words = _compared(task, parts, encoder, test)
    part = seen.part
    panels = class_panels(network, part, parts.classes, seen.raw, seen.chances, lambda row: task.show(part, row))
    return Summary(
        title=f"Classes of {parts.train.examples.origin}",
        task=task.kind,
        settings=in_words(task.parameters),
        parameters=trained_weights(network),
        seconds=history.rows[-1].seconds if history.rows else 0.0,
        data=(
            *_described(parts),
            *task.described(encoder),
            ("calibration", _calibration(validation, test, temperature)),
        ),
        history=history_rows(history),
        best_epoch=history.best_epoch,
        stopped=history.stopped,
        protocol=parts.protocol,
        scores=scores,
        better=BETTER if scores else {},
        verdict=words,
        panels=(*panels, *task.panels(network, part, parts.classes, encoder)),
    )


def _compared(task: Task, parts: Parts, encoder: Any, test: _Read | None) -> tuple[dict[str, dict[str, float]], str]:
    """Return the scores of the model and its baselines on the test part, and the verdict."""
    if test is None:
        return {}, "Nothing was held out for a test, so that there is nothing to compare."
    classes, targets = len(parts.classes), test.part.targets
    told = {
        "model": Prediction.of(test.chances),
        **task.baselines(parts, encoder),
        COMMONEST: commonest(parts.train.targets, classes, len(targets)),
    }
    return {name: scores_for(own, targets, classes) for name, own in told.items()}, verdict(told, targets)


def _described(parts: Parts) -> list[tuple[str, str]]:
    found = [("source", parts.train.examples.origin), ("classes", counts_in_words(parts.classes, parts.train.targets))]
    for name, part in (("training", parts.train), ("validation", parts.validation), ("test", parts.test)):
        found.append((name, "none" if part is None else f"{len(part):,} examples, {_lengths(part)}"))
    if parts.test is not None and (count := _repeated(parts.train, parts.test)):
        found.append(("repeated", f"{count:,} of the test examples are in the training part too"))
    return found


def _repeated(train: Part, test: Part) -> int:
    """Return how many test examples read the same as one of training."""
    known = {array.tobytes() for array in train.arrays}
    return sum(array.tobytes() in known for array in test.arrays)


def _lengths(part: Part) -> str:
    sizes = sorted(len(array) for array in part.arrays)
    return f"{sizes[0]} to {sizes[-1]} steps, median {sizes[len(sizes) // 2]}"


def _calibration(validation: _Read | None, test: _Read | None, temperature: float) -> str:
    if validation is None:
        return "none: no examples are held out to find a temperature on"
    errors = [f"on the validation part {validation.calibration()}"]
    errors += [] if test is None else [f"on the test part {test.calibration()}"]
    return f"temperature {temperature:.3f}; expected calibration error {', '.join(errors)}"
