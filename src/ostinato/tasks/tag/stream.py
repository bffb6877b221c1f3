"""Tags as text comes in: sentence by sentence, or token by token."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ostinato.data.lines import is_blank
from ostinato.errors import StreamRowError, UsageError
from ostinato.streaming import Headed, RowStream, Steps, Stream, shared_steps
from ostinato.tasks.base.task import Model
from ostinato.tasks.tag.network import collate_words

_BLANKS = re.compile(r"[ \t\r\n\f\v]+")  # not str.split(): a token may hold U+00A0


class SentenceStream(Stream):
    """Sentences one at a time; see `SequenceTagger.stream`. Nothing is kept from one to the next."""

    kind = "sentence"

    def __init__(self, answer: Callable[[list[str]], Mapping[str, Any]]) -> None:
        self._answer = answer

    def steps(self, row: str | Sequence[str] | Mapping[str, Any]) -> Steps:
        """Take a sentence, its tokens with spaces between, in a list, or as `{"tokens": [...]}`; return its tags.

        Raises:
            StreamRowError: it is none of these.
        """
        return self._answer(tokens_of(row))
        yield  # nothing is asked for: it is all answered by itself

    def reset(self) -> None:
        """Nothing is kept."""


class TokenStream(RowStream):
    """Tokens one at a time, each tagged from itself and those before it; see `SequenceTagger.token_stream`.

    Raises:
        UsageError: the model needs the whole sentence.
    """

    kind = "token"

    def __init__(self, model: Model[Any, Any]) -> None:
        if model.network.crf is not None:
            raise UsageError("a CRF needs the whole sentence; fit with output='softmax' to tag token by token")
        self.model = model
        network = model.network
        super().__init__(shared_steps(network, lambda: Headed(network.stack, network.scores, whole=network)))
        copied: Any = self.shared.copy
        self._network = copied.beside["whole"]

    def steps(self, token: str) -> Steps:
        """Take the next token of a sentence; return its `tag` and `probability`.

        Raises:
            StreamRowError: it is not a text.
        """
        if not isinstance(token, str):
            raise StreamRowError(f"it is a {type(token).__name__}; expected a token as text")
        encoder = self.model.encoder
        with torch.inference_mode():
            read = self._network.read(collate_words(encoder, [[token]]))[0, 0].numpy()
        scores = torch.from_numpy((yield self.row.ask(read)))
        if encoder.wide is not None and encoder.mix is not None:
            scores = self._network.mixed(
                scores, torch.from_numpy(encoder.wide.log_probabilities([[token]])[0]), encoder.mix
            )
        probabilities = scores.double().softmax(-1).numpy()
        best = int(np.argmax(probabilities))
        return {"tag": encoder.tags[best], "probability": float(probabilities[best])}


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
