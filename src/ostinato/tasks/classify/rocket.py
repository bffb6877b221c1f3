"""MiniRocket beside a sequence classifier: random convolutions of a well-kept library with a ridge regression."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.errors import MissingExtra
from ostinato.tasks.base.labels import Prediction
from ostinato.tasks.classify.encoding import Floats, Part
from ostinato.tasks.classify.examples import Integers
from ostinato.tasks.classify.ridge import fit_ridge

MINIROCKET = "MiniRocket, ridge regression"
_SHORTEST = 9  # steps, which its kernels have
_CELLS = 1e7  # steps of training sequences, at most: some 20 s
_HELP = "it needs the extra baselines: pip install 'ostinato[baselines]'"


def has_rocket() -> bool:
    """Tell whether the library is installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("sktime", "numba"))


@dataclass(frozen=True)
class MiniRocket:
    """Classes by MiniRocket (A. Dempster, D. Schmidt and G. Webb, KDD 2021) in the library sktime.

    Sequences are read with zeros behind them up to the longest of training; missing values as the channel's mean.

    Args:
        kernels: what the library fitted: arrays, in its order.
        longest: steps of the longest training sequence.
        center, mean, scale: of the channels, and of the features; weights, offsets: of the regression.
    """

    kernels: tuple[NDArray[Any], ...]
    longest: int
    center: Floats
    mean: Floats
    scale: Floats
    weights: Floats
    offsets: Floats
    live: Any = field(default=None, metadata={"saved": False}, compare=False)

    @classmethod
    def fit(cls, part: Part, classes: int, center: Floats, seed: int) -> MiniRocket:
        """Fit on sequences; of very many, on a drawn part.

        Raises:
            MissingExtra: sktime or numba is not installed.
        """
        transformer = _transformer(seed)
        longest = max(_SHORTEST, *(len(item.values) for item in part.examples.items))
        rng = np.random.default_rng(seed)
        rows = np.sort(rng.permutation(len(part))[: max(int(_CELLS / longest), 50)])
        block = _block([part.examples.items[row].values for row in rows.tolist()], longest, center)
        features = np.asarray(transformer.fit_transform(block), np.float64)
        mean, spread = features.mean(0), features.std(0)
        scale = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 1e-9)
        found = fit_ridge((features - mean) * scale, part.targets[rows], classes)
        kernels = tuple(np.asarray(parameter) for parameter in transformer.parameters)
        return cls(kernels, longest, center, mean, scale, found.weights, found.offsets, transformer)

    def predict(self, part: Part) -> Prediction:
        """Return the classes of sequences.

        Raises:
            MissingExtra: sktime or numba is not installed.
        """
        transformer = self.live or self._restored()
        block = _block([item.values for item in part.examples.items], self.longest, self.center)
        features = np.asarray(transformer.transform(block), np.float64)
        scores = (features - self.mean) * self.scale @ self.weights + self.offsets
        classes: Integers = scores.argmax(1).astype(np.int64)
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


def _block(items: Sequence[NDArray[np.floating]], longest: int, center: Floats) -> NDArray[np.float32]:
    """Return sequences as `(sequences, channels, longest)`, zeros behind them."""
    block = np.zeros((len(items), len(center), longest), np.float32)
    for row, item in enumerate(items):
        seen = np.where(np.isnan(item), center, item)[:longest]
        block[row, :, : len(seen)] = seen.T
    return block
