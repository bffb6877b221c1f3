"""Words that may be written, and words that are to be preferred, as scorers over the units of any model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from ostinato.errors import UsageError
from ostinato.nn.losses.hypotheses import NEVER, Floats
from ostinato.tasks.speech.decoding.spelling import Spelling, plain_name


class _Trie:
    """Texts by their characters: each node is a beginning."""

    def __init__(self) -> None:
        self.children: list[dict[str, int]] = [{}]
        self.ends: list[bool] = [False]
        self.worth: list[float] = [0.0]

    def add(self, text: str, bonus: float = 0.0) -> None:
        """Add a text; the worth of each beginning is its share of the bonus, the highest of all texts that begin so."""
        node = 0
        for place, character in enumerate(text, 1):
            if character not in self.children[node]:
                self.children[node][character] = len(self.children)
                self.children.append({})
                self.ends.append(False)
                self.worth.append(0.0)
            node = self.children[node][character]
            self.worth[node] = max(self.worth[node], bonus * place / len(text))
        self.ends[node] = True


def _checked_words(words: Iterable[str]) -> list[str]:
    if isinstance(words, str):
        raise UsageError(f"words is the text {words[:40]!r}; expected several, such as a list")
    found = sorted({" ".join(word.split()) for word in words} - {""})
    if not found:
        raise UsageError("there are no words; expected one or more")
    return found


def _pieces(units: Spelling) -> list[str]:
    """Return each class as a piece of text: with a space before a word of its own."""
    if units.level == "word":
        return ["", *(" " + name for name in units.names[1:])]
    return ["", *(plain_name(name) for name in units.names[1:])]


class Lexicon:
    """A word list: only texts of its words are written.

    Characters and subwords lead through the beginnings of words, and a space, or a subword that begins with one, comes
    after whole words only. A subword of a part of a character cannot be told from others, and is not written.

    Args:
        words: without spaces.
        units: of the model.

    Raises:
        UsageError: there are no words, one has a space, or one cannot be written with the units of the model.
    """

    def __init__(self, words: Iterable[str], units: Spelling) -> None:
        self._units, self._pieces, self._trie = units, _pieces(units), _Trie()
        for word in _checked_words(words):
            if " " in word:
                raise UsageError(f'the word "{word}" has a space; expected one word each')
            if not any(units.decode(units.encode(each)).strip() == word for each in (word, f" {word}")):
                raise UsageError(
                    f'the word "{word[:40]}" cannot be written with the units of this model; leave it out, or train '
                    "the model on transcripts that have its characters"
                )
            self._trie.add(word)
        self._known: dict[int, Floats] = {}

    def start(self) -> int:
        """Return the place before any word: nothing is written yet."""
        return -1

    def scores(self, state: int) -> Floats:
        """Return 0 for the classes that lead on, else -inf."""
        found = self._known.get(state)
        if found is None:
            found = np.array(
                [NEVER, *(NEVER if self._walk(state, piece) is None else 0.0 for piece in self._pieces[1:])]
            )
            self._known[state] = found
        return found

    def advance(self, state: int, label: int) -> int:
        """Return the place after one more unit."""
        found = self._walk(state, self._pieces[label])
        if found is None:
            raise UsageError(f'"{self._pieces[label]}" leads to no word of the list')
        return found

    def end(self, state: int) -> float:
        """Return 0 after a whole word, or where nothing was written, else -inf."""
        return 0.0 if state < 0 or self._trie.ends[state] else NEVER

    def _walk(self, state: int, piece: str) -> int | None:
        """Return the place after a piece; -1: nothing is written, 0: a space is."""
        if state < 0:  # a space before the first word is no character of a text
            piece = piece.lstrip(" ") if self._units.level != "character" else piece
        node = max(state, 0)
        for character in piece:
            if character == " ":
                if not self._trie.ends[node] or node == 0:
                    return None
                node = 0
            elif character in self._trie.children[node]:
                node = self._trie.children[node][character]
            else:
                return None
        return node if piece else None


_Places = tuple[tuple[int, float], ...]
"""How far into hot words a text is, counted from each word of it that may begin one, and what each was given so far."""


class HotWords:
    """Words, or several words in a row, whose texts score higher by a bonus.

    The bonus comes share by share with each character, so that a beam keeps what may become such a word, and is taken
    back where it does not. A hot word counts as a whole word only.

    Args:
        words: with their bonuses, in nats; or words that all have `bonus`.
        units: of the model.
        bonus: where words come without.

    Raises:
        UsageError: there are no words, or a bonus is not finite.

    Source: D. Zhao et al., "Shallow-fusion end-to-end contextual biasing", Interspeech 2019.
    """

    def __init__(self, words: Mapping[str, float] | Iterable[str], units: Spelling, bonus: float = 4.0) -> None:
        given = dict(words) if isinstance(words, Mapping) else dict.fromkeys(_checked_words(words), bonus)
        if not given or not all(np.isfinite(each) for each in given.values()):
            raise UsageError("hot words need a finite bonus each, and there must be some")
        self._pieces, self._trie = _pieces(units), _Trie()
        for word, value in given.items():
            self._trie.add(" ".join(word.split()), value)
        self._bonus = {" ".join(word.split()): value for word, value in given.items()}
        self._ended = {self._node(word): bonu for word, bonu in self._bonus.items()}
        self._known: dict[_Places, Floats] = {}

    def start(self) -> _Places:
        """Return the beginning of a word."""
        return ((0, 0.0),)

    def scores(self, state: _Places) -> Floats:
        """Return what each class adds or takes back."""
        found = self._known.get(state)
        if found is None:
            found = np.array([0.0, *(self._walk(state, piece)[1] for piece in self._pieces[1:])])
            self._known[state] = found
        return found

    def advance(self, state: _Places, label: int) -> _Places:
        """Return the places after one more unit."""
        return self._walk(state, self._pieces[label])[0]

    def end(self, state: _Places) -> float:
        """Return what is taken back of words that have not ended."""
        return sum(self._ended.get(node, 0.0) - given for node, given in state)

    def _node(self, word: str) -> int:
        node = 0
        for character in word:
            node = self._trie.children[node][character]
        return node

    def _walk(self, state: _Places, piece: str) -> tuple[_Places, float]:
        """Return the places after a piece, and what it adds."""
        added = 0.0
        for character in piece:
            after: list[tuple[int, float]] = []
            for node, given in state:
                if character == " ":  # a word has ended: a hot one keeps its bonus, whatever may follow it
                    added += self._ended.get(node, 0.0)
                following = self._trie.children[node].get(character)
                worth = 0.0 if following is None else self._trie.worth[following]
                added += worth - given
                if following is not None:
                    after.append((following, worth))
            state = (*after, (0, 0.0)) if character == " " else tuple(after)
        return state, added
