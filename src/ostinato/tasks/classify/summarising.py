"""From a trained classifier to its summary: scores beside baselines, what the data was, what is to be seen."""

from __future__ import annotations

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
from ostinato.tasks.summary import Panel, Summary, history_rows, in_words
from ostinato.training import History


def summarise(
    task: Task, network: ClassifierNetwork, encoder: Any, parts: Parts, temperature: float, history: History
) -> Summary:
    """Return what there is to see of a fit."""
    scores: dict[str, dict[str, float]] = {}
    words = "Nothing was held out for a test, so that there is nothing to compare."
    if parts.test is not None:
        chances = with_temperature(scores_of(network, parts.test.arrays), temperature)
        told = {"model": Prediction.of(chances), **_baselines(task, parts, encoder)}
        scores = {name: scores_for(own, parts.test.targets, len(parts.classes)) for name, own in told.items()}
        words = verdict(told, parts.test.targets)
    return Summary(
        title=f"Classes of {parts.train.examples.origin}",
        task=task.kind,
        settings=in_words(task.parameters),
        parameters=trained_weights(network),
        seconds=history.rows[-1].seconds if history.rows else 0.0,
        data=tuple(_described(task, network, encoder, parts, temperature)),
        history=history_rows(history),
        best_epoch=history.best_epoch,
        stopped=history.stopped,
        protocol=parts.protocol,
        scores=scores,
        better=BETTER if scores else {},
        verdict=words,
        panels=tuple(_panels(task, network, encoder, parts, temperature)),
    )


def _baselines(task: Task, parts: Parts, encoder: Any) -> dict[str, Prediction]:
    assert parts.test is not None
    count = len(parts.test)
    return {
        **task.baselines(parts, encoder),
        COMMONEST: commonest(parts.train.targets, len(parts.classes), count),
    }


def _described(
    task: Task, network: ClassifierNetwork, encoder: Any, parts: Parts, temperature: float
) -> list[tuple[str, str]]:
    found = [("source", parts.train.examples.origin), ("classes", counts_in_words(parts.classes, parts.train.targets))]
    for name, part in (("training", parts.train), ("validation", parts.validation), ("test", parts.test)):
        found.append((name, "none" if part is None else f"{len(part):,} examples, {_lengths(part)}"))
    found += task.described(encoder)
    if parts.validation is None:
        return [*found, ("calibration", "none: no examples are held out to find a temperature on")]
    errors = [f"on the validation part {_before_and_after(network, parts.validation, temperature)}"]
    if parts.test is not None:
        errors.append(f"on the test part {_before_and_after(network, parts.test, temperature)}")
    return [*found, ("calibration", f"temperature {temperature:.3f}; expected calibration error {', '.join(errors)}")]


def _before_and_after(network: ClassifierNetwork, part: Part, temperature: float) -> str:
    raw, after = _chances(network, part, temperature)
    return f"{calibration_error(raw, part.targets):.4f} before and {calibration_error(after, part.targets):.4f} after"


def _lengths(part: Part) -> str:
    sizes = sorted(len(array) for array in part.arrays)
    return f"{sizes[0]} to {sizes[-1]} steps, median {sizes[len(sizes) // 2]}"


def _panels(task: Task, network: ClassifierNetwork, encoder: Any, parts: Parts, temperature: float) -> list[Panel]:
    part = parts.test or parts.validation or parts.train
    raw, after = _chances(network, part, temperature)
    panels = class_panels(network, part, parts.classes, raw, after, lambda row: task.show(part, row))
    return [*panels, *task.panels(network, part, parts.classes, encoder)]


def _chances(network: ClassifierNetwork, part: Part, temperature: float) -> tuple[Floats, Floats]:
    scores = scores_of(network, part.arrays)
    return with_temperature(scores, 1.0), with_temperature(scores, temperature)
