"""What a fit leaves to be looked at: the record that the report draws and the model folder keeps.

Everything here is plain data (strings, numbers, NumPy arrays), so that a report can be made from a saved
model without the training data and without running the model again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ColumnSummary:
    """One column of the input: its role and its plain statistics over the training data."""

    name: str
    role: str  # "target", "past covariate", "known covariate", "static covariate"
    observed: int
    missing: int
    mean: float
    std: float
    minimum: float
    maximum: float


@dataclass(frozen=True)
class DataSummary:
    """The input as the model saw it."""

    source: str
    fingerprint: str  # sha256 of the values and times
    series: int
    rows: int
    first_time: str
    last_time: str
    frequency: str
    season: int
    gaps: int  # rows that were absent from the input and were inserted as missing
    split: str  # in words: "train 6,132 rows to 2013-09-13 11:00, validation ..., test ..."
    columns: tuple[ColumnSummary, ...]


@dataclass(frozen=True)
class Evaluation:
    """Metrics of the model beside its baselines, with the protocol that gave them.

    `scores[forecaster][metric]`, where forecaster is `"model"` or a baseline's name; `by_step[forecaster]` is the
    mean absolute error of each forecast step, `(horizon,)`.
    """

    protocol: str
    split: str
    windows: int
    scores: Mapping[str, Mapping[str, float]]
    by_step: Mapping[str, tuple[float, ...]]
    verdict: str


@dataclass(frozen=True)
class ForecastExample:
    """One held-out forecast against what came: times as text, values in the input's own units."""

    series_id: str
    target: str
    history_times: tuple[str, ...]
    history: NDArray[np.float64]  # (context,), NaN where missing
    times: tuple[str, ...]
    truth: NDArray[np.float64]  # (horizon,), NaN where missing
    point: NDArray[np.float64]  # (horizon,)
    levels: tuple[float, ...]  # quantile levels, empty for a point forecast
    quantiles: NDArray[np.float64]  # (horizon, levels)
    baselines: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)  # name -> (horizon,)


@dataclass(frozen=True)
class Diagnostics:
    """What happens inside the recurrence, measured on held-out windows after training.

    `gradient_norm[k]` is the L2 norm, averaged over windows, of the gradient of the loss with respect to the hidden
    state `k` recurrent steps before the last one; `hidden` is the hidden state of one window, `(steps, units)`;
    `step_label` says what one recurrent step is (`"1 hour"`, `"24 hours (one segment)"`).
    """

    gradient_norm: NDArray[np.float64]
    hidden: NDArray[np.float64]
    step_label: str


@dataclass(frozen=True)
class FitRecord:
    """All that a report needs."""

    title: str
    settings: Mapping[str, str]  # the estimator's parameters, in words
    parameters: int  # number of trained weights
    seconds: float  # wall-clock time of the fit
    data: DataSummary
    history: tuple[
        Mapping[str, float], ...
    ]  # one row an epoch: epoch, loss, validation_loss, learning_rate, seconds...
    best_epoch: int
    stopped: str  # why training stopped, in words
    evaluation: Evaluation | None
    examples: tuple[ForecastExample, ...]
    diagnostics: Diagnostics | None
    versions: Mapping[str, str]  # library -> version

    @property
    def better(self) -> dict[str, Literal["higher", "lower"]]:
        """Which side of each measure is better: all are errors, but for coverage, which should keep its promise."""
        measures = self.evaluation.scores["model"] if self.evaluation else {}
        return {measure: "lower" for measure in measures if not measure.startswith("coverage ")}
