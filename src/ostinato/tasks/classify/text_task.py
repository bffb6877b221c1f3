"""What is a text classifier's own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn

from ostinato.data.text import WordVocabulary
from ostinato.errors import UsageError
from ostinato.tasks.base.summary import Panel
from ostinato.tasks.base.task import Baselines, Model
from ostinato.tasks.classify.baselines import MOST_FREQUENT, MostFrequent
from ostinato.tasks.classify.encoding import Part, Prediction
from ostinato.tasks.classify.examples import Examples
from ostinato.tasks.classify.network import ClassifierNetwork, text_front
from ostinato.tasks.classify.panels import text_panels
from ostinato.tasks.classify.parameters import TextParameters
from ostinato.tasks.classify.task import ClassTask, calibrated
from ostinato.tasks.classify.text_baselines import BAG_OF_WORDS, BagOfWords, check_bag_of_words
from ostinato.tasks.classify.text_stream import TextStream
from ostinato.tasks.classify.texts import TextColumns, TextEncoder


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
        found: TextEncoder = calibrated(model, validation)
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
