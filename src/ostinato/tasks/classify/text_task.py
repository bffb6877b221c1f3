"""What is a text classifier's own."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.special import log_softmax
from torch import nn

from ostinato.data.text import WordVocabulary
from ostinato.errors import UsageError
from ostinato.tasks.base.class_task import MOST_FREQUENT
from ostinato.tasks.base.class_weights import loss_weights
from ostinato.tasks.base.holding_out import Held, Shares
from ostinato.tasks.base.labels import Prediction
from ostinato.tasks.base.mixing import Mix
from ostinato.tasks.base.steps import StepUnit
from ostinato.tasks.base.summary import Panel
from ostinato.tasks.base.task import Baselines, Model
from ostinato.tasks.base.temperature import with_temperature
from ostinato.tasks.classify.baselines import MostFrequent, joined
from ostinato.tasks.classify.encoding import Floats, Part, scores_of
from ostinato.tasks.classify.examples import Examples, Integers
from ostinato.tasks.classify.network import ClassifierNetwork, text_front
from ostinato.tasks.classify.panels import text_panels
from ostinato.tasks.classify.parameters import TextParameters
from ostinato.tasks.classify.task import ClassTask, calibrated
from ostinato.tasks.classify.text_baselines import BAG_OF_WORDS, BagOfWords, check_bag_of_words
from ostinato.tasks.classify.text_remarks import say_doubtful
from ostinato.tasks.classify.text_stream import TextStream
from ostinato.tasks.classify.text_wide import Wide, splitter_of
from ostinato.tasks.classify.texts import TextColumns, TextEncoder

_SHORT = 128  # tokens up to which the length of a text hardly matters to the time of a step


class TextTask(ClassTask[TextParameters, TextEncoder]):
    """Texts, each of a class."""

    kept = "the classes, the vocabulary and the wide part"
    content_name = "texts"
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
        given = parameters
        return TextColumns(given.text, given.label, not given.unquoted, given.all_missing).read(
            source, labelled=labelled
        )

    def hold_out(self, parameters: TextParameters, records: Examples, shares: Shares) -> Held[Examples]:
        say_doubtful(records, held=shares.test > 0)
        return super().hold_out(parameters, records, shares)

    def encoder(self, parameters: TextParameters, train: Examples) -> TextEncoder:
        found = TextEncoder.fit(train, parameters)
        if not parameters.wide:
            return found
        targets = found.classes.numbers(train)
        weights = _weights(parameters, found, targets)
        splitter = splitter_of(found.vocabulary, lower=parameters.lower)
        wide = Wide.fit(train.items, targets, weights, splitter, parameters.seed, parameters.max_seconds)
        if not wide.is_fitted_again(train.items, len(weights), parameters.max_seconds):
            wide = replace(wide, seconds=math.inf)  # not again
        return replace(found, wide=wide, mix=Mix.usual(len(train)))

    def steps_an_epoch(self, parameters: TextParameters, train: Examples) -> int:
        """Return the steps of a pass; those of long texts count as more, for the time that they take."""
        return math.ceil(super().steps_an_epoch(parameters, train) * max(1.0, _mean_tokens(parameters, train) / _SHORT))

    def network(self, parameters: TextParameters, encoder: TextEncoder, train: Examples | None) -> nn.Module:
        return ClassifierNetwork(parameters, text_front(parameters, encoder), len(encoder.classes))

    def seconds_after(self, model: Model[TextParameters, TextEncoder]) -> float:
        wide = model.encoder.wide
        return 0.0 if wide is None or math.isinf(wide.seconds) else wide.seconds

    def calibrate(self, model: Model[TextParameters, TextEncoder], validation: Part | None) -> TextEncoder:
        encoder = model.encoder
        if encoder.wide is None or encoder.mix is None:
            alone: TextEncoder = calibrated(model, validation)
            return alone
        if validation is None:
            return encoder
        return replace(encoder, mix=Mix.found(*_both(model, validation), validation.targets, encoder.mix))

    def finished(self, model: Model[TextParameters, TextEncoder], examples: Held[Part]) -> TextEncoder:
        """Weigh both parts on the validation texts, and then let the wide part learn from them too."""
        encoder, held = self.calibrate(model, examples.validation), examples.validation
        if encoder.wide is None or held is None:
            return encoder
        both = joined([examples.train, held])
        weights = _weights(model.parameters, encoder, both.targets)
        seconds = model.parameters.max_seconds
        return replace(encoder, wide=encoder.wide.fitted_on_all(both.examples.items, both.targets, weights, seconds))

    def judged_by(self, encoder: TextEncoder) -> tuple[str, ...]:
        """Return the parts that the model has not learned from: the wide part may have, from the validation texts."""
        return ("test",) if encoder.wide is not None and encoder.wide.whole else super().judged_by(encoder)

    def uncalibrated(self, encoder: TextEncoder) -> TextEncoder:
        return super().uncalibrated(encoder) if encoder.mix is None else replace(encoder, mix=Mix())

    def calibrated_by(self, encoder: TextEncoder) -> str:
        return super().calibrated_by(encoder) if encoder.mix is None else f"weights {encoder.mix}"

    def probabilities(self, model: Model[TextParameters, TextEncoder], examples: Part, temperature: float) -> Floats:
        mix = model.encoder.mix
        if mix is None:
            return super().probabilities(model, examples, temperature)
        return with_temperature(mix.scores(*_both(model, examples)), temperature)

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
        if encoder.wide is not None:
            count, strength = len(encoder.wide.terms), encoder.wide.strength
            yield (
                "wide part",
                f"{count:,} words, pairs and parts of words, strength {strength:g}; weights {encoder.mix}",
            )

    def step_unit(self, model: Model[TextParameters, TextEncoder]) -> StepUnit:
        return StepUnit("tokens")

    def settings(self, model: Model[TextParameters, TextEncoder]) -> Mapping[str, Any]:
        encoder = model.encoder
        return {} if encoder.wide is None else {"wide": f"strength {encoder.wide.strength:g}, weights {encoder.mix}"}

    def show(self, part: Part, row: int) -> str:
        text: str = part.examples.items[row]
        return text

    def panels(
        self, model: Model[TextParameters, TextEncoder], records: Examples, examples: Part, predicted: Prediction
    ) -> Iterable[Panel]:
        yield from super().panels(model, records, examples, predicted)
        yield from text_panels(model, examples)
        if model.encoder.wide is not None:
            yield model.encoder.wide.speaking([str(name) for name in model.encoder.classes.names])

    def stream(self, model: Model[TextParameters, TextEncoder], **options: Any) -> TextStream:
        return TextStream(lambda text: next(self.answers(model, next(self.pieces(model, [text])))))


def _mean_tokens(parameters: TextParameters, texts: Examples) -> float:
    """Return about how many tokens a training step reads of a text: by its spaces, or its characters."""
    if parameters.level == "character":
        counts = np.array([len(text) for text in texts.items])
    else:
        counts = np.array([max(text.count(" ") + 1, len(text) // 8) for text in texts.items])
    most = None if parameters.chunk is None else parameters.chunk * parameters.train_chunks
    return float((counts if most is None else np.minimum(counts, most)).mean())


def _weights(parameters: TextParameters, encoder: TextEncoder, targets: Integers) -> Floats:
    """Return how much each class counts in the wide part, `(classes,)`."""
    given = loss_weights(parameters.class_weights, encoder.classes, targets)
    return np.ones(len(encoder.classes)) if given is None else given.double().numpy()


def _both(model: Model[TextParameters, TextEncoder], examples: Part) -> tuple[Floats, Floats]:
    """Return the log-probabilities of the wide part and of the network, each `(examples, classes)`."""
    wide = model.encoder.wide
    assert wide is not None
    deep: Floats = log_softmax(scores_of(model.network, examples.arrays), axis=1)
    return wide.log_probabilities(examples.examples.items), deep
