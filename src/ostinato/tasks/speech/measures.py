"""Word and character error rates, the alignment behind them, and what is confused with what.

Errors are counted by `jiwer` (extra `speech`): the least number of substitutions, deletions and insertions that turn
the reference into the hypothesis, over all words of the references. An utterance whose reference is empty has no words;
what is heard in it are insertions, and count in the rate of the corpus. Without a single word in any reference the rate
is NaN, or 0 if nothing was heard.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ostinato.errors import MissingExtra, ShapeError
from ostinato.tasks.base.units import Sums, Units

Operation = Literal["equal", "substitute", "delete", "insert"]
_PARTS = ("substitutions", "deletions", "insertions")
_PUNCTUATION = re.compile(r"(?!(?<=\w)['’-](?=\w))[^\w\s]")
"""What is neither a letter, a digit, a space, nor an apostrophe or a hyphen within a word."""


@dataclass(frozen=True)
class ErrorCounts:
    """Errors of utterances, each `(utterances,)`, and of how many words or characters."""

    substitutions: NDArray[np.int64]
    deletions: NDArray[np.int64]
    insertions: NDArray[np.int64]
    reference: NDArray[np.int64]

    @property
    def errors(self) -> NDArray[np.int64]:
        """All errors of each utterance."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """Errors over words of the references."""
        return float(_rates(np.array([[self.errors.sum(), self.reference.sum()]], np.float64))[0])

    @property
    def sums(self) -> Sums:
        """What each utterance adds to the rate, for paired tests."""
        return Sums(np.stack([self.errors, self.reference], -1).astype(np.float64), _rates)


@dataclass(frozen=True)
class Aligned:
    """One step from a reference to a hypothesis; `""` where one of the two has nothing."""

    operation: Operation
    reference: str
    hypothesis: str


def normalised(text: str, *, lower: bool = True, punctuation: bool = False) -> str:
    """Return a text as both sides are compared: one space between words, and by default lower case, no punctuation.

    Apostrophes and hyphens within words stay. It is for comparing texts of different makers; the rates here take texts
    as they come but for spaces.

    >>> normalised("  Don't  STOP, now... ")
    "don't stop now"
    """
    text = unicodedata.normalize("NFC", text)
    text = text.lower() if lower else text
    return " ".join((text if punctuation else _PUNCTUATION.sub(" ", text)).split())


def alignment(reference: str, hypothesis: str) -> list[Aligned]:
    """Return how the words of a hypothesis stand to those of its reference, from left to right.

    >>> [pair.operation for pair in alignment("one two three", "one too three four")]
    ['equal', 'substitute', 'equal', 'insert']
    """
    return _aligned([reference], [hypothesis], characters=False)[0]


def word_errors(references: Sequence[str], hypotheses: Sequence[str]) -> ErrorCounts:
    """Return the errors of words of each utterance.

    Raises:
        ShapeError: there are not as many hypotheses as references.
        MissingExtra: `jiwer` is not installed.
    """
    return _counted(references, hypotheses, characters=False)


def character_errors(references: Sequence[str], hypotheses: Sequence[str]) -> ErrorCounts:
    """Return the errors of characters of each utterance, one space between words among them.

    Raises:
        ShapeError: there are not as many hypotheses as references.
        MissingExtra: `jiwer` is not installed.
    """
    return _counted(references, hypotheses, characters=True)


def confusions(references: Sequence[str], hypotheses: Sequence[str], most: int = 10) -> list[tuple[str, str, int]]:
    """Return what was most often taken for what: (word, what was heard, how often); `""`: nothing, or from nothing.

    >>> confusions(["five five", "nine"], ["nine five", ""])
    [('five', 'nine', 1), ('nine', '', 1)]
    """
    found: Counter[tuple[str, str]] = Counter()
    for steps in _aligned(references, hypotheses, characters=False):
        found.update((step.reference, step.hypothesis) for step in steps if step.operation != "equal")
    ranked = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    return [(heard[0], heard[1], count) for heard, count in ranked[:most]]


def speech_measures(references: Sequence[str], hypotheses: Sequence[str]) -> dict[str, float]:
    """Return the word error rate, the character error rate, the parts of the first, and utterances without error.

    All are shares: of words, characters or utterances.

    >>> found = speech_measures(["one two", "three"], ["one too", "three"])
    >>> round(found["WER"], 3), round(found["CER"], 3), found["exact"]
    (0.333, 0.083, 0.5)
    """
    words, characters = word_errors(references, hypotheses), character_errors(references, hypotheses)
    count = float(words.reference.sum())
    parts = {name: float(getattr(words, name).sum()) / count if count else float("nan") for name in _PARTS}
    exact = float((words.errors == 0).mean()) if len(references) else float("nan")
    return {"WER": words.rate, "CER": characters.rate, **parts, "exact": exact}


def speech_units(references: Sequence[str], hypotheses: Sequence[str]) -> Units:
    """Return both rates by utterances, for paired tests."""
    words, characters = word_errors(references, hypotheses), character_errors(references, hypotheses)
    return Units(len(references), "utterances", {"WER": words.sums, "CER": characters.sums})


def _rates(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    errors, count = sums[:, 0], sums[:, 1]
    nothing = np.where(errors > 0, np.nan, 0.0)
    found: NDArray[np.float64] = np.divide(errors, count, out=nothing, where=count > 0)
    return found


def _counted(references: Sequence[str], hypotheses: Sequence[str], *, characters: bool) -> ErrorCounts:
    counts = np.zeros((len(references), 4), np.int64)
    for row, steps in enumerate(_aligned(references, hypotheses, characters=characters)):
        found = Counter(step.operation for step in steps)
        errors = [found["substitute"], found["delete"], found["insert"]]
        counts[row] = [*errors, found["equal"] + errors[0] + errors[1]]
    return ErrorCounts(*counts.T)


def _aligned(references: Sequence[str], hypotheses: Sequence[str], *, characters: bool) -> list[list[Aligned]]:
    """Return the steps of each utterance; `jiwer` takes no empty reference, of which all steps are insertions."""
    if len(references) != len(hypotheses):
        raise ShapeError(f"there are {len(references)} references and {len(hypotheses)} hypotheses; expected as many")
    clean = [(" ".join(one.split()), " ".join(two.split())) for one, two in zip(references, hypotheses, strict=True)]
    found = [
        [Aligned("insert", "", each) for each in (list(two) if characters else two.split())] if not one else []
        for one, two in clean
    ]
    rows = [row for row, (one, _) in enumerate(clean) if one]
    if not rows:
        return found
    jiwer = _jiwer()
    process = jiwer.process_characters if characters else jiwer.process_words
    output = process([clean[row][0] for row in rows], [clean[row][1] for row in rows])
    for row, chunks, one, two in zip(rows, output.alignments, output.references, output.hypotheses, strict=True):
        found[row] = [step for chunk in chunks for step in _steps(chunk, one, two)]
    return found


def _steps(chunk: Any, reference: Sequence[str], hypothesis: Sequence[str]) -> list[Aligned]:
    one = list(reference[chunk.ref_start_idx : chunk.ref_end_idx])
    two = list(hypothesis[chunk.hyp_start_idx : chunk.hyp_end_idx])
    count = max(len(one), len(two))
    one, two = one + [""] * (count - len(one)), two + [""] * (count - len(two))
    return [Aligned(chunk.type, before, heard) for before, heard in zip(one, two, strict=True)]


def _jiwer() -> Any:
    try:
        import jiwer
    except ImportError as error:
        raise MissingExtra("error rates need the extra speech: pip install 'ostinato[speech]'") from error
    return jiwer
