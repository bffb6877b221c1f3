"""How captions of the training part are: how short, and what they do not say twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_SHORT, _RARE = 0.05, 0.01  # shares of the captions
_BEYOND, _SMOOTHED = 4, np.array([0.25, 0.5, 0.25])
_AGAIN, _NEARLY = 5, 0.8  # times that a token comes; the share of tokens
_KNOWN, _LAST = 20, 0.005  # times that a token comes; the share of them at an end
_NEAR = 2  # tokens, within which what comes again is a stutter
_MOST = 6  # tokens: longer sequences are not looked for


@dataclass(frozen=True)
class Habits:
    """What no caption that is written goes against, whatever a network that has learned little would say.

    Where the clip tells a network next to nothing, the mark of the end is likely after a word or two, and a beam takes
    the shortest captions first; or the same words come again and again. Either is seldom among captions that people
    wrote, and how seldom is counted.

    Args:
        shortest: tokens, which all but one in twenty captions have.
        spaced: within how many tokens hardly a caption has one of them again.
        closed: whether they are of few words, nearly all of which come again and again.
        open_tokens: after which hardly a caption ends, such as articles.
        usual: logarithm of the share of captions of 0, 1, ... tokens, smoothed; longer ones are as the last.
        apart: the least number of tokens of which hardly a caption has the same sequence twice; 0: there is none.

    Source of what is never repeated: R. Paulus, C. Xiong and R. Socher, "A deep reinforced model for abstractive
    summarization", ICLR 2018, section 2.5, where it is three for any text.
    """

    shortest: int = 1
    apart: int = 0
    spaced: int = 0
    closed: bool = True
    open_tokens: tuple[int, ...] = ()
    usual: tuple[float, ...] = ()

    @classmethod
    def of(cls, captions: Sequence[Sequence[int]]) -> Habits:
        """Count those of captions, their tokens without marks.

        >>> found = Habits.of([[5, 6, 7], [5, 6, 7, 5, 8]])
        >>> found.shortest, found.apart, found.spaced
        (3, 2, 2)
        """
        lengths = np.array([len(each) for each in captions])
        few = _RARE * len(captions)
        fits = (size for size in range(1, _MOST + 1) if sum(_repeats(each, size) for each in captions) <= few)
        gaps = (gap for gap in range(1, _NEAR + 1) if sum(_comes_within(each, gap) for each in captions) > few)
        return cls(
            max(1, int(np.quantile(lengths, _SHORT, method="lower"))), next(fits, 0), next(gaps, _NEAR + 1) - 1,
            _closed(captions), _open(captions), _usual(lengths),
        )  # fmt: skip


def _closed(captions: Sequence[Sequence[int]]) -> bool:
    counts = Counter(token for each in captions for token in each)
    return sum(count >= _AGAIN for count in counts.values()) >= _NEARLY * len(counts)


def _open(captions: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """Return tokens that are frequent, and hardly ever the last of a caption."""
    counts = Counter(token for each in captions for token in each)
    ends = Counter(each[-1] for each in captions if each)
    return tuple(sorted(token for token, count in counts.items() if count >= _KNOWN and ends[token] <= _LAST * count))


def _usual(lengths: NDArray[np.int64]) -> tuple[float, ...]:
    """Return logarithms of how frequent lengths 0, 1, ... are, smoothed: a caption counts for neighbours too."""
    counts = np.bincount(lengths, minlength=int(lengths.max()) + _BEYOND).astype(float)
    smooth = np.convolve(counts, _SMOOTHED, "same") + 0.5 / len(counts)
    found: list[float] = np.log(smooth / smooth.sum()).round(4).tolist()
    return tuple(found)


def _repeats(tokens: Sequence[int], size: int) -> bool:
    grams = [tuple(tokens[place : place + size]) for place in range(len(tokens) - size + 1)]
    return len(set(grams)) < len(grams)


def _comes_within(tokens: Sequence[int], gap: int) -> bool:
    return any(one == other for one, other in zip(tokens, tokens[gap:], strict=False))
