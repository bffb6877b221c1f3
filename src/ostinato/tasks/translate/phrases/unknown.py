"""What stands for source words that were never seen: the same in other letters, its parts, or one that begins alike."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ostinato.tasks.translate.phrases.words import GAP

_LINKS = ("", "s", "es", "n", "en", "e")
"""What Germanic languages put between the parts of a word."""
_RARE, _FEW = 2, 10
_PART, _STEM, _ALIKE, _LONGER, _NEAR = 3, 4, 0.65, 4, 12


def names_are_copied(sources: Sequence[Sequence[str]], targets: Sequence[Sequence[str]]) -> bool:
    """Tell whether rare words that are capital within sentences mostly stand in the translation as they are."""
    often = Counter(word for row in sources for word in row)
    kept = came = 0
    for ours, theirs in zip(sources, targets, strict=True):
        rare = [word.removeprefix(GAP) for word in ours[1:] if often[word] <= _RARE]
        rare = [word for word in rare if word[:1].isupper() and word.isalpha()]
        if rare:
            there = {word.removeprefix(GAP) for word in theirs}
            came, kept = came + len(rare), kept + sum(word in there for word in rare)
    return came >= _FEW and kept > came / 2


class Stand:
    """Looks for what is known.

    Args:
        words: that are known, sorted.
        often: how often each came, `(words,)`.
        names: whether a word that is capital within a sentence is mostly a name, for which nothing stands.

    Source of splitting: P. Koehn and K. Knight, "Empirical methods for compound splitting", EACL 2003.
    """

    def __init__(self, words: Sequence[str], often: NDArray[np.int64], *, names: bool = False) -> None:
        self._words, self._names = words, names
        self._often = dict(zip(words, often.tolist(), strict=True))

    def known(self, source: Sequence[str]) -> list[str]:
        """Return a source in which words that are not known are replaced, where anything stands for them."""
        found: list[str] = []
        for place, word in enumerate(source):
            letters = word.removeprefix(GAP)
            is_name = self._names and place > 0 and letters[:1].isupper()
            if word in self._often or is_name or not letters.isalpha():
                found.append(word)
            else:
                found += self._instead(word[: len(word) - len(letters)], letters) or [word]
        return found

    def _instead(self, gap: str, letters: str) -> list[str]:
        same = self._written(gap, letters)
        if same:
            return [same]
        parts = self._parts(gap, letters, 2)
        if parts:
            return parts
        alike = self._alike(gap + letters)
        return [alike] if alike else []

    def _written(self, gap: str, letters: str) -> str | None:
        """Return the most frequent of the ways in which letters are written."""
        ways = {space + form for form in (letters, letters.lower(), letters.capitalize()) for space in {gap, GAP}}
        return max((way for way in sorted(ways) if way in self._often), key=self._often.__getitem__, default=None)

    def _parts(self, gap: str, letters: str, deep: int) -> list[str]:
        """Return the parts of a word that are the most frequent by their geometric mean."""
        best: tuple[float, list[str]] = (0.0, [])
        for cut in range(_PART, len(letters) - _PART + 1):
            right = self._written(GAP, letters[cut:])
            if right is None:
                continue
            for left in self._lefts(gap, letters[:cut], deep):
                parts = [*left, right]
                mean = float(np.exp(np.mean([np.log(self._often[part]) for part in parts]))) / len(parts)
                best = max(best, (mean, parts))
        return best[1]

    def _lefts(self, gap: str, letters: str, deep: int) -> Iterator[list[str]]:
        for link in _LINKS:
            if letters.endswith(link) and len(letters) - len(link) >= _PART:
                known = self._written(gap, letters[: len(letters) - len(link)])
                if known:
                    yield [known]
        if deep > 1 and len(letters) >= 2 * _PART and (parts := self._parts(gap, letters, deep - 1)):
            yield parts

    def _alike(self, word: str) -> str | None:
        """Return the known word that begins with the most of the same letters: another form of the same, perhaps."""
        place, found, best = bisect_left(self._words, word), None, (0, 0)
        for other in self._words[max(0, place - _NEAR) : place + _NEAR]:
            same = next((i for i, (a, b) in enumerate(zip(word, other, strict=False)) if a != b), 0)
            same = same or min(len(word), len(other))
            near = abs(len(word) - len(other)) <= _LONGER and same >= max(
                _STEM + 1, _ALIKE * max(len(word), len(other))
            )
            if near and (same, self._often[other]) > best:
                found, best = other, (same, self._often[other])
        return found
