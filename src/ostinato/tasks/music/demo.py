"""`ostinato demo music`: pieces in four voices made by rules, learned; then new ones, and a tune of old harmonized."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ostinato.data.music import Piece, parse_abc, write_midi
from ostinato.files import make_folder
from ostinato.tasks.music.estimator import Composer
from ostinato.tasks.music.picture import draw
from ostinato.training import remove_checkpoint

_PIECES, _PHRASES, _SECONDS = 160, 4, 40.0
# which degree of the scale follows which, as textbooks of harmony have it
_FOLLOWS = {0: (3, 4, 5, 1), 1: (4, 4, 6), 2: (5, 3), 3: (4, 1, 0, 4), 4: (0, 0, 5), 5: (1, 3, 4), 6: (0,)}
_MAJOR = (0, 2, 4, 5, 7, 9, 11)
_VOICES = ((60, 81), (55, 74), (48, 67), (40, 60))  # soprano, alto, tenor, bass
_TUNE = """X:1
T:Ode to Joy, L. van Beethoven, 1824
M:4/4
L:1/4
Q:1/4=100
K:D
F F G A|A G F E|D D E F|F3/2 E/ E2|F F G A|A G F E|D D E F|E3/2 D/ D2|
"""


def made_pieces(count: int, seed: int) -> list[Piece]:
    """Return pieces in four voices by rules: chords that follow each other, voices that move little, cadences."""
    rng = np.random.default_rng(seed)
    return [_piece(rng, f"chorale {number + 1}") for number in range(count)]


def _piece(rng: np.random.Generator, name: str) -> Piece:
    tonic, notes = int(rng.integers(-5, 7)), list[tuple[float, float, int]]()
    voices, now = list[int](), 0.0
    for _ in range(_PHRASES):
        degrees = _phrase(rng)
        for place, degree in enumerate(degrees):
            voices = _chord(rng, degree, tonic, voices)
            lasts = 2.0 if place == len(degrees) - 1 else 1.0
            for number, pitch in enumerate(voices):
                passing = _between(pitch, degree, tonic) if lasts == 1 and number < 3 and rng.random() < 0.12 else None
                notes.append((now, lasts if passing is None else 0.5, pitch))
                if passing is not None:
                    notes.append((now + 0.5, 0.5, passing))
            now += lasts
    return Piece.of(notes, name, now, tempo=88.0)


def _phrase(rng: np.random.Generator) -> list[int]:
    """Return the degrees of a phrase of two bars, which ends on a cadence."""
    degrees = [0]
    while len(degrees) < 5:
        degrees.append(int(rng.choice(_FOLLOWS[degrees[-1]])))
    return [*degrees, 4, 0] if rng.random() < 0.75 else [*degrees, 3, 4]


def _chord(rng: np.random.Generator, degree: int, tonic: int, before: Sequence[int]) -> list[int]:
    """Return the notes of a chord, the soprano first: of some that are tried, those nearest to the notes before."""
    classes = [(tonic + _MAJOR[(degree + third) % 7]) % 12 for third in (0, 2, 4)]
    best, cost = list[int](), np.inf
    for _ in range(40):
        bass = _near(rng, classes[0], _VOICES[3], before[3] if before else None)
        upper = [_near(rng, int(rng.choice(classes)), _VOICES[i], before[i] if before else None) for i in range(3)]
        held = [*upper, bass]
        wrong = 8.0 * (len({pitch % 12 for pitch in held}) < 3) + 20.0 * (sorted(held, reverse=True) != held)
        moved = sum(abs(a - b) for a, b in zip(held, before, strict=True)) if before else 0
        if (found := moved + wrong + _parallels(before, held)) < cost:
            best, cost = held, found
    return best


def _parallels(before: Sequence[int], after: Sequence[int]) -> float:
    """Return a penalty for fifths and octaves that two voices move in together."""
    if not before:
        return 0.0
    pairs = [(i, j) for i in range(4) for j in range(i)]
    wrong = [
        (before[j] - before[i]) % 12 == (after[j] - after[i]) % 12 in (0, 7) and before[i] != after[i] for i, j in pairs
    ]
    return 6.0 * sum(wrong)


def _near(rng: np.random.Generator, name: int, bounds: tuple[int, int], before: int | None) -> int:
    """Return a note of a name within a voice, near the one before."""
    low, high = bounds
    there = [pitch for pitch in range(low, high + 1) if pitch % 12 == name]
    middle = before if before is not None else (low + high) // 2
    there.sort(key=lambda pitch: abs(pitch - middle))
    return there[0] if rng.random() < 0.8 or len(there) == 1 else there[1]


def _between(pitch: int, degree: int, tonic: int) -> int:
    """Return the next note of the scale above or below, to pass over."""
    scale = {(tonic + step) % 12 for step in _MAJOR}
    way = 1 if degree % 2 else -1
    return next(pitch + way * step for step in (1, 2) if (pitch + way * step) % 12 in scale)


def run(out: Path) -> None:
    """Make pieces, learn from them, write new ones; print what is done."""
    began = time.monotonic()
    make_folder(out)
    pieces = made_pieces(_PIECES, seed=0)
    write_midi(out / "example.mid", pieces[0])
    print(f"{_PIECES} pieces in four voices, made by rules of harmony; one of them is {out / 'example.mid'}.")
    print("A recurrent network learns which notes follow, voice by voice.\n")
    model = Composer(steps_per_quarter=2, max_seconds=_SECONDS, progress=True).fit(pieces, directory=out)
    print(model.scores_)
    (tune,) = parse_abc(_TUNE, "a tune")
    made = {
        "piece": ("written from nothing", model.compose(bars=8, temperature=0.8, seed=1)),
        "continued": (
            "after two bars of an example",
            model.compose(prime=pieces[1].until(8.0), bars=8, temperature=0.8),
        ),
        "harmony": ("Ode to Joy, harmonized", model.compose(harmonize=tune, temperature=0.7, strike=1.0)),
    }
    print()
    for name, (words, value) in made.items():
        value.save(out / f"{name}.mid")
        draw(value, out / f"{name}.png", words)
        print(f"{out / name}.mid, .png: {words}; longest run copied from the examples: {value.copied:g} quarters")
    model.report(out / "report.html")
    remove_checkpoint(out)
    seconds = time.monotonic() - began
    print(f"\nDone in {seconds:.0f} s. In {out}: the model, report.html, what it wrote; play the .mid files.")
