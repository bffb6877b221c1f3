"""Video: signs from landmarks, falls from poses and from pixels, how fast files are decoded.

    python3 dev.py bench video [signs|poses|falls|decoding|memory ... anomaly|captions] [--seconds 60]

Without names all parts run; what was run before stays in the table. Everything is left at its default but for the
seconds of training. The test part is looked at once.

- signs: landmarks of three signs, recordings 0 to 9 train, 10 to 14 test; 45 clips in all.
- poses: URFD, key points by YOLO; falls: the same from pixels. Camera 0 alone (camera 1 has falls only), the split by
  event of the data's `splits.csv`, its validation part trained with. Falls and daily living were filmed in different
  rooms, so that the background alone tells them apart; `motion alone` reads the change from frame to frame, in which
  no room is seen. `cross` leaves each fifth of the events out once, so that every clip is judged.
- decoding: frames a second of `stream_frames` beside those of bare PyAV, alternating; also at 8 a second of 48 x 64.
- memory: of a process that reads an hour made by repetition, at its beginning and at its end.
- anomaly, captions: see `video_anomaly.py`, `video_captions.py`.
"""

from __future__ import annotations

import argparse
import csv
import importlib
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from common import RESULTS, data_file, keep, machine, table
from ostinato.data.video import Clip, Clips, read_clips, stream_frames
from ostinato.tasks.video import VideoClassifier

RECORDS = RESULTS / "video.json"
Record = dict[str, Any]
OTHERS = {"anomaly": "video_anomaly", "captions": "video_captions"}


def interval(right: np.ndarray[Any, Any]) -> str:
    """Return the share that is right with its 95 % bootstrap interval, over clips."""
    draws = np.random.default_rng(0).integers(0, len(right), (4000, len(right)))
    low, high = np.percentile(right[draws].mean(1), [2.5, 97.5])
    return f"{right.mean():.3f} ({low:.2f} to {high:.2f}, {len(right)} clips)"


def judged(parts: Sequence[tuple[Clips, Clips]], seconds: float, **parameters: Any) -> dict[str, Any]:
    """Return the accuracy of the model and of its baselines over all test parts, with intervals over clips."""
    hits: dict[str, list[float]] = {}
    began = time.monotonic()
    for train, test in parts:
        model = VideoClassifier(max_seconds=seconds, test=0.0, progress=False, **parameters).fit(train)
        part = model.task.encode(model.fitted_.model, test)
        found = {"model": model.task.predict(model.fitted_.model, part)}
        found |= {name: baseline.predict(part) for name, baseline in model.fitted_.baselines.items()}
        for name, predicted in found.items():
            hits.setdefault(name, []).extend((predicted.classes == part.targets).astype(float).tolist())
    spent = time.monotonic() - began
    return {**{name: interval(np.array(right)) for name, right in hits.items()}, "seconds": round(spent, 1)}


def rows_of(chosen: Sequence[bool]) -> Any:
    """Return the numbers of the rows that are chosen."""
    return np.flatnonzero(chosen)


def signs(seconds: float) -> Record:
    """Signs from landmarks, by recording."""
    clips = read_clips(data_file("sign_landmarks/MP_Data.zip"))
    numbers = [int(name.rsplit("/", 1)[-1]) for name in clips.names]
    train, test = (rows_of([(number < 10) == first for number in numbers]) for first in (True, False))
    return judged([(clips[train], clips[test])], seconds)


