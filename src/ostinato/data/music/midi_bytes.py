"""The bytes of a MIDI file, walked through before a library in C++ is given them: what is cut short is said so.

Standard MIDI File 1.0 (MIDI Manufacturers Association, 1988): a header chunk, then chunks of tracks; a track is events,
each after a number of ticks that takes one to four bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from ostinato.errors import DataError

_MOST_TICKS = 2**31 - 1
_DATA_BYTES = {0x80: 2, 0x90: 2, 0xA0: 2, 0xB0: 2, 0xC0: 1, 0xD0: 1, 0xE0: 2}
_SYSTEM = {0xF1: 1, 0xF2: 2, 0xF3: 1, 0xF6: 0, 0xF8: 0, 0xFA: 0, 0xFB: 0, 0xFC: 0, 0xFE: 0}


@dataclass(frozen=True)
class Header:
    """What the first chunk says: the format, how many tracks, ticks of a quarter."""

    format: int
    tracks: int
    ticks: int


def checked_midi(data: bytes, name: str) -> bytes:
    """Return the bytes of a MIDI file that is whole.

    Args:
        data: all of it; in a RIFF wrapper (`.rmi`) what is within is returned.
        name: of the file, for messages.

    Raises:
        DataError: it is none, is cut short, or is not laid out as one.
    """
    data = _unwrapped(data, name)
    header, at, found = _header(data, name), 8 + int.from_bytes(data[4:8], "big"), 0
    while found < header.tracks:
        kind, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "big")
        if at + 8 > len(data):
            raise DataError(
                f"{name} is cut short: it says that it has {header.tracks:,} tracks, but ends after {found:,}; fetch "
                "it again"
            )
        end = at + 8 + length
        if end > len(data):
            raise DataError(
                f"{name} is cut short: track {found + 1:,} says {length:,} bytes, but {len(data) - at - 8:,} follow; "
                "fetch it again"
            )
        if kind == b"MTrk":
            found += 1
            _Track(data, at + 8, end, f"track {found:,} of {name}").walk()
        at = end
    return data[:at]


def _unwrapped(data: bytes, name: str) -> bytes:
    if data[:4] != b"RIFF" or data[8:12] != b"RMID":
        return data
    at = data.find(b"data", 12)
    if at < 0:
        raise DataError(f"{name} is a RIFF file without a MIDI file in it; give a MIDI file")
    return data[at + 8 : at + 8 + int.from_bytes(data[at + 4 : at + 8], "little")]


def _header(data: bytes, name: str) -> Header:
    if not data:
        raise DataError(f"{name} is empty; expected a MIDI file")
    if data[:4] != b"MThd":
        raise DataError(f'{name} is no MIDI file: it begins with {data[:4]!r}, and a MIDI file with b"MThd"')
    length = int.from_bytes(data[4:8], "big")
    if len(data) < 14 or length < 6 or 8 + length > len(data):
        raise DataError(f"{name} is cut short within its header; fetch it again")
    kind, tracks, division = (int.from_bytes(data[i : i + 2], "big") for i in (8, 10, 12))
    if kind == 2:
        raise DataError(f"{name} is of format 2, patterns without a common time; expected format 0 or 1")
    if kind > 2:
        raise DataError(f"{name} is of format {kind}, which there is not; expected 0 or 1")
    if division & 0x8000:
        raise DataError(f"{name} counts time in SMPTE frames; expected ticks of a quarter: export it with those")
    if not division:
        raise DataError(f"{name} says 0 ticks a quarter; expected one or more")
    if not tracks:
        raise DataError(f"{name} has no tracks; give a MIDI file with notes")
    return Header(kind, tracks, division)


class _Track:
    """The events of a track, one after the other; nothing is kept of them."""

    def __init__(self, data: bytes, at: int, end: int, name: str) -> None:
        self.data, self.at, self.end, self.name = data, at, end, name

    def walk(self) -> None:
        """Go through all events, to the end of the track."""
        data, ticks, status = self.data, 0, 0
        while self.at < self.end:
            ticks += self._number("time")
            if ticks > _MOST_TICKS:
                raise DataError(f"{self.name} lasts {ticks:,} ticks; expected {_MOST_TICKS:,} at most")
            if self.at >= self.end:
                self._cut()
            byte = data[self.at]
            if byte >= 0x80:
                self.at += 1
            elif not status:
                self._wrong(f"a byte {byte} where an event begins")
            if byte == 0xFF:
                if self._meta() == 0x2F:
                    return
            elif byte in (0xF0, 0xF7):
                self._skip(self._number("length"))
                status = 0
            elif byte >= 0xF1:
                if byte not in _SYSTEM:
                    self._wrong(f"an event of the unknown kind 0x{byte:02X}")
                self._values(_SYSTEM[byte])
            else:
                status = byte if byte >= 0x80 else status
                self._values(_DATA_BYTES[status & 0xF0])

    def _number(self, what: str) -> int:
        """Read a number of one to four bytes, seven bits each."""
        value = 0
        for _ in range(4):
            if self.at >= self.end:
                self._cut()
            byte = self.data[self.at]
            self.at += 1
            value = value << 7 | byte & 0x7F
            if byte < 0x80:
                return value
        return self._wrong(f"a {what} of more than four bytes")

    def _meta(self) -> int:
        if self.at >= self.end:
            self._cut()
        kind = self.data[self.at]
        self.at += 1
        length = self._number("length")
        needed = {0x51: 3, 0x58: 4, 0x59: 2}.get(kind)
        if needed is not None and length < needed:
            self._wrong(f"an entry 0x{kind:02X} of {length} bytes where {needed} belong")
        if kind == 0x51 and not any(self.data[self.at : self.at + 3]):
            self._wrong("a tempo of 0")
        self._skip(length)
        return kind

    def _values(self, count: int) -> None:
        if self.at + count > self.end:
            self._cut()
        for byte in self.data[self.at : self.at + count]:
            if byte >= 0x80:
                self._wrong(f"a value {byte} of an event, above 127")
        self.at += count

    def _skip(self, length: int) -> None:
        if self.at + length > self.end:
            self._cut()
        self.at += length

    def _cut(self) -> NoReturn:
        raise DataError(f"{self.name} ends within an event; the file is damaged, fetch it again")

    def _wrong(self, what: str) -> NoReturn:
        raise DataError(f"{self.name} has {what}, at byte {self.at:,} of the file; it is damaged, fetch it again")
