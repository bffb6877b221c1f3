"""The key of a piece, by the profiles of C. Krumhansl and E. Kessler (1982)."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from ostinato.data.music import Piece
from ostinato.errors import UsageError

KEYS = 24
_MAJOR = np.array([6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88])
_MINOR = np.array([6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17])
_NAMES = ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
_STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}


def key_of(piece: Piece) -> int:
    """Return the key of a piece: its tonic, 0 to 11 from C on, of major; 12 more of minor.

    >>> key_name(key_of(Piece.of([(i, 1, p) for i, p in enumerate([67, 71, 74, 72, 71, 69, 66, 67])])))
    'G'
    """
    return key_of_weights(note_weights(piece))


def note_weights(piece: Piece) -> NDArray[np.float64]:
    """Return how long each of the twelve notes of an octave sounds, from C on, `(12,)`."""
    return np.bincount(piece.pitch.astype(np.int64) % 12, piece.duration, 12).astype(np.float64)


def key_of_weights(weights: NDArray[np.float64]) -> int:
    """Return the key by how long each of the twelve notes of an octave sounds, `(12,)`, from C on."""
    if not weights.any():
        return 0
    profiles = [np.roll(each, tonic) for each in (_MAJOR, _MINOR) for tonic in range(12)]
    with np.errstate(invalid="ignore"):
        found = np.nan_to_num([np.corrcoef(weights, profile)[0, 1] for profile in profiles], nan=-1.0)
    return int(np.argmax(found))


def transposed_key(key: int, semitones: int) -> int:
    """Return a key so many semitones higher."""
    return (key % 12 + semitones) % 12 + 12 * (key // 12)


def key_name(key: int) -> str:
    """Return the name of a key, `"Bb"` or `"Bbm"`."""
    return _NAMES[key % 12] + ("m" if key >= 12 else "")


def major_of(key: int) -> int:
    """Return the tonic of a major key, or of the major key that has the signature of a minor one."""
    return key if key < 12 else (key + 3) % 12


def sharps_of(key: int) -> int:
    """Return the sharps of a key's signature, less than none for flats."""
    sharps = major_of(key) * 7 % 12
    return sharps - 12 if sharps > 6 else sharps


def key_number(name: str) -> int:
    """Return the number of a key by its name, `"Bb"`, `"F#m"` or `"a minor"`.

    Raises:
        UsageError: it is none.
    """
    if not isinstance(name, str):
        raise UsageError(f'key is {name!r:.40}; expected one such as "G", "Bb" or "F#m"')
    found = re.fullmatch(r"([A-Ga-g])(#|b|is|es)?\s*(m|min|minor|maj|major|)", name.strip())
    if not found:
        raise UsageError(f'key is "{name}"; expected one such as "G", "Bb" or "F#m"')
    tonic = (_STEPS[found[1].upper()] + {"#": 1, "is": 1, "b": -1, "es": -1}.get(found[2] or "", 0)) % 12
    return tonic + (12 if found[3] in ("m", "min", "minor") else 0)


def metre_of(text: str) -> tuple[int, int]:
    """Return a metre, `"3/4"`, as beats of a bar and the note that has one.

    Raises:
        UsageError: it is none.
    """
    if not isinstance(text, str):
        raise UsageError(f'metre is {text!r:.40}; expected one such as "3/4"')
    found = re.fullmatch(r"(\d{1,2})/(\d{1,2})", text.strip())
    if not found or not 0 < int(found[1]) <= 64 or int(found[2]) not in (1, 2, 4, 8, 16, 32, 64):
        raise UsageError(f'metre is "{text}"; expected one such as "3/4"')
    return int(found[1]), int(found[2])
