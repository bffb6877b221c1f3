"""The branch of a sequence classifier that is solved, not trained: random convolutions and statistics, a ridge head."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ostinato.nn.random_kernels import RandomKernels
from ostinato.tasks.classify.encoding import Floats
from ostinato.tasks.classify.examples import Integers
from ostinato.tasks.classify.ridge import Ridge, fit_ridge
from ostinato.tasks.classify.statistics import statistics_of, statistics_size

_CHOSEN_ON = 600  # examples, at most, on which kinds of features are chosen
_SOLVED_FOR = 20_000  # examples, at most, whose features are held at once
_LONGER = 8  # than the usual sequence, that one with zeros behind it is, at most
_SHARES = {"levels": (1.0,), "changes": (0.0, 1.0), "ends": (0.0, 1.0), "statistics": (0.0, 0.1, 0.5)}


class WideBranch(nn.Module):
    """Scores of classes that are linear in features which need no training.

    The features are of four kinds: random kernels over the values, over their changes from step to step, over sequences
    with zeros behind them up to the longest (where lengths differ, so that where a sequence ends tells something), and
    statistics of each channel. How much each kind counts, and the penalty, is what errs least on examples left out.

    Args:
        channels: features of a step, of which the first `values` are values; masked: and the next as many mark which of
            them are missing.
        lengths: the shortest, the usual and the longest of training.
        kernels: features of each kind of kernels, about.
        coarser: steps that are read as one.
        classes: how many there are.
    """

    weights: Tensor
    offsets: Tensor
    mean: Tensor
    scale: Tensor

    def __init__(
        self,
        channels: int,
        lengths: tuple[int, int, int],
        *,
        values: int,
        masked: bool,
        kernels: int,
        coarser: int,
        classes: int,
    ) -> None:
        super().__init__()
        self.coarser, self.classes = coarser, classes
        self.values, self.masked = values, masked
        shortest, usual, longest = (-(-length // coarser) for length in lengths)
        self.longest = min(longest, _LONGER * usual)
        names = ["levels", "changes", *(["ends"] if shortest < longest else [])]
        self.kernels = nn.ModuleDict({name: RandomKernels(channels, usual, kernels) for name in names})
        sizes = {name: kernel.size for name, kernel in self.kernels.items()}
        self.sizes: dict[str, int] = {**sizes, "statistics": statistics_size(values, masked)}  # type: ignore[dict-item]
        total = sum(self.sizes.values())
        self.register_buffer("mean", torch.zeros(total))
        self.register_buffer("scale", torch.zeros(total))
        self.register_buffer("weights", torch.zeros(total, classes))
        self.register_buffer("offsets", torch.zeros(classes))

    def fit(self, arrays: Sequence[NDArray[np.float32]], targets: Integers, seed: int, counts: Floats) -> Floats:
        """Solve for the weights; return the scores of each example by weights found without it.

        Args:
            arrays: features of the training sequences, each `(time, channels)`.
            targets: their classes.
            seed: of what is drawn.
            counts: how much each example counts.

        Returns:
            `(examples, classes)`, NaN for those that were not solved for.
        """
        rng = np.random.default_rng(seed)
        rows = np.sort(rng.permutation(len(arrays))[:_SOLVED_FOR])
        sequences = self._sequences([arrays[row] for row in rows])
        for number, (name, kernel) in enumerate(self.kernels.items()):
            assert isinstance(kernel, RandomKernels)
            kernel.fit(self._as(name, sequences), seed + number)
        features = self._features(sequences, tuple(self.sizes)).numpy()
        mean, spread = features.mean(0), features.std(0)
        scale = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 1e-6)
        features = (features - mean) * scale
        some = rng.permutation(len(rows))[:_CHOSEN_ON]
        shares = self._chosen(features[some], targets[rows][some], counts[rows][some])
        factors = np.concatenate([np.full(size, shares[name]) for name, size in self.sizes.items()])
        used = factors > 0
        found = fit_ridge(
            (features[:, used] * factors[used]).astype(np.float64), targets[rows], self.classes, counts[rows]
        )
        self._keep(found, mean, scale * factors, used)
        left_out = np.full((len(arrays), self.classes), np.nan)
        left_out[rows] = found.left_out
        return left_out

    def _keep(
        self, found: Ridge, mean: NDArray[np.floating], scale: NDArray[np.floating], used: NDArray[np.bool_]
    ) -> None:
        self.mean.copy_(torch.from_numpy(mean.astype(np.float32)))
        self.scale.copy_(torch.from_numpy(scale.astype(np.float32)))
        self.weights[torch.from_numpy(used)] = torch.from_numpy(found.weights.astype(np.float32))
        self.offsets.copy_(torch.from_numpy((found.offsets - found.mean @ found.weights).astype(np.float32)))

    def _chosen(self, features: NDArray[np.floating], targets: Integers, counts: Floats) -> dict[str, float]:
        """Return the factor of each kind of features whose squared error on examples left out is least.

        Products of examples are formed once for each kind, and added up for each trial.
        """
        cuts = np.cumsum([0, *self.sizes.values()])
        parts = {name: features[:, a:b] for name, (a, b) in zip(self.sizes, pairwise(cuts), strict=True)}
        wanted = np.where(np.arange(self.classes) == targets[:, None], 1.0, -1.0)
        size = parts["levels"].shape[1]
        best: tuple[float, dict[str, float]] | None = None
        products = {name: part.astype(np.float64) @ part.T / max(part.shape[1], 1) for name, part in parts.items()}
        for trial in product(*(_SHARES[name] for name in self.sizes)):
            summed: Floats = sum(share * value for share, value in zip(trial, products.values(), strict=True))
            values, vectors = np.linalg.eigh(summed * size)
            roots = vectors * np.sqrt(np.maximum(values, 0.0))  # features of the same products
            found = fit_ridge(roots, targets, self.classes, counts)
            error = float((counts[:, None] * (found.left_out - wanted) ** 2).mean())
            if best is None or error < best[0] * 0.99:
                factors = [
                    np.sqrt(share * size / max(self.sizes[name], 1))
                    for name, share in zip(self.sizes, trial, strict=True)
                ]
                best = error, dict(zip(self.sizes, factors, strict=True))
        assert best is not None
        return best[1]

    def forward(self, arrays: Sequence[Tensor]) -> Tensor:
        """Return scores `(sequences, classes)` of sequences `(time, channels)` each, without padding."""
        cuts = np.cumsum([0, *self.sizes.values()]).tolist()
        used = [name for name, (a, b) in zip(self.sizes, pairwise(cuts), strict=True) if bool(self.scale[a:b].any())]
        keep = torch.cat([torch.full((size,), name in used) for name, size in self.sizes.items()]).to(self.scale.device)
        features = self._features(self._coarse(arrays), used)
        return (features - self.mean[keep]) * self.scale[keep] @ self.weights[keep] + self.offsets

    def _sequences(self, arrays: Sequence[NDArray[np.float32]]) -> list[Tensor]:
        return self._coarse([torch.from_numpy(array) for array in arrays])

    def _coarse(self, sequences: Sequence[Tensor]) -> list[Tensor]:
        """Return means of neighbouring steps, where sequences are long."""
        if self.coarser == 1:
            return list(sequences)
        return [
            functional.avg_pool1d(sequence.T[None], self.coarser, ceil_mode=True, count_include_pad=False)[0].T
            for sequence in sequences
        ]

    def _as(self, name: str, sequences: Sequence[Tensor]) -> list[Tensor]:
        """Return sequences as one kind of kernels reads them."""
        if name == "changes":
            return [torch.diff(sequence, dim=0, prepend=sequence[:1]) for sequence in sequences]
        if name == "ends":
            most = self.longest
            return [functional.pad(sequence[:most], (0, 0, 0, max(0, most - len(sequence)))) for sequence in sequences]
        return list(sequences)

    def _features(self, sequences: Sequence[Tensor], names: Sequence[str]) -> Tensor:
        parts = []
        for name in names:
            if name == "statistics":
                parts.append(torch.stack([statistics_of(sequence, self.values, self.masked) for sequence in sequences]))
            else:
                parts.append(self.kernels[name](self._as(name, sequences)))
        return torch.cat(parts, 1)
