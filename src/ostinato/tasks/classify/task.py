"""What is a classifier's own; all else is of `ostinato.tasks.base`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ostinato.data.text import WordVocabulary
from ostinato.errors import DataError, UsageError
from ostinato.nn.by_name import TRANSFORMER
from ostinato.nn.losses import class_weights
from ostinato.tasks.base.classes import calibration_error, class_details, class_measures
from ostinato.tasks.base.holding_out import Held, Shares, percent
from ostinato.tasks.base.lines import is_path
from ostinato.tasks.base.summary import Panel
from ostinato.tasks.base.task import Baseline, Baselines, Model, Task, reading_of
from ostinato.tasks.classify.baselines import (
    BAG_OF_WORDS,
    MOST_FREQUENT,
    NEIGHBOURS,
    STATISTICS,
    BagOfWords,
    MostFrequent,
    Neighbours,
    Statistics,
    check_bag_of_words,
    joined,
)
from ostinato.tasks.classify.channels import ChannelEncoder, SequenceReading, read_examples
from ostinato.tasks.classify.encoding import (
    ClassEncoder,
    ClassObjective,
    ExampleBatches,
    Floats,
    Part,
    Prediction,
    find_temperature,
    scores_of,
    with_temperature,
)
from ostinato.tasks.classify.examples import Classes, Examples, Integers, counts_in_words, drawn_parts
from ostinato.tasks.classify.network import ClassifierNetwork, sequence_front, text_front
from ostinato.tasks.classify.panels import class_panels, sequence_panels, text_panels
from ostinato.tasks.classify.parameters import SequenceParameters, TextParameters
from ostinato.tasks.classify.pooling import split_kinds
from ostinato.tasks.classify.stream import SequenceStream, TextStream
from ostinato.tasks.classify.texts import TextColumns, TextEncoder

P = TypeVar("P", TextParameters, SequenceParameters)
C = TypeVar("C", bound=ClassEncoder)
_TOGETHER = 256


class ClassTask(Task[P, Examples, C, Part, Prediction], Generic[P, C]):
    """Whole sequences, each of a class."""

    decides = ("accuracy",)
    estimator_type = "classifier"
    kept = "the classes, and the vocabulary or the scales of channels"

    def check(self, parameters: P, *, tested: bool) -> None:
        split_kinds(parameters.pooling)
        if parameters.weight_drop and parameters.cell == TRANSFORMER:
            raise UsageError("weight_drop is for recurrent weights; a transformer has none: leave it at 0")

    def joined(self, data: Any, labels: Any) -> Any:
        return data, labels

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
        rows = drawn_parts(records.labels or (), (shares.validation, shares.test), parameters.seed)
        train, validation, test = (records.part(own) for own in rows)
        return Held(train, validation, test, f"{percent(shares.test)} of each class, drawn at random")

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

    def measures(self, model: Model[P, C], examples: Part, predicted: Prediction) -> dict[str, float]:
        return class_measures(examples.targets, predicted.classes, predicted.probabilities, len(model.encoder.classes))

    def right(self, model: Model[P, C], examples: Part, predicted: Prediction) -> NDArray[np.bool_]:
        return np.asarray(predicted.classes == examples.targets)

    def protocol(self, model: Model[P, C], examples: Part) -> str:
        return "seen by nothing before"

    def details(self, model: Model[P, C], examples: Part, predicted: Mapping[str, Prediction]) -> Mapping[str, Any]:
        names = [str(name) for name in model.encoder.classes.names]
        return class_details(names, examples.targets, predicted["model"].classes)

    def facts(self, model: Model[P, C], parts: Held[Examples], examples: Held[Part]) -> Iterable[tuple[str, str]]:
        yield "classes", counts_in_words(model.encoder.classes, examples.train.targets)
        for name, part in examples.named().items():
            yield name, "none" if part is None else f"{len(part):,} examples, {_lengths(part)}"
        known = {array.tobytes() for array in examples.train.arrays}
        repeated = 0 if examples.test is None else sum(own.tobytes() in known for own in examples.test.arrays)
        if repeated:
            yield "repeated", f"{repeated:,} of the test examples are in the training part too"
        yield from self.described(model.encoder)
        yield "calibration", self._calibration(model, examples)

    def _calibration(self, model: Model[P, C], examples: Held[Part]) -> str:
        if examples.validation is None:
            return "none: no examples are held out to find a temperature on"
        temperature, said = model.encoder.temperature, []
        for name in ("validation", "test"):
            part = examples.named()[name]
            if part is not None:
                found = [Prediction.of(self.probabilities(model, part, own)) for own in (1.0, temperature)]
                errors = [calibration_error(own.probabilities.max(1), own.classes == part.targets) for own in found]  # type: ignore[union-attr]
                said.append(f"on the {name} part {errors[0]:.4f} before and {errors[1]:.4f} after")
        return f"temperature {temperature:.3f}; expected calibration error {', '.join(said)}"

    def described(self, encoder: C) -> Iterable[tuple[str, str]]:
        """Yield what there is to say of what is read."""
        raise NotImplementedError

    def show(self, part: Part, row: int) -> str:
        """Return an example in a line."""
        raise NotImplementedError

    def panels(self, model: Model[P, C], records: Examples, examples: Part, predicted: Prediction) -> Iterable[Panel]:
        yield from class_panels(model, examples, predicted, lambda row: self.show(examples, row))

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
            yield from (answer_of(model.encoder.classes, own) for own in found)


class TextTask(ClassTask[TextParameters, TextEncoder]):
    """Texts, each of a class."""

    encoder_type = TextEncoder
    baseline_types = (BagOfWords, MostFrequent)

    def check(self, parameters: TextParameters, *, tested: bool) -> None:
        super().check(parameters, tested=tested)
        if tested:
            check_bag_of_words()
        if parameters.vectors is not None and parameters.level == "subword":
            raise UsageError('vectors are of words or characters; take level="word", or leave vectors out')
        if parameters.freeze_vectors and parameters.vectors is None:
            raise UsageError("freeze_vectors is for pretrained vectors; pass vectors=..., or leave it out")

    def read(
        self,
        parameters: TextParameters,
        source: Any,
        reading: Any = None,
        *,
        labelled: bool = True,
    ) -> Examples:
        own = parameters
        return TextColumns(own.text, own.label, not own.unquoted, own.all_missing).read(source, labelled=labelled)

    def encoder(self, parameters: TextParameters, train: Examples) -> TextEncoder:
        return TextEncoder.fit(train, parameters)

    def network(self, parameters: TextParameters, encoder: TextEncoder, train: Examples | None) -> nn.Module:
        return ClassifierNetwork(parameters, text_front(parameters, encoder), len(encoder.classes))

    def calibrate(self, model: Model[TextParameters, TextEncoder], validation: Part | None) -> TextEncoder:
        found: TextEncoder = _calibrated(model, validation)
        return found

    def baselines(self, model: Model[TextParameters, TextEncoder], train: Part, validation: Part | None) -> Baselines:
        known, classes = model.encoder.vocabulary, len(model.encoder.classes)
        words = None
        if isinstance(known, WordVocabulary):
            words = WordVocabulary((), known.split, known.lower, known.normal_form)
        return {
            BAG_OF_WORDS: lambda: BagOfWords.fit(words, train, validation, classes),
            MOST_FREQUENT: lambda: MostFrequent.fit(train, classes),
        }

    def described(self, encoder: TextEncoder) -> Iterable[tuple[str, str]]:
        yield "vocabulary", f"{len(encoder.vocabulary):,} tokens, {encoder.level} level"

    def show(self, part: Part, row: int) -> str:
        text: str = part.examples.items[row]
        return text

    def panels(
        self, model: Model[TextParameters, TextEncoder], records: Examples, examples: Part, predicted: Prediction
    ) -> Iterable[Panel]:
        yield from super().panels(model, records, examples, predicted)
        yield from text_panels(model, examples)

    def stream(self, model: Model[TextParameters, TextEncoder], **options: Any) -> TextStream:
        return TextStream(lambda text: next(self.answers(model, next(self.pieces(model, [text])))))


class SequenceTask(ClassTask[SequenceParameters, ChannelEncoder]):
    """Numeric sequences, each of a class."""

    records = "sequences"
    encoder_type = ChannelEncoder
    baseline_types = (Neighbours, Statistics, MostFrequent)

    def read(
        self, parameters: SequenceParameters, source: Any, reading: SequenceReading | None = None, *,
        labelled: bool = True,
    ) -> Examples:  # fmt: skip
        return read_examples(parameters, source, reading, labelled=labelled)

    def encoder(self, parameters: SequenceParameters, train: Examples) -> ChannelEncoder:
        return ChannelEncoder.fit(train, hidden=parameters.value_dropout > 0)

    def network(self, parameters: SequenceParameters, encoder: ChannelEncoder, train: Examples | None) -> nn.Module:
        return ClassifierNetwork(parameters, sequence_front(parameters, encoder), len(encoder.classes))

    def calibrate(self, model: Model[SequenceParameters, ChannelEncoder], validation: Part | None) -> ChannelEncoder:
        found: ChannelEncoder = _calibrated(model, validation)
        return found

    def baselines(
        self, model: Model[SequenceParameters, ChannelEncoder], train: Part, validation: Part | None
    ) -> Baselines:
        """Return neighbours and statistics; as they need no validation part, they learn from it too."""
        encoder, own, whole = model.encoder, model.parameters, joined([train, validation])
        name = NEIGHBOURS + (f" (window {own.dtw_window:g})" if own.dtw_window < 1 else "")
        found: dict[str, Callable[[], Baseline]] = {
            name: lambda: Neighbours.fit(whole, encoder.center, encoder.scale, own.dtw_window, own.seed)
        }
        if len(encoder.channels) > 1:  # the scale of a single channel changes no neighbour
            zeros = np.zeros(len(encoder.channels))
            found[f"{name}, not standardised"] = lambda: Neighbours.fit(
                whole, zeros, zeros + 1, own.dtw_window, own.seed
            )
        found[STATISTICS] = lambda: Statistics.fit(encoder, whole)
        return {**found, MOST_FREQUENT: lambda: MostFrequent.fit(train, len(encoder.classes))}

    def described(self, encoder: ChannelEncoder) -> Iterable[tuple[str, str]]:
        count = len(encoder.channels)
        yield "channels", f"{count}: {', '.join(encoder.channels[:12])}" + (", ..." if count > 12 else "")
        yield "missing values", "marked" if encoder.masked else "none in training"
        if encoder.gap is not None:
            yield "median time gap", f"{encoder.gap:g}"

    def show(self, part: Part, row: int) -> str:
        return f"sequence {row + 1} of {part.examples.origin}"

    def panels(
        self, model: Model[SequenceParameters, ChannelEncoder], records: Examples, examples: Part, predicted: Prediction
    ) -> Iterable[Panel]:
        yield from super().panels(model, records, examples, predicted)
        yield from sequence_panels(model, examples, lambda row: self.show(examples, row))

    def parsed(self, line: Any, number: int) -> Any:
        """Return a sequence as JSON: a list of steps, or of values."""
        try:
            return json.loads(line) if isinstance(line, str) else line
        except ValueError as error:
            raise DataError(
                f"line {number} is no sequence ({error}); expected JSON, such as [[0.5, 1], [0.7, 2]]: a list of "
                "steps, each a list of channels"
            ) from error

    def stream(self, model: Model[SequenceParameters, ChannelEncoder], **options: Any) -> SequenceStream:
        return SequenceStream(model, lambda own: answer_of(model.encoder.classes, own))


def _calibrated(model: Model[Any, Any], validation: Part | None) -> Any:
    """Return the encoder with the temperature that is best on the validation part."""
    if validation is None:
        return model.encoder
    temperature = find_temperature(scores_of(model.network, validation.arrays), validation.targets)
    return replace(model.encoder, temperature=temperature)


def answer_of(classes: Classes, probabilities: Floats) -> dict[str, Any]:
    """Return the most probable label, its probability and those of all classes."""
    best = int(probabilities.argmax())
    names = [str(name) for name in classes.names]
    return {
        "label": classes.names[best],
        "probability": float(probabilities[best]),
        "probabilities": dict(zip(names, probabilities.tolist(), strict=True)),
    }


def loss_weights(given: Any, classes: Classes, targets: Integers) -> Tensor | None:
    """Return how much each class counts in the loss, as `class_weights` says; `None`: all alike."""
    if given == "none":
        return None
    if given == "balanced":
        return class_weights(torch.from_numpy(np.bincount(targets, minlength=len(classes))))
    named = {place: float(given[name]) for (_, name), place in classes.places(set(given)).items()}
    if len(named) < len(given) or set(named) != set(range(len(classes))):
        names, wanted = sorted(map(str, given)), ", ".join(map(str, classes.names))
        raise UsageError(f"class_weights names {', '.join(names)}; expected a weight for each of {wanted}")
    weights = torch.tensor([named[place] for place in range(len(classes))])
    if not bool((weights >= 0).all()) or not bool((weights > 0).any()):
        raise UsageError(f"class_weights are {weights.tolist()}; expected none below zero and one above")
    return weights


def _lengths(part: Part) -> str:
    sizes = sorted(len(array) for array in part.arrays)
    return f"{sizes[0]} to {sizes[-1]} steps, median {sizes[len(sizes) // 2]}"
