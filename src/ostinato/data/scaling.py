"""Bringing series to a common size, with statistics of the training part only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ostinato.data.panel import Panel
from ostinato.data.splits import Part
from ostinato.errors import UsageError

Scaling = Literal["standard", "mean_abs", "none"]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Affine:
    """`(x - center) / scale`, column by column; a column that does not vary is only centred."""

    center: Floats
    scale: Floats

    def forward(self, values: NDArray[Any]) -> NDArray[Any]:
        """Scale."""
        return (values - self.center) / self.scale

    def backward(self, values: NDArray[Any]) -> NDArray[Any]:
        """Undo `forward`."""
        return values * self.scale + self.center


@dataclass(frozen=True)
class Scaler:
    """The scales of a panel: of each target in each series, and of each covariate over all series together.

    `targets.center` and `.scale` are `(series, targets)`; those of `past`, `known` and `static` are `(columns,)`.
    """

    kind: Scaling
    series_ids: tuple[str, ...]
    targets: Affine
    past: Affine
    known: Affine
    static: Affine

    @classmethod
    def fit(cls, panel: Panel, part: Part, kind: Scaling) -> Scaler:
        """Measure the rows of one part, the training one; missing values do not count.

        Raises:
            UsageError: `kind` is not known.
        """
        if kind not in ("standard", "mean_abs", "none"):
            raise UsageError(f'scaling "{kind}" is not known; choose standard, mean_abs or none')
        moments = [_Moments.of(panel, i, int(part.start[i]), int(part.stop[i])) for i in range(len(panel.series))]
        targets = [each.affine(kind, slice(0, panel.targets)) for each in moments]
        pooled = _Moments.pooled(moments)
        split = panel.targets + panel.past
        static = np.stack([series.static for series in panel.series])
        return cls(
            kind,
            tuple(series.id for series in panel.series),
            Affine(np.stack([target.center for target in targets]), np.stack([target.scale for target in targets])),
            pooled.affine("standard", slice(panel.targets, split)),
            pooled.affine("standard", slice(split, None)),
            _Moments.from_rows(static).affine("standard", slice(None)),
        )

    def for_panel(self, panel: Panel) -> Affine:
        """Return the targets' scales for the series of another panel, in its order.

        A series that was not there at the fit is measured by all of its own rows.
        """
        place = {name: i for i, name in enumerate(self.series_ids)}
        rows = [self._one(panel, i, place.get(series.id)) for i, series in enumerate(panel.series)]
        return Affine(np.stack([row.center for row in rows]), np.stack([row.scale for row in rows]))

    def _one(self, panel: Panel, series: int, known: int | None) -> Affine:
        if known is not None:
            return Affine(self.targets.center[known], self.targets.scale[known])
        moments = _Moments.of(panel, series, 0, len(panel.series[series]))
        return moments.affine(self.kind, slice(0, panel.targets))

    def to_arrays(self) -> dict[str, Floats]:
        """Return the statistics as named arrays."""
        groups = {"targets": self.targets, "past": self.past, "known": self.known, "static": self.static}
        return {f"scaler.{name}.{part}": getattr(g, part) for name, g in groups.items() for part in ("center", "scale")}

    @classmethod
    def from_arrays(cls, kind: Scaling, series_ids: tuple[str, ...], arrays: Mapping[str, Floats]) -> Scaler:
        """Return the scaler that `to_arrays` took apart."""
        groups = [
            Affine(arrays[f"scaler.{name}.center"], arrays[f"scaler.{name}.scale"])
            for name in ("targets", "past", "known", "static")
        ]
        return cls(kind, series_ids, *groups)


@dataclass(frozen=True)
class _Moments:
    """Counts and means of columns, gathered block by block so that a series may be larger than memory."""

    count: Floats
    mean: Floats
    square: Floats  # sum of squared deviations from the mean
    absolute: Floats  # mean of absolute values

    @classmethod
    def of(cls, panel: Panel, series: int, start: int, stop: int) -> _Moments:
        blocks = range(start, max(stop, start + 1), 1 << 16)
        one = panel.series[series]
        return cls.pooled([cls.from_rows(one.rows(first, min(first + (1 << 16), stop))) for first in blocks])

    @classmethod
    def from_rows(cls, rows: Floats) -> _Moments:
        seen = ~np.isnan(rows)
        count = seen.sum(0).astype(np.float64)
        safe = np.maximum(count, 1)
        mean = np.where(seen, rows, 0).sum(0) / safe
        square = np.where(seen, (rows - mean) ** 2, 0).sum(0)
        return cls(count, mean, square, np.where(seen, np.abs(rows), 0).sum(0) / safe)

    @classmethod
    def pooled(cls, parts: list[_Moments]) -> _Moments:
        """Join the moments of several blocks (Chan, Golub and LeVeque, 1979: no cancellation)."""
        count = np.sum([part.count for part in parts], 0)
        safe = np.maximum(count, 1)
        mean = np.sum([part.count * part.mean for part in parts], 0) / safe
        square = np.sum([part.square + part.count * (part.mean - mean) ** 2 for part in parts], 0)
        return cls(count, mean, square, np.sum([part.count * part.absolute for part in parts], 0) / safe)

    def affine(self, kind: Scaling, columns: slice) -> Affine:
        count, mean = self.count[columns], self.mean[columns]
        if kind == "none":
            return Affine(np.zeros_like(mean), np.ones_like(mean))
        if kind == "mean_abs":
            return Affine(np.zeros_like(mean), _positive(self.absolute[columns], mean))
        return Affine(mean, _positive(np.sqrt(self.square[columns] / np.maximum(count, 1)), mean))


def _positive(scale: Floats, mean: Floats) -> Floats:
    """Return scales with one in place of those that are zero but for rounding."""
    return np.where(scale > 1e-10 * np.maximum(np.abs(mean), 1e-20), scale, 1.0)
