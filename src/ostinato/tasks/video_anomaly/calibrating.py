"""What is usual and where alarms begin, found on normal video once the network is trained."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ostinato.tasks.base.tail import Tail
from ostinato.tasks.base.task import Model
from ostinato.tasks.video_anomaly.encoder import VideoEncoder
from ostinato.tasks.video_anomaly.footage import Clipped, Footage
from ostinato.tasks.video_anomaly.parameters import VideoAnomalyParameters
from ostinato.tasks.video_anomaly.scoring import watched

Watching: TypeAlias = "Model[VideoAnomalyParameters, VideoEncoder]"
Floats = NDArray[np.float32]
_MOST = 3000  # frames that are watched, at most
_SHARE, _LEAST_SECONDS = 0.15, 8.0  # of the time that training has, where it is limited, and seconds at least
_FEWEST = 40  # frames of a clip, whatever the time


@dataclass(frozen=True)
class Seen:
    """Views and movers of the frames of a clip, see `Frame`; neither depends on what is usual."""

    views: Floats
    movers: Floats


def calibrated(model: Watching, validation: Clipped | None, train: Clipped) -> VideoEncoder:
    """Return the encoder with what is usual in all normal video, and alarms by that which was held out, if any was."""
    held = [] if validation is None else seen_of(model, normal(validation))
    known = seen_of(model, normal(train))
    if not held and not known:
        return model.encoder
    encoder = with_usual(model.encoder, [*held, *known])
    return with_alarms(encoder, model.parameters, held or known)


def with_usual(encoder: VideoEncoder, seen: Sequence[Seen]) -> VideoEncoder:
    """Return the encoder with what is usual in clips that were seen."""
    return encoder.with_usual([(each.views, each.movers) for each in seen]) if seen else encoder


def with_alarms(encoder: VideoEncoder, given: VideoAnomalyParameters, seen: Sequence[Seen]) -> VideoEncoder:
    """Return the encoder with the threshold that the accepted rate of false alarms asks for."""
    scores = [encoder.scores_of(each.views, each.movers) for each in seen]
    if not scores:
        return encoder
    gaps = np.full(given.merge + 1, -np.inf)  # runs of two clips are not one
    every = np.concatenate([each for one in scores for each in (one, gaps)])[: -len(gaps)]
    known = every[np.isfinite(every)]
    tail = Tail.fit(np.where(np.isneginf(every), np.nan, every), gap=given.merge)
    low = float(known.min()) if len(known) else 0.0
    words = f"{given.false_alarm_rate:g} false alarms a frame"
    return replace(encoder, tail=tail, threshold=float(tail.threshold(given.false_alarm_rate)), chosen=words, low=low)


def seen_of(model: Watching, clips: Sequence[Footage]) -> list[Seen]:
    """Return what is seen of normal clips, of many clips or where time is limited of a part of each."""
    limit = model.parameters.max_seconds
    end = math.inf if limit is None else time.monotonic() + max(_LEAST_SECONDS, _SHARE * limit)
    found, taken, began = list[Seen](), 0, time.monotonic()
    for number, clip in enumerate(clips):
        clips_left, frames = len(clips) - number, float(_MOST - taken)
        if taken and end < math.inf:
            pace = (time.monotonic() - began) / taken
            frames = min(frames, max(end - time.monotonic(), 0.0) / max(pace, 1e-6))
        part = clip.cut(slice(0, max(_FEWEST, int(frames / clips_left))))
        watching = watched(model.network, model.encoder, zip(part.frames, part.motion, strict=True))
        frames_seen: list[Any] = list(watching)
        found.append(Seen(*(np.stack([getattr(each, name) for each in frames_seen]) for name in ("views", "movers"))))
        taken += len(part)
    return found


def normal(part: Clipped) -> list[Footage]:
    """Return the clips of a part up to the first frame that is known to be anomalous."""
    found = []
    for clip in part.clips:
        stop = len(clip) if clip.labels is None or not clip.labels.any() else int(clip.labels.argmax())
        if stop > 1:
            found.append(clip.cut(slice(0, stop)))
    return found
