"""Values that never came: how far a value is from all that were there before, and how strange that makes it.

Of `n` values drawn alike the next one lies beyond all of them about once in `n`; how much farther than the nearest of
them it lies tells more. Values are kept as the cells of a grid that they fell into, so that memory does not grow with
time: where there are too many, the grid gets twice as coarse. A value that came once makes those near it less strange
by no more than a part of the way; it is known once it came again later, or stayed. So an anomaly is not learned in one
go, and a new normal is after `LATER` steps.

This is about values themselves, beside the views of what was expected: a forecaster that follows a series closely is
surprised little by a slow drift into what never was, or by a spike in noise.

Source: the nearest-neighbour distance to what came before as a score, E. Knorr and R. Ng, "Algorithms for mining
distance-based outliers", VLDB 1998; its tail probability by exchangeability, R. Laxhammar and G. Falkman, "Conformal
prediction for distribution-independent anomaly detection in streaming vessel data", 2010.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
GRAIN = 0.05  # of the spread of a channel: values as near as this are alike
MOST = 128  # cells of a channel
LATER = 50  # steps after which a value that comes again is known
_ONCE = 0.03  # of the way to the nearest known value, that a value near one which came once is still off
_LEAST_RANGE = 0.25  # spreads that values range over at least
_APART = 0.1  # of the range: as far as this lies one value in as many as there were
_NEAR, _FALL = 0.02, 5.0  # of the range: a distance; how fast tails fall beyond it
_FEWEST = 16  # values before anything is said
_FARTHEST = 1e15  # spreads: what is farther is as far
_KNOWN = -1
_EMPTY = np.iinfo(np.int64).min


class Novelty:
    """What values of one channel were there.

    >>> novelty = Novelty()
    >>> for step in range(200):
    ...     _ = novelty.push(step % 7 / 7)
    >>> novelty.push(3 / 7)
    (0.0, 1)
    >>> nats, side = novelty.push(5.0)
    >>> nats > 20, side
    (True, 0)
    """

    def __init__(self) -> None:
        self.grain = GRAIN
        self.count = 0
        self.cells: list[int] = []  # rising
        self.since: dict[int, int] = {}  # of each cell, when it first came, or that it is known
        self.known: list[int] = []  # those cells that are, rising

    def push(self, value: float, *, learn: bool = True) -> tuple[float, int]:
        """Return how strange a scaled value is, in nats, and on which side (0: above) of what is near; then learn it.

        NaN where nothing can be said.
        """
        if value != value:
            return math.nan, 0
        cell = round(min(max(value, -_FARTHEST), _FARTHEST) / self.grain)
        found = self._judged(cell)
        if learn:
            self._learn(cell)
        return found

    def _judged(self, cell: int) -> tuple[float, int]:
        if self.count < _FEWEST:
            return math.nan, 0
        if self.since.get(cell) == _KNOWN:
            return 0.0, 1
        near = _nearest(self.cells, cell)
        far = float(abs(near - cell))
        if self.known:
            far += _ONCE * (abs(_nearest(self.known, cell) - cell) - far)
        if far <= 0:
            return 0.0, 1
        share = far / max(self.cells[-1] - self.cells[0], _LEAST_RANGE / self.grain)
        nats = math.log1p(self.count * min(share / _APART, 1.0)) + _FALL * math.log1p(share / _NEAR)
        return nats, int(cell < near)

    def _learn(self, cell: int) -> None:
        self.count += 1
        since = self.since.get(cell)
        if since is None:
            insort(self.cells, cell)
            self.since[cell] = self.count
            if len(self.cells) > MOST:
                self._coarsen()
        elif since != _KNOWN and self.count - since > LATER:
            self.since[cell] = _KNOWN
            insort(self.known, cell)

    def _coarsen(self) -> None:
        self.grain *= 2
        since: dict[int, int] = {}
        for cell in self.cells:
            half = round(cell / 2)
            since[half] = min(self.since[cell], since.get(half, self.count))
        self.since, self.cells = since, sorted(since)
        self.known = [cell for cell in self.cells if since[cell] == _KNOWN]

    def kept(self) -> Ints:
        """Return the state, `(2 + 2 * MOST,)`."""
        found = np.full(2 + 2 * MOST, _EMPTY, np.int64)
        found[:2] = self.count, round(math.log2(self.grain / GRAIN))
        found[2 : 2 + len(self.cells)] = self.cells
        found[2 + MOST : 2 + MOST + len(self.cells)] = [self.since[cell] for cell in self.cells]
        return found

    def accept(self, kept: Ints) -> None:
        """Resume from a state."""
        self.count, self.grain = int(kept[0]), GRAIN * 2.0 ** int(kept[1])
        cells, since = kept[2 : 2 + MOST], kept[2 + MOST :]
        found = cells != _EMPTY
        self.cells = cells[found].tolist()
        self.since = dict(zip(self.cells, since[found].tolist(), strict=True))
        self.known = [cell for cell in self.cells if self.since[cell] == _KNOWN]


def is_state(kept: Ints) -> bool:
    """Tell whether numbers can be the state of a channel."""
    cells, since = kept[2 : 2 + MOST], kept[2 + MOST :]
    found = cells != _EMPTY
    used = int(found.sum())
    return bool(
        kept.shape == (2 + 2 * MOST,)
        and kept[0] >= used
        and 0 <= kept[1] <= 64
        and not found[used:].any()
        and (np.diff(cells[:used]) > 0).all()
        and ((since[:used] == _KNOWN) | ((since[:used] >= 1) & (since[:used] <= kept[0]))).all()
    )


def _nearest(cells: list[int], cell: int) -> int:
    place = bisect_left(cells, cell)
    if place == len(cells):
        return cells[-1]
    if place and cell - cells[place - 1] <= cells[place] - cell:
        return cells[place - 1]
    return cells[place]
