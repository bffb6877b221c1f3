"""A language model as other tasks ask it: how probable some text comes next; see `ostinato.tasks.base.continuation`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ostinato.tasks.language.mixing import Mixture
from ostinato.tasks.language.network import LanguageNetwork
from ostinato.tasks.language.texts import LanguageEncoder
from ostinato.tasks.language.tokens_as_text import beginning


@dataclass(frozen=True)
class Read:
    """What was read: the layers' state, the last tokens, and the log-probabilities of the next token."""

    state: Any
    last: tuple[int, ...]
    logs: NDArray[np.float64]


class LanguageContinuation:
    """A fitted language model, token by token.

    Args:
        network: in evaluation mode.
        encoder: its vocabulary and n-grams.
    """

    def __init__(self, network: LanguageNetwork, encoder: LanguageEncoder) -> None:
        self.network, self.vocabulary, self.level = network, encoder.vocabulary, encoder.level
        self._mixture: Mixture | None = encoder.mixture
        self._reach = 1 if self._mixture is None else max(1, self._mixture.reach)
        self._places: dict[tuple[str, ...], NDArray[np.int64]] = {}
        specials = self.vocabulary.specials
        line_end = self.vocabulary.encode("\n") if self.level == "character" else [specials.eos]
        # a text of one line has no character for its end: nothing is known of where lines end
        self._end = line_end[0] if line_end and line_end[0] != specials.unk else None
        self._start: Read | None = None

    def start(self) -> Read:
        """Read what a line begins after."""
        if self._start is None:
            self._start = self._step(None, (), beginning("", self.vocabulary, self.level)[-1])
        return self._start

    def scores(self, state: Read, tokens: tuple[str, ...]) -> NDArray[np.float64]:
        """Return the log-probabilities of tokens."""
        places = self._places.get(tokens)
        if places is None:
            unknown = self.vocabulary.specials.unk
            numbers = [self.vocabulary.encode(token) for token in tokens]
            places = np.array([value[0] if len(value) == 1 else unknown for value in numbers], np.int64)
            self._places[tokens] = places
        found: NDArray[np.float64] = state.logs[places]
        return found

    def score(self, state: Read, text: str) -> float:
        """Return the log-probability of a text."""
        total = 0.0
        numbers = self.vocabulary.encode(text)
        for place, number in enumerate(numbers):
            total += float(state.logs[number])
            if place + 1 < len(numbers):
                state = self._step(state.state, state.last, number)
        return total

    def advance(self, state: Read, text: str) -> Read:
        """Read a text."""
        for number in self.vocabulary.encode(text):
            state = self._step(state.state, state.last, number)
        return state

    def end(self, state: Read) -> float:
        """Return the log-probability of the end of the line; 0 if the model knows no lines."""
        return 0.0 if self._end is None else float(state.logs[self._end])

    def _step(self, state: Any, last: tuple[int, ...], number: int) -> Read:
        with torch.inference_mode():
            features, _, after = self.network.read(torch.tensor([[number]]), state)
            scores = self.network.scores(features[-1:, 0])[0]
            context = (*last, number)[-self._reach :]
            mixture = self._mixture
            logs = scores.double().log_softmax(-1) if mixture is None else mixture.logs(scores, context)
        return Read(after, context, logs.numpy())
