"""Texts in, translations out: batches by length, searched, spelled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ostinato.data.lines import normalise
from ostinato.data.notes import note
from ostinato.data.text import Specials, Vocabulary
from ostinato.tasks.base.searching.beam import beam_search
from ostinato.tasks.base.searching.greedy import greedy_search, greedy_tokens
from ostinato.tasks.base.searching.search import Hypothesis, Search
from ostinato.tasks.base.searching.tokens_as_text import as_text, copied, pieces, source_words
from ostinato.tasks.translate.network import TranslationNetwork

_SHOWN = 10
_ROWS = 320
"""Hypotheses of a batch."""
_SCORED = 512
"""Texts that are scored together, and tokens whose scores are held at once."""
_NUMBERS = 2**22
"""Source positions times hypotheses times features of a batch's memory, at most: 16 MiB."""


@dataclass(frozen=True)
class Translation:
    """A text in the other language, and how it was found."""

    text: str
    score: float
    log_probability: float
    hypothesis: Hypothesis


@dataclass(frozen=True)
class Languages:
    """What translates: a network with the vocabularies of both sides."""

    network: TranslationNetwork
    source: Vocabulary
    target: Vocabulary
    longest: int
    """The most tokens that are written, unless said otherwise."""
    copy_unknown: bool
    characters: str = ""
    """Those of the training sources; empty: it is not known which."""

    def read(self, text: str) -> list[int]:
        """Return a source as the network reads it: as sources were trained on, without white space around it."""
        return [*self.source.encode(text.strip()), self.source.specials.eos]

    def strange(self, text: str) -> str:
        """Return the characters of a text that no training source had, each once."""
        if not self.characters:
            return ""
        lower = bool(getattr(self.source, "lower", False))
        known, read = (each.lower() if lower else each for each in (self.characters, normalise(text, "NFC")))
        return "".join(letter for letter in dict.fromkeys(read) if letter not in known and not letter.isspace())


class Strange:
    """Counts sources that hold characters that no training source had: what is made of them is a guess.

    Args:
        languages: that translate.
    """

    def __init__(self, languages: Languages) -> None:
        self._languages = languages
        self._sources, self._found, self._shown = 0, 0, dict[str, None]()

    def look(self, texts: Sequence[str]) -> None:
        """Look at some more sources."""
        found = [one for text in texts if (one := self._languages.strange(text))]
        self._sources, self._found = self._sources + len(texts), self._found + len(found)
        self._shown.update(dict.fromkeys("".join(found)))

    def say(self) -> None:
        """Say of all that were looked at how many there are, if there is any, and begin again."""
        several = f"{self._found:,} of the {self._sources:,} sources have" if self._sources > 1 else "the source has"
        shown = "".join(self._shown)[:_SHOWN]
        if self._found:
            note(f'{several} characters that no training source had ("{shown}"); their translations are guesses')
        self._sources, self._found, self._shown = 0, 0, {}


def say_strange(languages: Languages, texts: Sequence[str]) -> None:
    """Say how many sources hold characters that no training source had."""
    strange = Strange(languages)
    strange.look(texts)
    strange.say()


def translate_texts(
    languages: Languages, texts: Sequence[str], search: Search, *, attention: bool = False
) -> list[list[Translation]]:
    """Return translations of each text, the best first; texts of like length are searched together.

    A text without tokens, such as a blank line, has the empty translation.
    """
    sources = [languages.read(text) for text in texts]
    nothing = Translation("", 0.0, 0.0, Hypothesis((), 0.0, 0.0))
    found: list[list[Translation]] = [[nothing] for _ in texts]
    for rows in _batches(sources, search.beam_size, languages.network.hidden_size):
        for row, hypotheses in zip(
            rows, _searched(languages, [sources[row] for row in rows], search, attention), strict=True
        ):
            words = source_words(texts[row], languages.source) if languages.copy_unknown else []
            found[row] = [_spelled(languages, one, words) for one in hypotheses]
    return found


