"""New examples for a classifier that is there: read with its vocabulary or scales, of its classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ostinato.tasks.classify.batches import ClassObjective, ExampleBatches, scores_of
from ostinato.tasks.classify.calibration import find_temperature, with_temperature
from ostinato.tasks.classify.examples import hold_out
from ostinato.tasks.classify.fitting import Fitted, Task, loss_weights
from ostinato.tasks.classify.metrics import BETTER, Prediction, scores_for
from ostinato.tasks.classify.network import ClassifierNetwork
from ostinato.tasks.classify.parts import Part
from ostinato.tasks.updating import TEST, VALIDATION, NewRows, check_rows


def new_examples(task: Task, fitted: Fitted, data: Any) -> NewRows[Fitted]:
    """Return labelled examples as a fitted model reads them, some of every class held out.

    Raises:
        DataError: they cannot be read, are too few, or have a class that the model does not know.
    """
    parameters, classes = task.parameters, fitted.classes
    examples = task.read(data, channels=getattr(fitted.encoder, "channels", ()))
    targets = classes.numbers(examples)
    rows = hold_out(examples.labels or (), (VALIDATION, TEST), parameters["seed"])
    names = ("train", "validation", "test")
    check_rows({name: len(own) for name, own in zip(names, rows, strict=True)}, examples.origin, "examples")
    arrays = fitted.encoder.encode(examples)
    train, validation, test = (Part(examples.part(own), [arrays[row] for row in own], targets[own]) for own in rows)
    size = parameters["batch_size"]
    weights = loss_weights(parameters["class_weights"], classes, train.targets)

    def held_out(part: Part) -> ExampleBatches:
        return ExampleBatches(part.arrays, part.targets, batch_size=max(size, 64), shuffle=False)

    def measures(own: Fitted) -> Mapping[str, float]:
        chances = with_temperature(scores_of(own.network, test.arrays), own.temperature)
        return scores_for(Prediction.of(chances), test.targets, len(classes))

    return NewRows(
        network=fitted.network,
        objective=lambda _: ClassObjective(weights, parameters["label_smoothing"]),
        train=ExampleBatches(train.arrays, train.targets, batch_size=size, seed=parameters["seed"]),
        validation=held_out(validation),
        test=held_out(test),
        renew=lambda network: _renewed(fitted, network, validation),
        measures=measures,
        better=BETTER,
        source=examples.origin,
        split=f"{100 * TEST:.0f} % of each class of {examples.origin}, drawn, {len(test):,} examples",
        kept="the classes, and the vocabulary or the scales of channels",
    )


def _renewed(fitted: Fitted, network: ClassifierNetwork, validation: Part) -> Fitted:
    temperature = find_temperature(scores_of(network, validation.arrays), validation.targets)
    return replace(fitted, network=network, temperature=temperature, failure=None)
