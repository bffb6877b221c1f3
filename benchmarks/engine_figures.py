"""The figures of the engine's benchmark that are no ratio of training times: share of the peak, one step, memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import engine_memory
import ostinato
from engine_cases import CELLS, NAMES
from engine_cells import Size, torch_twin
from engine_peak import peak_gflops
from engine_records import Figure, Settings
from engine_timing import alternate
from ostinato.cells import LSTMCell

PEAK = "Share of the machine's float32 peak, forward, %"
STEPPER = "One step of an LSTM, batch 1, 16 inputs, 64 units, µs"
SAVED = "Bytes saved between forward and backward, MiB"
GROWTH = "Growth of the process during a training step, MiB"

_WIDE = 256
_MEMORY_SIZES = (Size(64, 100, 128, 256), Size(32, 1000, 16, 64))
_PRODUCTS = {"rnn": 1, "lstm": 4, "gru": 3}


@dataclass(frozen=True)
class Measurement:
    """Figures to be found together."""

    what: str
    size: str
    measure: Callable[[], Iterator[Figure]]


def figure_jobs(settings: Settings, sizes: Sequence[Size]) -> Iterator[Measurement]:
    """Yield the measurements that were chosen."""
    wide = [size for size in sizes if size.hidden >= _WIDE]
    if settings.wants("peak"):
        yield Measurement("share of the peak", f"hidden {_WIDE} or more", partial(_shares, settings, wide))
    if settings.wants("stepper"):
        yield Measurement("one step", "batch 1", partial(_one_step, settings))
    if settings.wants("memory"):
        for size in (own for own in _MEMORY_SIZES if own in sizes):
            for kind in CELLS:
                yield Measurement(f"memory, {NAMES[kind]}", str(size), partial(_memory, settings, kind, size))


def _shares(settings: Settings, sizes: Sequence[Size]) -> Iterator[Figure]:
    """Measure what of the peak the forward passes reach, counting the matrix products only."""
    peak = peak_gflops(settings.threads)
    yield Figure(PEAK, "the peak itself, GFLOP/s", "", settings.threads, "machine", peak)
    for size in sizes:
        for kind, make in CELLS.items():
            cell = make(size.inputs, size.hidden)
            times = _forward_times(cell, torch.randn(size.steps, size.batch, size.inputs), settings.budget)
            flops = 2 * size.steps * size.batch * _PRODUCTS[kind] * size.hidden * (size.inputs + size.hidden)
            for who, seconds in times.items():
                share = 100 * flops / seconds / (1e9 * peak)
                yield Figure(PEAK, NAMES[kind], str(size), settings.threads, who, share)


def _forward_times(cell: nn.Module, xs: torch.Tensor, budget: float) -> dict[str, float]:
    twin = torch_twin([cell])
    with torch.no_grad():
        torch.testing.assert_close(ostinato.scan(cell, xs)[0], twin(xs)[0], rtol=1e-3, atol=1e-4)
        return alternate({"ours": lambda: ostinato.scan(cell, xs), "torch.nn": lambda: twin(xs)}, budget)


def _one_step(settings: Settings) -> Iterator[Figure]:
    """Measure one step from NumPy to NumPy, beside the cell of `torch.nn` with its state kept between calls."""
    cell = LSTMCell(16, 64)
    theirs = nn.LSTMCell(16, 64)
    theirs.load_state_dict({name.removesuffix("_l0"): own for name, own in torch_twin([cell]).state_dict().items()})
    x = np.random.default_rng(0).normal(size=(1, 16)).astype(np.float32)
    step, keeper = ostinato.stepper(cell), _Keeper(theirs)
    for _ in range(20):
        np.testing.assert_allclose(step(x), keeper(x), rtol=1e-3, atol=1e-5)
    for who, seconds in alternate({"ours": lambda: step(x), "torch.nn": lambda: keeper(x)}, settings.budget).items():
        yield Figure(STEPPER, "LSTM", "", settings.threads, who, 1e6 * seconds)


class _Keeper:
    """A cell of `torch.nn` one step at a time on NumPy arrays, as one would write it by hand."""

    def __init__(self, cell: nn.LSTMCell) -> None:
        self.cell = cell
        self.state: tuple[torch.Tensor, torch.Tensor] | None = None

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        """Advance one step."""
        with torch.inference_mode():
            self.state = self.cell(torch.from_numpy(x), self.state)
        return self.state[0].numpy()


def _memory(settings: Settings, kind: str, size: Size) -> Iterator[Figure]:
    for who in ("ours", "torch.nn"):
        found = engine_memory.measure(kind, who, size, settings.threads)
        for table, name in ((SAVED, "saved"), (GROWTH, "peak")):
            yield Figure(table, NAMES[kind], str(size), settings.threads, who, found[name])