def translated_pieces(languages: Languages, text: str, search: Search) -> Iterator[str]:
    """Yield the greedy translation of a text piece by piece."""
    source = torch.tensor(languages.read(text))
    if len(source) == 1:
        return iter(())
    limit = int(search.limits(torch.tensor([len(source)]), languages.longest))
    words = source_words(text, languages.source) if languages.copy_unknown else []
    return pieces(greedy_tokens(languages.network, source, limit, search), languages.target, words)


def log_probabilities(
    network: TranslationNetwork, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]
) -> list[float]:
    """Return the log-probability of each text, its end counted, as a translation of its source.

    Args:
        network: in evaluation mode.
        sources: as the network reads them.
        targets: tokens, without the marks of beginning and end.
    """
    found = [0.0] * len(sources)
    specials = Specials()
    with torch.inference_mode():
        for rows in _scored_together(sources, targets):
            source, lengths = padded([sources[row] for row in rows], specials.pad)
            target, sizes = padded([[specials.bos, *targets[row], specials.eos] for row in rows], specials.pad)
            readouts, _ = network.model.read(
                source, target[:-1], source_lengths=lengths, target_lengths=sizes - 1, teacher_forcing=1.0
            )
            real = torch.arange(len(target) - 1)[:, None] < sizes - 1
            logs = torch.zeros(real.shape)
            logs[real] = _token_logs(network, readouts[real], target[1:][real])
            for row, total in zip(rows, logs.double().sum(0).tolist(), strict=True):
                found[row] = total
    return found


def _scored_together(sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Yield the places of pairs of like length in batches, whose attention is `_NUMBERS` numbers or one pair's."""
    rows: list[int] = []
    longest = 0
    for place in sorted(range(len(sources)), key=lambda place: (len(sources[place]), len(targets[place]))):
        longest = max(longest, len(targets[place]) + 1)
        if rows and (len(rows) >= _SCORED or (len(rows) + 1) * len(sources[place]) * longest > _NUMBERS):
            yield rows
            rows, longest = [], len(targets[place]) + 1
        rows.append(place)
    if rows:
        yield rows


def _token_logs(network: TranslationNetwork, readouts: Tensor, tokens: Tensor) -> Tensor:
    """Return the log-probability of each token, `(tokens,)`; scores are held of some at once."""
    parts = [
        -functional.cross_entropy(
            network.model.score(readouts[first : first + _SCORED]), tokens[first : first + _SCORED], reduction="none"
        )
        for first in range(0, len(tokens), _SCORED)
    ]
    return torch.cat(parts)


def padded(rows: Sequence[Sequence[int]], pad: int) -> tuple[Tensor, Tensor]:
    """Return token numbers side by side, `(time, rows)`, and their lengths, `(rows,)`."""
    lengths = torch.tensor([len(row) for row in rows])
    tokens = torch.full((int(lengths.max()), len(rows)), pad)
    for column, row in enumerate(rows):
        tokens[: len(row), column] = torch.tensor(row)
    return tokens, lengths


def _batches(sources: list[list[int]], beam_size: int, features: int) -> Iterator[list[int]]:
    """Yield the places of sources that have tokens in batches, the shortest first."""
    rows: list[int] = []
    known = [place for place, source in enumerate(sources) if len(source) > 1]
    for place in sorted(known, key=lambda place: len(sources[place])):
        count = (len(rows) + 1) * beam_size
        if rows and (count > _ROWS or count * len(sources[place]) * features > _NUMBERS):
            yield rows
            rows = []
        rows.append(place)
    if rows:
        yield rows


def _searched(
    languages: Languages, sources: list[list[int]], search: Search, attention: bool
) -> list[list[Hypothesis]]:
    tokens, lengths = padded(sources, languages.source.specials.pad)
    limits: Tensor = search.limits(lengths, languages.longest)
    with torch.inference_mode():
        if search.beam_size == 1:
            return [
                [one] for one in greedy_search(languages.network, tokens, lengths, limits, search, attention=attention)
            ]
        return beam_search(languages.network, tokens, lengths, limits, search, attention=attention)


def _spelled(languages: Languages, found: Hypothesis, words: Sequence[str]) -> Translation:
    text = as_text(found.tokens, languages.target, copied(found.looked, words) if words else ())
    return Translation(text, found.score, found.log_probability, found)
