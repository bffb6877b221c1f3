"""How long one forecast takes once a model is fitted: `predict`, one streamed row, one step, and a rolling backtest.

    python benchmarks/latency.py

Medians of repeats on one thread, which is what a small live model should run on.
"""

from __future__ import annotations

import copy
import datetime
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import polars as pl
import torch

import ostinato
from common import data_file, keep, machine, table
from ostinato import Forecaster
from ostinato.tasks.forecast.experts import names_of
from ostinato.tasks.forecast.windows import tail_of


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


def shares(model: Forecaster) -> str:
    """Return what counts how much in a forecaster."""
    return str(model.summary_.settings["combination"])


def with_all_experts(model: Forecaster) -> Forecaster:
    """Return a forecaster in which all experts and the network count alike, as none has it: the slowest there is."""
    found = copy.copy(model)
    inner = model.fitted_.model
    encoder = inner.encoder
    linear = np.zeros((encoder.settings.context + 1, encoder.settings.horizon))
    names = names_of(encoder.seasons, linear=True)
    weights = np.full(len(names) + 1, 1 / (len(names) + 1))
    spread = np.zeros((encoder.settings.horizon, len(encoder.levels)))
    joined = replace(encoder, combination=replace(encoder.combination, experts=names, weights=weights, linear=linear,
                                                  spread=spread))  # fmt: skip
    rows = tail_of(encoder.tail, joined.reach)
    found.fitted_ = replace(model.fitted_, model=replace(inner, encoder=replace(joined, tail=rows)))
    return found


def main() -> None:
    """Fit on three weather stations and time what follows."""
    torch.set_num_threads(1)
    frame = pl.read_csv(data_file("nyc_weather_hourly/weather.csv.gz"), infer_schema=False)
    frame = frame.select("origin", "time_hour", "temp")
    options = {"target": "temp", "series_id": "origin", "time": "time_hour", "epochs": 3}
    model = Forecaster(24, combine=False, **options).fit(frame)
    combined = Forecaster(24, **options).fit(frame)
    stream, default, every = model.stream("JFK"), combined.stream("JFK"), with_all_experts(combined).stream("JFK")
    one = frame.filter(pl.col("origin") == "JFK")
    cell = torch.nn.LSTMCell(16, 64)
    step, x = ostinato.stepper(cell), np.zeros((1, 16), np.float32)
    began = time.perf_counter()
    evaluation = model.evaluate()
    seconds = time.perf_counter() - began
    rows = [
        ["predict, 3 series, 24 steps, 9 quantiles", f"{median_ms(model.predict, 200):.2f} ms"],
        ["predict, one series from a frame", f"{median_ms(lambda: model.predict(one), 50):.2f} ms"],
        ["one streamed row, the network alone", f"{median_ms(lambda: stream.push([50.0]), 1000):.2f} ms"],
        ["one streamed row of texts", f"{median_ms(lambda: stream.push(['50.0']), 1000):.2f} ms"],
        [f"one streamed row, default ({shares(combined)})", f"{median_ms(lambda: default.push([50.0]), 1000):.2f} ms"],
        ["one streamed row, the network and all experts", f"{median_ms(lambda: every.push([50.0]), 1000):.2f} ms"],
        ["stepper, LSTM of 64 units, one step (eager reference)", f"{1000 * median_ms(lambda: step(x), 3000):.0f} µs"],
        [f"backtest, {evaluation.protocol}", f"{seconds:.1f} s"],
    ]
    stamp = f"{datetime.datetime.now(tz=datetime.UTC):%Y-%m-%d}, {machine()}"
    keep("latency.md", f"# Latency\n\n{stamp}\n\n{table(['what', 'median'], rows)}")


if __name__ == "__main__":
    main()
