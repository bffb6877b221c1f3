"""Sources as kernels: made once for a program and a form, launched over a batch with memory for what programs pass on.

Triton compiles a kernel at its first launch; later ones of the same kind start what it compiled without asking it.
What is waited for starts as zeros; programs that wait for one another are launched so that the device has all of them
at once.
"""

from __future__ import annotations

import hashlib
import linecache
import math
import os
import re
import weakref
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor

from ostinato.engine.backends.triton.phases import MEMORIES, Phases, state_slots
from ostinato.engine.backends.triton.source import Source, write
from ostinato.engine.backends.triton.values import Form
from ostinato.engine.forks import lazy
from ostinato.errors import MissingExtra

_ALIGNED = 16
"""Bytes: Triton compiles another kernel for addresses that are not multiples of it."""
_NARROW = 1 << 31
"""Whole numbers from here on are passed in 64 bits, to another kernel."""


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


@dataclass(frozen=True, eq=False)
class Kernel:
    """A kernel that can be launched."""

    source: Source
    run: Any
    phases: Phases
    form: Form
    compiled: dict[Any, Any] = field(default_factory=dict)
    """What Triton has compiled of it, by the device and the types of the arguments."""

    @lazy
    def reads(self) -> frozenset[str]:
        """The names that its text uses; an argument that is not among them may be anything."""
        return frozenset(re.findall(r"\w+", self.source.text.partition("\n")[2]))

    @lazy
    def inputs(self) -> list[tuple[tuple[str, int], str, str, str]]:
        """The sequences that it reads, with the names of each and of its strides."""
        names = [(source, f"{source[0]}{source[1]}") for source in self.source.inputs]
        return [(source, name, f"{name}_t", f"{name}_b") for source, name in names]


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


@dataclass(frozen=True, eq=False)
class Launch:
    """What a kernel is launched on."""

    inputs: dict[tuple[str, int], Tensor]
    """`(time, batch, ...)` each, the features dense."""
    constants: dict[int, Tensor]
    """Dense, those that the kernel reads."""
    outputs: dict[int, Tensor]
    """`(time, batch, ...)`, dense."""
    start: Sequence[Tensor | None]
    """Dense; none for zeros."""
    last: Sequence[Tensor]
    cut: Sequence[Tensor | None]
    lengths: Tensor | None
    resets: Tensor | None
    seed: int
    steps: int
    batch: int
    device: torch.device


