"""From windows in the data's own units to what the network reads, and back."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ostinato.data import Affine, Scaler, WindowArrays
from ostinato.tasks.forecast.settings import Normalization

_SHIFT_AND_SIZE: dict[Normalization, tuple[str, str]] = {
    "none": ("zero", "one"),
    "last": ("last", "one"),
    "mean": ("mean", "one"),
    "standard": ("mean", "std"),
    "last_std": ("last", "std"),
    "mean_abs": ("zero", "mean_abs"),
}


class Inputs(NamedTuple):
    """What the network reads, each target of each window being a row of its own; `rows = batch * targets`.

    Shapes: `history` and `observed` `(rows, context)`; `past (batch, context, past)`; `known (batch, context + horizon,
    known)`; `calendar (batch, context + horizon, calendar)`; `static (batch, static)`; `future` and `wanted`
    `(rows, horizon)`; `shift`, `size` and `unit` `(rows,)`.

    `history` and `future` are normalised, zero where missing (`observed`, `wanted` are zero there): a value in the
    data's units is `(value * size + shift) * series scale + series centre`. `unit` is `size * series scale`.
    """

    history: Tensor
    observed: Tensor
    past: Tensor
    known: Tensor
    calendar: Tensor
    static: Tensor
    future: Tensor
    wanted: Tensor
    shift: Tensor
    size: Tensor
    unit: Tensor


class InputMaker:
    """Scales windows by the series' statistics and then, each by itself, by what its context shows.

    Args:
        scaler: fitted on the training part.
        targets: scales of the series of the windows' panel.
        normalization: of a window.
        places: which series of the training data those of the panel are, -1: none; `None`: nobody asks.
    """

    def __init__(
        self, scaler: Scaler, targets: Affine, normalization: Normalization, places: NDArray[np.int64] | None = None
    ) -> None:
        self.scaler, self.targets, self.places = scaler, targets, places
        self.shift_by, self.size_by = _SHIFT_AND_SIZE[normalization]

    def __call__(self, windows: WindowArrays) -> Inputs:
        """Return the inputs of a batch of windows."""
        affine = self._of_series(windows.series)
        history, future = (_rows(affine.forward(values)) for values in (windows.history, windows.future))
        seen, wanted = ~np.isnan(history), ~np.isnan(future)
        shift = _shift(self.shift_by, history, seen)
        size = _size(self.size_by, history, seen)
        unit = size * affine.scale.reshape(-1)
        return Inputs(
            history=_tensor(np.where(seen, (history - shift[:, None]) / size[:, None], 0.0)),
            observed=_tensor(seen),
            past=_filled(self.scaler.past.forward(windows.past)),
            known=_filled(self.scaler.known.forward(windows.known)),
            calendar=_tensor(windows.calendar),
            static=_filled(self.scaler.static.forward(windows.static)),
            future=_tensor(np.where(wanted, (future - shift[:, None]) / size[:, None], 0.0)),
            wanted=_tensor(wanted),
            shift=_tensor(shift),
            size=_tensor(size),
            unit=_tensor(unit),
        )

    def to_data_units(
        self, values: NDArray[np.float64], inputs: Inputs, series: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return normalised values `(rows, horizon, ...)` in the data's units, `(batch, horizon, targets, ...)`."""
        affine = self._of_series(series)
        tail = (1,) * (values.ndim - 1)
        shift, size = (part.cpu().double().numpy().reshape(-1, *tail) for part in (inputs.shift, inputs.size))
        center, scale = (np.reshape(part, (-1, *tail)) for part in (affine.center, affine.scale))
        restored = (values * size + shift) * scale + center
        split = restored.reshape(len(series), -1, *restored.shape[1:])
        moved: NDArray[np.float64] = np.moveaxis(split, 1, 2)
        return moved

    def _of_series(self, series: NDArray[np.int64]) -> Affine:
        """Return the scales of each window's series, `(batch, 1, targets)`."""
        return Affine(self.targets.center[series][:, None], self.targets.scale[series][:, None])


def _rows(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn `(batch, time, targets)` into `(batch * targets, time)`."""
    return np.ascontiguousarray(np.swapaxes(values, 1, 2)).reshape(-1, values.shape[1])


def _shift(by: str, history: NDArray[np.float64], seen: NDArray[np.bool_]) -> NDArray[np.float64]:
    if by == "zero":
        return np.zeros(len(history))
    if by == "mean":
        mean: NDArray[np.float64] = np.where(seen, history, 0.0).sum(1) / np.maximum(seen.sum(1), 1)
        return mean
    last = history.shape[1] - 1 - seen[:, ::-1].argmax(1)
    value = history[np.arange(len(history)), last]
    filled: NDArray[np.float64] = np.where(np.isnan(value), 0.0, value)
    return filled


def _size(by: str, history: NDArray[np.float64], seen: NDArray[np.bool_]) -> NDArray[np.float64]:
    if by == "one":
        return np.ones(len(history))
    count = np.maximum(seen.sum(1), 1)
    filled = np.where(seen, history, 0.0)
    if by == "mean_abs":
        size = np.abs(filled).sum(1) / count
    else:
        mean = filled.sum(1) / count
        size = np.sqrt((np.where(seen, history - mean[:, None], 0.0) ** 2).sum(1) / count)
    # a flat context must not blow up what follows it
    return np.where(size > 1e-4, size, 1.0)


def _tensor(values: NDArray[np.generic]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))


def _filled(values: NDArray[np.float64]) -> Tensor:
    """Return covariates with their mean (zero, once scaled) where they are missing."""
    return _tensor(np.where(np.isnan(values), 0.0, values))
