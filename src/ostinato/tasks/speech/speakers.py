"""Parts of which each speaker is in one alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ostinato.tasks.base.holding_out import Shares, groups_of

Rows = NDArray[np.int64]
_FEWEST = 2  # speakers that stay in training


def by_speakers(speakers: Sequence[str], shares: Shares, seed: int) -> tuple[list[Rows], str] | None:
    """Draw speakers for the validation and the test part, until each has its share of the utterances, one at least.

    Args:
        speakers: of each utterance.
        shares: of the utterances.
        seed: of the draw.

    Returns:
        Rows of training, validation and test part, and the test part in words; `None`: there are too few speakers.

    >>> rows, words = by_speakers(list("aabbccddeeff"), Shares(0.1, 0.1), seed=0)
    >>> [len(part) for part in rows], words
    ([8, 2, 2], '1 of 6 speakers, drawn')
    """
    numbers = groups_of(speakers)
    count = int(numbers.max()) + 1 if len(numbers) else 0
    wanted = [share for share in (shares.validation, shares.test) if share > 0]
    if count < _FEWEST + len(wanted):
        return None
    left = np.random.default_rng(seed).permutation(count).tolist()
    sizes = np.bincount(numbers)
    parts: list[list[int]] = []
    for share in (shares.test, shares.validation):
        taken: list[int] = []
        while share > 0 and len(left) > _FEWEST and (not taken or sizes[taken].sum() < share * len(numbers)):
            taken.append(left.pop())
        parts.append(taken)
    test, validation = parts
    rows = [np.flatnonzero(np.isin(numbers, part)) for part in (left, validation, test)]
    return rows, f"{len(test)} of {count} speakers, drawn"
