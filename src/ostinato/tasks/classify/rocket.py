"""MiniRocket beside a sequence classifier: random convolutions of a well-kept library with a ridge regression."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ostinato.errors import MissingExtra
from ostinato.tasks.base.allowance import deadline
from ostinato.tasks.base.labels import Prediction
from ostinato.tasks.classify.encoding import Floats, Part
from ostinato.tasks.classify.examples import Integers
from ostinato.tasks.classify.ridge import fit_ridge
from ostinato.tasks.classify.wide import in_turn

MINIROCKET = "MiniRocket, ridge regression"
_SHORTEST = 9  # steps, which its kernels have
_CELLS = 1e7  # steps of training sequences, at most: some 20 s
_TOGETHER = 1 << 22  # numbers of sequences that are read before the clock is looked at, and that kernels are fitted to
_TRIED, _LEAST = 8, 50  # sequences that tell how long others take; that it learns from, however long it takes
_FITTING = 0.5  # of the time that is left, for features of training sequences
_MOST_SOLVED = 3000  # sequences: of more the regression takes minutes
_HELP = "it needs the extra baselines: pip install 'ostinato[baselines]'"


def has_rocket() -> bool:
    """Tell whether the library is installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("sktime", "numba"))


@contextmanager
def _threads_kept() -> Iterator[None]:
    """Leave PyTorch as many threads as it had: numba shares them, and sktime sets as many as there are cores."""
    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@dataclass(frozen=True)
class MiniRocket:
    """Classes by MiniRocket (A. Dempster, D. Schmidt and G. Webb, KDD 2021) in the library sktime.

    Sequences are read with zeros behind them up to the longest of training; missing values as the channel's mean.

    Args:
        kernels: what the library fitted: arrays, in its order.
        longest: steps of the longest training sequence.
        center, mean, scale: of the channels, and of the features; weights, offsets: of the regression.
        called: its name, with how many sequences it learned from if those are not all.
    """

    kernels: tuple[NDArray[Any], ...]
    longest: int
    center: Floats
    mean: Floats
    scale: Floats
    weights: Floats
    offsets: Floats
    called: str = MINIROCKET
    live: Any = field(default=None, metadata={"saved": False}, compare=False)

    @classmethod
    @_threads_kept()
    def fit(cls, part: Part, classes: int, center: Floats, seed: int) -> MiniRocket:
        """Fit on sequences; of very many, or in little time, on a drawn part.

        Raises:
            MissingExtra: sktime or numba is not installed.
            OutOfTime: there is too little time even for a few.
        """
        transformer = _transformer(seed)
        longest = max(_SHORTEST, *(len(item.values) for item in part.examples.items))
        items = part.examples.items
        rows = in_turn(part.targets, np.random.default_rng(seed))[: max(int(_CELLS / longest), _LEAST)][:_MOST_SOLVED]
        drawn_from = rows[: max(_LEAST, _TOGETHER // (longest * len(center)))]
        known = _block([items[row].values for row in drawn_from.tolist()], longest, center)
        transformer.fit(known)
        deadline().check()
        rows = rows[: _within(transformer, known, len(rows))]
        features = np.concatenate(list(_features(transformer, [items[row].values for row in rows], longest, center)))
        mean, spread = features.mean(0), features.std(0)
        scale = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 1e-9)
        features -= mean
        features *= scale
        found = fit_ridge(features, part.targets[rows], classes)
        kernels = tuple(np.asarray(parameter) for parameter in transformer.parameters)
        called = MINIROCKET + ("" if len(rows) == len(part) else f" ({len(rows):,} of {len(part):,} sequences)")
        return cls(kernels, longest, center, mean, scale, found.weights, found.offsets, called, transformer)

    @_threads_kept()
    def predict(self, part: Part) -> Prediction:
        """Return the classes of sequences.

        Raises:
            MissingExtra: sktime or numba is not installed.
            OutOfTime: there is no time for all of them.
        """
        transformer = self.live or self._restored()
        items = [item.values for item in part.examples.items]
        scores = [
            (features - self.mean) * self.scale @ self.weights + self.offsets
            for features in _features(transformer, items, self.longest, self.center)
        ]
        classes: Integers = np.concatenate(scores).argmax(1).astype(np.int64)
        return Prediction(classes)

    def _restored(self) -> Any:
        transformer = _transformer(0)
        block = np.zeros((2, len(self.center), self.longest), np.float32)
        block[1] = np.linspace(-1, 1, self.longest)
        transformer.fit(block)
        transformer.parameters = self.kernels
        return transformer


def _transformer(seed: int) -> Any:
    if not has_rocket():
        raise MissingExtra(_HELP)
    from sktime.transformations.panel.rocket import MiniRocketMultivariate

    return MiniRocketMultivariate(random_state=seed)


def _within(transformer: Any, known: NDArray[np.float32], count: int) -> int:
    """Return of how many sequences features can be made in the time that is left, `count` at most."""
    left = deadline().left()
    if not np.isfinite(left):
        return count
    transformer.transform(known[:2])  # compiled now, if not before
    began = time.monotonic()
    some = known[:_TRIED]
    transformer.transform(some)
    each = (time.monotonic() - began) / len(some)
    left = deadline().left()
    return min(count, max(int(_FITTING * left / max(each, 1e-6)), _LEAST))


def _features(
    transformer: Any, items: Sequence[NDArray[np.floating]], longest: int, center: Floats
) -> Iterator[Floats]:
    """Yield features of sequences, some at a time, as long as there is time."""
    together, within = max(1, _TOGETHER // (longest * len(center))), deadline()
    for first in range(0, len(items), together):
        within.check()
        block = _block(items[first : first + together], longest, center)
        yield np.asarray(transformer.transform(block), np.float64)


def _block(items: Sequence[NDArray[np.floating]], longest: int, center: Floats) -> NDArray[np.float32]:
    """Return sequences as `(sequences, channels, longest)`, zeros behind them."""
    block = np.zeros((len(items), len(center), longest), np.float32)
    for row, item in enumerate(items):
        seen = np.where(np.isnan(item), center, item)[:longest]
        block[row, :, : len(seen)] = seen.T
    return block
