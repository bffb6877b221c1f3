"""Sequences of unequal length in one array."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ostinato.errors import DataError, UsageError


@dataclass(frozen=True)
class Ragged:
    """Sequences of unequal length, one behind the other: `flat (tokens,)`, `first` and `lengths` `(sequences,)`."""

    flat: NDArray[np.int32]
    first: NDArray[np.int64]
    lengths: NDArray[np.int64]
    pad: int

    @classmethod
    def build(cls, sequences: Iterable[Sequence[int]], what: str, pad: int) -> Ragged:
        """Put sequences one behind the other; `what` names one in a message.

        Raises:
            DataError: a sequence is empty.
            UsageError: there is none, or one is not of numbers.
        """
        flat, ends = array("i"), array("q", [0])
        for number, sequence in enumerate(sequences):
            try:
                flat.extend(iter(sequence))
            except (TypeError, OverflowError) as error:
                raise UsageError(f"{what} {number} is not a sequence of token numbers ({error})") from error
            if len(flat) == ends[-1]:
                raise DataError(
                    f"{what} {number} (from 0) has no tokens; leave it out, or put an end of sentence to each"
                )
            ends.append(len(flat))
        if len(ends) == 1:
            raise UsageError(f"there are no {what}s; expected at least one")
        offsets = np.array(ends, np.int64)
        return cls(np.array(flat, np.int32), offsets[:-1], np.diff(offsets), pad)

    def padded(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Return sequences as `(time, batch)` and their lengths."""
        lengths = self.lengths[rows]
        steps = np.arange(lengths.max())[:, None]
        tokens = self.flat.take(self.first[rows] + steps, mode="clip").astype(np.int64)
        tokens[steps >= lengths] = self.pad
        return torch.from_numpy(tokens), torch.from_numpy(lengths)
