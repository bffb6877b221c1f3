"""From files or texts to flat arrays of token numbers, with parts held out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ostinato.data.text import (
    CharacterVocabulary,
    SubwordVocabulary,
    Vocabulary,
    WordVocabulary,
    encode_corpus,
    read_lines,
    read_text,
)
from ostinato.errors import DataError, UsageError

Level = Literal["character", "word", "subword"]
Texts: TypeAlias = "str | Path | Sequence[str]"
"""A path, or texts themselves in a list."""
_SUBWORDS = 8000


@dataclass(frozen=True)
class Corpus:
    """A corpus in its parts, each a flat array of token numbers."""

    vocabulary: Vocabulary
    train: NDArray[np.int32]
    validation: NDArray[np.int32]
    test: NDArray[np.int32]
    protocol: str

    @property
    def fingerprint(self) -> str:
        """A checksum of what is trained on."""
        return hashlib.sha256(self.train.tobytes() + self.validation.tobytes()).hexdigest()


def read_corpus(parameters: Mapping[str, Any], data: Texts, validation: Texts | None, test: Texts | None) -> Corpus:
    """Read texts, build the vocabulary on what is trained on, and encode all parts.

    Raises:
        DataError: a text cannot be read, or too little is left to train on.
        UsageError: a share or the level is out of range.
    """
    level = parameters["level"]
    if level not in ("character", "word", "subword"):
        raise UsageError(f'level is {level!r}; expected "character", "word" or "subword"')
    shares = {"validation": 0.0, "test": 0.0}
    for name, given in (("validation", validation), ("test", test)):
        share = parameters[name]
        if not 0 <= share < 0.5:
            raise UsageError(f"{name} is {share}; expected a share from 0 to 0.5")
        shares[name] = share if given is None else 0.0
    pieces = list(_pieces(data, level))
    parts = _parted(pieces, shares)
    vocabulary = _vocabulary(parameters, parts[0])
    whole = [_flat(part, vocabulary, level) for part in parts]
    for place, given in ((1, validation), (2, test)):
        if given is not None:
            whole[place] = encode(given, vocabulary, level)
    if len(whole[0]) < 2:
        raise DataError(f"there are {len(whole[0])} tokens to train on; give more text, or hold less of it out")
    ends = f"the last {100 * shares['test']:.4g} %" if test is None else "a text of its own"
    return Corpus(vocabulary, whole[0], whole[1], whole[2], f"test: {ends}, read as one stream")


def encode(data: Texts, vocabulary: Vocabulary, level: Level) -> NDArray[np.int32]:
    """Return a text as token numbers `(tokens,)`."""
    return _flat(_pieces(data, level), vocabulary, level)


def encode_parts(
    data: Texts, vocabulary: Vocabulary, level: Level, shares: Mapping[str, float]
) -> list[NDArray[np.int32]]:
    """Return a text as token numbers in three parts: what is left, then those held out, the test at its end."""
    return [_flat(part, vocabulary, level) for part in _parted(list(_pieces(data, level)), shares)]


def _flat(pieces: Iterable[str], vocabulary: Vocabulary, level: Level) -> NDArray[np.int32]:
    return encode_corpus(pieces, vocabulary, eos=level != "character")


def _pieces(data: Texts, level: Level) -> Iterable[str]:
    """Return lines, or for characters whole texts."""
    if isinstance(data, (str, Path)):
        return [read_text(data)] if level == "character" else read_lines(data)
    if level == "character":
        return list(data)
    return [line for text in data for line in text.splitlines() if line.strip()]


def _parted(pieces: list[str], shares: Mapping[str, float]) -> list[list[str]]:
    """Hold out the end of a corpus: of all characters, or whole lines where there are many."""
    total = sum(map(len, pieces))
    kept = 1.0 - shares["validation"] - shares["test"]
    bounds = [round(total * kept), round(total * (kept + shares["validation"])), total]
    if len(pieces) >= 100:
        sizes = np.cumsum([len(piece) for piece in pieces])
        cuts = [int(np.searchsorted(sizes, bound)) for bound in bounds[:2]]
        return [pieces[: cuts[0]], pieces[cuts[0] : cuts[1]], pieces[cuts[1] :]]
    joined = "\n".join(pieces) if len(pieces) > 1 else "".join(pieces)
    parts = [joined[a:b] for a, b in zip([0, *bounds], bounds, strict=False)]
    return [[part] if part else [] for part in parts]


def _vocabulary(parameters: Mapping[str, Any], texts: list[str]) -> Vocabulary:
    size, count, lower = parameters["vocabulary_size"], parameters["min_count"], parameters["lower"]
    if parameters["level"] == "character":
        return CharacterVocabulary.build(texts, lower=lower, min_count=count, max_size=size)
    if parameters["level"] == "word":
        return WordVocabulary.build(texts, lower=lower, min_count=count, max_size=size)
    return SubwordVocabulary.build(texts, size=size or _SUBWORDS, lower=lower)
