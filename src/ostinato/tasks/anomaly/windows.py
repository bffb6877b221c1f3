"""Training sequences cut from series, and the losses of what is expected and of what is reconstructed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ostinato.tasks.anomaly.encoder import SeriesExamples
from ostinato.tasks.anomaly.network import SeriesNetwork, expected, student_loss
from ostinato.training.objective import Batch, Carry, Step

_FEWEST, _MOST = 96, 1024  # sequences of an epoch
_LEAD = 64  # steps before a held-out part that are read, but not judged
_BOUND = 8.0


@dataclass(frozen=True)
class _Piece:
    series: int
    first: int
    stop: int
    judged: int  # from which step on


class SeriesBatches:
    """Sequences of steps; in training they are drawn again each epoch, otherwise they lie side by side.

    Args:
        examples: where they are from.
        steps: of a sequence, at most.
        batch_size: sequences of a batch.
        training: whether they are drawn.
        seed: of the draw.
    """

    def __init__(self, examples: SeriesExamples, *, steps: int, batch_size: int, training: bool, seed: int) -> None:
        self.examples, self.steps, self.size, self.training, self.seed = examples, steps, batch_size, training, seed
        self._spans = [
            (i, int(a), int(b)) for i, (a, b) in enumerate(zip(examples.start, examples.stop, strict=True)) if b - a > 1
        ]
        self._fixed = [] if training else self._side_by_side()
        if training:
            longest = max((b - a for _, a, b in self._spans), default=2)
            self.steps = min(steps, longest)
        self.count = sequences_an_epoch(len(examples), self.steps) if training else len(self._fixed)

    def __len__(self) -> int:
        return -(-self.count // self.size)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Return the batches of an epoch, the same ones each time."""
        pieces = self._drawn(epoch) if self.training else self._fixed
        for first in range(0, len(pieces), self.size):
            yield Batch(self._collate(pieces[first : first + self.size]))

    def _side_by_side(self) -> list[_Piece]:
        found = []
        for series, start, stop in self._spans:
            for first in range(start, stop - 1, self.steps):
                lead = max(0, first - _LEAD)
                found.append(_Piece(series, lead, min(first + self.steps, stop), first - lead))
        return found

    def _drawn(self, epoch: int) -> list[_Piece]:
        rng = np.random.default_rng([self.seed, epoch])
        weights = np.array([max(b - a - self.steps, 0) + 1 for _, a, b in self._spans], np.float64)
        weights *= [min(b - a, self.steps) / self.steps for _, a, b in self._spans]
        chosen = rng.choice(len(self._spans), self.count, p=weights / weights.sum())
        found = []
        for place in chosen.tolist():
            series, start, stop = self._spans[place]
            first = int(rng.integers(start, max(stop - self.steps, start) + 1))
            found.append(_Piece(series, first, min(first + self.steps, stop), 0))
        return found

    def _collate(self, pieces: Sequence[_Piece]) -> tuple[Tensor, ...]:
        """Return features, last values, seasons, changes, values and weights, `(steps, batch, ...)`.

        The weight of a step is 0 where its value is missing, not judged, or known to be anomalous.
        """
        longest = max(piece.stop - piece.first for piece in pieces)
        channels = self.examples.encoder.channels
        parts: list[list[NDArray[Any]]] = [[], [], [], [], [], []]
        for piece in pieces:
            inputs = self.examples.inputs[piece.series]
            rows = slice(piece.first, piece.stop)
            normal = self.examples.normal(piece.series)[rows, None]
            weight = (normal & ~np.isnan(inputs.values[rows])).astype(np.float32)
            weight[: piece.judged] = 0
            change = np.broadcast_to(self.examples.scales[piece.series].change, (piece.stop - piece.first, channels))
            arrays: tuple[NDArray[Any], ...] = (inputs.features[rows], inputs.last[rows], inputs.season[rows], change,
                      np.nan_to_num(inputs.values[rows]), weight)  # fmt: skip
            for part, array in zip(parts, arrays, strict=True):
                part.append(_padded(array, longest))
            parts[3][-1][piece.stop - piece.first :] = 1  # what is divided by
        return tuple(torch.from_numpy(np.stack(part, 1)) for part in parts)


def sequences_an_epoch(rows: int, steps: int) -> int:
    """Return how many sequences are drawn in an epoch: about twice what there is, within limits."""
    return int(np.clip(2 * rows // max(steps, 1), _FEWEST, _MOST))


def _padded(array: NDArray[Any], length: int) -> NDArray[np.float32]:
    found = np.zeros((length, array.shape[1]), np.float32)
    found[: len(array)] = array
    return found


class SeriesObjective:
    """How improbable the next values are, or how far the last ones are from what is reconstructed."""

    def __call__(self, module: nn.Module, batch: Any, carry: Carry | None) -> Step:  # noqa: ARG002
        """Read a batch."""
        features, last, season, change, values, weight = batch
        network: Any = module
        said = network(features)
        if network.sizes.window:
            loss, weights = _reconstruction(network, said, values, weight)
        else:
            place, scale = expected(said[:-1], last[:-1], season[:-1], change[:-1])
            loss = student_loss(values[1:] - place, scale, network.degrees())
            weights = weight[1:]
        total = weights.sum()
        return Step((loss * weights).sum() / total.clamp(min=1.0), max(float(total), 1e-9))


def _reconstruction(network: SeriesNetwork, said: Tensor, values: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return the errors of all values of the window that ends at each step, and how much each counts."""
    window = network.sizes.window
    bounded = values.clamp(-_BOUND, _BOUND)

    def unfolded(steps: Tensor) -> Tensor:  # (time, batch, channels) to (time, batch, window * channels)
        before = torch.cat([steps.new_zeros(window - 1, *steps.shape[1:]), steps])
        return before.unfold(0, window, 1).transpose(-1, -2).flatten(-2)

    error = nn.functional.smooth_l1_loss(said, unfolded(bounded), reduction="none", beta=0.5)
    return error, unfolded(weight)
