"""Melodies as tunes in ABC notation."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

from ostinato.data.music.pieces import Piece
from ostinato.errors import UsageError
from ostinato.files import write_atomically

_NATURAL = {0: "C", 2: "D", 4: "E", 5: "F", 7: "G", 9: "A", 11: "B"}
_SHARPS, _FLATS = "FCGDAEB", "BEADGCF"
_KEYS = ("Cb", "Gb", "Db", "Ab", "Eb", "Bb", "F", "C", "G", "D", "A", "E", "B", "F#", "C#")
_UNIT = Fraction(1, 2)  # quarters: L:1/8
_GRID = 48  # parts of a quarter that times are rounded to


def is_melody(piece: Piece) -> bool:
    """Tell whether no two notes sound at a time."""
    end = piece.start + piece.duration
    return bool((end[:-1] <= piece.start[1:] + 1e-6).all())


def abc_text(piece: Piece, *, number: int = 1, title: str = "") -> str:
    """Return a melody as a tune in ABC notation; `parse_abc` reads the same notes from it.

    Args:
        piece: of which no two notes sound at a time.
        number: of the tune, `X:`.
        title: of the tune.

    Raises:
        UsageError: notes sound together.

    >>> print(abc_text(Piece.of([(0, 1, 67), (1, 1, 66), (2, 2, 67)], sharps=1), title="A cadence"))
    X:1
    T:A cadence
    M:4/4
    L:1/8
    Q:1/4=120
    K:G
    G2 F2 G4 |]
    <BLANKLINE>
    """
    if not is_melody(piece):
        raise UsageError("notes sound together, and ABC is written of melodies alone; write a MIDI file (.mid)")
    sharps = piece.sharps or 0
    head = [
        f"X:{number}", f"T:{' '.join((title or piece.name).split())}", f"M:{piece.metre[0]}/{piece.metre[1]}", "L:1/8",
        f"Q:1/4={piece.tempo:g}", f"K:{_KEYS[sharps + 7]}",
    ]  # fmt: skip
    return "\n".join([*head, *_lines(piece, sharps)]) + "\n"


def write_abc(path: str | Path, piece: Piece, *, title: str = "") -> Path:
    """Write a melody as a tune in ABC notation, aside and then renamed; see `abc_text`.

    Raises:
        OutputError: it cannot be written.
        UsageError: notes sound together.
    """
    write_atomically(Path(path), abc_text(piece, title=title).encode())
    return Path(path)


def _lines(piece: Piece, sharps: int) -> list[str]:
    """Return the music, four bars a line."""
    bar = Fraction(4 * piece.metre[0], piece.metre[1])
    bars: list[list[str]] = [[]]
    spelled: dict[tuple[str, int], int] = {}
    now = Fraction(0)
    for start, end, pitch in _spans(piece):
        at = start
        while at < end:
            until = min(end, (at // bar + 1) * bar)
            text = "z" if pitch is None else _spelled(pitch, sharps, spelled)
            tie = "-" if pitch is not None and until < end else ""
            bars[-1].append(f"{text}{_length(until - at)}{tie}")
            at = now = until
            if now % bar == 0:
                bars.append([])
                spelled.clear()
    written = [" ".join(each) for each in bars if each]
    lines = [" | ".join(written[i : i + 4]) + " |" for i in range(0, len(written), 4)]
    return [*lines[:-1], lines[-1] + "]"] if lines else ["|]"]


def _spans(piece: Piece) -> list[tuple[Fraction, Fraction, int | None]]:
    """Return notes and rests, `(start, end, pitch)`, without gaps."""
    times = [Fraction(round(float(each) * _GRID), _GRID) for each in piece.start]
    ends = [Fraction(round(float(each) * _GRID), _GRID) for each in piece.start + piece.duration]
    last = Fraction(round(piece.length * _GRID), _GRID)
    found: list[tuple[Fraction, Fraction, int | None]] = []
    before = Fraction(0)
    for start, end, pitch in zip(times, ends, piece.pitch.tolist(), strict=True):
        if start > before:
            found.append((before, start, None))
        if end > start:
            found.append((start, end, int(pitch)))
            before = end
    if last > before:
        found.append((before, last, None))
    assert all(value[1] == other[0] for value, other in pairwise(found))
    return found


def _spelled(pitch: int, sharps: int, spelled: dict[tuple[str, int], int]) -> str:
    """Return a note as it is written in a key, with an accidental where the key, or the bar so far, says otherwise."""
    names = _SHARPS[:sharps] if sharps > 0 else _FLATS[:-sharps]
    sign = 1 if sharps >= 0 else -1
    in_key = {name: sign if name in names else 0 for name in "CDEFGAB"}
    shifts = [each for each in (0, sign, -sign) if (pitch - each) % 12 in _NATURAL]
    fits = [each for each in shifts if in_key[_NATURAL[(pitch - each) % 12]] == each]
    shift = fits[0] if fits else shifts[0]
    name, octave = _NATURAL[(pitch - shift) % 12], (pitch - shift) // 12 - 1
    known = spelled.get((name, octave), in_key[name])
    mark = "" if known == shift else {1: "^", -1: "_", 0: "="}[shift]
    spelled[name, octave] = shift
    if octave >= 5:
        return mark + name.lower() + "'" * (octave - 5)
    return mark + name + "," * (4 - octave)


def _length(quarters: Fraction) -> str:
    units = quarters / _UNIT
    above = "" if units.numerator == 1 else str(units.numerator)
    return above if units.denominator == 1 else f"{above}/{units.denominator}"
