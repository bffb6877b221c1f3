"""The branch of a sequence classifier that is solved, not trained: random convolutions and statistics, a ridge head."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise, product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ostinato.nn.competing_kernels import CompetingKernels
from ostinato.nn.random_kernels import RandomKernels, of_one_length
from ostinato.tasks.classify.encoding import Floats
from ostinato.tasks.classify.examples import Integers
from ostinato.tasks.classify.ridge import Ridge, fit_ridge
from ostinato.tasks.classify.shapes import shapes_of
from ostinato.tasks.classify.statistics import statistics_of, statistics_size
from ostinato.tasks.classify.telling import telling_channels
from ostinato.tasks.classify.turning import Turned, turn
from ostinato.tasks.classify.views import coarse, filled
from ostinato.tasks.classify.wide_plan import CHOSEN_ON, LONGER, WidePlan

_TOGETHER = 64  # examples whose features are made before the clock is looked at
_EVIDENCE = 0.5  # of an example, for the logarithm of the ratio of two errors
_LEAST_SHARE = 0.02  # of a kind of features: with less it is left out
_MEASURED = 1 << 16  # steps whose statistics are made together
_UNTOLD = 0.25  # how much statistics of channels count that tell nothing alone, where others do
_ENOUGH = 1260  # kernels: with fewer there is no time to look at each channel alone
_LATE = 2.0  # times what was planned: so late no more features are made
_CHOICES: dict[str, tuple[str, ...]] = {
    "levels": ("levels",), "changes": ("changes",), "ends": ("ends",), "shapes": ("shapes",),
    "patterns": ("patterns", "turns"), "statistics": ("statistics",),
}  # fmt: skip
# share of each kind that is tried, and how likely it is before the data: what MiniRocket has is the likeliest
_SHARES: dict[str, tuple[tuple[float, float], ...]] = {
    "levels": ((1.0, 0.7), (0.0, 0.3)),  # left out only where others stand in for them
    "changes": ((0.0, 0.6), (1.0, 0.4)),
    "ends": ((0.0, 0.3), (1.0, 0.7)),
    "shapes": ((0.0, 0.6), (1.0, 0.4)),
    "patterns": ((0.0, 0.6), (1.0, 0.4)),
    "statistics": ((0.0, 0.5), (0.1, 0.15), (0.5, 0.2), (2.0, 0.15)),
}


class WideBranch(nn.Module):
    """Scores of classes that are linear in features which need no training.

    The features are random kernels over the values, over their changes from step to step, over sequences with zeros
    behind them up to the longest (where lengths differ, so that where a sequence ends tells something), over sequences
    without their level and spread (where these differ much); kernels that compete, over values (`patterns`) and changes
    (`turns`); and statistics of each channel. Kernels read what is missing as lying on a line between its neighbours;
    how much is missing is among the statistics. How much each kind counts, and the penalty, follow from errors on
    examples left out.

    Args:
        plan: how many kernels there are, and over what.
        values: how many features of a step are values; masked: and the next as many mark which of them are missing.
    """

    weights: Tensor
    offsets: Tensor
    mean: Tensor
    scale: Tensor

    def __init__(self, plan: WidePlan, *, values: int, masked: bool) -> None:
        super().__init__()
        self.plan, self.coarser, self.classes = plan, plan.coarser, plan.classes
        self.values, self.masked = values, masked
        self.solved = 0
        """How many training sequences the weights were solved for."""
        self.telling = np.ones(plan.channels, bool)
        """Which channels most kernels read, after the fit: all, or the few that tell something."""
        shortest, usual, longest = (-(-length // plan.coarser) for length in plan.lengths)
        self.longest = min(longest, LONGER * usual)
        names = ["levels", "changes", *(["ends"] if shortest < longest else []), *(["shapes"] if plan.shaped else [])]
        kernels: dict[str, nn.Module] = {
            name: RandomKernels(plan.channels, self.longest if name == "ends" else usual, plan.kernels)
            for name in names
        }
        kernels |= {name: CompetingKernels(plan.channels, usual, plan.groups) for name in ("patterns", "turns")}
        self.kernels = nn.ModuleDict(kernels)
        sizes = {name: kernel.size for name, kernel in self.kernels.items()}
        self.sizes: dict[str, int] = {**sizes, "statistics": statistics_size(values, masked)}  # type: ignore[dict-item]
        total = sum(self.sizes.values())
        self.register_buffer("mean", torch.zeros(total))
        self.register_buffer("scale", torch.zeros(total))
        self.register_buffer("weights", torch.zeros(total, plan.classes))
        self.register_buffer("offsets", torch.zeros(plan.classes))

    def fit(
        self,
        arrays: Sequence[NDArray[np.float32]],
        targets: Integers,
        seed: int,
        counts: Floats,
        *,
        limited: bool = False,
    ) -> Floats:
        """Solve for the weights; return the scores of each example by weights found without it.

        Args:
            arrays: features of the training sequences, each `(time, channels)`.
            targets: their classes.
            seed: of what is drawn.
            counts: how much each example counts.
            limited: whether fewer sequences are solved for if features take much longer than planned.

        Returns:
            `(examples, classes)`, NaN for those that were not solved for.
        """
        began = time.monotonic()
        rng = np.random.default_rng(seed)
        rows = in_turn(targets, rng)[: self.plan.solved]
        views = _Views(self, arrays, rows)
        self.telling = self._found_telling(views, targets[rows], seed)
        self._draw(views, seed)
        features = self._made(arrays, rows, began + _LATE * self.plan.seconds if limited else np.inf)
        rows = rows[: len(features)]
        self.solved = len(rows)
        mean, spread = features.mean(0), features.std(0)
        scale = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 1e-6)
        for name in ("patterns", "turns"):  # what hardly ever wins says little
            part = self._columns(name)
            seldom = spread[part] + (features[:, part] == 0).mean(0) ** 4
            scale[part] = np.where(scale[part] > 0, 1 / np.maximum(seldom, 1e-6), 0.0)
        if not self.telling.all():  # of channels that tell nothing alone, statistics count for less
            each = np.where(self.telling[: self.values], 1.0, _UNTOLD)
            own = self._columns("statistics")
            scale[own] *= np.append(np.tile(each, (self.sizes["statistics"] - 1) // self.values), 1.0)
        features -= mean
        features *= scale
        shares = self._chosen(features[:CHOSEN_ON], targets[rows][:CHOSEN_ON], counts[rows][:CHOSEN_ON])
        factors = np.concatenate([np.full(size, shares[name], np.float32) for name, size in self.sizes.items()])
        used = factors > 0
        found = fit_ridge(
            (features[:, used] * factors[used]).astype(np.float64), targets[rows], self.classes, counts[rows]
        )
        turned = turn(found.left_out, targets[rows], counts[rows])
        self._keep(found, turned, mean, scale * factors, used)
        left_out = np.full((len(arrays), self.classes), np.nan)
        left_out[rows] = turned.scores
        return left_out

    def _found_telling(self, views: _Views, targets: Integers, seed: int) -> NDArray[np.bool_]:
        if self.plan.kernels < _ENOUGH:
            return self.telling
        return telling_channels(views.of("shapes" if self.plan.shaped else "levels"), targets, self.classes, seed)

    def _draw(self, views: _Views, seed: int) -> None:
        for number, (name, kernel) in enumerate(self.kernels.items()):
            if isinstance(kernel, RandomKernels):
                kernel.fit(views.of(name), seed + number, self.telling)
            else:
                assert isinstance(kernel, CompetingKernels)
                kernel.fit(seed + number, self.telling)

    def _made(self, arrays: Sequence[NDArray[np.float32]], rows: Integers, until: float) -> NDArray[np.float32]:
        """Return the features of rows, in their order, or of the first of them that there is time for."""
        parts: list[NDArray[np.float32]] = []
        for first in range(0, len(rows), _TOGETHER):
            if parts and time.monotonic() > until:
                break
            sequences = [torch.from_numpy(arrays[row]) for row in rows[first : first + _TOGETHER]]
            parts.append(self._features(sequences, tuple(self.sizes)).numpy())
        return np.concatenate(parts)

    def _columns(self, name: str) -> slice:
        first = 0
        for other, size in self.sizes.items():
            if other == name:
                return slice(first, first + size)
            first += size
        raise KeyError(name)

    def _keep(
        self,
        found: Ridge,
        turned: Turned,
        mean: NDArray[np.floating],
        scale: NDArray[np.floating],
        used: NDArray[np.bool_],
    ) -> None:
        weights = found.weights @ turned.matrix
        offsets = found.offsets @ turned.matrix + turned.offsets - found.mean @ weights
        self.mean.copy_(torch.from_numpy(mean.astype(np.float32)))
        self.scale.copy_(torch.from_numpy(scale.astype(np.float32)))
        self.weights[torch.from_numpy(used)] = torch.from_numpy(weights.astype(np.float32))
        self.offsets.copy_(torch.from_numpy(offsets.astype(np.float32)))

    def _chosen(self, features: NDArray[np.floating], targets: Integers, counts: Floats) -> dict[str, float]:
        """Return the factor of each kind of features.

        Products of examples are formed once for each kind, and added up for each trial. How much a kind counts is the
        mean over trials, each as likely as it was before (`_SHARES`) and a normal distribution of its errors on
        examples left out make it: a few examples change little, many choose the best.
        """
        wanted = np.where(np.arange(self.classes) == targets[:, None], 1.0, -1.0)
        groups = {name: [each for each in parts if each in self.sizes] for name, parts in _CHOICES.items()}
        groups = {name: parts for name, parts in groups.items() if parts}
        sizes = {name: sum(self.sizes[each] for each in parts) for name, parts in groups.items()}
        products: dict[str, Floats] = {}
        for name, parts in groups.items():
            columns = np.concatenate([features[:, self._columns(each)] for each in parts], 1).astype(np.float64)
            products[name] = columns @ columns.T / max(sizes[name], 1)
        size = sizes["levels"]
        trials, before = _trials(tuple(groups))
        errors = []
        for trial in trials:
            summed = np.zeros((len(targets), len(targets)))
            for share, value in zip(trial, products.values(), strict=True):
                summed += share * value
            values, vectors = np.linalg.eigh(summed * size)
            roots = vectors * np.sqrt(np.maximum(values, 0.0))  # features of the same products
            found = fit_ridge(roots, targets, self.classes, counts)
            errors.append(float((counts[:, None] * (found.left_out - wanted) ** 2).mean()))
        missed = np.maximum(errors, 1e-12)
        likely = before * (missed.min() / missed) ** (_EVIDENCE * len(targets))
        shares = likely @ trials / likely.sum()
        return {
            each: float(np.sqrt(share * size / max(sizes[name], 1))) if share > _LEAST_SHARE else 0.0
            for (name, parts), share in zip(groups.items(), shares.tolist(), strict=True)
            for each in parts
        }

    def forward(self, arrays: Sequence[Tensor]) -> Tensor:
        """Return scores `(sequences, classes)` of sequences `(time, channels)` each, without padding."""
        cuts = np.cumsum([0, *self.sizes.values()]).tolist()
        used = [name for name, (a, b) in zip(self.sizes, pairwise(cuts), strict=True) if bool(self.scale[a:b].any())]
        if not used:  # all training sequences were alike
            return self.offsets.expand(len(arrays), -1)
        keep = torch.cat([torch.full((size,), name in used) for name, size in self.sizes.items()]).to(self.scale.device)
        features = self._features(arrays, used)
        return (features - self.mean[keep]) * self.scale[keep] @ self.weights[keep] + self.offsets

    def _statistics(self, sequences: Sequence[Tensor]) -> Tensor:
        found = sequences[0].new_empty(len(sequences), self.sizes["statistics"])
        for rows in of_one_length(sequences, _MEASURED):
            together = torch.stack([sequences[row] for row in rows])
            found[rows] = statistics_of(together, self.values, self.masked)
        return found

    def _read(self, sequence: Tensor) -> Tensor:
        """Return a sequence as kernels read it: no marks, nothing missing, coarse if sequences are long."""
        return coarse(filled(sequence, self.values, self.masked), self.coarser)

    def _as(self, name: str, sequence: Tensor) -> Tensor:
        """Return a sequence, filled and coarse, as one kind of kernels reads it."""
        if name in ("changes", "turns"):
            return torch.diff(sequence, dim=0, prepend=sequence[:1])
        if name == "ends":
            most = self.longest
            return functional.pad(sequence[:most], (0, 0, 0, max(0, most - len(sequence))))
        if name == "shapes":
            shapes = shapes_of(sequence[:, None], torch.tensor([len(sequence)]), self.values, False)[:, 0]
            return torch.cat([shapes, sequence[:, self.values :]], 1)
        return sequence

    def _features(self, sequences: Sequence[Tensor], names: Sequence[str]) -> Tensor:
        parts, read = [], [self._read(sequence) for sequence in sequences]
        for name in names:
            if name == "statistics":
                parts.append(self._statistics([coarse(sequence, self.coarser) for sequence in sequences]))
            else:
                parts.append(self.kernels[name]([self._as(name, sequence) for sequence in read]))
        return torch.cat(parts, 1)


def _trials(names: tuple[str, ...]) -> tuple[Floats, Floats]:
    """Return the shares of kinds that are tried, `(trials, kinds)`, and how likely each trial is before the data."""
    others = any(name in names for name in ("ends", "shapes"))
    choices = [_SHARES[name] if name != "levels" or others else _SHARES[name][:1] for name in names]
    tried = [trial for trial in product(*choices) if sum(share for share, _ in _of(names, trial)) > 0]
    shares = np.array([[share for share, _ in trial] for trial in tried])
    return shares, np.array([float(np.prod([chance for _, chance in trial])) for trial in tried])


def _of(names: tuple[str, ...], trial: tuple[tuple[float, float], ...]) -> list[tuple[float, float]]:
    """Return what a trial has of values as they are: one of these kinds must count."""
    return [one for name, one in zip(names, trial, strict=True) if name in ("levels", "ends", "shapes")]


class _Views:
    """Training sequences as kinds of kernels read them, each made when it is asked for."""

    def __init__(self, branch: WideBranch, arrays: Sequence[NDArray[np.float32]], rows: Integers) -> None:
        self.branch, self.arrays, self.rows = branch, arrays, rows

    def of(self, name: str) -> _View:
        return _View(self, name)


class _View(Sequence[Tensor]):
    def __init__(self, views: _Views, name: str) -> None:
        self.views, self.name = views, name

    def __len__(self) -> int:
        return len(self.views.rows)

    def __getitem__(self, place: int) -> Tensor:  # type: ignore[override]
        branch, array = self.views.branch, self.views.arrays[self.views.rows[place]]
        return branch._as(self.name, branch._read(torch.from_numpy(array)))


def in_turn(targets: Integers, rng: np.random.Generator) -> Integers:
    """Return the rows in an order in which each class has its share, and one example early, wherever it is cut.

    >>> targets = np.array([0, 0, 0, 0, 1, 1])
    >>> sorted(targets[in_turn(targets, np.random.default_rng(0))][:3].tolist())
    [0, 0, 1]
    """
    place = np.empty(len(targets))
    for target in np.unique(targets):
        rows = rng.permutation(np.flatnonzero(targets == target))
        place[rows] = (np.arange(len(rows)) + 0.5 * (np.arange(len(rows)) > 0)) / len(rows)
    return np.argsort(place, kind="stable").astype(np.int64)
