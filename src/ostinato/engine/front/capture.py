"""Capture: one step of a cell and its vector-Jacobian product, traced by PyTorch into one flat graph.

The trace is made on tensors without data, so its cost does not depend on sizes, and with a batch of a size that
nothing else in the graph has, so that the batch can be told from the features wherever it goes.
"""

from __future__ import annotations

import inspect
import logging
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch._decomp import core_aten_decompositions
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import _disable_current_modes

from ostinato.engine.front.scope import Scope
from ostinato.engine.front.shell import shell_of
from ostinato.engine.front.state import State, call_cell, leaves
from ostinato.engine.front.watch import look, numbers_of, settings_of
from ostinato.engine.plan.graph import Unsupported
from ostinato.engine.plan.signature import Signature

# prime, and larger than any feature dimension: no product of feature sizes is a multiple of it
BATCH = 1000003
MOST_OPERATIONS = 5_000


@dataclass(frozen=True)
class Captured:
    """A traced step: `graph(parameters..., x, states..., dy, dstates...) -> (y, new states..., gradients...)`."""

    graph: GraphModule
    signature: Signature


def capture(
    cell: nn.Module,
    x: Tensor,
    state: State,
    tensors: dict[str, Tensor],
    gradients: Sequence[bool],
    *,
    backward: bool,
    scope: Scope | None = None,
    rows: Sequence[str] = (),
    locate: bool = False,
    batch: int = BATCH,
    most: int = MOST_OPERATIONS,
    unchanged: Callable[[], bool] = lambda: True,
) -> Captured:
    """Trace one step of a cell. It is copies of the cell that run, on tensors without data; the cell stays untouched.

    Args:
        cell: the cell.
        x: one step `(batch, ...)` whose features and dtype are taken; the batch is not.
        state: a state likewise.
        tensors: the parameters, buffers and plain tensors of the cell by name.
        gradients: whether a gradient is wanted, for each of `tensors`, `x` and the leaves of `state`.
        backward: whether the vector-Jacobian product is traced as well.
        scope: what the cell's code reads, so that copies of that are made.
        rows: the tensors that have the batch first.
        locate: whether the line of the cell is kept for each operation; it costs time.
        batch: how many rows are traced; a plan is made of a trace with `BATCH` rows.
        most: operations that a trace may take.
        unchanged: tells whether all that the cell reads outside of itself still is as it was.

    Raises:
        Unsupported: PyTorch cannot trace the cell, for instance because it branches on values; or a step changes
            the cell.
    """
    tracer = _Tracer(cell, tensors, scope or look(cell).scope, torch.utils._pytree.tree_flatten(state)[1])
    mode = _Mode(batch, most)
    fakes = [
        _fake(mode, tensor, (batch, *tensor.shape[1:]) if name in rows else tensor.shape)
        for name, tensor in tensors.items()
    ]
    fakes.append(_fake(mode, x, (batch, *x.shape[1:])))
    fakes += [_fake(mode, leaf, (batch, *leaf.shape[1:])) for leaf in leaves(state)]
    recording = torch.is_grad_enabled()

    def step(primals: list[Tensor], tangents: list[Tensor]) -> list[Tensor | None]:
        results = tracer.call(primals)
        return _with_gradients(results, primals, tangents, gradients) if backward else list(results)

    try:
        with _alone(), mode, torch.set_grad_enabled(backward or recording):
            for fake, needed in zip(fakes, gradients, strict=True):
                fake.requires_grad_(needed and backward)
            probe = tracer.call(fakes, watched=True)
            # asked after one step: a second one might change things back
            with _disable_current_modes():
                same = unchanged()
            if not same:
                raise Unsupported("settings outside of the cell that a step changes")
            if any(new.shape != old.shape for new, old in zip(probe[1:], fakes[len(tensors) + 1 :], strict=True)):
                raise Unsupported("a new state of another shape than the last one")
            if any(result.dtype is not fakes[len(tensors)].dtype for result in probe):
                raise Unsupported("an output or a state of another type than the sequences")
            shapes = [tuple(result.shape) for result in probe]
            if any(not shape or shape[0] != batch for shape in shapes):
                raise Unsupported("a cell whose output or state does not have the batch first")
            tangents = [torch.empty(shape, dtype=like.dtype) for shape, like in zip(shapes, probe, strict=True)]
            traced = make_fx(step, decomposition_table=_decompositions(), **_options(locate))
            graph = traced(fakes, tangents if backward else [])
    except Unsupported:
        raise
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0][:200]
        raise Unsupported(
            f"a step that PyTorch cannot trace{_line_of(error)} ({type(error).__name__}: {reason})"
        ) from error
    outputs = tuple(shape[1:] for shape in shapes)
    signature = Signature(
        tuple(tensors),
        tuple(rows),
        len(leaves(state)),
        tuple(gradients),
        outputs,
        backward,
        features=tuple(x.shape[1:]),
        sizes=tuple(tuple(tensor.shape[name in rows :]) for name, tensor in tensors.items()),
        types=tuple(str(fake.dtype).removeprefix("torch.") for fake in fakes[: len(tensors)]),
    )
    return Captured(graph, signature)


