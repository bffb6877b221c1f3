"""Nearest neighbours under dynamic time warping: what a model of sequences has to beat."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ostinato.errors import UsageError
from ostinato.tasks.base.allowance import deadline

Values = NDArray[np.float32]
Floats = NDArray[np.float64]


class WarpedNeighbours:
    """Distances of a sequence to all training sequences under dynamic time warping, all at once.

    Channels are warped together ("dependent": the cost of two steps is their squared Euclidean distance over all
    channels). Where values are missing (NaN), only channels that both steps have count, scaled up to all of them; two
    steps with none in common cost nothing.

    Args:
        sequences: `(time, channels)` each; lengths may differ.
        window: how far, as a share of the longer sequence, the warping path may stray from the diagonal (Sakoe and
            Chiba, 1978); 1: anywhere.

    Raises:
        UsageError: there are no sequences, or the window is out of range.

    Sources: H. Sakoe and S. Chiba, "Dynamic programming algorithm optimization for spoken word recognition", IEEE
    Transactions on Acoustics, Speech, and Signal Processing 26, 1978; M. Shokoohi-Yekta et al., "Generalizing dynamic
    time warping to the multi-dimensional case", Data Mining and Knowledge Discovery 31, 2017.

    >>> near = WarpedNeighbours([np.array([[0.0], [1.0], [1.0]]), np.array([[2.0], [2.0]])])
    >>> near.distances(np.array([[0.0], [0.0], [1.0]])).tolist()
    [0.0, 9.0]
    """

    def __init__(self, sequences: Sequence[NDArray[np.floating]], window: float = 1.0) -> None:
        if not sequences:
            raise UsageError("there are no sequences to be near to; give one or more")
        if not 0.0 <= window <= 1.0:
            raise UsageError(f"window is {window}; expected a share of the length from 0 to 1")
        self.window = window
        self.lengths = np.array([len(sequence) for sequence in sequences])
        self.steps = int(self.lengths.max())
        block = np.full((self.steps, len(sequences), sequences[0].shape[1]), np.nan, np.float32)
        for column, sequence in enumerate(sequences):
            block[: len(sequence), column] = sequence
        self._seen = (~np.isnan(block)).astype(np.float32)
        self._values = np.nan_to_num(block)

    def distances(self, sequence: NDArray[np.floating]) -> Floats:
        """Return the distance to each training sequence, `(training sequences,)`: sums of squares along the best path.

        The table of sums is filled diagonal by diagonal, all cells of one, for all training sequences, at once.
        """
        costs = self._costs(np.asarray(sequence, np.float32))
        time, steps, count = costs.shape
        far = np.float32(np.inf)
        # by diagonals: sums[i] is of the cell (i, diagonal - i); row 0 is the border
        before = np.full((time + 1, count), far, np.float32)
        last = before.copy()
        before[0] = 0.0
        found = np.full(count, far, np.float32)
        within = deadline()
        for diagonal in range(time + steps - 1):
            within.check()
            first, stop = max(0, diagonal - steps + 1), min(time, diagonal + 1)
            rows = np.arange(first, stop)
            best = np.minimum(np.minimum(last[first:stop], last[first + 1 : stop + 1]), before[first:stop])
            current = np.full_like(last, far)
            current[first + 1 : stop + 1] = costs[rows, diagonal - rows] + best
            if stop == time:
                ends = self.lengths == diagonal - time + 2
                found[ends] = current[time, ends]
            before, last = last, current
        return found.astype(np.float64)

    def _costs(self, sequence: Values) -> Values:
        """Return the cost of every pair of steps, `(time, steps, training sequences)`, infinite outside the window."""
        channels = sequence.shape[1]
        seen, values = (~np.isnan(sequence)).astype(np.float32), np.nan_to_num(sequence)
        flat, there = self._values.reshape(-1, channels), self._seen.reshape(-1, channels)
        squares = (values**2) @ there.T - 2 * values @ flat.T + seen @ (flat**2).T
        both = seen @ there.T
        with np.errstate(invalid="ignore", divide="ignore"):
            costs = np.where(both > 0, np.maximum(squares, 0) * (channels / both), 0.0)
        shaped: Values = costs.astype(np.float32).reshape(len(sequence), self.steps, len(self.lengths))
        if self.window < 1.0:
            shaped[self._outside(len(sequence))] = np.inf
        return shaped

    def _outside(self, time: int) -> NDArray[np.bool_]:
        """Return the pairs of steps that are too far from the diagonal; the nearest to it never are."""
        longer, shorter = np.maximum(self.lengths, time), np.minimum(self.lengths, time)
        ours = np.arange(time)[:, None, None] / max(time - 1, 1)
        theirs = np.arange(self.steps)[:, None] / np.maximum(self.lengths - 1, 1)
        nearest = 0.5 * longer / np.maximum(shorter - 1, 0.5)
        outside: NDArray[np.bool_] = np.abs(ours - theirs) * longer > np.maximum(self.window * longer, nearest) + 1e-9
        return outside
