"""One process of `call_cost.py`: for each name on the standard input, a block of calls and the cost of one.

The first line out is the list of names; then for each name `[ours, PyTorch's or null]`, in microseconds.
"""

from __future__ import annotations

import gc
import json
import sys
import time
import warnings
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import ostinato
from ostinato.cells import CATALOGUE

Call = Callable[[], object]
BLOCK_SECONDS = 0.008
STEPS, UNITS = 100, 128
SMALL_STEPS, SMALL = 10, 16
PEERS: dict[str, type[nn.Module]] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


def forward(run: Callable[[], Any], *_: Any) -> Call:
    """Return a call without gradients."""

    def call() -> object:
        with torch.no_grad():
            return run()

    return call


def training(run: Callable[[], Any], module: nn.Module) -> Call:
    """Return a call with its backward pass; gradients start from none each time, as after `zero_grad`."""
    parameters = list(module.parameters())

    def call() -> object:
        for parameter in parameters:
            parameter.grad = None
        ys: Tensor = run()[0]
        ys.sum().backward()
        return ys

    return call


WAYS = {"forward": forward, "training": training}


def layer_calls(kind: str, way: str, steps: int = STEPS, units: int = UNITS, **options: Any) -> tuple[Call, Call]:
    """Return the calls of a drop-in and its namesake."""
    xs = torch.randn(steps, 1, units)
    ours, theirs = (getattr(library.nn, kind)(units, units, **options) for library in (ostinato, torch))
    return WAYS[way](partial(ours, xs), ours), WAYS[way](partial(theirs, xs), theirs)


def scanned_calls(way: str) -> tuple[Call, Call]:
    """Return the calls of a cell over the steps, and of PyTorch's layer."""
    xs = torch.randn(STEPS, 1, UNITS)
    cell, layer = ostinato.cells.LSTMCell(UNITS, UNITS), nn.LSTM(UNITS, UNITS)
    return WAYS[way](partial(ostinato.scan, cell, xs), cell), WAYS[way](partial(layer, xs), layer)


def step_calls() -> tuple[Call, Call]:
    """Return one step of a stepper, and of PyTorch's cell."""
    x = np.zeros((1, UNITS), np.float32)
    cell = nn.LSTMCell(UNITS, UNITS)
    state = (torch.zeros(1, UNITS), torch.zeros(1, UNITS))
    tensor = torch.from_numpy(x)
    return partial(ostinato.stepper(ostinato.cells.LSTMCell(UNITS, UNITS)), x), forward(lambda: cell(tensor, state))


def small(name: str) -> tuple[nn.Module, Tensor]:
    """Return a small cell of the catalogue and its steps."""
    if name.startswith("conv"):
        return CATALOGUE[name](4, 4), torch.randn(SMALL_STEPS, 1, 4, 4, 4)
    if name == "gru-d":
        values, gaps = torch.randn(SMALL_STEPS, 1, 6), torch.rand(SMALL_STEPS, 1, 6)
        return CATALOGUE[name](18, SMALL), torch.cat([values, (values > 0).float(), gaps], -1)
    xs = torch.randn(SMALL_STEPS, 1, SMALL)
    if name in ("cfc", "t-lstm"):
        xs[..., -1] = xs[..., -1].abs()  # the time since the step before
    return CATALOGUE[name](SMALL, SMALL), xs


def cell_calls(name: str, way: str) -> tuple[Call, Call | None]:
    """Return the calls of a cell of the catalogue, and of PyTorch's layer if it is one of theirs."""
    cell, xs = small(name)
    ours = WAYS[way](partial(ostinato.scan, cell, xs), cell)
    if name not in PEERS:
        return ours, None
    layer = PEERS[name](SMALL, SMALL)
    return ours, WAYS[way](partial(layer, xs), layer)


def rows() -> dict[str, Callable[[], tuple[Call, Call | None]]]:
    """Return every row by name."""
    found: dict[str, Callable[[], tuple[Call, Call | None]]] = {}
    for way in WAYS:
        for kind in ("LSTM", "GRU"):
            found[f"nn.{kind}, 100 steps of 128, {way}"] = partial(layer_calls, kind, way)
        for kind in ("RNN", "LSTM", "GRU"):
            found[f"nn.{kind}, 5 steps of 8, {way}"] = partial(layer_calls, kind, way, 5, 8)
        both: Any = {"num_layers": 2, "bidirectional": True}
        found[f"nn.LSTM, 2 layers in both directions, 5 steps of 8, {way}"] = partial(
            layer_calls, "LSTM", way, 5, 8, **both
        )
        found[f"scan of cells.LSTMCell, 100 steps of 128, {way}"] = partial(scanned_calls, way)
    found["a step of a stepper, LSTM of 128"] = step_calls
    for name in CATALOGUE:
        for way in WAYS:
            if way == "forward" or any(own.requires_grad for own in small(name)[0].parameters()):
                found[f"{name}, {way}"] = partial(cell_calls, name, way)
    return found


def block(call: Call) -> float:
    """Return the microseconds of the fastest call of a block."""
    times: list[int] = []
    began = time.perf_counter()
    while len(times) < 3 or time.perf_counter() - began < BLOCK_SECONDS:
        start = time.thread_time_ns()
        call()
        times.append(time.thread_time_ns() - start)
    return min(times) / 1000


def main() -> None:
    """Answer until the input ends."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    all_rows = rows()

    @cache
    def ready(name: str) -> tuple[Call, Call | None]:
        torch.manual_seed(0)
        calls = all_rows[name]()
        for call in filter(None, calls):
            for _ in range(5):
                call()
        gc.collect()
        return calls

    print(json.dumps(list(all_rows)), flush=True)
    for line in sys.stdin:
        calls = ready(line.strip())
        gc.disable()
        figures = [None if call is None else block(call) for call in calls]
        gc.enable()
        print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