def without_unused(captured: Captured) -> Captured:
    """Return a step without the operations that nothing comes of; what changes a tensor in place stays."""
    graph = captured.graph.graph
    for node in reversed(list(graph.nodes)):
        mutable = getattr(getattr(node.target, "_schema", None), "is_mutable", False)
        if node.op == "call_function" and not node.users and not mutable:
            graph.erase_node(node)
    captured.graph.recompile()
    return captured


def _with_gradients(
    results: Sequence[Tensor], primals: Sequence[Tensor], tangents: Sequence[Tensor], gradients: Sequence[bool]
) -> list[Tensor | None]:
    """Return the results of a step, then the gradients of what is given, `None` where none is wanted."""
    wanted = [primal for primal, needed in zip(primals, gradients, strict=True) if needed]
    outputs = [(result, tangent) for result, tangent in zip(results, tangents, strict=True) if result.requires_grad]
    found: Sequence[Tensor | None] = [None] * len(wanted)
    if wanted and outputs:
        found = torch.autograd.grad(
            [output for output, _ in outputs], wanted, [tangent for _, tangent in outputs], allow_unused=True
        )
    spread = iter(found)
    return [*results, *(next(spread) if needed else None for needed in gradients)]


class _Tracer:
    """Calls copies of a cell, each with the tensors that are given in the place of its own."""

    def __init__(self, cell: nn.Module, tensors: dict[str, Tensor], scope: Scope, spec: Any) -> None:
        self.cell, self.tensors, self.scope, self.spec = cell, list(tensors.values()), scope, spec

    def call(self, primals: Sequence[Tensor], *, watched: bool = False) -> list[Tensor]:
        """Run one step: the output and the leaves of the new state. A step that is `watched` must change nothing."""
        count = len(self.tensors)
        shell = shell_of(self.cell, dict(zip(map(id, self.tensors), primals[:count], strict=True)), self.scope.names)
        numbers = numbers_of(shell) if watched else {}
        before = settings_of(shell, self.scope, numbers) if watched else {}
        state = torch.utils._pytree.tree_unflatten(list(primals[count + 1 :]), self.spec)
        output, new_state = call_cell(shell, primals[count], state)
        if watched:
            after = settings_of(shell, self.scope, numbers)
            changed = [name for name in after.keys() | before.keys() if after.get(name) != before.get(name)]
            if changed:
                raise Unsupported(f"{min(changed)}, which every step changes")
        return [output, *leaves(new_state)]


class _Mode(FakeTensorMode):  # type: ignore[no-untyped-call]
    """Tensors without data, for a step of moderate size that does not walk over the rows of its batch."""

    def __init__(self, batch: int, most: int) -> None:
        super().__init__(allow_non_fake_inputs=False)
        self._batch, self._most, self._operations = batch, most, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operation on shapes alone."""
        self._operations += 1
        # from within a question such as where a tensor is, PyTorch lets no exception out: the process would end
        if self._operations > self._most and func.namespace == "aten":
            raise Unsupported(f"a step of more than {self._most:,} operations")
        if func is torch.ops.aten.unbind.int and self._batch == BATCH:
            axis = args[1] if len(args) > 1 else 0
            if args[0].shape[axis] % BATCH == 0:
                raise Unsupported("a step that walks over the rows of the batch")
        return super().__torch_dispatch__(func, types, args, kwargs or {})


@contextmanager
def _alone() -> Iterator[None]:
    """Let nothing of the caller's see the trace, or change it: modes, hooks on saved tensors, inference mode, logs."""
    plain = torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor, lambda tensor: tensor)
    log = logging.getLogger("torch._subclasses.fake_tensor")
    silent = log.disabled
    log.disabled = True  # an error here is the reason for the eager loop, and no error of the user's
    try:
        with _disable_current_modes(), torch.inference_mode(False), plain:
            yield
    finally:
        log.disabled = silent


def _options(locate: bool) -> dict[str, Any]:
    known = "record_stack_traces" in inspect.signature(make_fx).parameters
    return {"record_stack_traces": True} if locate and known else {}


_LIBRARIES = (str(Path(torch.__file__).parent), str(Path(__file__).parents[1]))


def _line_of(error: BaseException) -> str:
    """Return where in the user's code an error came from."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(_LIBRARIES)]
    return f" at {Path(frames[-1].filename).name}, line {frames[-1].lineno}: {frames[-1].line}" if frames else ""


def _fake(mode: FakeTensorMode, like: Tensor, shape: Sequence[int]) -> Tensor:
    # halves are how numbers are kept; what is computed is float32
    dtype = torch.float32 if like.dtype in (torch.bfloat16, torch.float16) else like.dtype
    with mode:
        return torch.empty(tuple(shape), dtype=dtype)


_ALSO = tuple(
    """
    native_group_norm _softmax _log_softmax gelu silu softplus elu leaky_relu hardtanh addcmul addcdiv lerp baddbmm
    mv _fused_rms_norm
    """.split()  # noqa: SIM905 - a list of words
)
"""Operations that are taken apart although PyTorch counts them among its core."""


@cache
def _decompositions() -> dict[Any, Any]:
    # the oldest PyTorch does not have all of them
    packets = [getattr(torch.ops.aten, name) for name in _ALSO if hasattr(torch.ops.aten, name)]
    table: dict[Any, Any] = dict(core_aten_decompositions())
    return table | torch._decomp.get_decompositions(packets)
