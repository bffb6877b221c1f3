"""Training steps of ostinato.keras beside Keras's own layers on its PyTorch backend.

    python benchmarks/keras_layers.py            six sizes of each layer, alone and in `train_on_batch`; minutes
    python benchmarks/keras_layers.py quick      two sizes
    python benchmarks/keras_layers.py profile    where the time of a step of ours goes

One thread. Both are in one process, have the same weights, and take turns step by step; times are medians,
of the thread, so that other programs count for little. A step is forward, backward and, in a model, the loss and the
update by Adam.
"""

from __future__ import annotations

import cProfile
import datetime
import math
import pstats
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import ostinato.keras as ours
from common import keep, machine, table

import keras  # isort: skip - after ours, which selects the backend

SIZES = [
    (32, 50, 8, 32),
    (32, 100, 16, 64),
    (16, 200, 16, 64),
    (64, 60, 32, 128),
    (32, 100, 64, 128),
    (128, 100, 16, 32),
]
"""Batch, steps, features, units."""
KINDS = ("SimpleRNN", "LSTM", "GRU")
WANTED = {"": {"SimpleRNN": 10.0, "LSTM": 8.0, "GRU": 8.0}, "masks, recurrent dropout": dict.fromkeys(KINDS, 8.0)}
REPEATS = 9


def alone(library: Any, kind: str, size: tuple[int, ...], hard: bool) -> tuple[Any, Callable[[], None]]:
    """Return a layer and its training step: forward and backward."""
    batch, steps, features, units = size
    layer = getattr(library.layers, kind)(units, seed=1, recurrent_dropout=0.2 if hard else 0.0)
    layer.build((batch, steps, features))
    xs, mask = torch.from_numpy(_inputs(size)), torch.from_numpy(_mask(size)) if hard else None
    parameters = [variable.value for variable in layer.trainable_variables]

    def step() -> None:
        for parameter in parameters:
            parameter.grad = None
        layer(xs, mask=mask, training=True).square().mean().backward()

    return layer, step


def trained(library: Any, kind: str, size: tuple[int, ...], hard: bool) -> tuple[Any, Callable[[], None]]:
    """Return a model of one recurrent layer and its training step, `train_on_batch`."""
    batch, steps, features, units = size
    xs = _inputs(size)
    parts = [library.layers.Input((steps, features))]
    if hard:
        parts.append(library.layers.Masking())
        xs = xs * _mask(size)[..., None]
    rate = 0.2 if hard else 0.0
    parts += [getattr(library.layers, kind)(units, seed=1, recurrent_dropout=rate), library.layers.Dense(1)]
    model = library.Sequential(parts)
    model.compile("adam", "mean_squared_error")
    ys = np.random.default_rng(1).normal(size=(batch, 1)).astype("float32")
    return model, lambda: model.train_on_batch(xs, ys)


def _inputs(size: tuple[int, ...]) -> Any:
    return np.random.default_rng(0).normal(size=size[:3]).astype("float32")


def _mask(size: tuple[int, ...]) -> Any:
    """Return lengths from half the steps on, padded on the right."""
    lengths = np.random.default_rng(2).integers(size[1] // 2, size[1] + 1, size[0])
    return np.arange(size[1])[None] < lengths[:, None]


def compared(make: Any, kind: str, size: tuple[int, ...], hard: bool) -> tuple[float, float]:
    """Return the milliseconds of a step, Keras's and ours; medians of steps that take turns."""
    (theirs, their_step), (mine, my_step) = make(keras, kind, size, hard), make(ours, kind, size, hard)
    mine.set_weights(theirs.get_weights())
    seconds: dict[Callable[[], None], list[float]] = {their_step: [], my_step: []}
    for step in seconds:
        step(), step()
    for _ in range(REPEATS):
        for step, taken in seconds.items():
            began = time.thread_time()
            step()
            taken.append(time.thread_time() - began)
    return 1000 * statistics.median(seconds[their_step]), 1000 * statistics.median(seconds[my_step])


def geometric_mean(values: list[float]) -> float:
    """Return the geometric mean."""
    return math.exp(statistics.mean(map(math.log, values)))


def main(sizes: list[tuple[int, ...]]) -> None:
    """Measure, print and keep."""
    rows, means = [], []
    for what, wanted in WANTED.items():
        for kind in KINDS:
            ratios: dict[str, list[float]] = {"alone": [], "in a model": []}
            for size in sizes:
                line: list[object] = [f"{kind}{', ' + what if what else ''}", "×".join(map(str, size))]
                for name, make in (("alone", alone), ("in a model", trained)):
                    theirs, mine = compared(make, kind, size, bool(what))
                    ratios[name].append(theirs / mine)
                    line += [f"{theirs:.1f}", f"{mine:.2f}", f"{theirs / mine:.1f}"]
                rows.append(line)
                print(*line, flush=True)
            means.append([rows[-1][0], *(f"{geometric_mean(each):.1f}" for each in ratios.values()), wanted[kind]])
    head = [
        "layer",
        "batch × steps × features × units",
        "Keras alone, ms",
        "ours",
        "ratio",
        "Keras in a model, ms",
        "ours",
        "ratio",
    ]
    text = [
        f"{datetime.date.today()}, {machine()}, keras {keras.version()}: medians of {REPEATS} training steps in turns",
        table(["layer", "alone", "in a model", "wanted"], means),
        table(head, rows),
    ]
    keep("keras_layers.md", "\n\n".join(text))


def profile() -> None:
    """Print where the time of a step of ours goes."""
    for make in (alone, trained):
        for kind in KINDS:
            _, step = make(ours, kind, SIZES[1], False)
            step(), step()
            watch = cProfile.Profile()
            watch.runcall(lambda step=step: [step() for _ in range(50)])
            print(f"== {kind}, {make.__name__}")
            pstats.Stats(watch).sort_stats("tottime").print_stats(14)


if __name__ == "__main__":
    torch.set_num_threads(1)
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    if command == "profile":
        profile()
    elif command == "quick":
        REPEATS = 5
        main([SIZES[0], SIZES[1]])
    else:
        main(SIZES)
