"""Raw samples as they come from a microphone or a pipe: 16-bit little-endian."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.errors import DataError, UsageError


class Pcm16:
    r"""Bytes of 16-bit little-endian samples, in pieces of any size, to float32 samples in [-1, 1).

    A piece may end within a sample: its bytes are kept for the next one. Of several channels the mean is taken.

    Args:
        channels: how many, their samples in turn.

    >>> pcm = Pcm16()
    >>> pcm.accept(b"\x00\x40\x00").tolist(), pcm.accept(b"\xc0").tolist()
    ([0.5], [-0.5])
    """

    def __init__(self, channels: int = 1) -> None:
        if channels < 1:
            raise UsageError(f"channels is {channels}; expected one or more")
        self.channels, self._rest = channels, b""

    def accept(self, data: bytes) -> NDArray[np.float32]:
        """Return the samples that more bytes make whole, `(samples,)`."""
        data = self._rest + bytes(data)
        whole = len(data) - len(data) % (2 * self.channels)
        self._rest = data[whole:]
        found = np.frombuffer(data[:whole], "<i2").astype(np.float32) / np.float32(32768)
        return found if self.channels == 1 else found.reshape(-1, self.channels).mean(1, dtype=np.float32)

    def finish(self) -> int:
        """Return how many bytes of a last sample are missing their rest, and begin again."""
        left, self._rest = len(self._rest), b""
        return left

    def state(self) -> dict[str, Any]:
        """Return the bytes of a sample that has come in part."""
        return {"rest": list(self._rest)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Resume from a state.

        Raises:
            DataError: it is none.
        """
        rest = state.get("rest")
        if not isinstance(rest, list) or len(rest) >= 2 * self.channels:
            raise DataError("the state of the samples is damaged; give one that `state()` returned")
        try:
            self._rest = bytes(rest)
        except (TypeError, ValueError) as error:
            raise DataError("the state of the samples is damaged; give one that `state()` returned") from error
