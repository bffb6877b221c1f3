"""What comes of a packet of sound, and what a packet may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.errors import StreamRowError
from ostinato.tasks.speech.decoding import Transcript, Word

_LOUDEST = 100.0


@dataclass(frozen=True)
class Heard:
    """What a packet came to.

    Args:
        text: of the utterance in progress, so far; changed: whether it is another than before the packet.
        words: its words, with seconds since the stream began.
        ended: the utterances that ended in this packet.
        seconds: of sound that were heard since the stream began.
    """

    text: str
    changed: bool
    words: tuple[Word, ...]
    ended: tuple[Transcript, ...]
    seconds: float


def plain_transcript(transcript: Transcript) -> dict[str, Any]:
    """Return a transcript as plain data."""
    return {"text": transcript.text, "score": round(transcript.score, 6), "words": plain_words(transcript.words)}


def plain_words(words: Sequence[Word]) -> list[dict[str, Any]]:
    """Return words as plain data: seconds, and confidences from 0 to 1."""
    return [
        {
            "word": word.text,
            "start": round(word.start, 3),
            "end": round(word.end, 3),
            "confidence": round(word.confidence, 4),
        }
        for word in words
    ]


def samples_of(row: Any) -> NDArray[np.float32]:
    """Return a packet as float32 samples in [-1, 1].

    Raises:
        StreamRowError: it is no packet of samples.
    """
    try:
        found = np.asarray(row)
    except (TypeError, ValueError) as error:
        raise StreamRowError(f"it is no packet of samples ({str(error)[:60]})") from error
    if found.ndim != 1 or found.dtype.kind not in "if" or (found.dtype.kind == "i" and found.dtype.itemsize > 2):
        raise StreamRowError(
            f"it is a {type(row).__name__} of shape {found.shape} and type {found.dtype}; expected samples, "
            "(samples,), floats in [-1, 1] or integers of 16 bits, or their bytes"
        )
    if found.dtype.kind == "i":
        return found.astype(np.float32) / np.float32(2 ** (8 * found.dtype.itemsize - 1))
    if found.size and not np.abs(found).max() <= _LOUDEST:  # NaN too
        raise StreamRowError("it has a sample that is no number, or far outside [-1, 1]; expected floats in [-1, 1]")
    return found.astype(np.float32)
