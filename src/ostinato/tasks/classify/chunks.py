"""Long texts in chunks, read side by side and pooled together: no stack has thousands of steps to learn through."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Chunks:
    """How rows of a batch are cut: each into as few chunks as need be, all of a row of one length but the last.

    Args:
        sizes: steps of a row's chunks, `(batch,)`; counts: how many there are.
        starts, lengths, rows: of each chunk, `(chunks,)`, one row behind the other: its first step, its steps, its row.
    """

    sizes: Tensor
    counts: Tensor
    starts: Tensor
    lengths: Tensor
    rows: Tensor

    @classmethod
    def of(cls, lengths: Tensor, longest: int) -> Chunks:
        """Return chunks of so many steps at most.

        >>> chunks = Chunks.of(torch.tensor([7, 3]), 4)
        >>> chunks.starts.tolist(), chunks.lengths.tolist(), chunks.rows.tolist()
        ([0, 4, 0], [4, 3, 3], [0, 0, 1])
        """
        counts = (lengths + longest - 1) // longest
        sizes = (lengths + counts - 1) // counts
        rows = torch.repeat_interleave(torch.arange(len(lengths), device=lengths.device), counts)
        first = counts.cumsum(0) - counts
        starts = (torch.arange(len(rows), device=lengths.device) - first[rows]) * sizes[rows]
        return cls(sizes, counts, starts, torch.minimum(sizes[rows], lengths[rows] - starts), rows)

    def cut(self, xs: Tensor) -> Tensor:
        """Return `(steps, chunks, ...)` of `(time, batch, ...)`."""
        steps = torch.arange(int(self.lengths.max()), device=xs.device)[:, None] + self.starts
        return xs[steps.clamp(max=len(xs) - 1), self.rows]

    def joined(self, ys: Tensor, steps: int) -> Tensor:
        """Return `(time, batch, ...)` of what became of the chunks, `(steps, chunks, ...)`; padding is arbitrary.

        Args:
            ys: of the chunks.
            steps: of the longest row.
        """
        times = torch.arange(steps, device=ys.device)[:, None]
        number = torch.minimum(times // self.sizes, self.counts - 1)
        first = self.counts.cumsum(0) - self.counts
        return ys[(times - number * self.sizes).clamp(max=len(ys) - 1), first + number]


def some_chunks(tokens: Tensor, lengths: Tensor, longest: int, most: int) -> tuple[Tensor, Tensor]:
    """Return tokens `(time, batch)` with so many chunks of each row at most, drawn at random, in their order.

    Args:
        tokens: of the rows.
        lengths: `(batch,)`.
        longest: steps of a chunk, at most.
        most: chunks of a row.
    """
    chunks = Chunks.of(lengths, longest)
    if int(chunks.counts.max()) <= most:
        return tokens, lengths
    drawn = torch.rand(len(chunks.rows), device=tokens.device)
    order = torch.argsort(chunks.rows + drawn)  # rows stay apart: what is drawn is below one
    first = (chunks.counts.cumsum(0) - chunks.counts)[chunks.rows]
    kept = order[torch.arange(len(order), device=tokens.device) - first < most].sort().values
    parts = [tokens[int(chunks.starts[i]) : int(chunks.starts[i] + chunks.lengths[i]), chunks.rows[i]] for i in kept]
    rows = chunks.rows[kept].tolist()
    whole = [
        torch.cat([part for part, value in zip(parts, rows, strict=True) if value == row])
        for row in range(len(lengths))
    ]
    shorter = torch.tensor([len(each) for each in whole], device=lengths.device, dtype=lengths.dtype)
    return torch.nn.utils.rnn.pad_sequence(whole), shorter
