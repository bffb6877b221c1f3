"""How long one forecast takes once a model is fitted: `predict`, one streamed row, one step, and a rolling backtest.

    python benchmarks/latency.py

Medians of repeats on one thread, which is what a small live model should run on.
"""

from __future__ import annotations

import datetime
import statistics
import time
from collections.abc import Callable

import numpy as np
import polars as pl
import torch

import ostinato
from common import data_file, keep, machine, table
from ostinato import Forecaster


def median_ms(call: Callable[[], object], repeats: int) -> float:
    """Return the median time of a call in milliseconds, after some to warm up."""
    for _ in range(20):
        call()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return 1000 * statistics.median(times)


def main() -> None:
    """Fit on three weather stations and time what follows."""
    torch.set_num_threads(1)
    frame = pl.read_csv(data_file("nyc_weather_hourly/weather.csv.gz"), infer_schema=False)
    frame = frame.select("origin", "time_hour", "temp")
    model = Forecaster(24, target="temp", series_id="origin", epochs=3).fit(frame)
    stream = model.stream("JFK")
    one = model.fitted_.load(frame.filter(pl.col("origin") == "JFK"))
    cell = torch.nn.LSTMCell(16, 64)
    step, x = ostinato.stepper(cell), np.zeros((1, 16), np.float32)
    began = time.perf_counter()
    evaluation = model.evaluate()
    seconds = time.perf_counter() - began
    rows = [
        ["predict, 3 series, 24 steps, 9 quantiles", f"{median_ms(model.predict, 200):.2f} ms"],
        ["predict, one series", f"{median_ms(lambda: model.fitted_.ahead(one), 200):.2f} ms"],
        ["one streamed row", f"{median_ms(lambda: stream.push([50.0]), 1000):.2f} ms"],
        ["stepper, LSTM of 64 units, one step (eager reference)", f"{1000 * median_ms(lambda: step(x), 3000):.0f} µs"],
        [f"backtest, {evaluation.windows:,} origins with 4 baselines fitted", f"{seconds:.1f} s"],
    ]
    stamp = f"{datetime.datetime.now(tz=datetime.UTC):%Y-%m-%d}, {machine()}"
    keep("latency.md", f"# Latency\n\n{stamp}\n\n{table(['what', 'median'], rows)}")


if __name__ == "__main__":
    main()
