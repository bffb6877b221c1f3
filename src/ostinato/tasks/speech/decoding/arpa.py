"""N-grams of words or characters from an ARPA file, as KenLM, SRILM and others write them."""

from __future__ import annotations

import gzip
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ostinato.errors import DataError

_LOG_TEN = math.log(10.0)
_BEGIN, _END, _UNKNOWN = "<s>", "</s>", ("<unk>", "<UNK>")
_SPACES = ("|", "\u2581", "<space>", "_")
"""What stands for the space where a file has n-grams of characters."""
_FLOOR = -23.0


@dataclass(frozen=True)
class ArpaModel:
    """N-grams with back-off; a `Continuation` of `ostinato.tasks.base.continuation`.

    Args:
        ngrams: of each sequence of tokens the logarithms of its probability and of its back-off weight.
        order: tokens of the longest.
        level: `"character"` if all tokens are single characters, else `"word"`.

    Source: S. Katz, "Estimation of probabilities from sparse data", 1987.
    """

    ngrams: dict[tuple[str, ...], tuple[float, float]]
    order: int
    level: str

    def start(self) -> tuple[str, ...]:
        """Return the beginning of a sentence."""
        return (_BEGIN,) if (_BEGIN,) in self.ngrams else ()

    def scores(self, state: tuple[str, ...], tokens: tuple[str, ...]) -> NDArray[np.float64]:
        """Return the log-probabilities of tokens."""
        return np.array([self._one(state, self._known(token)) for token in tokens])

    def score(self, state: tuple[str, ...], text: str) -> float:
        """Return the log-probability of a text."""
        total = 0.0
        for token in self._tokens(text):
            total += self._one(state, token)
            state = self._after(state, token)
        return total

    def advance(self, state: tuple[str, ...], text: str) -> tuple[str, ...]:
        """Return the last tokens."""
        for token in self._tokens(text):
            state = self._after(state, token)
        return state

    def end(self, state: tuple[str, ...]) -> float:
        """Return the log-probability of the end of the sentence."""
        return self._one(state, _END) if (_END,) in self.ngrams else 0.0

    def _tokens(self, text: str) -> list[str]:
        return [self._known(each) for each in (text if self.level == "character" else text.split())]

    def _known(self, token: str) -> str:
        choices = (token, *(_SPACES if token == " " else ()), *_UNKNOWN)
        return next((each for each in choices if (each,) in self.ngrams), token)

    def _after(self, state: tuple[str, ...], token: str) -> tuple[str, ...]:
        return (*state, token)[-(self.order - 1) :] if self.order > 1 else ()

    def _one(self, context: tuple[str, ...], token: str) -> float:
        weight = 0.0
        while True:
            found = self.ngrams.get((*context, token))
            if found is not None:
                return weight + found[0]
            if not context:
                return weight + _FLOOR
            weight += self.ngrams.get(context, (0.0, 0.0))[1]
            context = context[1:]


def read_arpa(path: str | Path) -> ArpaModel:
    """Read n-grams; plain text or `.gz`.

    Raises:
        DataError: the file is missing, is no ARPA file, is cut short, or a line of it is wrong.
    """
    file = Path(path)
    if not file.is_file():
        raise DataError(f"{file} does not exist; expected an ARPA file of n-grams")
    try:
        with gzip.open(file, "rt", encoding="utf-8") if file.suffix == ".gz" else file.open(encoding="utf-8") as lines:
            return _parsed(file, lines)
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile) as error:
        raise DataError(f"{file} is no ARPA file ({error}); expected text in UTF-8 that has a line \\data\\") from error


def _parsed(path: Path, lines: Iterable[str]) -> ArpaModel:
    numbered = enumerate((line.strip() for line in lines), 1)
    counts = _counts(path, numbered)
    ngrams: dict[tuple[str, ...], tuple[float, float]] = {}
    found = dict.fromkeys(counts, 0)
    length, ended = 0, False
    for number, line in numbered:
        if line.startswith("\\"):
            if ended := line == "\\end\\":
                break
            length = _section(path, number, line, counts)
        elif line:
            tokens, numbers = _ngram(path, number, line, length)
            ngrams[tokens] = numbers
            found[length] += 1
    if not ended or found != counts:
        short = next((count for count in counts if found[count] != counts[count]), max(counts))
        raise DataError(
            f"{path} is cut short: it says that it has {counts[short]:,} n-grams of {short}, but has {found[short]:,}; "
            "write it again"
        )
    words = [ngram[0] for ngram in ngrams if len(ngram) == 1 and ngram[0] not in (_BEGIN, _END, *_UNKNOWN, "<space>")]
    level = "character" if words and all(len(word) == 1 for word in words) else "word"
    return ArpaModel(ngrams, max(counts), level)


def _counts(path: Path, numbered: Iterator[tuple[int, str]]) -> dict[int, int]:
    """Read up to the last line that says how many n-grams there are."""
    counts: dict[int, int] = {}
    begun = False
    for number, line in numbered:
        begun = begun or line == "\\data\\"
        if begun and line.startswith("ngram"):
            try:
                length, count = (int(part) for part in line.split(None, 1)[1].split("="))
            except (ValueError, IndexError) as error:
                raise DataError(f'{path}, line {number}: "{line[:60]}"; expected "ngram 2=1000"') from error
            counts[length] = count
        elif begun and counts and not line:
            break
        if number > 1000 and not counts:
            break
    if not counts:
        raise DataError(f"{path} is no ARPA file; expected a line \\data\\ and lines such as ngram 1=1000 behind it")
    return counts


def _section(path: Path, number: int, line: str, counts: dict[int, int]) -> int:
    length = line[1:].partition("-grams:")[0]
    if not length.isdecimal() or int(length) not in counts:
        raise DataError(f'{path}, line {number}: "{line[:60]}"; expected the head of n-grams, such as \\2-grams:')
    return int(length)


def _ngram(path: Path, number: int, line: str, length: int) -> tuple[tuple[str, ...], tuple[float, float]]:
    parts = line.split()
    try:
        if length < 1 or len(parts) not in (length + 1, length + 2):
            raise ValueError
        chance = float(parts[0]) * _LOG_TEN
        weight = float(parts[length + 1]) * _LOG_TEN if len(parts) == length + 2 else 0.0
        if math.isnan(chance) or math.isnan(weight) or chance > 1e-3:
            raise ValueError
    except ValueError as error:
        raise DataError(
            f'{path}, line {number}: "{line[:60]}"; expected a logarithm of a probability, {length} tokens and perhaps '
            "a back-off weight"
        ) from error
    return tuple(parts[1 : length + 1]), (max(chance, 3 * _FLOOR), weight)
