"""Recordings of an hour as of a minute: read in blocks, heard in pieces, in memory that does not grow with them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.archives import archive_of
from ostinato.data.audio import Utterances, sound_blocks
from ostinato.data.audio.sources import array_source
from ostinato.tasks.speech.decoding import Transcript
from ostinato.tasks.speech.hearing import Hearing, SpeechModel, joined, later, transcribed
from ostinato.tasks.speech.stream import SpeechStream

Samples = NDArray[np.float32]
LONG = 60.0  # seconds from which on a recording is heard in pieces
_PIECE, _SEARCHED = 30.0, 10.0  # seconds of a piece at most, at the end of which a quiet place is looked for
_WINDOW = 0.2  # seconds that a place is quiet for
_TOGETHER = 64  # recordings that are read and answered together


def heard(model: SpeechModel, records: Utterances, n_best: int = 1) -> Iterator[tuple[str, list[Transcript]]]:
    """Yield the name of each recording and its best transcripts, the best first; of a long one there is one."""
    hearing = Hearing.of(model)
    for first in range(0, len(records), _TOGETHER):
        part = records[first : first + _TOGETHER]
        long = {row for row, seconds in enumerate(part.durations.tolist()) if seconds > LONG}
        short = [row for row in range(len(part)) if row not in long]
        found = {row: [of_long(model, part, row, hearing)] for row in sorted(long)}
        if short:
            spoken = model.encoder.encode(part.part(short))
            found |= zip(short, transcribed(model, spoken, hearing, n_best), strict=True)
        for row, name in enumerate(part.ids):
            yield name, found[row]


def of_long(model: SpeechModel, records: Utterances, row: int, hearing: Hearing) -> Transcript:
    """Return what is said in a long recording.

    A streaming model hears it as it would live. Any other hears pieces of half a minute, cut where it is quiet.
    """
    rate = model.encoder.settings.rate
    blocks = blocks_of(records, row, rate)
    parts: list[Transcript] = []
    if model.encoder.choices.streams:
        stream = SpeechStream(model)
        for block in blocks:
            parts += stream.push(block).ended
        parts += stream.finish().ended
    else:
        for start, piece in pieces_of(blocks, rate):
            alone = Utterances(records.origin, (array_source(piece, rate, records.ids[row]),), (records.ids[row],))
            found = transcribed(model, model.encoder.encode(alone), hearing)[0][0]
            parts += [later(found, start)] if found.text else []
    return joined(parts) if parts else Transcript("", 0.0)


def blocks_of(records: Utterances, row: int, rate: int) -> Iterator[Samples]:
    """Yield the samples of a recording; of a file that is read whole, in blocks."""
    source: Any = records.sources[row]
    path = getattr(source, "path", None)
    if path is not None and not source.start and source.end is None and archive_of(path) is None:
        yield from sound_blocks(path, rate, channel=source.channel, name=source.name)
        return
    yield records.samples(row, rate)


def pieces_of(blocks: Iterator[Samples], rate: int) -> Iterator[tuple[float, Samples]]:
    """Yield pieces of sound and the seconds at which they begin, cut at the quietest place near the end of each.

    >>> sound = np.ones(1000 * 70, np.float32)
    >>> sound[1000 * 25 : 1000 * 26] = 0
    >>> [(start, len(piece)) for start, piece in pieces_of(iter([sound]), 1000)]
    [(0.0, 25100), (25.1, 20100), (45.2, 24800)]
    """
    size, begun, held = round(_PIECE * rate), 0, np.zeros(0, np.float32)
    for block in blocks:
        held = np.concatenate([held, block])
        while len(held) > size:
            cut = _quietest(held[:size], rate)
            yield begun / rate, held[:cut]
            begun, held = begun + cut, held[cut:]
    if len(held):
        yield begun / rate, held


def _quietest(samples: Samples, rate: int) -> int:
    """Return the middle of the quietest stretch at the end of samples."""
    first, width = len(samples) - round(_SEARCHED * rate), max(1, round(_WINDOW * rate))
    powers = np.cumsum(np.concatenate([[0.0], samples[first:].astype(np.float64) ** 2]))
    found = powers[width:] - powers[:-width]
    return first + int(found.argmin()) + width // 2
