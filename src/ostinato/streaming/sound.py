"""Streams of sound: raw samples in packets of any size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ostinato.streaming.protocol import Stream


class SoundStream(Stream):
    """A stream whose rows are packets of samples; what comes of them is told now and then, and at the end."""

    @property
    def packet(self) -> int:
        """Bytes of raw sound that are read at once, at most."""
        raise NotImplementedError

    def finish(self) -> Any:
        """Return the answer at the end of the sound, and begin again."""
        raise NotImplementedError

    def lines(self, answer: Any) -> Iterator[Mapping[str, Any]]:
        """Yield what is to be printed after a packet, as plain data; most packets have nothing."""
        raise NotImplementedError
