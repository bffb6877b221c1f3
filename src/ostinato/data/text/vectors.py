"""Pretrained word vectors from the text files of word2vec, GloVe and fastText."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import numpy as np
from numpy.typing import NDArray

from ostinato.data.lines import Decoding, TextFile, is_blank
from ostinato.data.text.vocabulary import CharacterVocabulary, Specials, WordVocabulary
from ostinato.errors import DataError

_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class WordVectors:
    """The vectors of a vocabulary.

    Args:
        weights: `(len(vocabulary), width)`, float32; zero for a word that was not found, and for the special tokens
            where the file has none.
        found: `(len(vocabulary),)`, whether each was.
    """

    weights: NDArray[np.float32]
    found: NDArray[np.bool_]

    @property
    def coverage(self) -> float:
        """The share of the vocabulary's words, the special tokens aside, that were found."""
        words = self.found[len(Specials()) :]
        return float(words.mean()) if words.size else 0.0


def read_vectors(
    path: str | Path, vocabulary: WordVocabulary | CharacterVocabulary, **decoding: Unpack[Decoding]
) -> WordVectors:
    r"""Read the vectors of a vocabulary's words; those of other words are passed over and never held.

    Args:
        path: the file, plain or `.gz`: a word and its numbers a line, with spaces between; a first line with the number
            of words and the width is allowed. A word may hold spaces itself, as some of GloVe's do. If a word comes
            twice, the first counts.
        vocabulary: whose words are wanted. They are looked up as they are: a vocabulary of lower-case words finds
            nothing of `Paris`.
        decoding: see `Decoding`; give the normal form of the vocabulary. word2vec sometimes cuts a word within a
            character: pass `errors="replace"`.

    Returns:
        The vectors, in the order of the vocabulary.

    Raises:
        DataError: a line has more or fewer numbers than the others, a vector that is wanted holds something that is no
            finite number, or no word of the vocabulary is in the file.

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "small.vec"
    >>> _ = path.write_text("3 2\nthe 0.5 -1\ncat 1 2\nunwanted 3 4\n")
    >>> vectors = read_vectors(path, WordVocabulary(("the", "dog")))
    >>> vectors.weights.tolist()[4:], vectors.coverage
    ([[0.5, -1.0], [0.0, 0.0]], 0.5)

    Source: the formats as written by the word2vec (2013), GloVe (2014) and fastText (2016) programs.
    """
    file = TextFile(path, decoding)
    weights: NDArray[np.float32] | None = None
    found = np.zeros(len(vocabulary), np.bool_)
    for place, numbers in _wanted(file, vocabulary.index):
        weights = np.zeros((len(vocabulary), len(numbers)), np.float32) if weights is None else weights
        if not found[place]:
            weights[place], found[place] = numbers, True
    if weights is None:
        raise DataError(
            f"{file.name} has none of the vocabulary's {len(vocabulary.index)} words; expected a text file of word "
            "vectors in the same language and letter case"
        )
    return WordVectors(weights, found)


def _wanted(file: TextFile, index: Mapping[str, int]) -> Iterator[tuple[int, list[float]]]:
    """Return the place and the vector of each line whose word is in the vocabulary."""
    width = 0
    for number, line in enumerate(file.lines(), 1):
        line = line.rstrip()
        if is_blank(line) or (number == 1 and (width := _declared(line))):
            continue
        width = width or line.count(" ")
        cells = line.rsplit(" ", width)
        if not 0 < width < len(cells) or " " in cells[0]:
            _check_width(file, number, cells, width)
        place = index.get(file.normalise(cells[0]))
        if place is not None:
            yield place, _numbers(file, number, cells)


def _declared(line: str) -> int:
    """Return the width that a header declares, 0 if the line is none."""
    cells = line.split()
    return int(cells[1]) if len(cells) == 2 and all(cell.isdecimal() and len(cell) < 10 for cell in cells) else 0


def _check_width(file: TextFile, number: int, cells: list[str], width: int) -> None:
    """Refuse a line that is too short, or so long that its word would hold numbers."""
    extra = cells[0].split(" ")[1:]
    if width and len(cells) > width and not all("." in cell and _is_number(cell) for cell in extra):
        return
    found = len(cells) - 1 + len(extra)
    raise DataError(
        f"line {number} of {file.name} has {found} numbers behind its word; expected {width or 'at least one'} as in "
        "the lines before it; mend that line, or fetch the file again if it is cut short"
    )


def _numbers(file: TextFile, number: int, cells: list[str]) -> list[float]:
    numbers = list(map(_number, cells[1:]))
    wrong = next((cell for cell, value in zip(cells[1:], numbers, strict=True) if not abs(value) <= _LARGEST), None)
    if wrong is not None:
        raise DataError(
            f'line {number} of {file.name}: "{wrong[:40]}" is not a finite number; mend or delete that line'
        )
    return numbers


def _number(cell: str) -> float:
    return float(cell) if _is_number(cell) else float("nan")


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
