"""Several kinds of evidence that a frame is strange, brought to one scale: how seldom a normal frame has as much."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ostinato.errors import UsageError
from ostinato.tasks.video_anomaly.patches import smoothed

Floats = NDArray[np.float32]
MOVERS = ("pace", "size", "standing")
"""Of what moves, see `Movers`: its speed, its size, and what stands that is not of the scene."""
KINDS = ("prediction", *MOVERS)
"""How wrong the network is and how much there is to be wrong about; and what moves."""
MEMORIES = (0.0, 0.0, 0.95)
"""Of the running means of `MOVERS` at a patch: what moves has gone on in the next frame, and a mean at its place would
see the less of it the faster it is; what stands must have stood for a while."""
LEVEL = 0.7
"""Of the running mean over frames of what all patches come to: what moves on stays strange, wherever it has got to, and
what is strange for a frame alone is noise. More of it finds what lasts for seconds better still, and goes on longer
about what is over."""
_HIGH, _PLACE, _BELIEF, _FEWEST = 0.98, 0.5, 50.0, 20  # see `ostinato.tasks.video_anomaly.encoder.Usual`
_LEAST = np.array([0.02, 0.02, 0.02], np.float32)  # pixels a frame, and shares of a window
_SHARE = 0.1  # of normal frames lie beyond the begin of a tail
_FARTHEST = 8.0  # scales beyond it that count: one kind alone does not drown the others
_FLOOR = 1e-6


@dataclass(frozen=True)
class Evidence:
    """What each kind reaches on normal video.

    A kind is brought to nats: minus the logarithm of the share of normal frames of which any patch has as much, by an
    exponential tail of the highest patch of each frame. What is rare in any frame counts, however it is measured.

    Args:
        high: of `MOVERS`, what they stay below in 98 of 100 normal frames at each place, drawn half way to all places,
            `(movers, rows, columns)`.
        begins: of the tail of each kind, `(kinds,)`; scales: how far it falls by one nat, likewise.
        taken: 1 for each kind that counts and 0 for others, likewise.
    """

    high: Floats
    begins: Floats
    scales: Floats
    taken: Floats

    @classmethod
    def nothing(cls, grid: tuple[int, int], names: str = "+".join(KINDS)) -> Evidence:
        """Return what stands for it before it is known; `names` of kinds that count, with + between."""
        ones = np.ones(len(KINDS), np.float32)
        taken = np.array([kind in names_of(names) for kind in KINDS], np.float32)
        return cls(np.ones((len(MOVERS), *grid), np.float32), ones, ones, taken)

    def with_high(self, movers: Floats) -> Evidence:
        """Return it with what movers `(frames, movers, rows, columns)` reach at each place; 0 is nothing there."""
        if not len(movers):
            return self
        high = np.stack([_high(movers[:, kind], float(_LEAST[kind])) for kind in range(len(MOVERS))])
        return replace(self, high=high)

    def with_tails(self, clips: Sequence[Floats]) -> Evidence:
        """Return it with the tails of running means, each `(frames, kinds, rows, columns)`, of normal clips."""
        highest = np.concatenate([clip.max((2, 3)) for clip in clips])
        begins, scales = [], []
        for values in highest.T:
            begin = max(float(np.quantile(values, 1 - _SHARE)), _FLOOR)
            beyond = values[values > begin] - begin
            begins.append(begin)
            scales.append(max(float(beyond.mean()) if len(beyond) else 0.0, 0.02 * begin))
        return replace(self, begins=np.array(begins, np.float32), scales=np.array(scales, np.float32))

    def shares(self, movers: Floats) -> Floats:
        """Return movers `(movers, rows, columns)` beside what they reach at each place."""
        found: Floats = movers / self.high
        return found

    def nats(self, means: Floats) -> Floats:
        """Return running means `(kinds, rows, columns)` in nats, likewise."""
        begins, scales = self.begins[:, None, None], self.scales[:, None, None]
        least = np.float32(-math.log(_SHARE))
        beyond = np.clip((means - begins) / scales, 0.0, _FARTHEST)
        found: Floats = (least * np.clip(means / begins, 0.0, 1.0) + beyond) * self.taken[:, None, None]
        return found


def names_of(evidence: str) -> list[str]:
    """Return the kinds that a text like `"prediction+pace"` joins.

    Raises:
        UsageError: one is not known, or there is none.
    """
    names = [name.strip() for name in evidence.split("+")]
    if not set(names) <= set(KINDS):
        raise UsageError(f"evidence is {evidence!r}; expected one or more of {', '.join(KINDS)}, with + between")
    return names


def levelled(before: Floats | None, nats: Floats) -> Floats:
    """Return the level of strangeness of a frame, `(1,)`; its square root is the frame's score.

    It is the running mean of the sum of squares of each kind's highest patch: between their sum, in which one kind
    alone is drowned by what is usual of the others, and the highest of them, to which kinds that agree add nothing.

    Args:
        before: that of the frame before; `None`: there is none.
        nats: of the frame, `(kinds, rows, columns)`.
    """
    now: Floats = np.square(nats.max((1, 2))).sum(keepdims=True).astype(np.float32)
    return now if before is None else np.float32(LEVEL) * before + np.float32(1 - LEVEL) * now


def running(before: Floats | None, now: Floats, memory: float) -> Floats:
    """Return the running means of all kinds, `(kinds, rows, columns)`, with a frame more.

    Args:
        before: those of the frame before; `None`: there is none.
        now: of the frame.
        memory: of the first kind.
    """
    if before is None:
        return now
    memories = np.array([memory, *MEMORIES], np.float32)[:, None, None]
    found: Floats = (memories * before + (1 - memories) * now).astype(np.float32)
    return found


def _high(values: Floats, least: float) -> Floats:
    """Return what values `(frames, rows, columns)` reach, `(rows, columns)`, where they are anything."""
    there = values > 0
    if not there.any():
        return np.full(values.shape[1:], least, np.float32)
    common = max(float(np.quantile(values[there], _HIGH)), least)
    place, counts = np.full(values.shape[1:], common, np.float32), there.sum(0)
    for row, column in np.argwhere(counts >= _FEWEST).tolist():
        inside = values[there[:, row, column], row, column]
        place[row, column] = np.quantile(inside, _HIGH)
    share = _PLACE * counts / (counts + _BELIEF)
    found: Floats = np.maximum(share * smoothed(place) + (1 - share) * common, least).astype(np.float32)
    return found
