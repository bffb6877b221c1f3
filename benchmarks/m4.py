"""M4 hourly and weekly with one global model each, beside the competition's benchmarks and figures.

    python benchmarks/m4.py [hourly] [weekly]

Measures are those of the competition (sMAPE, MASE) and GluonTS's mean weighted quantile loss at 0.1, ..., 0.9.
Published: Naive2 and the winner ES-RNN (Makridakis et al., 2020; sMAPE hourly 18.383 and 9.328,
weekly 9.161 and 7.817);
DeepAR's wQL from GluonTS's evaluation (hourly .294, weekly .060).
"""

from __future__ import annotations

import csv
import datetime
import gzip
import sys
import time
from typing import Any, TextIO

import numpy as np
import polars as pl
from numpy.typing import NDArray

from common import data_file, keep, machine, table
from ostinato import Forecaster
from ostinato.tasks.forecast.baselines import seasonal_naive
from ostinato.tasks.forecast.metrics import coverage, mase, mase_scale, smape, weighted_quantile_loss
from ostinato.tasks.forecast.naive2 import naive2

LEVELS = tuple(i / 10 for i in range(1, 10))
SETS: dict[str, dict[str, Any]] = {
    "hourly": {
        "horizon": 48,
        "season": 24,
        "published": "Naive2 18.383 / 2.395, ES-RNN 9.328 / 0.893, DeepAR wQL .294",
        "options": {"context": 504, "segment": 24, "hidden_size": 128, "epochs": 40, "patience": 10},
    },
    "weekly": {
        "horizon": 13,
        "season": 1,
        "published": "Naive2 9.161 / 2.777, ES-RNN 7.817 / 2.356, DeepAR wQL .060",
        "options": {"context": 104, "segment": 13, "hidden_size": 128, "epochs": 40, "patience": 10},
    },
}


def read(name: str) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.float64]]:
    """Return the training series by name, and the test values `(series, horizon, 1)` in the same order."""
    with gzip.open(data_file(f"m4_{name}/{name.title()}-train.csv.gz"), "rt") as file:
        train = _values(file)
    with data_file(f"m4_{name}/{name.title()}-test.csv").open() as file:
        test = _values(file)
    return train, np.stack([test[key] for key in train])[..., None]


def _values(file: TextIO) -> dict[str, NDArray[np.float64]]:
    return {row[0]: np.array([float(cell) for cell in row[1:] if cell]) for row in list(csv.reader(file))[1:]}


def long_frame(series: dict[str, NDArray[np.float64]]) -> pl.DataFrame:
    """Return ragged series as the long table."""
    names = np.repeat(list(series), [len(values) for values in series.values()])
    return pl.DataFrame({"unique_id": names, "y": np.concatenate(list(series.values()))})


def run(name: str, **override: Any) -> str:
    """Fit, forecast and score one of the two sets."""
    choice = SETS[name]
    horizon, season = choice["horizon"], choice["season"]
    train, truth = read(name)
    scale = np.stack([mase_scale(values[:, None], season) for values in train.values()])
    options = {**choice["options"], **override}
    began = time.monotonic()
    model = Forecaster(horizon, target="y", frequency="rows", season=season, validation=horizon, test=0, **options)
    model.fit(long_frame(train))
    seconds = time.monotonic() - began
    forecast = model.predict()
    repeated = np.stack([seasonal_naive(v[None, :, None], horizon, season)[0] for v in train.values()])
    second = np.stack([naive2(v, horizon, season) for v in train.values()])[..., None]

    def row(label: str, point: NDArray[np.float64], quantiles: NDArray[np.float64] | None) -> list[object]:
        full = np.repeat(point[..., None], len(LEVELS), -1) if quantiles is None else quantiles
        held = "" if quantiles is None else f"{100 * coverage(truth, quantiles[..., 0], quantiles[..., -1]):.1f} %"
        wql = f"{weighted_quantile_loss(truth, full, LEVELS):.4f}"
        return [label, smape(truth, point), mase(truth, point, scale), wql, held]

    rows = [
        row(f"ostinato GRU, {seconds:.0f} s", forecast.point, forecast.quantiles),
        row("Naive2", second, None),
        row("seasonal naive", repeated, None),
    ]
    head = ["forecaster", "sMAPE", "MASE", "wQL", "80 % interval held"]
    losses = model.summary_.history[model.summary_.best_epoch - 1]["validation_loss"]
    note = f"validation loss {losses:.5f}; published (sMAPE / MASE): {choice['published']}"
    return f"## M4 {name}\n\n{table(head, rows)}\n\n{note}"


def main() -> None:
    """Run the sets named on the command line, or both."""
    names = sys.argv[1:] or list(SETS)
    stamp = f"# M4\n\n{datetime.datetime.now(tz=datetime.UTC):%Y-%m-%d}, {machine()}"
    keep("m4.md", "\n\n".join([stamp, *(run(name) for name in names)]))


if __name__ == "__main__":
    main()
