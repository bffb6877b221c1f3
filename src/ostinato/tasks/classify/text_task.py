"""What a classifier of texts knows of texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.text import CharacterVocabulary, WordVocabulary, read_vectors
from ostinato.errors import UsageError
from ostinato.tasks.classify.baselines import BAG_OF_WORDS, bag_of_words, check_bag_of_words
from ostinato.tasks.classify.examples import Classes, Examples
from ostinato.tasks.classify.looking import attended, step_weights
from ostinato.tasks.classify.metrics import Prediction
from ostinato.tasks.classify.network import ClassifierNetwork
from ostinato.tasks.classify.parts import Part, Parts
from ostinato.tasks.classify.texts import TextColumns, TextEncoder
from ostinato.tasks.base.summary import Panel, WeightedText

_SHOWN = 6
_TOKENS = 300


class TextTask:
    """Texts; see `Task`. `parameters` are those of `TextClassifier`, by name."""

    kind = "text classifier"

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        self.parameters = parameters

    def check(self, tested: bool) -> None:
        """See `Task`."""
        if tested:
            check_bag_of_words()
        if self.parameters["vectors"] is not None and self.parameters["level"] == "subword":
            raise UsageError('vectors are of words or characters; take level="word", or leave vectors out')

    def read(self, data: Any, *, labelled: bool = True, channels: tuple[str, ...] = ()) -> Examples:  # noqa: ARG002
        """See `Task`."""
        own = self.parameters
        return TextColumns(own["text"], own["label"], not own["unquoted"]).read(data, labelled=labelled)

    def encoder(self, training: Examples) -> TextEncoder:
        """See `Task`."""
        return TextEncoder.fit(training, self.parameters)

    def vectors(self, encoder: TextEncoder) -> NDArray[np.float32] | None:
        """Return the vectors of the file; words it lacks get random ones of the same spread."""
        path, vocabulary = self.parameters["vectors"], encoder.vocabulary
        if path is None:
            return None
        assert isinstance(vocabulary, (WordVocabulary, CharacterVocabulary))
        read = read_vectors(path, vocabulary)
        rng = np.random.default_rng(self.parameters["seed"])
        spread = float(read.weights[read.found].std())
        drawn = rng.normal(0.0, spread, read.weights.shape).astype(np.float32)
        return np.where(read.found[:, None], read.weights, drawn)

    def sizes(self, encoder: TextEncoder, vectors: NDArray[np.float32] | None) -> dict[str, Any]:
        """See `Task`."""
        width = self.parameters["embedding_size"] if vectors is None else vectors.shape[1]
        return {"tokens": len(encoder.vocabulary), "embedding_size": width}

    def baselines(self, parts: Parts, encoder: TextEncoder) -> dict[str, Prediction]:
        """See `Task`."""
        train, validation, test = parts.train, parts.validation, parts.test
        assert test is not None
        held = None if validation is None else (validation.examples.items, validation.targets)
        told = bag_of_words(
            encoder.words, train.examples.items, train.targets, held, test.examples.items, len(parts.classes)
        )
        return {BAG_OF_WORDS: told}

    def described(self, encoder: TextEncoder) -> list[tuple[str, str]]:
        """See `Task`."""
        return [("vocabulary", f"{len(encoder.vocabulary):,} tokens, {encoder.level} level")]

    def show(self, part: Part, row: int) -> str:
        """See `Task`."""
        text: str = part.examples.items[row]
        return text

    def panels(self, network: ClassifierNetwork, part: Part, classes: Classes, encoder: TextEncoder) -> list[Panel]:
        """Return some texts with what the model looked at."""
        rows = np.linspace(0, len(part) - 1, min(_SHOWN, len(part))).astype(np.int64).tolist()
        panels: list[Panel] = []
        for row in rows:
            tokens = encoder.tokens(part.examples.items[row])
            if not tokens:
                continue
            weights = step_weights(network, part.arrays[row]).round(4).tolist()
            title = f'What it looked at: a text of class "{classes.names[part.targets[row]]}"'
            panels.append(WeightedText(title, tokens[:_TOKENS], tuple(weights[:_TOKENS]), attended(network)))
        return panels
