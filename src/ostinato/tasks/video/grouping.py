"""Parts of whole groups of clips: no subject, camera or recording is on two sides of a split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ostinato.errors import DataError
from ostinato.tasks.base.holding_out import drawn_groups

_DRAWS = 60  # of groups, of which the one that is most like the whole is taken


def grouped_parts(labels: Sequence[Any], groups: Sequence[str], shares: Sequence[float], seed: int) -> list[Any]:
    """Draw parts of whole groups; of several draws, the one whose parts are most like the whole in classes and size.

    Args:
        labels: of all clips.
        groups: what each belongs to.
        shares: of each part, 0 for none.
        seed: of the draws.

    Returns:
        Rows of the training part and of each part.

    Raises:
        DataError: there are too few groups.
    """
    if len(set(groups)) <= sum(share > 0 for share in shares):
        raise DataError(
            f"there are {len(set(groups))} groups, too few to hold some out and to train on others; give files for "
            "validation and test, or leave the group out"
        )
    names, numbers = np.unique([str(label) for label in labels], return_inverse=True)
    whole = np.bincount(numbers, minlength=len(names))
    best: tuple[float, list[Any]] | None = None
    for draw in range(_DRAWS):
        rows = drawn_groups(groups, shares, seed * _DRAWS + draw)
        if any(len(part) == 0 for part, share in zip(rows[1:], shares, strict=True) if share > 0):
            rows = _a_group_each(groups, shares, seed * _DRAWS + draw)
        counts = [np.bincount(numbers[part], minlength=len(names)) for part in rows]
        wanted = [whole * share for share in (1 - sum(shares), *shares)]
        off = sum(float(np.abs(a - b).sum()) for a, b in zip(counts, wanted, strict=True))
        off += 1e3 * float((counts[0] == 0).sum())
        off += 1e6 * sum(len(part) == 0 for part, share in zip(rows[1:], shares, strict=True) if share > 0)
        if best is None or off < best[0]:
            best = off, rows
    assert best is not None
    return best[1]


def _a_group_each(groups: Sequence[str], shares: Sequence[float], seed: int) -> list[Any]:
    """Draw a group for each part, where groups are larger than parts should be."""
    names = [sorted(set(groups))[at] for at in np.random.default_rng(seed).permutation(len(set(groups)))]
    held = [names.pop() if share > 0 else None for share in shares]
    parts: list[set[str | None]] = [set(names), *({name} for name in held)]
    return [np.flatnonzero([name in part for name in groups]) for part in parts]
