"""What a report shows of a composer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.music import Pieces, note_name, to_frames
from ostinato.tasks.base.summary import Matrix, Panel, Sample, Table
from ostinato.tasks.base.task import Model
from ostinato.tasks.music.composition import Composition
from ostinato.tasks.music.keys import key_of_weights, major_of
from ostinato.tasks.music.reading import Judged
from ostinato.tasks.music.statistics import (
    INTERVALS,
    density,
    dissonance,
    intervals,
    leaps,
    note_range,
    pitch_classes,
    self_repetition,
)
from ostinato.tasks.music.writing import Request, written

Frames = NDArray[np.bool_]
_SHOWN = 96  # steps of a picture, at most
_COMPARED = 200  # pieces of the corpus that numbers are taken of, at most
_DEGREES = ("1", "1#", "2", "2#", "3", "4", "4#", "5", "5#", "6", "6#", "7")
_QUARTERS, _PIECES = 32.0, 4
_AGAIN = 2


def music_panels(model: Model[Any, Any], records: Pieces, predicted: Judged) -> Iterator[Panel]:
    """Yield pictures of what was read and of what the model writes, and numbers of both beside each other."""
    encoder = model.encoder
    steps = encoder.corpus.steps_per_quarter
    made = written(model, Request(quarters=_QUARTERS, count=_PIECES, seed=model.parameters.seed))
    found = [to_frames(one.piece, steps) for one in made]
    yield roll_panel("What it wrote", found[0], steps, note=f"from nothing; seed {model.parameters.seed}")
    if len(records):
        heard = to_frames(records.pieces[0], steps)
        yield roll_panel("What it was held to", heard, steps, note=f"the beginning of {records.pieces[0].name}")
        yield _surprise(predicted, "a frame" if encoder.kind == "frames" else "an event")
        opening = records.pieces[0].until(_QUARTERS / 2).within(encoder.low, encoder.high)
        if len(opening):
            yield _continued(model, opening, steps)
    corpus = encoder.corpus.pieces()[:_COMPARED]
    yield _classes(found, corpus)
    yield _intervals(found, corpus)
    yield _numbers(found, corpus, encoder, made)
    yield Sample("How this was written", _how(made), "each piece by itself; ostinato compose writes more of them")


def roll_panel(title: str, frames: Frames, steps: int, *, given: Frames | None = None, note: str = "") -> Matrix:
    """Return a piano roll, the highest note above; what was given is of the other colour."""
    shown = frames[:_SHOWN]
    other = np.zeros_like(shown) if given is None else given[: len(shown)]
    low, high = note_range(shown)
    low, high = (60, 71) if low < 0 else (low, high)
    pitches = range(high, low - 1, -1)
    values = np.where(other, -1.0, shown.astype(np.float64))[:, list(pitches)].T
    columns = tuple(str(step // steps + 1) if step % steps == 0 else "" for step in range(len(shown)))
    return Matrix(
        title, tuple(note_name(pitche) for pitche in pitches), columns, tuple(map(tuple, values.tolist())), "note",
        "quarter", note,
    )  # fmt: skip


def _continued(model: Model[Any, Any], opening: Any, steps: int) -> Matrix:
    (made,) = written(model, Request(quarters=_QUARTERS, prime=opening, seed=model.parameters.seed))
    frames = to_frames(made.piece, steps)
    given = frames.copy()
    given[round(opening.length * steps) :] = False
    return roll_panel(
        "An opening, continued", frames, steps, given=given,
        note=f"orange: the beginning of {opening.name}, as given; blue: what it wrote; seed {model.parameters.seed}",
    )  # fmt: skip


def _surprise(predicted: Judged, unit: str) -> Table:
    """Return how well pieces were predicted, from the best to the worst."""
    count = int(predicted.owners.max(initial=-1)) + 1
    sizes = np.bincount(predicted.owners, minlength=count)
    means = np.sort(np.bincount(predicted.owners, predicted.losses, count)[sizes > 0] / sizes[sizes > 0])
    places = [("the best", 0.0), ("of a quarter, less than", 0.25), ("of half, less than", 0.5),
              ("of three quarters, less than", 0.75), ("the worst", 1.0)]  # fmt: skip
    rows = tuple((name, float(np.quantile(means, share))) for name, share in places)
    return Table(f"Nats {unit}, by pieces", ("pieces", f"nats {unit}"), rows, f"{count:,} pieces that were held out")


def _classes(frames: list[Frames], corpus: list[Frames]) -> Table:
    ours, theirs = _degrees(frames), _degrees(corpus)
    rows = tuple((name, 100 * float(a), 100 * float(b)) for name, a, b in zip(_DEGREES, ours, theirs, strict=True))
    return Table(
        "Notes of the scale", ("degree", "% of what it wrote", "% of training"), rows,
        "by how long they sound, counted on both sides from the tonic of each piece's key, as estimated; of a minor "
        "key, from that of the major key with its signature",
    )  # fmt: skip


def _degrees(pieces: list[Frames]) -> NDArray[np.float64]:
    """Return the share of each note of the octave from the tonic on, `(12,)`."""
    shares = [(pitch_classes([piece]), float(piece.sum())) for piece in pieces]
    turned = [notes * np.roll(value, -major_of(key_of_weights(value))) for value, notes in shares]
    return np.asarray(np.sum(turned, axis=0) / max(sum(notes for _, notes in shares), 1.0))


def _intervals(frames: list[Frames], corpus: list[Frames]) -> Table:
    ours, theirs = intervals(frames), intervals(corpus)
    rows = tuple((name, 100 * float(a), 100 * float(b)) for name, a, b in zip(INTERVALS, ours, theirs, strict=True))
    return Table(
        "Intervals of notes that sound together", ("interval", "% of what it wrote", "% of training"), rows,
        "within the octave",
    )  # fmt: skip


def _numbers(frames: list[Frames], corpus: list[Frames], encoder: Any, made: list[Composition]) -> Table:
    """Return numbers of what was written, and where those of nine of ten training pieces lie."""
    run = max(1, _AGAIN * encoder.corpus.steps_per_quarter)
    measured: dict[str, Callable[[Frames], float]] = {
        "notes at a time": density, "share of dissonant intervals": dissonance,
        "lowest note": lambda piece: float(note_range(piece)[0]),
        "highest note": lambda piece: float(note_range(piece)[1]),
        "mean step of the highest note": leaps,
        f"share of runs of {_AGAIN} quarters that come again": lambda piece: self_repetition(piece, run),
    }  # fmt: skip
    rows: list[tuple[str | float, ...]] = []
    for name, measure in measured.items():
        ours = float(np.mean([measure(piece) for piece in frames]))
        theirs = [measure(piece) for piece in corpus if len(piece)]
        rows.append((name, ours, *(float(np.quantile(theirs, share)) for share in (0.05, 0.5, 0.95))))
    copied = max(one.copied for one in made)
    rows.append(("longest run copied from training, quarters", copied, "", "", ""))
    columns = ("", "what it wrote", "training, 5 %", "half", "95 %")
    return Table(
        "Beside the training pieces", columns, tuple(rows),
        f"a mean over {len(frames)} pieces that it wrote from nothing; a run in another key is a copy too",
    )  # fmt: skip


def _how(made: list[Composition]) -> str:
    return "\n".join(
        f"piece {number}: {one}" + (f"; {one.holds_still}" if one.holds_still else "")
        for number, one in enumerate(made, 1)
    )
