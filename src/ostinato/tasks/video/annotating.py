"""A clip with what a model makes of it, frame by frame."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ostinato.data.video import stream_frames, with_words, write_video
from ostinato.data.video.loading import LoadedClips
from ostinato.data.video.raw import Pixels
from ostinato.errors import UsageError


def watched(task: Any, model: Any, source: Any) -> Iterator[dict[str, Any]]:
    """Yield the answer after each frame of a clip, read as the network reads it."""
    reader = model.encoder.reader
    if reader.kind == "landmarks":
        records = task.read(model.parameters, [source], True, labelled=False)
        stream = task.stream(model)
        for number, frame in enumerate(LoadedClips(records, reader)[0]):
            yield {"time": number / reader.rate, **stream.push_read(frame)}
        return
    stream = task.stream(model, frame_rate=reader.rate)
    colours = 3 if reader.colour else 1
    for time, frame in stream_frames(
        source, rate=reader.rate, height=reader.height, width=reader.width, channels=colours
    ):
        yield {"time": time, **stream.push_read(frame)}


def annotate(task: Any, model: Any, source: Any, path: str | Path, height: int) -> Path:
    """Write a clip as a video with answers on it; see `VideoClassifier.annotate`."""
    reader = model.encoder.reader
    if reader.kind == "landmarks":
        raise UsageError(
            "landmarks have no pictures to write on; give a model of pixels, or draw the answers of `watch`"
        )
    answers = watched(task, model, source)

    def frames() -> Iterator[Pixels]:
        shown = stream_frames(source, rate=reader.rate, height=max(height // 2 * 2, 64))
        for (_, frame), answer in zip(shown, answers, strict=True):
            words = f"{answer['label']}  {100 * answer['probability']:.0f} %"
            yield with_words(frame, words, answer["probability"])

    return write_video(path, frames(), reader.rate)
