"""MIDI files to pieces and back, by `symusic`."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ostinato.data.music.midi_bytes import checked_midi
from ostinato.data.music.pieces import FASTEST, SLOWEST, TEMPO, Piece, is_metre
from ostinato.errors import DataError, DataWarning, MissingExtra, UsageError
from ostinato.files import reason, write_atomically

ENDINGS = (".mid", ".midi", ".kar", ".rmi")
_TICKS = 480


def read_midi(source: str | Path | bytes, *, drums: bool = False, name: str = "the MIDI file") -> Piece:
    """Read a MIDI file of type 0 or 1 as one piece, all tracks together.

    The tempo and the metre are the first ones. A tempo below 3.58 quarters a minute, of which MIDI has a few, is read
    as 3.58, one above 10,000 is passed over; a metre that is none is read as 4/4, with a warning.

    Args:
        source: a path, or the bytes of a file.
        drums: whether to keep what is played on channel 10, whose pitches are instruments.
        name: what messages call bytes.

    Raises:
        DataError: it is no MIDI file, is damaged, or has no notes.
        MissingExtra: `symusic` is not installed.
    """
    if not isinstance(source, bytes):
        name = str(source)
        try:
            source = Path(source).read_bytes()
        except OSError as error:
            raise DataError(f"{name} cannot be read ({reason(error)})") from error
    score = _parsed(checked_midi(source, name), name)
    tracks = [track for track in score.tracks if len(track.notes)]
    if not tracks:
        raise DataError(f"{name} has no notes; give a MIDI file with some")
    kept = [track for track in tracks if drums or not track.is_drum]
    if not kept:
        raise DataError(f"{name} has only drums, which are left out; keep them with drums=True (--drums)")
    return _piece(score, kept, name)


def _parsed(data: bytes, name: str) -> Any:
    symusic = _symusic()
    try:
        return symusic.Score.from_midi(data)
    except Exception as error:  # of a library in C++, which has its own
        said = " ".join(str(error).split())[:120]
        raise DataError(f"{name} cannot be read as a MIDI file ({said}); export it again") from error


def _piece(score: Any, tracks: list[Any], name: str) -> Piece:
    columns = [track.notes.numpy() for track in tracks]
    start, duration, pitch, velocity = (
        np.concatenate([np.asarray(column[key], np.float64) for column in columns])
        for key in ("time", "duration", "pitch", "velocity")
    )
    ticks = float(score.ticks_per_quarter)
    metre = next(
        ((int(time_signature.numerator), int(time_signature.denominator)) for time_signature in score.time_signatures),
        (4, 4),
    )
    if not is_metre(metre):
        warnings.warn(
            f"{name} has the metre {metre[0]}/{metre[1]}; 4/4 is taken: expected 1 to 64 beats, of a power of two up "
            "to 64", DataWarning, stacklevel=3,
        )  # fmt: skip
        metre = (4, 4)
    sharps = next(
        (int(key_signature.key) for key_signature in score.key_signatures if -7 <= int(key_signature.key) <= 7), None
    )
    tempo = next((max(SLOWEST, round(float(each.qpm), 3)) for each in score.tempos if 0 < each.qpm <= FASTEST), TEMPO)
    return Piece.sorted_by_time(
        name, start / ticks, np.maximum(duration, 1) / ticks, pitch, velocity, tempo=tempo, metre=metre, sharps=sharps
    )


def midi_bytes(pieces: Piece | Iterable[Piece], *, program: int = 0) -> bytes:
    """Return a MIDI file of type 1.

    MIDI cannot say which of two notes of one pitch ends. So a note of a track that is struck again while it sounds ends
    there, and of two that begin together, the longer one is written.

    Args:
        pieces: one; or several of the same tempo that sound together, each a track, such as voices.
        program: the instrument, 0 (a piano) to 127.

    Raises:
        UsageError: there is no such program, or no piece.
        MissingExtra: `symusic` is not installed.
    """
    if not 0 <= program <= 127:
        raise UsageError(f"program is {program}; expected a MIDI instrument from 0 to 127")
    symusic = _symusic()
    tracks = [pieces] if isinstance(pieces, Piece) else list(pieces)
    if not tracks:
        raise UsageError("there is no piece to write; give one or more")
    score, first = symusic.Score(_TICKS), tracks[0]
    score.tempos.append(symusic.Tempo(0, qpm=first.tempo))
    score.time_signatures.append(symusic.TimeSignature(0, *first.metre))
    if first.sharps is not None:
        score.key_signatures.append(symusic.KeySignature(0, first.sharps, 0))
    for number, piece in enumerate(tracks):
        track = symusic.Track(f"voice {number + 1}" if len(tracks) > 1 else "", program, False)
        for row in _apart(piece):
            track.notes.append(symusic.Note(*row))
        score.tracks.append(track)
    return bytes(score.dumps_midi())


def _apart(piece: Piece) -> list[list[int]]:
    """Return notes in ticks, `[time, duration, pitch, velocity]`, one of a pitch at a time."""
    start = np.round(piece.start * _TICKS).astype(np.int64)
    end = np.maximum(np.round((piece.start + piece.duration) * _TICKS).astype(np.int64), start + 1)
    order = np.lexsort((end, start, piece.pitch))
    start, end, pitch, velocity = start[order], end[order], piece.pitch[order], piece.velocity[order]
    end[:-1] = np.where(pitch[:-1] == pitch[1:], np.minimum(end[:-1], start[1:]), end[:-1])
    kept = np.flatnonzero(end > start)
    kept = kept[np.lexsort((pitch[kept], start[kept]))]
    found: list[list[int]] = np.stack([start, end - start, pitch, velocity], -1)[kept].tolist()
    return found


def write_midi(path: str | Path, pieces: Piece | Iterable[Piece], *, program: int = 0) -> Path:
    """Write a MIDI file, aside and then renamed; see `midi_bytes`.

    Raises:
        OutputError: it cannot be written.
    """
    write_atomically(Path(path), midi_bytes(pieces, program=program))
    return Path(path)


def _symusic() -> Any:
    try:
        import symusic
    except ImportError as error:
        raise MissingExtra("MIDI files need the library symusic: pip install 'ostinato[music]'") from error
    return symusic
