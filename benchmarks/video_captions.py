"""Captions of clips: moving shapes whose combinations were never seen, and the whole way on eight clips of MSVD.

    python benchmarks/video_captions.py [--seconds 600] [--clips 3000] [--only shapes]

Shapes: `ostinato.data.made_clips.moving_shapes`, one or two of five colours and five forms that move one after the
other, in four directions: `a red circle moves left, then a blue square moves up`. Five of the 25 combinations of colour
and form are in no training clip, and the test clips show no others. A validation part of the training clips decides
which epoch is kept; the test clips are looked at once.

MSVD (D. Chen and W. Dolan, 2011): eight clips are here, with what about forty people said of each, so this shows that
the whole way runs (read, fit, evaluate, predict, report) and nothing of how good captions are.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import tempfile
import time
from pathlib import Path
from typing import Any

from common import RESULTS, data_file, keep, machine, table
from ostinato import Captioner
from ostinato.data.made_clips import moving_shapes
from ostinato.tasks.captions.consensus import words

MEASURES = ("exact sentences", "CIDEr-D", "ROUGE-L", "BLEU", "chrF")
_RESULT = "video-captions.md"
KINDS = ("colour", "form", "direction", "number of movements")


def shapes(count: int, seconds: float, tests: int, seed: int) -> tuple[str, list[list[Any]]]:
    """Fit on clips that are drawn, judge on combinations that are in none of them."""
    options: dict[str, Any] = {"size": 32, "frames": 20, "rate": 10.0}
    train = list(moving_shapes(count, part="train", seed=seed, **options))
    test = list(moving_shapes(tests, part="test", seed=seed, **options))
    model = Captioner(max_seconds=seconds, validation=0.05, max_frames=10, seed=seed, progress=False)
    model.fit(
        [clip.frames for clip in train], [clip.captions[0] for clip in train],
        test=([clip.frames for clip in test], [clip.captions[0] for clip in test]),
    )  # fmt: skip
    scores = model.scores_
    assert scores is not None
    rows = [["shapes", who, *(f"{own[name]:.3f}" for name in MEASURES)] for who, own in scores.values.items()]
    said = model.predict([clip.frames for clip in test])
    wrong = mistakes([clip.captions[0] for clip in test], said)
    best = min(row.validation_loss for row in model.history_.rows)
    told = (
        f"Shapes: {count:,} training clips, {len(model.history_.rows)} epochs in {model.summary_.seconds:.0f} s, "
        f"validation loss {best:.3f}. Of {tests} test captions, wrong in: "
        + ", ".join(f"{kind} {number}" for kind, number in wrong.items())
        + "."
    )
    print(told, f"exact {scores['exact sentences']:.3f}", flush=True)
    for clip, text in list(zip(test, said, strict=True))[:6]:
        print(f"  {clip.captions[0]:70} {text}")
    return told, rows


def mistakes(truth: list[str], said: list[str]) -> dict[str, int]:
    """Return how many captions are wrong in each kind of word."""
    found = dict.fromkeys(KINDS, 0)
    for right, text in zip(truth, said, strict=True):
        ours, theirs = words(right), words(text)
        if len(ours) != len(theirs):
            found["number of movements"] += 1
            continue
        # a red circle moves left then a ...
        for place, kind in ((1, "colour"), (2, "form"), (4, "direction")):
            found[kind] += any(ours[i] != theirs[i] for i in range(place, len(ours), 6))
    return found


def msvd(seconds: float, folder: Path) -> tuple[str, list[list[Any]]]:
    """Fit, evaluate, predict and report on the clips that are here."""
    home = Path(data_file("msvd_captions/youtube_video_to_id_mapping.txt")).parent
    numbers = dict(line.split() for line in (home / "youtube_video_to_id_mapping.txt").read_text().splitlines())
    said: dict[str, list[str]] = {}
    for part in ("train", "val", "test"):
        with gzip.open(home / f"sents_{part}_lc_nopunc.txt.gz", "rt") as lines:
            for line in lines:
                number, text = line.rstrip("\n").split("\t", 1)
                said.setdefault(number, []).append(text)
    clips = sorted((home / "clips").glob("*.avi"))
    for name, some in (("fit.csv", clips), ("other.csv", clips[:4])):
        with (folder / name).open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["video", "caption"])
            writer.writerows([str(clip), text] for clip in some for text in said[numbers[clip.stem]])
    began = time.perf_counter()
    model = Captioner(max_seconds=seconds, validation=0.125, test=0.25, max_frames=16, seed=0, progress=False)
    model.fit(folder / "fit.csv", directory=folder / "model")
    scores = model.scores_
    assert scores is not None
    again = Captioner.load(folder / "model")
    evaluated = again.evaluate(folder / "other.csv")
    captions = again.predict([str(clip) for clip in clips])
    page = again.report(folder / "report.html")
    count = sum(len(said[numbers[clip.stem]]) for clip in clips)
    told = (
        f"MSVD: eight clips with {count} captions, fitted, loaded again, "
        f"evaluated on four of them (CIDEr-D {evaluated['CIDEr-D']:.2f}, most of them trained on), predicted, and "
        f"reported in {page.stat().st_size // 1024} KiB, {time.perf_counter() - began:.0f} s in all. What it says: "
        + "; ".join(f"`{clip.stem}` {text}" for clip, text in zip(clips, captions, strict=True))
        + "."
    )
    print(told, flush=True)
    rows = [
        ["MSVD, 2 clips", who, *(f"{own[name]:.3f}" if name in own else "" for name in MEASURES)]
        for who, own in scores.values.items()
    ]
    return told, rows


def main() -> None:
    """Run what is asked for, write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600.0, help="of training on shapes (600)")
    parser.add_argument("--clips", type=int, default=3000, help="of shapes to train on (3000)")
    parser.add_argument("--tests", type=int, default=300, help="of shapes to test on (300)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=("shapes", "msvd"))
    given = parser.parse_args()
    parts = _kept()
    if given.only != "msvd":
        parts["Shapes"] = _part(*shapes(given.clips, given.seconds, given.tests, given.seed))
    if given.only != "shapes":
        with tempfile.TemporaryDirectory() as folder:
            parts["MSVD"] = _part(*msvd(min(60.0, given.seconds), Path(folder)))
    title, _, text = (__doc__ or "").split("\n", 2)
    body = "".join(f"## {name}\n\n{part.strip()}\n\n" for name, part in sorted(parts.items(), reverse=True))
    keep(_RESULT, f"# {title}\n\n{text}\n{body}".rstrip())


def _part(told: str, rows: list[list[Any]]) -> str:
    return f"{machine()}\n\n{table(['data', 'model', *MEASURES], rows)}\n\n{told}"


def _kept() -> dict[str, str]:
    """Return the parts of the last result, of which one may be run by itself."""
    path = RESULTS / _RESULT
    written = path.read_text(encoding="utf-8") if path.exists() else ""
    return dict(part.split("\n", 1) for part in written.split("\n## ")[1:])


if __name__ == "__main__":
    main()
