"""Values of variables on one scale: clipped at training quantiles, logarithms where skewed, mean 0 and deviation 1."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ostinato.data.health.patients import Patients

Floats = NDArray[np.float64]
_CLIP = 0.001  # of the values on either side
_SKEWED = 2.0


@dataclass(frozen=True)
class Scales:
    """What makes one scale of the values of each variable; all arrays are `(variables,)`.

    Args:
        low, high: values beyond count as these.
        logs: 1 where the logarithm of one more is taken, of variables that are never negative and skewed.
        mean, deviation: of what comes of that.
    """

    low: Floats
    high: Floats
    logs: Floats
    mean: Floats
    deviation: Floats

    @classmethod
    def fit(cls, patients: Patients, variables: tuple[str, ...]) -> Scales:
        """Find them in the training part."""
        order = np.argsort(patients.codes, kind="stable")
        ends = np.cumsum(np.bincount(patients.codes, minlength=len(patients.variables)))
        rows = []
        for name in variables:
            place = patients.variables.index(name)
            rows.append(_scale(patients.values[order[ends[place - 1] if place else 0 : ends[place]]]))
        return cls(*np.array(rows).T)

    def __call__(self, codes: NDArray[np.int64], values: Floats) -> Floats:
        """Return values on the scale, `(values,)`."""
        clipped = np.clip(values, self.low[codes], self.high[codes])
        read = np.where(self.logs[codes] > 0, np.log1p(np.maximum(clipped, 0.0)), clipped)
        return (read - self.mean[codes]) / self.deviation[codes]

    def one(self, code: int, value: float) -> float:
        """Return one value on the scale."""
        low, high, logs, mean, deviation = self._rows[code]
        clipped = min(max(value, low), high)
        read = float(np.log1p(max(clipped, 0.0))) if logs > 0 else clipped
        return (read - mean) / deviation

    def back(self, codes: NDArray[np.int64], values: Floats) -> Floats:
        """Return values in their units, from the scale; beyond what was seen there is none."""
        read = values * self.deviation[codes] + self.mean[codes]
        found = np.where(self.logs[codes] > 0, np.expm1(np.minimum(read, 80.0)), read)
        return np.asarray(np.clip(found, self.low[codes], self.high[codes]))

    @cached_property
    def _rows(self) -> list[list[float]]:
        columns = (self.low, self.high, self.logs, self.mean, self.deviation)
        rows: list[list[float]] = np.stack(columns, 1).tolist()
        return rows

    def outliers(self, codes: NDArray[np.int64], values: Floats) -> int:
        """Return how many values lie beyond the quantiles."""
        return int(((values < self.low[codes]) | (values > self.high[codes])).sum())


def _scale(values: Floats) -> tuple[float, float, float, float, float]:
    low, high = np.quantile(values, (_CLIP, 1 - _CLIP))
    found = np.clip(values, low, high)
    spread = found.std()
    skew = float(((found - found.mean()) ** 3).mean() / spread**3) if spread > 0 else 0.0
    logs = low >= 0 and skew > _SKEWED
    if logs:
        found = np.log1p(found)
    spread = float(found.std())
    return float(low), float(high), float(logs), float(found.mean()), spread if spread > 1e-9 else 1.0
