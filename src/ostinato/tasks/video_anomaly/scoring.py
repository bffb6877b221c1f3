"""How strange frames are: one after the other, the same in a stream as in a file."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ostinato.data.video.motion import motion_between
from ostinato.engine import leaves, map_state
from ostinato.nn.frame_prediction import FramePredictor
from ostinato.tasks.video_anomaly.encoder import CHANNELS, VideoEncoder
from ostinato.tasks.video_anomaly.evidence import KINDS, levelled, running
from ostinato.tasks.video_anomaly.movers import LONGEST

Floats = NDArray[np.float32]
_KEPT = ("recent", "predicted", "seen", "smooth", "level")


@dataclass(frozen=True)
class Frame:
    """What is said of a frame.

    Args:
        score: of all kinds of evidence at their highest patches, running on from frame to frame, see `levelled`; NaN
            for the first one, of which nothing was predicted.
        patches: how strange each patch is, `(rows, columns)`, by all kinds of evidence together, in nats.
        views: of each patch, `(views, rows, columns)`; see `VIEWS`.
        movers: of each patch, `(movers, rows, columns)`; see `MOVERS`.
        nats: of each kind of evidence at each patch, `(kinds, rows, columns)`: of the running means of the logarithm
            of one more than how high the views around it are beside what is usual there, and of movers likewise.
        error: mean square of its predicted motion, in the scale of the network; NaN for the first.
    """

    score: float
    patches: Floats
    views: Floats
    movers: Floats
    nats: Floats
    error: float


class Watcher:
    """Takes the frames of one clip in, one after the other; its memory does not grow.

    Args:
        network: fitted.
        encoder: likewise.
    """

    def __init__(self, network: FramePredictor, encoder: VideoEncoder) -> None:
        self.network, self.encoder = network, encoder
        self.reset()

    def reset(self) -> None:
        """Begin a new clip."""
        self.count = 0  # of frames that were seen, up to as many as are kept
        size = (self.encoder.reading.height, self.encoder.reading.width)
        self.recent: NDArray[np.uint8] = np.zeros((LONGEST, *size), np.uint8)
        self.state: Any = None
        self.predicted: Floats | None = None
        self.seen: Floats | None = None
        self.smooth: Floats | None = None
        self.level: Floats | None = None

    def push(self, frame: NDArray[np.uint8], motion: NDArray[np.int8] | None = None) -> Frame:
        """Take in a frame `(height, width)`, and its motion where it is known already."""
        encoder, begins = self.encoder, self.count == 0
        if begins:
            motion = np.zeros((*frame.shape, 2), np.int8)
        elif motion is None:
            motion = motion_between(self.recent[-1], frame, encoder.reading.motion)
        seen = encoder.inputs(frame[None], motion[None])
        with torch.no_grad():
            predicted, self.state = self.network(torch.from_numpy(seen)[None], self.state)
        following, now = predicted[0, 0].numpy()
        recent = self.recent[LONGEST - self.count :]
        views = encoder.views(seen[0], self.predicted, now, self.seen, encoder.pace(recent, frame))
        movers = encoder.movers(recent, frame)
        error = float("nan") if self.predicted is None else float(((seen[0, 1:] - self.predicted[1:]) ** 2).mean())
        wrong = np.log1p(encoder.usual.scores(views)).astype(np.float32)
        means = np.concatenate([wrong[None], encoder.evidence.shares(movers)])
        # the mean begins with the second frame: of the first one half of the views are not there
        self.smooth = running(self.smooth if self.count >= 2 else None, means, encoder.memory)
        self.predicted, self.seen = following, seen[0]
        self.recent = np.concatenate([self.recent[1:], frame[None]])
        self.count = min(self.count + 1, LONGEST)
        nats = encoder.evidence.nats(self.smooth)
        self.level = levelled(None if self.count <= 2 else self.level, nats)
        score = float("nan") if begins else math.sqrt(self.level[0])
        return Frame(score, nats.sum(0), views, movers, nats, error)

    def kept(self) -> dict[str, Any]:
        """Return all that is held, as arrays; nothing before the first frame."""
        if self.count == 0:
            return {}
        assert self.predicted is not None
        assert self.seen is not None
        assert self.smooth is not None
        assert self.level is not None
        states = {f"state{place}": leaf.numpy().copy() for place, leaf in enumerate(leaves(self.state))}
        arrays = {name: getattr(self, name).copy() for name in _KEPT}
        return {"count": np.array([self.count]), **arrays, **states}

    def shapes(self) -> dict[str, tuple[tuple[int, ...], Any]]:
        """Return the shape and type of each array that is held after a frame."""
        reading, encoder = self.encoder.reading, self.encoder
        size = (reading.height, reading.width)
        with torch.no_grad():
            _, state = self.network(torch.zeros(1, 1, CHANNELS, *size))
        found: dict[str, tuple[tuple[int, ...], Any]] = {
            "count": ((1,), np.int64),
            "recent": ((LONGEST, *size), np.uint8),
            "predicted": ((CHANNELS, *size), np.float32),
            "seen": ((CHANNELS, *size), np.float32),
            "smooth": ((len(KINDS), *encoder.grid), np.float32),
            "level": ((1,), np.float32),
        }
        return found | {f"state{place}": (tuple(leaf.shape), np.float32) for place, leaf in enumerate(leaves(state))}

    def accept(self, kept: Mapping[str, Any]) -> None:
        """Go on from what `kept` returned, which was checked."""
        self.reset()
        if not kept:
            return
        with torch.no_grad():
            size = (self.encoder.reading.height, self.encoder.reading.width)
            _, state = self.network(torch.zeros(1, 1, CHANNELS, *size))
        arrays = iter([torch.from_numpy(np.array(kept[f"state{place}"])) for place in range(len(leaves(state)))])
        self.state = map_state(lambda _: next(arrays), state)
        self.count = int(kept["count"][0])
        for name in _KEPT:
            setattr(self, name, np.array(kept[name]))


def watched(network: FramePredictor, encoder: VideoEncoder, frames: Iterable[Any]) -> Iterator[Frame]:
    """Yield what is said of each frame of a clip, `(frame, motion)` or a frame alone."""
    watcher = Watcher(network, encoder)
    for one in frames:
        yield watcher.push(*one) if isinstance(one, tuple) else watcher.push(one)