def events(pixels: bool) -> tuple[Clips, list[str], list[int]]:
    """Return the clips of camera 0, the part of each, and the number of its event."""
    folder = data_file("urfd_fall_video/splits.csv").parent
    with (folder / "splits.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if "cam0" in row["file"]]
    names = [row["file"] for row in rows]
    if pixels:
        sources = [str(folder / name) for name in names]
    else:
        inside = folder / "keypoints" / "urfd_keypoints.zip"
        known = read_clips(inside, labelled=False)
        where = {Path(name).stem: str(source) for name, source in zip(known.names, known.sources, strict=True)}
        sources = [where[Path(name).stem] for name in names]
    clips = Clips("URFD", tuple(sources), tuple(names), tuple(row["label"] for row in rows))
    return clips, [row["split"] for row in rows], [int(Path(name).stem.split("-")[1]) for name in names]


def split_of(pixels: bool, seconds: float) -> Record:
    """Return falls by the split of the data."""
    clips, parts, _ = events(pixels)
    train, test = (rows_of([(part != "test") == first for part in parts]) for first in (True, False))
    return judged([(clips[train], clips[test])], seconds)


def changes_of(clips: Clips) -> Clips:
    """Return clips of the change from frame to frame, four times as strong, grey where nothing changes."""
    found = []
    for source in clips.sources:
        frames = [frame.astype(np.int16) for _, frame in stream_frames(source, rate=8, height=48, width=64, channels=1)]
        changes = [4 * (after - before) for before, after in pairwise(frames)]
        pixels = np.clip(128 + np.stack(changes), 0, 255).astype(np.uint8)
        found.append(Clip(pixels, np.arange(len(pixels)) / 8, 8.0, str(source)))
    return Clips(clips.origin, tuple(found), clips.names, clips.labels)


def crossed(pixels: bool, seconds: float, changed: Callable[[Clips], Clips] | None = None) -> Record:
    """Return falls, each event left out once."""
    clips, _, numbers = events(pixels)
    clips = changed(clips) if changed else clips
    folds = [
        (
            clips[rows_of([number % 5 != fold for number in numbers])],
            clips[rows_of([number % 5 == fold for number in numbers])],
        )
        for fold in range(5)
    ]
    return judged(folds, seconds / 2)


def decoding(seconds: float) -> Record:
    """Frames a second beside PyAV's, alternating in one process, the median of rounds."""
    import av

    paths = sorted((data_file("urfd_fall_video/splits.csv").parent / "fall").glob("*cam0.mp4"))[:12]

    def bare() -> int:
        count = 0
        for path in paths:
            with av.open(str(path)) as container:
                container.streams.video[0].thread_type = "AUTO"
                for frame in container.decode(video=0):
                    frame.to_ndarray(format="rgb24")
                    count += 1
        return count

    def ours(**options: Any) -> int:
        return sum(1 for path in paths for _ in stream_frames(path, **options))

    ways: dict[str, Callable[[], int]] = {
        "PyAV, every frame as RGB": bare,
        "stream_frames, every frame as RGB": ours,
        "stream_frames, 8 a second, 48 x 64, grey": lambda: ours(rate=8, height=48, width=64, channels=1),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    frames = bare()
    end = time.monotonic() + min(seconds, 40)
    while time.monotonic() < end or len(times["PyAV, every frame as RGB"]) < 3:
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            times[name].append(time.perf_counter() - began)
    found: Record = {
        name: f"{frames / statistics.median(each):,.0f} frames of the files a second" for name, each in times.items()
    }
    first, second = (statistics.median(times[name]) for name in list(ways)[:2])
    found["share of PyAV"] = round(first / second, 3)
    found["rounds"] = len(times["PyAV, every frame as RGB"])
    return found


def memory(_: float) -> Record:
    """The peak of a process that reads an hour, after its first minutes and at its end."""
    import av

    path = data_file("urfd_fall_video/fall/fall-01-cam0.mp4")
    with tempfile.TemporaryDirectory() as folder, av.open(str(path)) as source:
        stream = source.streams.video[0]
        packets = [bytes(packet) for packet in source.demux(stream) if packet.size]
        long = Path(folder) / "hour.mkv"
        with av.open(str(long), "w") as target:
            copy = target.add_stream_from_template(stream)
            for number in range(3600 * 30):
                packet = av.Packet(packets[number % len(packets)])
                packet.stream, packet.pts, packet.dts, packet.time_base = copy, number, number, 1 / stream.average_rate
                packet.is_keyframe = number % len(packets) == 0
                target.mux(packet)
        early, count = 0, 0
        for _frame in stream_frames(long, rate=8, height=48, width=64, channels=1):
            count += 1
            if count == 8 * 120:
                early = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        late = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "minutes": round(count / 8 / 60, 1),
        "frames read": count,
        "MiB after 2 minutes": early >> 10,
        "MiB at the end": late >> 10,
    }


RUN: dict[str, Callable[[float], Record]] = {
    "signs": signs,
    "poses": lambda seconds: split_of(False, seconds),
    "poses, cross": lambda seconds: crossed(False, seconds),
    "falls": lambda seconds: split_of(True, seconds),
    "falls, cross": lambda seconds: crossed(True, seconds),
    "falls, motion alone, cross": lambda seconds: crossed(True, seconds, changes_of),
    "decoding": decoding,
    "memory": memory,
}
SECONDS = {
    "signs": 60, "poses": 60, "poses, cross": 60, "falls": 100, "falls, cross": 100, "falls, motion alone, cross": 100,
    "decoding": 20, "memory": 0,
}  # fmt: skip


def remember(part: str, record: Record) -> dict[str, Record]:
    """Add the record of a part to those of before, and return all."""
    known = json.loads(RECORDS.read_text()) if RECORDS.exists() else {}
    known[part] = {**record, "date": str(date.today()), "machine": machine()}
    RESULTS.mkdir(exist_ok=True)
    RECORDS.write_text(json.dumps(known, indent=1) + "\n")
    return {name: known[name] for name in RUN if name in known}


def written(known: dict[str, Record]) -> str:
    """Return all records as a text."""
    parts = [
        f"## {name}\n\n{table(['what', 'found'], [[key, value] for key, value in record.items()])}"
        for name, record in known.items()
    ]
    return "\n\n".join(["# Video", *parts])


def main() -> None:
    """Run parts and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join((*RUN, *OTHERS)))
    parser.add_argument("--seconds", type=float, help="of training a fit, instead of those of the part")
    given = parser.parse_args()
    unknown = [part for part in given.parts if part not in (*RUN, *OTHERS)]
    if unknown:
        sys.exit(f'there is no part "{unknown[0]}"; expected {", ".join((*RUN, *OTHERS))}')
    for part in given.parts or (*RUN, *OTHERS):
        if part in OTHERS:
            importlib.import_module(OTHERS[part]).run(given.seconds)
        else:
            keep("video.md", written(remember(part, RUN[part](given.seconds or SECONDS[part]))))


if __name__ == "__main__":
    main()
