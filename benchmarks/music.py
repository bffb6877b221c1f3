"""Music: frames of chorales and of piano pieces, and the harmony of chorales' melodies.

    python benchmarks/music.py [--seconds 120]

J. S. Bach's chorales and the piano pieces of B. Krueger, as N. Boulanger-Lewandowski, Y. Bengio and P. Vincent (2012)
divided them and put them on a grid; the negative log-likelihood of a frame is that of all its 88 notes, in nats, and
the mean is over all frames, the first of each piece among them (in brackets: without those). The validation part
decides when to stop; the test part is looked at once. Published: RNN-NADE 5.56 (chorales) and 7.05 (piano), by the
paper; LSTM with independent notes 8.45 and 9.03, TCN 8.10 (S. Bai, Z. Kolter and V. Koltun, 2018; J. Chung et al.,
2014).

Then the highest notes of the test chorales, one in a frame, are given to the model, which writes the others.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np

from common import data_file, keep, machine, table
from ostinato import Composer
from ostinato.data.music import Piece, Pieces, from_frames, read_music, to_frames
from ostinato.tasks.music.statistics import dissonance, intervals, longest_copy, note_range, pitch_classes

CHORALES, PIANO = "polyphonic_mat/JSB_Chorales.mat", "polyphonic_mat/Piano_midi.mat"
RUNS: dict[str, tuple[str, dict[str, Any], str]] = {
    "chorales, each note by itself": (
        CHORALES, {"head": "independent", "cell": "lstm", "dropout": 0.3, "weight_decay": 0.01}, "LSTM 8.45, TCN 8.10",
    ),
    "chorales, voice by voice": (CHORALES, {}, "RNN-NADE 5.56"),
    "piano, voice by voice": (PIANO, {}, "RNN-NADE 7.05, LSTM 9.03"),
}  # fmt: skip
NATS = "nats a frame"


def top_voice(piece: Piece) -> Piece:
    """Return the highest note of each frame as a voice."""
    frames = to_frames(piece, 1)
    top = np.zeros_like(frames)
    rows = np.flatnonzero(frames.any(1))
    top[rows, 127 - frames[rows, ::-1].argmax(1)] = True
    return from_frames(top, 1, piece.name)


def kept(melody: Piece, made: Any) -> float:
    """Return the share of frames of a melody in which it is the highest note of what was made."""
    given, found = to_frames(melody, 1), to_frames(made.piece, 1)
    rows = np.flatnonzero(given.any(1))
    highest = 127 - found[rows, ::-1].argmax(1)
    return float((given[rows].argmax(1) == highest).mean())


def harmonized(model: Composer, pieces: Pieces, corpus: list[Any]) -> dict[str, Any]:
    """Harmonize the highest notes of pieces; return numbers of what was made and of the pieces themselves."""
    began = time.perf_counter()
    made = [model.compose(harmonize=top_voice(own), temperature=0.8, seed=i) for i, own in enumerate(pieces.pieces)]
    seconds = time.perf_counter() - began
    ours, theirs = ([to_frames(own, 1) for own in group] for group in ([one.piece for one in made], pieces.pieces))
    copies = [longest_copy(own, corpus).steps for own in ours]
    bach = [longest_copy(own, corpus).steps for own in theirs]
    return {
        "kept": min(kept(top_voice(own), one) for own, one in zip(pieces.pieces, made, strict=True)),
        "copies": copies, "copies of Bach": bach, "seconds": seconds,
        "dissonance": spread(ours, theirs, dissonance),
        "lowest note": spread(ours, theirs, lambda own: float(note_range(own)[0])),
        "range": spread(ours, theirs, lambda own: float(np.diff(note_range(own))[0])),
        "notes at a time": spread(ours, theirs, lambda own: float(own.sum(1).mean())),
        "pitch classes apart": float(np.abs(pitch_classes(ours) - pitch_classes(theirs)).sum() / 2),
        "intervals apart": float(np.abs(intervals(ours) - intervals(theirs)).sum() / 2),
    }  # fmt: skip


def spread(ours: list[Any], theirs: list[Any], measure: Any) -> tuple[float, float, float, float, float]:
    """Return the mean of what was made, that of the pieces, where 90 % of them lie, and the share of ours within."""
    a, b = np.array([measure(own) for own in ours]), np.array([measure(own) for own in theirs])
    low, high = np.quantile(b, [0.05, 0.95])
    return float(a.mean()), float(b.mean()), float(low), float(high), float(((a >= low) & (a <= high)).mean())


def main() -> None:
    """Fit, judge once, harmonize, write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120.0, help="of training, for each model (120)")
    parser.add_argument("--only", help="the runs whose name holds this")
    given = parser.parse_args()
    rows, harmony = [], ""
    for name, (file, options, published) in RUNS.items():
        if given.only and given.only not in name:
            continue
        data = read_music(data_file(file), steps_per_quarter=1)
        model = Composer(steps_per_quarter=1, max_seconds=given.seconds, progress=False, **options).fit(data)
        scores = model.scores_
        assert scores is not None
        without = scores.details["without first steps"]
        for who, own in scores.values.items():
            note = published if who == "model" else ""
            rows.append([name, who, f"{own[NATS]:.3f} ({without[who]:.3f})", f"{own['frame accuracy']:.3f}", note])
        rows[-len(scores.values)].append(round(model.summary_.seconds))
        best = min(row.validation_loss for row in model.history_.rows)
        print(f"{name}: validation {best:.3f}, test {scores[NATS]:.3f}, {model.summary_.seconds:.0f} s", flush=True)
        if name == "chorales, voice by voice":
            corpus = [to_frames(own, 1) for own in data.part("train").pieces]
            harmony = told(harmonized(model, data.part("test"), corpus))
    head = ["data and head", "model", "nats a frame (without first)", "frame accuracy", "published", "fit s"]
    rows = [[*row, *[""] * (len(head) - len(row))] for row in rows]
    title, _, text = (__doc__ or "").split("\n", 2)
    keep(
        "music.md",
        f"# {title}\n\n{machine()}; {given.seconds:g} s of training each\n\n{text}\n{table(head, rows)}\n{harmony}",
    )


def told(found: dict[str, Any]) -> str:
    """Return what harmonizing came to."""
    rows = [
        [name, *(f"{value:.3f}" for value in found[name][:4]), f"{100 * found[name][4]:.0f} %"]
        for name in ("dissonance", "lowest note", "range", "notes at a time")
    ]
    copies, bach = found["copies"], found["copies of Bach"]
    return f"""
## The test chorales' melodies, harmonized

{len(copies)} melodies, temperature 0.8, 64 drafts, {found["seconds"]:.0f} s in all. The melody is the highest note in
{100 * found["kept"]:.0f} % of the frames of the worst of them. Longest run copied from the training chorales, in any
key, in frames (beats): {max(copies)} at most, {np.mean(copies):.1f} in the mean; of Bach's own test chorales
{max(bach)} at most, {np.mean(bach):.1f} in the mean. Share of notes of the octave that would have to be others:
{found["pitch classes apart"]:.3f}; of intervals: {found["intervals apart"]:.3f}.

{table(["", "written", "Bach", "5 %", "95 %", "written within"], rows)}
"""


if __name__ == "__main__":
    main()
