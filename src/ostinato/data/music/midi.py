"""MIDI files to pieces and back, by `symusic`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ostinato.data.music.midi_bytes import checked_midi
from ostinato.data.music.pieces import TEMPO, Piece
from ostinato.errors import DataError, MissingExtra, UsageError
from ostinato.files import reason, write_atomically

ENDINGS = (".mid", ".midi", ".kar", ".rmi")
_TICKS = 480
_SLOWEST, _FASTEST = 1.0, 10_000.0


def read_midi(source: str | Path | bytes, *, drums: bool = False, name: str = "the MIDI file") -> Piece:
    """Read a MIDI file of type 0 or 1 as one piece, all tracks together.

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
        np.concatenate([np.asarray(own[key], np.float64) for own in columns])
        for key in ("time", "duration", "pitch", "velocity")
    )
    ticks = float(score.ticks_per_quarter)
    metre = next(((own.numerator, own.denominator) for own in score.time_signatures), (4, 4))
    if not (0 < metre[0] <= 64 and metre[1] in (1, 2, 4, 8, 16, 32, 64)):
        metre = (4, 4)
    sharps = next((int(own.key) for own in score.key_signatures if -7 <= int(own.key) <= 7), None)
    tempo = next((round(float(own.qpm), 3) for own in score.tempos if _SLOWEST <= own.qpm <= _FASTEST), TEMPO)
    return Piece.sorted_by_time(
        name, start / ticks, np.maximum(duration, 1) / ticks, pitch, velocity, tempo=tempo, metre=metre, sharps=sharps
    )


def midi_bytes(pieces: Piece | Iterable[Piece], *, program: int = 0) -> bytes:
    """Return a MIDI file of type 1.

    Args:
        pieces: one; or several of the same tempo that sound together, each a track, such as voices.
        program: the instrument, 0 (a piano) to 127.

    Raises:
        UsageError: there is no such program.
        MissingExtra: `symusic` is not installed.
    """
    if not 0 <= program <= 127:
        raise UsageError(f"program is {program}; expected a MIDI instrument from 0 to 127")
    symusic = _symusic()
    tracks = [pieces] if isinstance(pieces, Piece) else list(pieces)
    score, first = symusic.Score(_TICKS), tracks[0]
    score.tempos.append(symusic.Tempo(0, qpm=first.tempo))
    score.time_signatures.append(symusic.TimeSignature(0, *first.metre))
    if first.sharps is not None:
        score.key_signatures.append(symusic.KeySignature(0, first.sharps, 0))
    for number, piece in enumerate(tracks):
        track = symusic.Track(f"voice {number + 1}" if len(tracks) > 1 else "", program, False)
        start = np.round(piece.start * _TICKS).astype(np.int64)
        end = np.round((piece.start + piece.duration) * _TICKS).astype(np.int64)
        for note in zip(start, np.maximum(end - start, 1), piece.pitch, piece.velocity, strict=True):
            track.notes.append(symusic.Note(*(int(own) for own in note)))
        score.tracks.append(track)
    return bytes(score.dumps_midi())


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
