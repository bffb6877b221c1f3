"""`explain` and `compile`: what the engine makes of a cell, in words and numbers, and on request."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ostinato.engine.backends import executable_for
from ostinato.engine.backends.executable import Executable
from ostinato.engine.front.state import State, check_cell, initial_state
from ostinato.engine.plan.graph import Unsupported
from ostinato.engine.plan.linear import is_linear
from ostinato.engine.plan.plan import Plan
from ostinato.engine.plan.words import named
from ostinato.engine.run.compiled import Ready, find, mixed_now
from ostinato.errors import UsageError


@dataclass(frozen=True)
class Explanation:
    """A plan in numbers. `str()` of it is a page to read."""

    cell: str
    compiled: bool
    reason: str
    """Why the cell runs in the eager loop; empty if it does not."""
    step: tuple[str, ...] = ()
    """What one step of the forward program does, in order."""
    backward: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()
    """Sums over all steps that are made once, after the backward loop."""
    saved: tuple[str, ...] = ()
    linear: bool = False
    """Whether the recurrence is linear and elementwise in the state."""
    saved_bytes: int = 0
    """Bytes kept between the passes, for one row and step."""
    forward_flops: int = 0
    """Of the products, for one row and step; a multiply and an add count as two."""
    backward_flops: int = 0
    outside_flops: int = 0
    compile_seconds: float = 0.0
    products: str = ""
    """What products of matrices multiply, and what they sum: `float32`, or `bfloat16, sums of float32`."""
    plan: Plan | None = field(default=None, repr=False, compare=False)
    """The plan itself; `plan.to_json()` writes it down."""

    def __str__(self) -> str:
        if not self.compiled:
            return f"{self.cell}: runs in the eager loop; the engine does not take {self.reason}"
        lines = [f"{self.cell}: compiled in {self.compile_seconds:.2f} s"]
        if self.linear:
            lines.append("the recurrence is linear and elementwise in the state")
        lines.append(f"products of {self.products}")
        lines += ["", "forward, each step:", *(f"  {line}" for line in self.step)]
        if self.backward:
            lines += ["", f"kept for the backward pass, {self.saved_bytes:,} bytes a row and step:"]
            lines += [f"  {line}" for line in self.saved]
            lines += ["", "backward, each step:", *(f"  {line}" for line in self.backward)]
            lines += ["", "once, over all steps:", *(f"  {line}" for line in self.outside)]
        lines += ["", f"floating-point operations a row and step: forward {self.forward_flops:,}"]
        if self.backward:
            lines[-1] += f", backward {self.backward_flops:,}, gradients of weights {self.outside_flops:,}"
        return "\n".join(lines)


def explain(
    cell: nn.Module,
    input_shape: Sequence[int] | None = None,
    state: State | None = None,
    *,
    device: str | torch.device | None = None,
) -> Explanation:
    """Compile a cell as for training and tell what its plan is.

    Args:
        cell: any cell that `ostinato.scan` takes.
        input_shape: `(time, batch, features)`; only the features matter to a plan, as it serves every time and batch.
            Without it, the cell's own `input_size` is taken.
        state: a state to start from, where the cell's own cannot be found; see `ostinato.scan`.
        device: `"cpu"` or `"cuda"`, where it would run; the cell's own device if left out. The plan for a GPU is made,
            and its memory counted, without one; its kernels are compiled at their first call.

    Returns:
        The explanation; `print(...)` shows it.

    Raises:
        UsageError: the shape has no features, or the cell breaks the contract.

    >>> import torch, ostinato
    >>> found = ostinato.explain(torch.nn.GRUCell(8, 16), (100, 32, 8))
    >>> found.compiled, found.saved_bytes
    (True, 320)
    """
    began = time.perf_counter()
    ready = _prepared(cell, input_shape, state, training=True)
    if isinstance(ready, Unsupported):
        return Explanation(type(cell).__name__, False, str(ready))
    executable = ready.executable
    if device is not None and torch.device(device).type != next(_devices(cell)).type:
        try:
            executable = executable_for(torch.device(device))(executable.plan, executable.dtype)
        except Unsupported as reason:
            return Explanation(type(cell).__name__, False, str(reason))
    return _explained(cell, executable, began)


def _devices(cell: nn.Module) -> Iterator[torch.device]:
    yield from (tensor.device for tensor in (*cell.parameters(), *cell.buffers()))
    yield torch.device("cpu")


def _explained(cell: nn.Module, executable: Executable, began: float) -> Explanation:
    plan = executable.plan
    try:
        executable.compile(training=True)
    except Unsupported as reason:
        return Explanation(type(cell).__name__, False, str(reason))
    backward = plan.backward is not None
    size = executable.dtype.itemsize
    return Explanation(
        cell=type(cell).__name__,
        compiled=True,
        reason="",
        step=tuple(executable.steps(backward=False)),
        backward=tuple(executable.steps(backward=True)) if backward else (),
        outside=tuple(_outside(plan)),
        saved=tuple(f"{named(node)}, {node.size} numbers" for node in plan.saved),
        linear=is_linear(plan.infer),
        saved_bytes=size * sum(node.size for node in plan.saved),
        forward_flops=executable.flops(backward=False),
        backward_flops=executable.flops(backward=True) if backward else 0,
        outside_flops=sum(2 * _count(part.shape) for part in plan.contractions if part.factors),
        compile_seconds=time.perf_counter() - began,
        products=executable.products,
        plan=plan,
    )


def compile_cell(cell: nn.Module, input_shape: Sequence[int] | None = None, state: State | None = None) -> nn.Module:
    """Compile a cell now, for inference and training, rather than when `ostinato.scan` first meets it.

    Args:
        cell: any cell that `ostinato.scan` takes.
        input_shape: `(time, batch, features)`; the code serves every time and batch. Without it, the cell's own
            `input_size` is taken.
        state: a state to start from, where the cell's own cannot be found.

    Returns:
        The cell itself: there is nothing else to call.

    Raises:
        UsageError: the engine does not take the cell; the message names the operation and the line.

    >>> import torch, ostinato
    >>> cell = ostinato.compile(torch.nn.LSTMCell(8, 16), (100, 32, 8))
    """
    for training in (True, False):
        ready = _prepared(cell, input_shape, state, training=training)
        if isinstance(ready, Unsupported):
            raise UsageError(f"{type(cell).__name__} cannot be compiled: the engine does not take {ready}")
        ready.executable.compile(training=training)
    return cell


def _prepared(
    cell: nn.Module, shape: Sequence[int] | None, state: State | None, *, training: bool
) -> Ready | Unsupported:
    check_cell(cell)
    shape = _shape_of_input(cell) if shape is None else tuple(shape)
    if len(shape) < 3 or 0 in shape[2:] or not all(isinstance(size, int) and size >= 0 for size in shape):
        raise UsageError(f"input_shape is {shape}; expected (time, batch, features)")
    like: Tensor = next((one for one in cell.parameters() if one.is_floating_point()), torch.zeros(()))
    xs = torch.zeros((1, 1, *shape[2:]), dtype=like.dtype, device=like.device)
    if state is None:
        state = initial_state(cell, xs[0])
    mixed = mixed_now(xs)
    # as in a scan: a step is traced in the precision of its parameters
    with torch.set_grad_enabled(training), torch.autocast("cpu", enabled=False):
        return find(cell, cell, xs, state, mixed=mixed)


def _shape_of_input(cell: nn.Module) -> tuple[int, ...]:
    size = getattr(cell, "input_size", None)
    if not isinstance(size, int):
        raise UsageError(
            f"input_shape is missing, and {type(cell).__name__} has no input_size; "
            "pass input_shape=(time, batch, features)"
        )
    return (1, 1, size)


def _outside(plan: Plan) -> list[str]:
    lines = []
    for part in plan.contractions:
        if part.factors is None:
            lines.append(f"sum of {_count(part.shape)} numbers over rows")
        else:
            a, b = (f"{factor.kind} {factor.index}" for factor in part.factors)
            lines.append(f"product of {a} and {b} over rows and steps -> {'x'.join(map(str, part.shape))}")
    return lines


def _count(shape: Sequence[int]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total
