"""The key that a corpus is mostly in, and by how much what was written is away from it.

Training transposes pieces, so that a model has all keys to choose from; its notes are brought back to the usual key.
They are held against the notes of the octave that the training pieces of this key have, and not against a textbook's
profile: of a tune of few notes that profile often takes the key of the dominant.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ostinato.data.music import Piece
from ostinato.tasks.music.encoding import Corpus, MusicEncoder
from ostinato.tasks.music.keys import key_of_weights, major_of, note_weights, sharps_of

Weights = NDArray[np.float64]
_CLOSE = 1e-9


@dataclass(frozen=True)
class Home:
    """The usual key.

    Args:
        key: see `ostinato.tasks.music.keys`.
        weights: how long each of the twelve notes sounds in pieces of it, `(12,)`.
    """

    key: int
    weights: Weights

    @classmethod
    def of(cls, corpus: Corpus) -> Home:
        """Return the key of most training pieces; a minor key and its relative major count as one."""
        weights = np.stack([_weights(piece) for piece in corpus.pieces()])
        keys = [key_of_weights(weight) for weight in weights]
        signatures = np.array([sharps_of(key) for key in keys])
        found, counts = np.unique(signatures, return_counts=True)
        usual = weights[signatures == found[counts.argmax()]].sum(0)
        return cls(key_of_weights(usual), usual)

    def away(self, weights: Weights) -> int:
        """Return by how many semitones, -6 to 5, notes have to move to lie as those of the usual key do."""
        if not weights.any() or not self.weights.any():
            return 0
        shifts = sorted(range(-6, 6), key=abs)
        # a product, and not a correlation: the length of a rolled vector stays the same
        fits = np.array([np.roll(weights, shift) @ self.weights for shift in shifts])
        return shifts[int(np.argmax(fits >= fits.max() * (1 - _CLOSE)))]


def _weights(frames: NDArray[np.bool_]) -> Weights:
    return np.bincount(np.arange(128) % 12, frames.sum(0), 12).astype(np.float64)


def brought_home(piece: Piece, home: Home, key: int, encoder: MusicEncoder) -> Piece | None:
    """Return a piece in another key, moved as little as can be; `None` where it would leave the model's range.

    Args:
        piece: with notes.
        home: what its notes are held against.
        key: that it is to have; of the other mode than the usual one, the key with the same signature counts.
        encoder: whose notes of training it stays within, if it can, and within those there are a place for, if not.
    """
    away = home.away(note_weights(piece))
    shift = (away + major_of(key) - major_of(home.key) + 6) % 12 - 6
    low, high = int(piece.pitch.min()), int(piece.pitch.max())
    for bounds in ((encoder.found_low, encoder.found_high), (encoder.low, encoder.high)):
        for each in sorted((shift - 12, shift, shift + 12), key=abs):
            if bounds[0] <= low + each and high + each <= bounds[1]:
                return replace(piece.transposed(each), sharps=sharps_of(key))
    return None
