"""Models of language over texts as scorers over the units of a recogniser: shallow fusion.

A model of characters is asked for each character where the recogniser writes characters. Any other model is asked for
whole words, at the space or the end behind each: its tokens need not be the recogniser's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ostinato.errors import UsageError
from ostinato.nn.losses.hypotheses import Floats
from ostinato.tasks.base.continuation import Continuation
from ostinato.tasks.speech.decoding.spelling import Spelling, plain_name

_LEAST = -23.0
"""The least log-probability of a token, 1e-10: no model is so certain that nothing else may come."""
_State = tuple[Any, str, bool]


class TokenScorer:
    """A `Continuation` as a scorer of the units of a model.

    Args:
        model: of language.
        units: of the recogniser.

    Source: C. Gulcehre et al., "On using monolingual corpora in neural machine translation", 2015; words behind
    characters as in Hannun et al., 2014.
    """

    def __init__(self, model: Continuation, units: Spelling) -> None:
        self.model, self.units = model, units
        self._by_character = model.level == "character" and units.level == "character"
        self._names = tuple(units.names)
        self._pieces = ["", *(plain_name(name) for name in units.names[1:])]
        self._none = np.zeros(len(units))

    def start(self) -> _State:
        """Return the beginning of an utterance: the model's state, the word that is being written, no word before."""
        return self.model.start(), "", False

    def scores(self, state: _State) -> Floats:
        """Return what each class adds."""
        inner, word, begun = state
        if self._by_character:
            found = np.maximum(self.model.scores(inner, self._names[1:]), _LEAST)
            return np.concatenate([[0.0], found])
        if self.units.level == "word":
            before = " " if begun and self.model.level != "word" else ""
            if self.model.level == "word":
                found = self.model.scores(inner, self._names[1:])
            else:
                found = np.array([self.model.score(inner, before + name) for name in self._names[1:]])
            return np.concatenate([[0.0], np.maximum(found, _LEAST)])
        if not word:
            return self._none
        whole = self._word_score(state)
        return np.array([0.0, *(whole if piece[:1] == " " else 0.0 for piece in self._pieces[1:])])

    def advance(self, state: _State, label: int) -> _State:
        """Return the state after one more unit."""
        inner, word, begun = state
        piece = self._pieces[label]
        if self._by_character:
            return self.model.advance(inner, self._names[label]), "", True
        if self.units.level == "word":
            return self.model.advance(inner, self._in_text(piece, begun)), "", True
        if piece[:1] != " ":
            return inner, word + piece, begun
        if not word:
            return inner, piece.lstrip(" "), begun
        return self.model.advance(inner, self._in_text(word, begun)), piece.lstrip(" "), True

    def end(self, state: _State) -> float:
        """Return what the end adds, with the word before it."""
        inner, word, begun = state
        if not word:
            return max(self.model.end(inner), _LEAST)
        after = self.model.advance(inner, self._in_text(word, begun))
        return self._word_score(state) + max(self.model.end(after), _LEAST)

    def _word_score(self, state: _State) -> float:
        inner, word, begun = state
        return max(self.model.score(inner, self._in_text(word, begun)), _LEAST * len(word))

    def _in_text(self, word: str, begun: bool) -> str:
        return f" {word}" if begun and self.model.level != "word" else word


class ModelScorer(TokenScorer):
    """One of our language models as a scorer.

    Args:
        model: a fitted estimator, or the folder it was saved in.
        units: of the recogniser.

    Raises:
        ArtifactError: the folder holds no model.
        UsageError: it is no model of language.
    """

    def __init__(self, model: Any, units: Spelling) -> None:
        if isinstance(model, (str, Path)):
            from ostinato.tasks.base.registry import load

            model = load(model)
        if not hasattr(model, "continuation"):
            raise UsageError(
                f"a {type(model).__name__} is no model of language; expected a LanguageModel or its folder"
            )
        super().__init__(model.continuation(), units)
