"""What is searched with: a network that reads a source and writes a token at a time."""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor


class Writer(Protocol):
    """A network that reads a source and writes a token at a time, such as `ostinato.nn.EncoderDecoder` in a task's own.

    Its states have `weights`, `(rows, source)` or `None` without attention, and `select(rows, memory=...)`; see
    `ostinato.nn.decoder.DecoderState`.
    """

    def start(self, sources: Tensor, lengths: Tensor) -> Any:
        """Read sources, `(source, batch)` tokens or `(source, batch, features)`; return where decoding begins."""

    def step(self, tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Read one token a row, `(batch,)`; return scores `(batch, vocabulary)` and the new state."""
