"""Tags as text comes in: sentence by sentence, or token by token."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch

from ostinato.data.lines import is_blank
from ostinato.errors import StreamRowError, UsageError
from ostinato.streaming import stepper
from ostinato.tasks.tag.batches import collate_words
from ostinato.tasks.tag.prediction import Tagger, Tags

Answer: TypeAlias = "dict[str, Any]"
_BLANKS = re.compile(r"[ \t\r\n\f\v]+")  # not str.split(): a token may hold U+00A0


def answer_of(tagger: Tagger, tokens: list[str], tags: Tags) -> Answer:
    """Return what is said of a sentence: its tags in one text, and each token with its tag and how sure that is."""
    named = tagger.named(tags)
    given = [float(own[number]) for own, number in zip(tags.chances, tags.found, strict=True)]
    return {"tags": " ".join(named), "tokens": tokens, "probabilities": given}


class SentenceStream:
    """Sentences one at a time; see `SequenceTagger.stream`."""

    def __init__(self, tagger: Tagger) -> None:
        self.tagger = tagger

    def push(self, row: str | Sequence[str] | Mapping[str, Any]) -> Answer:
        """Take a sentence, its tokens with spaces between, in a list, or as `{"tokens": [...]}`; return its tags.

        Raises:
            StreamRowError: it is none of these.
        """
        tokens = tokens_of(row)
        return answer_of(self.tagger, tokens, self.tagger.read([tokens])[0])


class TokenStream:
    """Tokens one at a time, each tagged from itself and those before it; see `SequenceTagger.token_stream`.

    Raises:
        UsageError: the model needs the whole sentence.
    """

    def __init__(self, tagger: Tagger) -> None:
        if tagger.network.crf is not None:
            raise UsageError("a CRF needs the whole sentence; fit with output='softmax' to tag token by token")
        self.tagger = tagger
        self._step = stepper(tagger.network.stack)

    def push(self, token: str) -> Answer:
        """Take the next token of a sentence; return its `tag` and `probability`.

        Raises:
            StreamRowError: it is not a text.
        """
        if not isinstance(token, str):
            raise StreamRowError(f"it is a {type(token).__name__}; expected a token as text")
        network = self.tagger.network
        with torch.inference_mode():
            read = network.read(collate_words(self.tagger.words, [[token]]))[0]
            y = torch.from_numpy(self._step(read.numpy()))
            chances = network.scores(y)[0].double().softmax(-1).numpy()
        best = int(np.argmax(chances))
        return {"tag": self.tagger.names[best], "probability": float(chances[best])}

    def reset(self) -> None:
        """Begin the next sentence."""
        self._step.reset()


def tokens_of(row: str | Sequence[str] | Mapping[str, Any]) -> list[str]:
    """Return the tokens of a line, a list, or `{"tokens": [...]}`.

    Raises:
        StreamRowError: it is none of these.
    """
    if isinstance(row, str):
        return [] if is_blank(row) else _BLANKS.split(row.strip(" \t\r\n\f\v"))
    tokens = row.get("tokens") if isinstance(row, Mapping) else row
    if not isinstance(tokens, (list, tuple)) or not all(isinstance(token, str) for token in tokens):
        raise StreamRowError('it is no sentence; expected tokens with spaces between, or {"tokens": ["The", "dog"]}')
    return list(tokens)
