"""How captions of the training part are: how short, and what they do not say twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_SHORT, _RARE = 0.05, 0.01  # shares of the captions
_MOST = 6  # tokens: longer sequences are not looked for


@dataclass(frozen=True)
class Habits:
    """What no caption that is written goes against, whatever a network that has learned little would say.

    Where the clip tells a network next to nothing, the mark of the end is likely after a word or two, and a beam takes
    the shortest captions first; or the same words come again and again. Either is seldom among captions that people
    wrote, and how seldom is counted.

    Args:
        shortest: tokens, which all but one in twenty captions have.
        apart: the least number of tokens of which hardly a caption has the same sequence twice; 0: there is none.

    Source of what is never repeated: R. Paulus, C. Xiong and R. Socher, "A deep reinforced model for abstractive
    summarization", ICLR 2018, section 2.5, where it is three for any text.
    """

    shortest: int = 1
    apart: int = 0

    @classmethod
    def of(cls, captions: Sequence[Sequence[int]]) -> Habits:
        """Count those of captions, their tokens without marks.

        >>> Habits.of([[5, 6, 7], [5, 6, 7, 5, 8]])
        Habits(shortest=3, apart=2)
        """
        shortest = int(np.quantile([len(each) for each in captions], _SHORT, method="lower"))
        few = _RARE * len(captions)
        fits = (size for size in range(1, _MOST + 1) if sum(_repeats(each, size) for each in captions) <= few)
        return cls(max(1, shortest), next(fits, 0))


def _repeats(tokens: Sequence[int], size: int) -> bool:
    grams = [tuple(tokens[place : place + size]) for place in range(len(tokens) - size + 1)]
    return len(set(grams)) < len(grams)
