"""Sources as kernels: made once for a program and a form, launched over a batch."""

from __future__ import annotations

import hashlib
import linecache
import math
import os
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor

from ostinato.engine.backends.triton.phases import Phases, state_slots
from ostinato.engine.backends.triton.source import Source, write
from ostinato.engine.backends.triton.values import Form
from ostinato.errors import MissingExtra


@cache
def device_functions() -> dict[str, Any]:
    """Return what the source of a kernel may name.

    Raises:
        MissingExtra: Triton is not installed.
    """
    try:
        import triton.language as tl

        from ostinato.engine.backends.triton import device
    except ImportError as error:
        raise MissingExtra(
            'a compiled cell on a GPU needs Triton; install it with: pip install "ostinato[gpu]"'
        ) from error
    found = {name: value for name, value in vars(device).items() if not name.startswith("__")}
    return found | {"tl": tl}


def out_of_resources() -> type[Exception]:
    """Return the error of a kernel that needs more memory or registers than the device has."""
    from triton.runtime.errors import OutOfResources

    found: type[Exception] = OutOfResources
    return found


def interpreted() -> bool:
    """Tell whether Triton interprets its kernels, on tensors of the CPU: `TRITON_INTERPRET=1`."""
    return os.environ.get("TRITON_INTERPRET", "") == "1"


@dataclass(frozen=True)
class Kernel:
    """A kernel that can be launched."""

    source: Source
    run: Any
    phases: Phases
    form: Form


def make_kernel(phases: Phases, form: Form) -> Kernel:
    """Write a kernel and hand it to Triton, which compiles it at its first launch and keeps it on disk."""
    source = write(phases, form)
    return Kernel(source, _function(source), phases, form)


_functions: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()
"""The functions in use, by their text: equal cells run the same one."""


def _function(source: Source) -> Any:
    found = _functions.get(source.text)
    if found is None:
        import triton

        name = f"<ostinato kernel {hashlib.sha256(source.text.encode()).hexdigest()[:16]}>"
        # Triton reads a function as source
        linecache.cache[name] = (len(source.text), None, source.text.splitlines(keepends=True), name)
        space = dict(device_functions(), __name__=__name__)
        exec(compile(source.text, name, "exec"), space)  # our own text, made of a plan, which is data
        varying = ("T", "B", "first", "S0", "S1")
        free = [word for word in source.arguments if word in varying or word.endswith(("_t", "_b"))]
        found = _functions[source.text] = triton.jit(do_not_specialize=free)(space["kernel"])
        weakref.finalize(found, linecache.cache.pop, name, None)
    return found


@dataclass(frozen=True)
class Launch:
    """What a kernel is launched on."""

    inputs: dict[tuple[str, int], Tensor]
    """`(time, batch, ...)` each, the features dense."""
    constants: Sequence[Tensor]
    outputs: dict[int, Tensor]
    """`(time, batch, ...)`, dense."""
    start: Sequence[Tensor]
    last: Sequence[Tensor]
    cut: Sequence[Tensor | None]
    lengths: Tensor | None
    resets: Tensor | None
    seed: int
    steps: int
    batch: int


