"""What all classifiers share of a task; what is of texts or of sequences alone is in files of their own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from ostinato.errors import DataError, UsageError
from ostinato.nn.by_name import TRANSFORMER
from ostinato.nn.pooling import split_kinds
from ostinato.tasks.base.class_task import OneClassTask
from ostinato.tasks.base.class_weights import loss_weights
from ostinato.tasks.base.classes import calibration_error
from ostinato.tasks.base.embeddings import drawn, embedding_panel
from ostinato.tasks.base.holding_out import Held, Shares, content_keys, percent
from ostinato.tasks.base.labels import Prediction
from ostinato.tasks.base.lines import is_path
from ostinato.tasks.base.summary import Panel
from ostinato.tasks.base.task import Model, reading_of
from ostinato.tasks.base.temperature import find_temperature, with_temperature
from ostinato.tasks.classify.encoding import (
    ClassEncoder,
    ClassObjective,
    ExampleBatches,
    Floats,
    Part,
    embedded,
    scores_of,
)
from ostinato.tasks.classify.examples import Classes, Examples, counts_in_words, drawn_parts
from ostinato.tasks.classify.panels import class_panels
from ostinato.tasks.classify.parameters import SequenceParameters, TextParameters
from ostinato.words import counted

P = TypeVar("P", TextParameters, SequenceParameters)
C = TypeVar("C", bound=ClassEncoder)
_TOGETHER = 256


class ClassTask(OneClassTask[P, Examples, C, Part], Generic[P, C]):
    """Whole sequences, each of a class."""

    kept = "the classes, and the vocabulary or the scales of channels"

    def check(self, parameters: P, *, tested: bool) -> None:
        split_kinds(parameters.pooling)
        if parameters.weight_drop and parameters.cell == TRANSFORMER:
            raise UsageError("weight_drop is for recurrent weights; a transformer has none: leave it at 0")

    def reading(self, records: Examples) -> Any:
        return records.reading

    def hold_out(self, parameters: P, records: Examples, shares: Shares) -> Held[Examples]:
        Classes.of(records)
        held = self._drawn(parameters, records, shares)
        if len(held.train) < 2:
            raise DataError(f"there are {len(held.train)} examples to train on; give more, or hold fewer of them out")
        return held

    def extended(self, model: Model[P, C], records: Examples, shares: Shares) -> tuple[Model[P, C], Held[Examples]]:
        return model, self._drawn(model.parameters, records, shares)

    def _drawn(self, parameters: P, records: Examples, shares: Shares) -> Held[Examples]:
        keys, held = content_keys(self.contents(records)), (shares.validation, shares.test)
        rows = drawn_parts(records.labels or (), held, parameters.seed, keys)
        train, validation, test = (records.part(row) for row in rows)
        return Held(train, validation, test, f"{percent(shares.test)} of each class, drawn at random")

    def contents(self, records: Examples) -> Iterable[Any]:
        return records.items

    def title(self, records: Examples) -> str:
        return f"Classes of {records.origin}"

    def encode(self, model: Model[P, C], records: Examples) -> Part:
        encoder = model.encoder
        targets = np.zeros(0, np.int64) if records.labels is None else encoder.classes.numbers(records)
        return Part(records, encoder.encode(records), targets)

    def batches(self, model: Model[P, C], examples: Part, *, training: bool) -> ExampleBatches:
        size, seed = model.parameters.batch_size, model.parameters.seed
        if training:
            return ExampleBatches(examples, batch_size=size, seed=seed)
        return ExampleBatches(examples, batch_size=max(size, 64), shuffle=False)

    def objective(self, model: Model[P, C], train: Part) -> ClassObjective:
        weights = loss_weights(model.parameters.class_weights, model.encoder.classes, train.targets)
        return ClassObjective(weights, model.parameters.label_smoothing)

    def predict(self, model: Model[P, C], examples: Part) -> Prediction:
        return Prediction.of(self.probabilities(model, examples, model.encoder.temperature))

    def probabilities(self, model: Model[P, C], examples: Part, temperature: float) -> Floats:
        """Return the probabilities of examples, `(examples, classes)`."""
        return with_temperature(scores_of(model.network, examples.arrays), temperature)

    def embed(self, model: Model[P, C], examples: Part) -> NDArray[np.float32]:
        return embedded(model.network, examples.arrays)

    def facts(self, model: Model[P, C], parts: Held[Examples], examples: Held[Part]) -> Iterable[tuple[str, str]]:
        yield "classes", counts_in_words(model.encoder.classes, examples.train.targets)
        for name, part in examples.named().items():
            yield name, "none" if part is None else f"{counted(len(part), 'examples')}, {_lengths(part)}"
        yield from self.described(model.encoder)
        yield "calibration", self.calibration(model, examples)

    def calibration(self, model: Model[P, C], examples: Held[Part]) -> str:
        """Return how probabilities were calibrated, in words."""
        if examples.validation is None:
            return "none: no examples are held out to find a temperature on"
        before, said = replace(model, encoder=self.uncalibrated(model.encoder)), []
        for name in self.judged_by(model.encoder):
            part = examples.named()[name]
            if part is not None:
                found = [self.predict(each, part) for each in (before, model)]
                errors = [calibration_error(each.probabilities.max(1), each.classes == part.targets) for each in found]  # type: ignore[union-attr]
                said.append(f"on the {name} part {errors[0]:.4f} before and {errors[1]:.4f} after")
        errors_in_words = f"; expected calibration error {', '.join(said)}" if said else ""
        return self.calibrated_by(model.encoder) + errors_in_words

    def judged_by(self, encoder: C) -> tuple[str, ...]:
        """Return the names of the parts that the error of calibration is measured on."""
        return "validation", "test"

    def uncalibrated(self, encoder: C) -> C:
        """Return an encoder as it was before it was calibrated."""
        return replace(encoder, temperature=1.0)

    def calibrated_by(self, encoder: C) -> str:
        """Return what was found on the validation part, in words."""
        return f"temperature {encoder.temperature:.3f}"

    def described(self, encoder: C) -> Iterable[tuple[str, str]]:
        """Yield what there is to say of what is read."""
        raise NotImplementedError

    def show(self, part: Part, row: int) -> str:
        """Return an example in a line."""
        raise NotImplementedError

    def panels(self, model: Model[P, C], records: Examples, examples: Part, predicted: Prediction) -> Iterable[Panel]:
        yield from class_panels(model, examples, predicted, lambda row: self.show(examples, row))
        if len(places := drawn(len(examples))):
            points = embedded(model.network, [examples.arrays[place] for place in places.tolist()])
            yield embedding_panel(points, [str(model.encoder.classes.names[each]) for each in examples.targets[places]])

    def pieces(self, model: Model[P, C], source: Any) -> Iterator[Examples]:
        if is_path(source) or hasattr(source, "columns"):
            yield self.read(model.parameters, source, reading_of(model), labelled=False)
            return
        for number, line in enumerate(source, 1):  # each is answered as soon as it is there
            yield self.read(model.parameters, [self.parsed(line, number)], reading_of(model), labelled=False)

    def parsed(self, line: Any, number: int) -> Any:
        """Return what a line, or an item of a list, holds."""
        return line

    def answers(self, model: Model[P, C], records: Examples) -> Iterator[Mapping[str, Any]]:
        for first in range(0, len(records), _TOGETHER):
            part = records.part(np.arange(first, min(first + _TOGETHER, len(records))))
            found = self.predict(model, self.encode(model, part)).probabilities
            assert found is not None
            for row, each in enumerate(found):
                named = {"file": part.names[row]} if part.names else {}
                yield {**named, **model.encoder.classes.answer(each)}


def calibrated(model: Model[Any, Any], validation: Part | None) -> Any:
    """Return the encoder with the temperature that is best on the validation part."""
    if validation is None:
        return model.encoder
    temperature = find_temperature(scores_of(model.network, validation.arrays), validation.targets)
    return replace(model.encoder, temperature=temperature)


def _lengths(part: Part) -> str:
    sizes = sorted(len(array) for array in part.arrays)
    return f"{sizes[0]} to {sizes[-1]} steps, median {sizes[len(sizes) // 2]}"
