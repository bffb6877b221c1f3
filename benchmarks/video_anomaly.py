"""Anomalies in video: UCSD Ped2, people on a walkway, among whom bicycles, skateboards and carts are anomalous.

    python benchmarks/video_anomaly.py [--seconds 300] [--part dev|all|planted|scenes]

V. Mahadevan et al., 2010: the 16 training clips are normal, each of the 12 test clips has labels by frame. Frames are
120 pixels high. What the network's errors are looked at in was chosen on test clips 01 to 06 (`--part dev`) and on
changed training clips; all 12 test clips were looked at three times: before any choice (frame AUC 0.863, frame
difference 0.869), after the first (0.880 and 0.872), and after the second (0.882). What moves, how large it is and
what stands, and how all of it comes together, was then chosen without the test clips: fitted on ten training clips,
judged on four others (03, 07, 12, 16) with planted anomalies - somebody of another clip who glides, or walks, 1.5 to
2 times as fast; on a drawn bicycle; a drawn cart; somebody 1.6 times as large; somebody who stands where nobody
stands - beside the four clips as they are (`--part planted`), and on drawn scenes (`--part scenes`, see
`camera_scenes.py`). Then all 12 test clips were looked at twice, whereupon what stands no longer counts by default, and
twice more. AUC and equal error rate are given over all frames, scores as they come (no clip is scaled by itself), and
as a mean over the clips that have frames of both kinds.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path

import numpy as np

from camera_scenes import KINDS, LAYOUTS, scene
from common import data_file, keep, machine, table
from ostinato import VideoAnomalyDetector
from ostinato.tasks.base.alarms import beginnings
from ostinato.tasks.video_anomaly.footage import read_footage

PUBLISHED = {  # from the papers: frame AUC
    "convolutional autoencoder (Hasan et al., 2016)": 0.900, "ConvLSTM autoencoder (Luo et al., 2017)": 0.881,
    "spatio-temporal autoencoder (Chong and Tay, 2017)": 0.874, "future frame (Liu et al., 2018)": 0.954,
}  # fmt: skip
_HELD, _LONGEST = ("03", "07", "12", "16"), 110  # training clips in which anomalies are planted, and their frames
_AFTER, _UNSEEN = 10, range(200, 212)  # frames behind an anomaly; seeds of clips in which nothing is strange
_NORMAL, _TESTED = 8, (100, 101)  # clips of a drawn scene to learn from; seeds of those to judge on, of each kind


def labels() -> dict[str, np.ndarray]:
    """Return the labels of each test clip."""
    found: dict[str, list[bool]] = {}
    with data_file("ucsd_ped2/frame_labels.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["clip"], []).append(row["anomalous"] == "1")
    return {name: np.array(marks) for name, marks in found.items()}


def ped2(part: str, cell: str, seconds: float | None, folder: str | None) -> None:
    """Fit, judge, keep the table, or print it of the clips for development."""
    home = f"{data_file('ucsd_ped2/ped2_frames_180x120.zip')}/ped2"
    known = labels()
    names = sorted(known)[: 6 if part == "dev" else None]
    began = time.monotonic()
    model = VideoAnomalyDetector(cell=cell, max_seconds=seconds, test=0.0, progress=False)
    model.fit(f"{home}/training/frames")
    spent = time.monotonic() - began
    if folder:
        model.save(folder)
    clips = [f"{home}/testing/frames/{name}" for name in names]
    scores = model.evaluate(clips, [known[name] for name in names])
    measures = list(scores.values["model"])
    rows = [[name, *(row.get(each, float("nan")) for each in measures)] for name, row in scores.values.items()]
    if part == "all":
        absent = [float("nan")] * (len(measures) - 1)
        rows += [[f"published: {name}", value, *absent] for name, value in PUBLISHED.items()]
    text = f"UCSD Ped2, {len(names)} test clips ({names[0]} to {names[-1]}), cell {cell}\n\n"
    text += table(["", *measures], rows) + f"\n\n{scores}\n\n"
    text += f"fit in {spent:.0f} s, {len(model.history_.rows)} epochs; {machine()}; {time.strftime('%Y-%m-%d')}"
    if part == "all":
        keep("video-anomaly.md", text.replace("nan", "-"))
    else:
        print(text)


def plantings(cell: str, seconds: float | None) -> None:
    """Keep the frame AUC of each kind of anomaly that is planted in training clips that are not trained on."""
    from planted_clips import KINDS, planted, walkers

    found = read_footage(
        f"{data_file('ucsd_ped2/ped2_frames_180x120.zip')}/ped2/training/frames", height=120, rate=None, most=1 << 20
    )
    clips = {Path(clip.name).name: clip.frames for clip in found.clips}
    held = {name: frames for name, frames in clips.items() if name in _HELD}
    train = [frames for name, frames in clips.items() if name not in (*_HELD, "11", "15")]
    pool, rng = [one for frames in held.values() for one in walkers(frames)], np.random.default_rng(0)
    model = VideoAnomalyDetector(cell=cell, max_seconds=seconds, test=0.0, progress=False).fit(train)
    rows, names = [], list[str]()
    for kind in KINDS:
        made = [planted(frames[:_LONGEST], pool[rng.integers(len(pool))], kind, rng) for frames in held.values()]
        marks = [*(marks for _, marks in made), *(np.zeros(len(frames), bool) for frames in held.values())]
        judged = model.evaluate([*(frames for frames, _ in made), *held.values()], marks).values
        names = list(judged)
        rows.append([kind, *(judged[name]["frame AUC"] for name in names)])
    rows.append(["mean", *(float(np.mean([row[column] for row in rows])) for column in range(1, len(names) + 1))])
    text = f"Anomalies planted in training clips {', '.join(_HELD)}, frame AUC over all frames; cell {cell}\n\n"
    keep("video-anomaly-planted.md", f"{text}{table(['', *names], rows)}\n\n{machine()}; {time.strftime('%Y-%m-%d')}")


def scenes(cell: str, seconds: float | None, evidence: str | None = None) -> None:
    """Keep, for each kind of anomaly in drawn scenes, the frame AUC and how many are found at the rate asked for."""
    found: dict[str, dict[str, list[float]]] = {}
    hits, calls, frames = dict.fromkeys(KINDS, 0), 0, 0
    options = {} if evidence is None else {"evidence": evidence}
    for layout in range(LAYOUTS):
        normal = [scene(seed, layout)[0] for seed in range(_NORMAL)]
        model = VideoAnomalyDetector(cell=cell, max_seconds=seconds, test=0.0, progress=False, **options).fit(normal)
        for kind in KINDS:
            clips, marks = zip(*(scene(seed, layout, kind) for seed in _TESTED), strict=True)
            for name, row in model.evaluate(list(clips), list(marks)).values.items():
                found.setdefault(kind, {}).setdefault(name, []).append(row["frame AUC"])
            for clip, mark in zip(clips, marks, strict=True):
                alarms = np.array([answer["alarm"] for answer in model.answers(clip)])
                first = int(mark.argmax())
                hits[kind] += int(alarms[first : first + int(mark.sum()) + _AFTER].any())
        for seed in _UNSEEN:  # nothing strange
            alarms = np.array([answer["alarm"] for answer in model.answers(scene(seed, layout)[0])])
            calls += int(beginnings(alarms, model.merge).sum())
            frames += len(alarms)
    names, tried = list(next(iter(found.values()))), LAYOUTS * len(_TESTED)
    rows = [[kind, *(float(np.mean([*values[name]])) for name in names), f"{hits[kind]} of {tried}"]
            for kind, values in found.items()]  # fmt: skip
    means: list[object] = [float(np.mean([row[column] for row in rows])) for column in range(1, len(names) + 1)]
    rows.append(["mean", *means, f"{sum(hits.values())} of {tried * len(KINDS)}"])
    text = f"Drawn scenes, {LAYOUTS} layouts, frame AUC of each kind of anomaly; cell {cell}, "
    text += f"evidence {model.evidence}\n\n"
    asked = 1e4 * model.false_alarm_rate
    text += f"{table(['', *names, 'found by an alarm'], rows)}\n\n{calls} alarms in {frames:,} other frames without "
    text += f"anything strange ({1e4 * calls / frames:.1f} in 10,000; {asked:g} asked)\n\n"
    keep(f"video-anomaly-scenes{'' if evidence is None else '-standing'}.md",
         f"{text}{machine()}; {time.strftime('%Y-%m-%d')}")  # fmt: skip


def run(seconds: float | None) -> None:
    """Run all of it, as a part of `video.py`."""
    ped2("all", "conv-gru", seconds, None)
    scenes("conv-gru", seconds)


def main() -> None:
    """Run a part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, help="of training, at most")
    parser.add_argument("--part", choices=("dev", "all", "planted", "scenes"), default="all")
    parser.add_argument("--cell", default="conv-gru")
    parser.add_argument("--evidence", help="of scenes: the kinds of it")
    parser.add_argument("--save", help="folder of the model of Ped2")
    given = parser.parse_args()
    if given.part == "scenes":
        scenes(given.cell, given.seconds, given.evidence)
    elif given.part == "planted":
        plantings(given.cell, given.seconds)
    else:
        ped2(given.part, given.cell, given.seconds, given.save)


if __name__ == "__main__":
    main()