def launch(kernels: Sequence[Kernel], on: Launch, programs: int) -> None:
    """Run the kernels of a program: one for all phases, or, where Triton interprets, one for each.

    `programs` is how many can be on the device at the same time: those of a tile wait for one another.
    """
    phases, form = kernels[0].phases, kernels[0].form
    device = on.start[0].device if on.start else next(iter(on.outputs.values())).device
    memory = _scratch(phases, form, on, device)
    tiles = -(-on.batch // form.tiling.rows)
    at_once = tiles if form.tiling.columns == 1 else max(1, programs // form.tiling.columns)
    seeds = torch.full((1,), on.seed, dtype=torch.int64, device=device)
    nothing = memory["flags"]
    common: dict[str, Any] = memory | {"seeds": seeds}
    common |= {"lengths": nothing if on.lengths is None else on.lengths, "T": on.steps, "B": on.batch}
    common["resets"] = nothing if on.resets is None else on.resets
    for index, (start, last, cut) in enumerate(zip(on.start, on.last, on.cut, strict=True)):
        common |= {f"start{index}": start, f"last{index}": last, f"cut{index}": last if cut is None else cut}
    common |= {f"out{index}": tensor for index, tensor in on.outputs.items()}
    for first in range(0, tiles, at_once):
        grid = (min(at_once, tiles - first), form.tiling.columns)
        if form.only is None:
            _start(kernels[0], grid, common | {"first": first, "S0": 0, "S1": on.steps}, on)
            continue
        for step in range(on.steps):
            for kernel in kernels:
                _start(kernel, grid, common | {"first": first, "S0": step, "S1": step + 1}, on)


def _start(kernel: Kernel, grid: tuple[int, int], values: dict[str, Any], on: Launch) -> None:
    given = dict(values)
    for kind, index in kernel.source.inputs:
        tensor = on.inputs[kind, index]
        given |= {f"{kind}{index}": tensor, f"{kind}{index}_t": tensor.stride(0), f"{kind}{index}_b": tensor.stride(1)}
    given |= {f"c{index}": on.constants[index] for index in kernel.source.constants}
    arguments = [given[name] for name in kernel.source.arguments]
    options: dict[str, Any] = {"num_warps": kernel.form.tiling.warps, "num_stages": 1}
    if kernel.form.tiling.columns > 1 and not interpreted():
        options["launch_cooperative_grid"] = True
    kernel.run[grid](*arguments, **options)


def _scratch(phases: Phases, form: Form, on: Launch, device: torch.device) -> dict[str, Tensor]:
    """Return the memory that values pass through, and flags; marks of steps in it are zero at first."""
    rows = -(-on.batch // form.tiling.rows) * form.tiling.rows
    flags = -(-on.batch // form.tiling.rows) * form.tiling.columns
    packed = form.tiling.columns > 1
    kinds = {"values": getattr(torch, form.computed), "operands": getattr(torch, form.operand), "words": torch.int64}
    if packed:
        kinds["operands"] = torch.int32 if form.packing("operands") in ("half", "tf32") else torch.int64
    sizes = {name: 2 * phases.sizes[name] * rows for name in kinds}
    for name in ("operands", "words") if packed and form.packing("words") == "f64" else ():
        sizes[name] *= 2
    memory = {name: torch.empty(max(1, sizes[name]), dtype=kinds[name], device=device) for name in ("values",)}
    make = torch.zeros if packed else torch.empty
    memory |= {name: make(max(1, sizes[name]), dtype=kinds[name], device=device) for name in ("operands", "words")}
    memory["flags"] = torch.zeros(flags, dtype=torch.int32, device=device)
    if form.only is not None:
        _fill(memory, phases, form, on, rows)
    return memory


def _fill(memory: dict[str, Tensor], phases: Phases, form: Form, on: Launch, rows: int) -> None:
    """Put the first states into their places, as the kernel of a whole step does by itself."""
    for index, start in enumerate(on.start):
        for slot in state_slots(phases, index):
            size = math.prod(start.shape[1:])
            values = start.new_zeros(rows, slot.size)
            values[: on.batch, :size] = start.reshape(on.batch, size)
            part = slice(2 * slot.start * rows, (2 * slot.start + slot.size) * rows)
            if slot.memory == "values" or form.tiling.columns == 1:
                memory[slot.memory][part].copy_(values.view(-1))
            else:
                words = packed_words(values, form.packing(slot.memory), getattr(torch, form.operand))
                memory[slot.memory].view(-1, words.shape[-1])[part].copy_(words.view(-1, words.shape[-1]))


def packed_words(values: Tensor, packing: str, half: torch.dtype) -> Tensor:
    """Return numbers as `device.pack_half` and its like do with the mark 1: `(..., 1)`, or two words for a float64."""
    if packing == "half":
        return (values.to(half).view(torch.int16).to(torch.int32) << 16 | 1).unsqueeze(-1)
    if packing == "tf32":
        return ((values.float().view(torch.int32) + 0x1000 & -0x2000) | 1).unsqueeze(-1)
    if packing == "f32":
        return (values.float().view(torch.int32).to(torch.int64) << 32 | 1).unsqueeze(-1)
    bits = values.double().view(torch.int64)
    return torch.stack([bits >> 32 << 32 | 1, bits << 32 | 1], -1)


def split_by_phase(phases: Phases, form: Form) -> list[Kernel]:
    """Return a kernel for each phase."""
    return [make_kernel(phases, replace(form, only=number)) for number in range(phases.count)]
