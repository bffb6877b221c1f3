"""Texts as a classifier reads them: from files and lists to examples, from examples to token numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ostinato.data.databases import DATABASES
from ostinato.data.frames import as_array
from ostinato.data.identities import labels, typed
from ostinato.data.readers import read_table
from ostinato.data.spreadsheets import SPREADSHEETS
from ostinato.data.table import Table
from ostinato.data.table import texts as text_column
from ostinato.data.table_file import TableFile
from ostinato.data.text import (
    CharacterVocabulary,
    SubwordVocabulary,
    Vocabulary,
    WordVocabulary,
    read_delimited,
    read_json_lines,
    read_lines,
    read_vectors,
    split_words,
)
from ostinato.errors import DataError, UsageError
from ostinato.tasks.base.mixing import Mix
from ostinato.tasks.classify.encoding import ClassEncoder
from ostinato.tasks.classify.examples import Classes, Examples, checked_labels
from ostinato.tasks.classify.parameters import TextParameters
from ostinato.tasks.classify.text_wide import Wide

Level: TypeAlias = Literal["character", "word", "subword"]
Column: TypeAlias = "str | int"
_JSON = (".jsonl", ".ndjson")
_TABLES = (".csv", ".tsv", ".tab")
_PARQUET = (".parquet", ".pq", ".feather", ".arrow", ".json", ".zst", *SPREADSHEETS, *DATABASES)
_SUBWORDS = 4000


@dataclass(frozen=True)
class TextColumns:
    """Where texts and labels stand in a file: columns by name, or by number where the file has no header.

    Args:
        text, label: the columns, or the keys of JSON lines.
        quoted: whether a cell of a CSV or TSV file that begins with `"` is quoted.
        missing: cells that mean a missing value: a text that is one is empty, a label that is one is missing.
    """

    text: Column
    label: Column
    quoted: bool
    missing: tuple[str, ...] = ()

    def read(self, data: Any, *, labelled: bool = True) -> Examples:
        """Read texts, and their labels if there are to be any.

        Args:
            data: a path of a CSV, TSV, JSON lines or Parquet file; a data frame or a mapping of columns; a pair of
                texts and labels; pairs of a text and a label; or, without labels, texts.
            labelled: whether each must have a label.

        Raises:
            DataError: the file cannot be read, a column is not there, a label is missing, or there is nothing.
            UsageError: the data is of another kind.
        """
        if isinstance(data, (str, Path)) and not isinstance(data, TableFile):
            examples = self._from_file(Path(data), labelled)
        elif isinstance(data, Mapping) or hasattr(data, "columns") or isinstance(data, TableFile):
            examples = self._from_table(data, labelled)
        else:
            examples = _from_lists(data, labelled)
        if not len(examples):
            raise DataError(f"{examples.origin} is empty; expected texts, one a row")
        return examples

    def _from_file(self, path: Path, labelled: bool) -> Examples:
        suffixes = [suffix.lower() for suffix in path.suffixes]
        if path.is_file() and path.stat().st_size == 0:
            raise DataError(f"{path.name} is empty; expected texts, one a row")
        if not labelled and not any(suffix in (*_JSON, *_TABLES, *_PARQUET) for suffix in suffixes):
            return Examples(path.name, tuple(read_lines(path, keep_blank=True)))
        if any(suffix in _PARQUET for suffix in suffixes):
            return self._from_table(path, labelled)
        wanted = (self.text, self.label) if labelled else (self.text,)
        rows: Iterable[tuple[str, ...]]
        if any(suffix in _JSON for suffix in suffixes):
            rows = read_json_lines(path, [str(column) for column in wanted])
        else:
            rows = read_delimited(path, wanted, header=isinstance(self.text, str), quoted=self.quoted)
        return self._examples(path.name, list(rows), labelled)

    def _from_table(self, source: Any, labelled: bool) -> Examples:
        table = read_table(source, missing=self.missing)
        names = [str(name) for name in ((self.text, self.label) if labelled else (self.text,))]
        table.require(names)
        texts = _present(table, names[0])
        given = tuple(labels(table, names[1], "needs its label")) if labelled else None
        return Examples(table.origin, texts, None if given is None else checked_labels(given, table.origin))

    def _examples(self, origin: str, rows: list[tuple[str, ...]], labelled: bool) -> Examples:
        texts = tuple("" if row[0] in self.missing else row[0] for row in rows)
        if not labelled:
            return Examples(origin, texts)
        given = checked_labels(["" if row[1] in self.missing else row[1] for row in rows], origin)
        return Examples(origin, texts, tuple(typed([str(label) for label in given])))


def _present(table: Table, name: str) -> tuple[str, ...]:
    """Return a column of texts as they stand; an empty cell of a file is an empty text."""
    found = text_column(table, name, ())
    if not table.untyped and table.frame is not None and table.frame[name].null_count():
        row = int(table.frame[name].is_null().arg_max() or 0)
        raise DataError(f'{table.place(row)}: column "{name}" is missing; expected a text, if need be an empty one')
    return tuple(each or "" for each in found)


def _from_lists(data: Any, labelled: bool) -> Examples:
    origin = "the data"
    expected = "a path, a data frame, (texts, labels) or [(text, label), ...]" if labelled else "a path or texts"
    if not isinstance(data, (Sequence, np.ndarray)) and isinstance(data, Iterable):
        data = list(data)
    if not isinstance(data, (Sequence, np.ndarray)):
        raise UsageError(f"data is a {type(data).__name__}; expected {expected}")
    if not labelled:
        return Examples(origin, _texts(data, origin))
    if isinstance(data, tuple) and len(data) == 2 and not isinstance(data[0], str):
        texts, given = _texts(data[0], origin), list(as_array(data[1]))
    elif all(isinstance(pair, Sequence) and not isinstance(pair, str) and len(pair) == 2 for pair in data):
        texts, given = _texts([pair[0] for pair in data], origin), [pair[1] for pair in data]
    else:
        raise UsageError(f"data holds something else than texts with labels; expected {expected}")
    if len(texts) != len(given):
        raise DataError(f"there are {len(texts)} texts but {len(given)} labels; expected one for each")
    return Examples(origin, texts, checked_labels(given, origin))


def _texts(data: Iterable[Any], origin: str) -> tuple[str, ...]:
    texts = [item.item() if isinstance(item, np.generic) else item for item in data]
    wrong = next((row for row, text in enumerate(texts) if not isinstance(text, str)), None)
    if wrong is not None:
        raise DataError(f"text {wrong + 1} of {origin} is a {type(texts[wrong]).__name__}; expected a text")
    return tuple(texts)


@dataclass(frozen=True, kw_only=True)
class TextEncoder(ClassEncoder):
    """From texts to token numbers.

    Args:
        vocabulary: of the training texts; level: what a token is; width: features of a token.
        wide: the part beside the network, and mix: how much each says; `None`: there is none.
        vectors: `(tokens, width)` to start from, while a model is fitted.
    """

    vocabulary: Vocabulary
    level: Level
    width: int
    wide: Wide | None = None
    mix: Mix | None = None
    vectors: NDArray[np.float32] | None = field(default=None, metadata={"saved": False}, compare=False)

    @classmethod
    def fit(cls, examples: Examples, parameters: TextParameters) -> TextEncoder:
        """Build the vocabulary of training texts.

        Raises:
            DataError: no text has a token, or there is one class only.
        """
        given = parameters
        size, count = given.vocabulary_size, given.min_count
        if given.level == "character":
            made: Vocabulary = CharacterVocabulary.build(
                examples.items, lower=given.lower, min_count=count, max_size=size
            )
        elif given.level == "word":
            made = WordVocabulary.build(
                examples.items, split=given.split, lower=given.lower, min_count=count, max_size=size
            )
        else:
            made = SubwordVocabulary.build(examples.items, size=size or _SUBWORDS, lower=given.lower)
        vectors = None if given.vectors is None else _vectors(given.vectors, made, given.seed)
        width = given.embedding_size if vectors is None else vectors.shape[1]
        classes = Classes.of(examples)
        return cls(classes=classes, vocabulary=made, level=given.level, width=width, vectors=vectors)

    def encode(self, examples: Examples) -> list[NDArray[np.int64]]:
        """Return the tokens of each text, `(time,)`; a text without any is the end of a sentence alone."""
        empty = [self.vocabulary.specials.eos]
        return [np.array(self.vocabulary.encode(text) or empty, np.int64) for text in examples.items]

    def tokens(self, text: str) -> tuple[str, ...]:
        """Return the tokens of a text as they are read, to be shown; unknown ones as they stand if they are words."""
        if isinstance(self.vocabulary, WordVocabulary):
            return tuple(self.vocabulary.split_text(text))
        return tuple(self.vocabulary.decode([number]) for number in self.vocabulary.encode(text))

    def words(self, text: str) -> list[str]:
        """Return the words of a text, for counting."""
        if isinstance(self.vocabulary, WordVocabulary):
            return self.vocabulary.split_text(text)
        return split_words(text, "words")


def _vectors(path: str, vocabulary: Vocabulary, seed: int) -> NDArray[np.float32]:
    """Return the vectors of a file; words that it lacks get random ones of the same spread."""
    assert isinstance(vocabulary, (WordVocabulary, CharacterVocabulary))
    read = read_vectors(path, vocabulary)
    spread = float(read.weights[read.found].std())
    drawn = np.random.default_rng(seed).normal(0.0, spread, read.weights.shape).astype(np.float32)
    return np.where(read.found[:, None], read.weights, drawn)
