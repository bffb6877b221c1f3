"""From pairs of texts to pairs of token numbers, with parts held out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from ostinato.data.text import CharacterVocabulary, SubwordVocabulary, Vocabulary, WordVocabulary
from ostinato.errors import DataError, UsageError
from ostinato.tasks.translate.pairs import Pair, Pairs, name_of, read_pairs

Level = Literal["subword", "word", "character"]
LEVELS: tuple[Level, ...] = ("subword", "word", "character")
_SUBWORDS = 8000
_LONGEST = {"subword": 250, "word": 250, "character": 1000}


@dataclass(frozen=True)
class Encoded:
    """Pairs as token numbers: sources end with the mark of the end, targets stand between both marks."""

    sources: list[list[int]]
    targets: list[list[int]]

    def __len__(self) -> int:
        return len(self.sources)

    @property
    def tokens(self) -> int:
        """How many target tokens are foretold, ends counted."""
        return sum(map(len, self.targets)) - len(self.targets)


@dataclass(frozen=True)
class Corpus:
    """Texts in their parts, with the vocabularies of both sides and what the training part is in numbers."""

    source: Vocabulary
    target: Vocabulary
    train: Encoded
    validation: Encoded
    train_pairs: list[Pair]
    test_pairs: list[Pair]
    facts: tuple[tuple[str, str], ...]
    protocol: str
    columns: tuple[Any, ...] = field(default=())

    @property
    def fingerprint(self) -> str:
        """A checksum of what is trained on."""
        digest = hashlib.sha256()
        for part in (self.train, self.validation):
            for side in (part.sources, part.targets):
                digest.update(np.array([token for row in side for token in [*row, -1]], np.int32).tobytes())
        return digest.hexdigest()

    @property
    def longest(self) -> int:
        """The most tokens of a target that is trained on, without its marks."""
        return max(map(len, self.train.targets)) - 2


def read_corpus(parameters: Mapping[str, Any], data: Pairs, validation: Pairs | None, test: Pairs | None) -> Corpus:
    """Read pairs, build the vocabularies on what is trained on, and encode what the network reads.

    Raises:
        DataError: something in the data is wrong, or too little is left to train on.
        UsageError: a parameter is out of range.
    """
    _check(parameters)
    pairs = read_pairs(data, parameters["columns"])
    parts = _parted(pairs, parameters, validation, test)
    kept, dropped = _complete(parts["train"])
    if not kept:
        raise DataError(f"none of the {len(parts['train'])} pairs of {name_of(data)} has a translation; check the file")
    source, target = _vocabularies(parameters, kept)
    train, long = fitting(encode_pairs(kept, source, target), parameters)
    if not len(train):
        raise DataError(f"all {len(kept)} pairs are longer than max_length, {_limit(parameters)}; raise max_length")
    held = encode_pairs(_complete(parts["validation"])[0], source, target)
    facts = (
        ("source", name_of(data)),
        ("pairs", " / ".join(f"{len(part):,} {name}" for name, part in parts.items())),
        ("longer than max_length", f"{long:,} pairs, {'cut' if parameters['long_pairs'] == 'cut' else 'left out'}"),
        ("without a translation", f"{dropped:,} pairs, left out"),
        ("vocabulary", _sizes(parameters, source, target)),
        ("tokens in training", f"{sum(map(len, train.sources)):,} source, {train.tokens:,} target"),
    )
    where = "a file of its own" if test is not None else f"{100 * parameters['test']:.4g} % of the pairs, drawn"
    return Corpus(source, target, train, held, kept, _complete(parts["test"])[0], facts, f"test: {where}")


def encode_pairs(pairs: Iterable[Pair], source: Vocabulary, target: Vocabulary) -> Encoded:
    """Return pairs as token numbers."""
    bos, eos = target.specials.bos, target.specials.eos
    rows = [([*source.encode(ours), eos], [bos, *target.encode(theirs), eos]) for ours, theirs in pairs]
    return Encoded([ours for ours, _ in rows], [theirs for _, theirs in rows])


def _check(parameters: Mapping[str, Any]) -> None:
    if parameters["level"] not in LEVELS:
        raise UsageError(f'level is {parameters["level"]!r}; expected "subword", "word" or "character"')
    if parameters["long_pairs"] not in ("leave_out", "cut"):
        raise UsageError(f'long_pairs is {parameters["long_pairs"]!r}; expected "leave_out" or "cut"')
    for name in ("validation", "test"):
        if not 0 <= parameters[name] < 0.5:
            raise UsageError(f"{name} is {parameters[name]}; expected a share from 0 to 0.5")
    if parameters["max_length"] is not None and parameters["max_length"] < 1:
        raise UsageError(f"max_length is {parameters['max_length']}; expected at least 1 token, or None")


def _parted(
    pairs: list[Pair], parameters: Mapping[str, Any], validation: Pairs | None, test: Pairs | None
) -> dict[str, list[Pair]]:
    """Hold out pairs by chance: the end of a corpus is often of another kind than the rest."""
    given = {"validation": validation, "test": test}
    order = np.random.default_rng(parameters["seed"]).permutation(len(pairs)).tolist()
    parts: dict[str, list[Pair]] = {}
    for name, own in given.items():
        if own is not None:
            parts[name] = read_pairs(own, parameters["columns"])
            continue
        count = round(len(pairs) * parameters[name])
        chosen, order = sorted(order[:count]), order[count:]
        parts[name] = [pairs[row] for row in chosen]
    return {"train": [pairs[row] for row in sorted(order)], **parts}


def _complete(pairs: list[Pair]) -> tuple[list[Pair], int]:
    """Return pairs that have a translation, and how many have none; an empty source is a source."""
    kept = [pair for pair in pairs if pair[1]]
    return kept, len(pairs) - len(kept)


def _limit(parameters: Mapping[str, Any]) -> int:
    limit: int = parameters["max_length"] or _LONGEST[parameters["level"]]
    return limit


def fitting(pairs: Encoded, parameters: Mapping[str, Any]) -> tuple[Encoded, int]:
    """Return pairs of which no side is longer than `max_length`, and how many were; marks are not counted."""
    limit = _limit(parameters)
    short = [len(a) - 1 <= limit and len(b) - 2 <= limit for a, b in zip(pairs.sources, pairs.targets, strict=True)]
    if parameters["long_pairs"] == "cut":
        sources = [row if len(row) - 1 <= limit else [*row[:limit], row[-1]] for row in pairs.sources]
        targets = [row if len(row) - 2 <= limit else [*row[: limit + 1], row[-1]] for row in pairs.targets]
        return Encoded(sources, targets), len(pairs) - sum(short)
    kept = [number for number, own in enumerate(short) if own]
    chosen = Encoded([pairs.sources[row] for row in kept], [pairs.targets[row] for row in kept])
    return chosen, len(pairs) - len(kept)


def _vocabularies(parameters: Mapping[str, Any], pairs: Sequence[Pair]) -> tuple[Vocabulary, Vocabulary]:
    sources, targets = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    if parameters["shared_vocabulary"]:
        both = _vocabulary(parameters, [*sources, *targets])
        return both, both
    if not any(sources):
        raise DataError("every source is empty; expected texts to translate")
    return _vocabulary(parameters, sources), _vocabulary(parameters, targets)


def _vocabulary(parameters: Mapping[str, Any], texts: list[str]) -> Vocabulary:
    size, lower = parameters["vocabulary_size"], parameters["lower"]
    if parameters["level"] == "subword":
        return SubwordVocabulary.build(texts, model=parameters["subwords"], size=size or _SUBWORDS, lower=lower)
    count = parameters["min_count"]
    if parameters["level"] == "character":
        return CharacterVocabulary.build(texts, lower=lower, min_count=count, max_size=size)
    return WordVocabulary.build(texts, split=parameters["split"], lower=lower, min_count=count, max_size=size)


def _sizes(parameters: Mapping[str, Any], source: Vocabulary, target: Vocabulary) -> str:
    if parameters["shared_vocabulary"]:
        return f"{len(source):,} {parameters['level']}s, shared"
    return f"{len(source):,} source and {len(target):,} target {parameters['level']}s"