def launch(kernels: Sequence[Kernel], on: Launch, programs: int) -> None:
    """Run the kernels of a program: one for all phases, or, where Triton interprets, one for each.

    `programs` is how many can be on the device at the same time: those of a tile wait for one another.
    """
    form = kernels[0].form
    tiles = -(-on.batch // form.tiling.rows)
    values = _arguments(kernels, on, tiles)
    columns = form.tiling.columns
    at_once = max(1, programs // columns) if columns > 1 else tiles
    with _on(on.device):
        for first in range(0, tiles, at_once):
            values["first"] = first
            grid = (min(at_once, tiles - first), columns)
            if form.only is None:
                _start(kernels[0], grid, values, on.device)
                continue
            for step in range(on.steps):
                values |= {"S0": step, "S1": step + 1}
                for kernel in kernels:
                    _start(kernel, grid, values, on.device)


def _on(device: torch.device) -> Any:
    """Return a context in which launches go to a device: Triton's go to the current one."""
    if device.type != "cuda" or device.index is None or device.index == torch.cuda.current_device():
        return nullcontext()
    return torch.cuda.device(device)


def _arguments(kernels: Sequence[Kernel], on: Launch, tiles: int) -> dict[str, Any]:
    """Return the arguments of all kernels by name, memory that they pass values through among them."""
    reads = kernels[0].reads if len(kernels) == 1 else frozenset().union(*(kernel.reads for kernel in kernels))
    values: dict[str, Any] = {"T": on.steps, "B": on.batch, "S0": 0, "S1": on.steps}
    for kernel in kernels:
        for source, name, time, batch in kernel.inputs:
            tensor = values[name] = on.inputs[source]
            values[time], values[batch] = tensor.stride(0), tensor.stride(1)
        for index in kernel.source.constants:
            values[f"c{index}"] = on.constants[index]
    for index, tensor in on.outputs.items():
        values[f"out{index}"] = tensor
    values |= _memory(kernels[0].phases, kernels[0].form, on, reads, tiles)
    zeros = values.pop("zeros")
    for index, (start, last, cut) in enumerate(zip(on.start, on.last, on.cut, strict=True)):
        values[f"start{index}"], values[f"last{index}"] = zeros if start is None else start, last
        values[f"cut{index}"] = last if cut is None else cut
    if "seeds" in reads:
        values["seeds"] = torch.full((1,), on.seed, dtype=torch.int64, device=on.device)
    for name, given in (("lengths", on.lengths), ("resets", on.resets), ("seeds", values.get("seeds"))):
        values[name] = zeros if given is None else given
    return values


def _memory(phases: Phases, form: Form, on: Launch, reads: frozenset[str], tiles: int) -> dict[str, Tensor]:
    """Return the memory that values pass through, flags, and `zeros` to be read in place of first states.

    What programs read of one another is zero at first: a number has not come until its word has a mark.
    """
    rows, planes = tiles * form.tiling.rows, 2 if form.packing("words") == "f64" else 1
    sizes = {name: 2 * phases.sizes[name] * rows if name in reads else 0 for name in MEMORIES}
    computed = getattr(torch, form.computed)
    kinds = {"values": computed, "operands": getattr(torch, form.operand), "words": computed}
    cleared = {"zeros": (_zeros(on, reads), computed)}
    cleared["flags"] = (tiles * form.tiling.columns if "flags" in reads else 0, torch.int32)
    if form.tiling.marked:
        kinds["operands"] = torch.int32 if form.packing("operands") in ("half", "tf32") else torch.int64
        kinds["words"] = torch.int64
        cleared |= {name: (sizes[name] * planes, kinds[name]) for name in ("operands", "words")}
    memory = _in_one(cleared, on.device)
    for name in MEMORIES:
        if name not in memory:
            made = sizes[name] and torch.empty(sizes[name], dtype=kinds[name], device=on.device)
            memory[name] = made if isinstance(made, Tensor) else memory["zeros"].view(kinds[name])
    if form.only is not None:
        _fill(memory, phases, form, on, rows)
    return memory


def _zeros(on: Launch, reads: frozenset[str]) -> int:
    """Return how many zeros are read in place of first states that are not given."""
    pairs = enumerate(zip(on.start, on.last, strict=True))
    return max((last.numel() for i, (start, last) in pairs if start is None and f"start{i}" in reads), default=0)


def _in_one(sizes: dict[str, tuple[int, torch.dtype]], device: torch.device) -> dict[str, Tensor]:
    """Return zeros of so many numbers and such types by name, all of them made at once; at least 16 bytes each."""
    units = {name: max(1, -(-count * kind.itemsize // _ALIGNED)) for name, (count, kind) in sizes.items()}
    make = torch.zeros if any(count for count, _ in sizes.values()) else torch.empty  # memory that nobody reads
    parts = make(2 * sum(units.values()), dtype=torch.int64, device=device)
    apart = parts.split_with_sizes([2 * unit for unit in units.values()])
    return {name: part.view(kind) for part, (name, (_, kind)) in zip(apart, sizes.items(), strict=True)}


def _fill(memory: dict[str, Tensor], phases: Phases, form: Form, on: Launch, rows: int) -> None:
    """Put the first states into their places, as the kernel of a whole step does by itself."""
    for index, (start, last) in enumerate(zip(on.start, on.last, strict=True)):
        for slot in state_slots(phases, index):
            size = math.prod(last.shape[1:])
            values = last.new_zeros(rows, slot.size, dtype=getattr(torch, form.computed))
            if start is not None:
                values[: on.batch, :size] = start.reshape(on.batch, size)
            part = slice(2 * slot.start * rows, (2 * slot.start + slot.size) * rows)
            if slot.memory == "values" or not form.tiling.marked:
                memory[slot.memory][part].copy_(values.view(-1))
            else:
                words = packed_words(values, form.packing(slot.memory), getattr(torch, form.operand))
                memory[slot.memory].view(-1, words.shape[-1])[part].copy_(words.view(-1, words.shape[-1]))


def packed_words(values: Tensor, packing: str, half: torch.dtype) -> Tensor:
    """Return numbers as `device.pack_half` and its like do with the mark 1: `(..., 1)`, or two words for a float64."""
    if packing == "half":
        return (values.to(half).view(torch.int16).to(torch.int32) << 16 | 1).unsqueeze(-1)
    if packing == "tf32":
        bits = values.float().view(torch.int32) + 0x1000 & -0x2000
        return (torch.where(values.isnan(), 0x7FC00000, bits) | 1).unsqueeze(-1)  # no NaN rounds to a number
    if packing == "f32":
        return (values.float().view(torch.int32).to(torch.int64) << 32 | 1).unsqueeze(-1)
    bits = values.double().view(torch.int64)
    return torch.stack([bits >> 32 << 32 | 1, bits << 32 | 1], -1)


def _start(kernel: Kernel, grid: tuple[int, int], values: dict[str, Any], device: torch.device) -> None:
    """Launch a kernel: as Triton has compiled it for such arguments before, or by way of Triton.

    Triton takes a type and a form for each argument at every launch, which takes it longer than a short scan; here they
    are known but for addresses.
    """
    arguments = [values[name] for name in kernel.source.arguments]
    types = tuple([None if type(value) is int else value.dtype for value in arguments])
    places = [value if type(value) is int else value.data_ptr() for value in arguments]
    key = device, types
    found = kernel.compiled.get(key)
    regular = _regular(places, types)
    if found is not None and regular and not _watched(kernel.run):
        run, function, metadata = found
        stream = torch._C._cuda_getCurrentRawStream(device.index)
        run(*grid, 1, stream, function, metadata, None, None, None, *places)
        return
    options: dict[str, Any] = {"num_warps": kernel.form.tiling.warps, "num_stages": 1}
    if kernel.form.tiling.columns > 1 and not interpreted():
        options["launch_cooperative_grid"] = True
    compiled = kernel.run[grid](*arguments, **options)
    if regular and device.type == "cuda" and all(hasattr(compiled, name) for name in _OF_COMPILED):
        kernel.compiled[key] = tuple(getattr(compiled, name) for name in _OF_COMPILED)


_OF_COMPILED = ("run", "function", "packed_metadata")
"""What Triton's own launch takes of a compiled kernel (3.6 to 3.9)."""


def _regular(places: Sequence[int], types: Sequence[Any]) -> bool:
    """Tell whether addresses are aligned and numbers narrow: then Triton has compiled one kernel for them all."""
    together = 0
    for place, kind in zip(places, types, strict=True):
        if kind is not None:
            together |= place
        elif place >= _NARROW:
            return False
    return together % _ALIGNED == 0


def _watched(function: Any) -> bool:
    """Tell whether somebody looks at launches, a profiler for instance, or whether that cannot be told."""
    try:
        hooks = _settings().launch_enter_hook.calls or _settings().launch_exit_hook.calls
        return bool(hooks or getattr(function, "pre_run_hooks", ()))
    except (ImportError, AttributeError):  # Triton has moved them, or somebody has put a function in their place
        return True


@cache
def _settings() -> Any:
    """Return where Triton keeps the hooks of launches."""
    from triton import knobs

    return knobs.runtime


def split_by_phase(phases: Phases, form: Form) -> list[Kernel]:
    """Return a kernel for each phase."""
    return [make_kernel(phases, replace(form, only=number)) for number in range(phases.count)]
