"""What a report shows of a detector of anomalies in video: scores over time, the strangest frames with their heat."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ostinato.errors import MissingExtra
from ostinato.tasks.base.alarms import asked_words, merged
from ostinato.tasks.base.summary import Curve, Frames, Panel, Table
from ostinato.tasks.base.task import Model
from ostinato.tasks.video_anomaly.answering import with_heat
from ostinato.tasks.video_anomaly.encoder import VideoEncoder
from ostinato.tasks.video_anomaly.footage import Clipped
from ostinato.tasks.video_anomaly.judged import Judged, bounds_of, equal_error_rate
from ostinato.tasks.video_anomaly.scoring import watched

_POINTS, _SHOWN, _APART = 1500, 6, 25


def video_panels(model: Model[Any, VideoEncoder], clips: Clipped, found: Judged) -> Iterator[Panel]:
    """Yield the panels."""
    yield _over_time(model, clips, found)
    if clips.labels is not None and clips.labels.any() and not clips.labels.all():
        yield _by_clip(clips, found)
    try:
        yield _strangest(model, clips, found)
    except MissingExtra:  # Pillow draws them
        return


def _over_time(model: Model[Any, VideoEncoder], clips: Clipped, found: Judged) -> Curve:
    every = max(1, -(-len(clips) // _POINTS))
    at = np.arange(0, len(clips), every)
    scores = np.maximum.reduceat(np.nan_to_num(found.scores, nan=0.0), at) if len(at) else np.zeros(0)
    shaded = {}
    if clips.labels is not None and clips.labels.any():
        shaded["anomalous"] = tuple((float(a), float(b - 1)) for a, b in merged(clips.labels, 0))
    lines = {
        "score": tuple(scores.tolist()),
        "an alarm from here on": tuple(np.full(len(at), model.encoder.threshold).tolist()),
    }
    words = asked_words(model.parameters.false_alarm_rate, "frames")
    return Curve(
        "How strange each frame is", tuple(map(float, at)), lines, "frame, one clip behind the other", "score",
        note=f"{words}; {int(found.alarms.sum()):,} of {len(clips):,} frames are in alarm.", shaded=shaded,
    )  # fmt: skip


def _by_clip(clips: Clipped, found: Judged) -> Table:
    from ostinato.tasks.base.areas import auroc

    rows = []
    for clip, part in zip(clips.clips, bounds_of(clips), strict=True):
        assert clip.labels is not None
        scores = np.nan_to_num(found.scores[part], nan=np.nanmin(found.scores))
        rows.append((
            clip.name, float(len(clip)), float(clip.labels.sum()), auroc(clip.labels, scores),
            equal_error_rate(clip.labels, scores), float(found.alarms[part].sum()),
        ))  # fmt: skip
    return Table(
        "Clip by clip", ("clip", "frames", "anomalous", "AUC", "equal error rate", "frames in alarm"), tuple(rows),
        note="A clip whose frames are all normal, or all anomalous, has no AUC.",
    )  # fmt: skip


def _strangest(model: Model[Any, VideoEncoder], clips: Clipped, found: Judged) -> Frames:
    from ostinato.data.video import frame_text

    chosen: list[int] = []
    for place in np.argsort(-np.nan_to_num(found.scores, nan=-np.inf), kind="stable").tolist():
        if all(abs(place - other) >= _APART for other in chosen):
            chosen.append(place)
        if len(chosen) == _SHOWN:
            break
    pictures, captions = [], []
    for place in sorted(chosen):
        parts = zip(clips.clips, bounds_of(clips), strict=True)
        clip, part = next((clip, part) for clip, part in parts if part.start <= place < part.stop)
        at = place - part.start
        begin = max(0, at - 40)  # what came long before no longer matters
        rows = zip(clip.frames[begin : at + 1], clip.motion[begin : at + 1], strict=True)
        *_, frame = watched(model.network, model.encoder, rows)
        picture = np.repeat(clip.frames[at][..., None], 3, 2)
        heated = with_heat(picture, frame.patches, model.encoder, alarm=bool(found.alarms[place]))
        pictures.append(frame_text(heated, 160))
        captions.append(f"{clip.name}, frame {clip.first + at}: {found.scores[place]:.3g}")
    return Frames(
        "The strangest frames", tuple(pictures), tuple(captions),
        note="Red is what is strange; a red edge: an alarm. Under each, its clip, frame and score.",
    )  # fmt: skip
