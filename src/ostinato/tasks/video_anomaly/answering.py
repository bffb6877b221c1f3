"""What is said of each frame, and the heat map that shows it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.video import stream_frames, write_video
from ostinato.tasks.base.task import Model
from ostinato.tasks.video_anomaly.encoder import VIEWS, VideoEncoder
from ostinato.tasks.video_anomaly.evidence import KINDS
from ostinato.tasks.video_anomaly.footage import UNIT, frames_of
from ostinato.tasks.video_anomaly.scoring import Frame, Watcher

_HEAT_HEIGHT = 240
_REASONS = {
    "next frame": "it looks other than was expected of the frames before",
    "motion as seen": "it moves like nothing in the training video",
    "speed": "it is faster than is usual there",
    "change": "it changes more than is usual there",
    "pace": "what moves there is faster than is usual",
    "size": "what is there is larger than is usual",
    "standing": "something stands where nothing stood in the training video",
}


def answer_of(encoder: VideoEncoder, frame: Frame) -> dict[str, Any]:
    """Return what is said of a frame: how strange it is, and where and why the strangest patch is."""
    score = frame.score
    known = math.isfinite(score)
    alarm = bool(known and score >= encoder.threshold)
    row, column = np.unravel_index(int(np.argmax(frame.patches)), frame.patches.shape)
    return {
        "score": round(score, 6) if known else None,
        "probability": encoder.tail.probability(score) if known else None,
        "alarm": alarm,
        "regularity": round(encoder.regularity(score), 6) if known else None,
        "x": int(column) * UNIT + UNIT // 2,
        "y": int(row) * UNIT + UNIT // 2,
        "reason": _reason(encoder, frame, int(row), int(column)) if alarm else "",
    }


def _reason(encoder: VideoEncoder, frame: Frame, row: int, column: int) -> str:
    """Return why a patch is strange: of the kind of evidence that there is most of."""
    kind = KINDS[int(np.argmax(frame.nats[:, row, column]))]
    if kind != "prediction":
        return _REASONS[kind]
    return _REASONS[VIEWS[int(np.argmax(encoder.usual.shares(frame.views)[:, row, column]))]]


def answers_of(
    model: Model[Any, VideoEncoder], name: str, source: Any, *, alone: bool = True
) -> Iterator[Mapping[str, Any]]:
    """Yield what is said of each frame of a clip, as it is read; with `heat`, write the video too.

    Of several clips, each video has the name of its clip behind that of the file.
    """
    if model.parameters.heat is None:
        yield from (answer for answer, _ in _found(model, name, source))
        return
    answers: list[Mapping[str, Any]] = []
    rate = stream_frames(source, rate=model.encoder.reading.rate).rate or 25.0
    path = Path(model.parameters.heat)
    if not alone:
        path = path.with_name(f"{path.stem}-{Path(name).stem}{path.suffix}")
    write_video(path, _hot(model, name, source, answers), rate)
    yield from answers


def _found(model: Model[Any, VideoEncoder], name: str, source: Any) -> Iterator[tuple[dict[str, Any], Frame]]:
    watcher = Watcher(model.network, model.encoder)
    for number, (time, grey) in enumerate(frames_of(source, model.encoder.reading)):
        frame = watcher.push(grey)
        yield {"clip": name, "frame": number, "time": round(time, 6), **answer_of(model.encoder, frame)}, frame


def _hot(
    model: Model[Any, VideoEncoder], name: str, source: Any, answers: list[Mapping[str, Any]]
) -> Iterator[NDArray[np.uint8]]:
    """Yield the frames of a clip with the heat map on them, and keep what is said of each."""
    shown = stream_frames(source, rate=model.encoder.reading.rate, height=_HEAT_HEIGHT, channels=3)
    for (answer, frame), (_, picture) in zip(_found(model, name, source), shown, strict=False):
        answers.append(answer)
        yield with_heat(picture, frame.patches, model.encoder, alarm=answer["alarm"])


def with_heat(
    picture: NDArray[np.uint8], patches: NDArray[np.float32], encoder: VideoEncoder, *, alarm: bool
) -> NDArray[np.uint8]:
    """Return a frame `(height, width, 3)` with strange patches in red; where there is an alarm, it has a red edge.

    A patch at the alarm's threshold is half red, and one as usual as the most usual not at all.
    """
    span = max(encoder.threshold - encoder.low, 1e-9) if math.isfinite(encoder.threshold) else 1.0
    share = np.clip(0.5 * (patches - encoder.low) / span, 0.0, 0.85).astype(np.float32)
    heat = _resized(share, picture.shape[:2])[..., None]
    red = np.array([230.0, 40.0, 0.0], np.float32)
    found = picture.astype(np.float32) * (1 - heat) + red * heat
    if alarm:
        edge = max(2, picture.shape[0] // 60)
        for part in (found[:edge], found[-edge:], found[:, :edge], found[:, -edge:]):
            part[:] = red
    pixels: NDArray[np.uint8] = np.clip(found, 0, 255).astype(np.uint8)
    return pixels


def _resized(values: NDArray[np.float32], size: tuple[int, ...]) -> NDArray[np.float32]:
    """Return values on a finer grid, with straight lines between their places."""
    places = [
        np.clip((np.arange(wanted) + 0.5) * there / wanted - 0.5, 0, there - 1)
        for wanted, there in zip(size, values.shape, strict=True)
    ]
    lower = [np.floor(each).astype(int) for each in places]
    upper = [np.minimum(each + 1, there - 1) for each, there in zip(lower, values.shape, strict=True)]
    y, x = (each - floor for each, floor in zip(places, lower, strict=True))
    top = values[lower[0]][:, lower[1]] * (1 - x) + values[lower[0]][:, upper[1]] * x
    below = values[upper[0]][:, lower[1]] * (1 - x) + values[upper[0]][:, upper[1]] * x
    found: NDArray[np.float32] = (top * (1 - y[:, None]) + below * y[:, None]).astype(np.float32)
    return found
