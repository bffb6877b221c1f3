"""Pieces in batches: several side by side, piece of steps after piece of steps, transposed again in each epoch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ostinato.tasks.music.encoding import Examples, MusicEncoder, condition_rows
from ostinato.tasks.music.keys import transposed_key
from ostinato.training.objective import Batch

_WINDOW = 8  # batches whose pieces are sorted by length together
_AHEAD = 1_000_000  # so that seeds of epochs do not meet


class FrameBatch(NamedTuple):
    """Frames side by side.

    Args:
        inputs: `(steps, batch, features)`: the frame before, whether it is the beginning, conditions.
        frames: `(steps, batch, notes)`, what sounds; real: `(steps, batch)`, where there is a step.
    """

    inputs: Tensor
    frames: Tensor
    real: Tensor


class EventBatch(NamedTuple):
    """Events side by side: those read and those that follow, `(steps, batch)`, -100 where there is none."""

    tokens: Tensor
    targets: Tensor


class MusicBatches:
    """Batches of pieces; a piece of more than `steps` goes on in the next batch.

    Args:
        encoder: of the model.
        examples: the pieces.
        batch_size: pieces side by side.
        steps: of a batch, at most.
        transpose: semitones up and down, at most, drawn for each piece and epoch.
        shuffle: whether each epoch has its own order.
        seed: of order and transposition.
    """

    def __init__(
        self, encoder: MusicEncoder, examples: Examples, *, batch_size: int, steps: int, transpose: int = 0,
        shuffle: bool = False, seed: int = 0,
    ) -> None:  # fmt: skip
        self.encoder, self.examples, self.steps = encoder, examples, steps
        self.size, self.transpose, self.shuffle, self.seed = batch_size, transpose, shuffle, seed
        lengths = examples.lengths
        self.short = [i for i, length in enumerate(lengths) if length <= steps]
        # those that go on over several batches stay together, so that each epoch has as many batches
        long = sorted((i for i, length in enumerate(lengths) if length > steps), key=lambda i: lengths[i])
        self.long = [long[i : i + batch_size] for i in range(0, len(long), batch_size)]

    def __len__(self) -> int:
        return math.ceil(len(self.short) / self.size) + sum(self._pieces(each) for each in self.long)

    def _pieces(self, group: list[int]) -> int:
        return math.ceil(max(self.examples.lengths[i] for i in group) / self.steps)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Return the batches of an epoch, the same ones each time."""
        rng = np.random.default_rng([self.seed, epoch + _AHEAD * int(self.shuffle)])
        for group in self._groups(rng):
            shifts = [self._shift(i, rng) for i in group]
            make = self._frames if self.examples.notes else self._events
            yield from make(group, shifts)

    def _groups(self, rng: np.random.Generator) -> list[list[int]]:
        lengths, order = self.examples.lengths, self.short
        if self.shuffle:
            order = [order[i] for i in rng.permutation(len(order))]
        groups = []
        window = _WINDOW * self.size if self.shuffle else max(len(order), 1)
        for start in range(0, len(order), window):
            near = sorted(order[start : start + window], key=lambda i: lengths[i])
            groups += [near[i : i + self.size] for i in range(0, len(near), self.size)]
        groups += self.long
        return [groups[i] for i in rng.permutation(len(groups))] if self.shuffle else groups

    def _shift(self, place: int, rng: np.random.Generator) -> int:
        """Return how far a piece is transposed: so that it stays within the notes of training."""
        low, high = self.examples.ranges[place] + self.encoder.low
        down = min(self.transpose, max(0, int(low) - self.encoder.found_low))
        up = min(self.transpose, max(0, self.encoder.found_high - int(high)))
        return int(rng.integers(-down, up + 1))

    def _frames(self, group: list[int], shifts: list[int]) -> Iterator[Batch]:
        found = [np.roll(self.examples.frames(i), shift, 1) for i, shift in zip(group, shifts, strict=True)]
        conditions = [
            condition_rows(self.encoder, 0, len(frames), int(self.examples.bars[i]), self._key(i, shift))
            for i, shift, frames in zip(group, shifts, found, strict=True)
        ]
        inputs, frames, real = padded_frames(found, conditions)
        for start in range(0, len(frames), self.steps):
            part = slice(start, start + self.steps)
            yield Batch(FrameBatch(inputs[part], frames[part], real[part]), continues=start > 0)

    def _key(self, place: int, shift: int) -> int:
        return transposed_key(int(self.examples.keys[place]), shift)

    def _events(self, group: list[int], shifts: list[int]) -> Iterator[Batch]:
        code = self.encoder.code
        found = [code.transposed(self.examples.steps[i], shift) for i, shift in zip(group, shifts, strict=True)]  # type: ignore[arg-type]
        targets = torch.full((max(map(len, found)), len(found)), -100)
        for row, piece in enumerate(found):
            targets[: len(piece), row] = torch.from_numpy(piece.astype(np.int64))
        tokens = torch.full_like(targets, code.begin)
        tokens[1:] = targets[:-1].clamp(min=0)
        for start in range(0, len(targets), self.steps):
            part = slice(start, start + self.steps)
            yield Batch(EventBatch(tokens[part], targets[part]), continues=start > 0)


def padded_frames(
    given: list[NDArray[np.bool_]], conditions: list[NDArray[np.float32]]
) -> tuple[Tensor, Tensor, Tensor]:
    """Return pieces of frames as one batch: inputs, frames and where there are steps; see `FrameBatch`."""
    steps, notes = max(map(len, given)), given[0].shape[1]
    frames = torch.zeros(steps, len(given), notes)
    inputs = torch.zeros(steps, len(given), notes + 1 + conditions[0].shape[1])
    real = torch.zeros(steps, len(given), dtype=torch.bool)
    for row, (piece, beside) in enumerate(zip(given, conditions, strict=True)):
        frames[: len(piece), row] = torch.from_numpy(piece.astype(np.float32))
        inputs[: len(piece), row, notes + 1 :] = torch.from_numpy(beside)
        real[: len(piece), row] = True
    inputs[1:, :, :notes] = frames[:-1]
    inputs[0, :, notes] = 1.0
    return inputs, frames, real
