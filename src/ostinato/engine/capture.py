"""Capture: one step of a cell and its vector-Jacobian product, traced by PyTorch into one flat graph.

The trace is made on tensors without data, so its cost does not depend on sizes, and with a batch of a size that
nothing else in the graph has, so that the batch can be told from the features wherever it goes.
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch._decomp import core_aten_decompositions
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

from ostinato.engine.graph import Unsupported
from ostinato.engine.state import State, call_cell, leaves

# prime, and larger than any feature dimension: no product of feature sizes is a multiple of it
BATCH = 1000003


@dataclass(frozen=True)
class Signature:
    """What a captured step takes and gives; the placeholders of its graph stand in this order."""

    parameters: tuple[str, ...]
    """All tensors of the cell, by name."""
    rows: tuple[str, ...]
    """Those of them that have one row for each sequence of the batch, such as a dropout mask that lasts."""
    states: int
    gradients: tuple[bool, ...]
    """For each of parameters, x, states: whether a gradient is wanted."""
    outputs: tuple[tuple[int, ...], ...]
    """Feature shapes of the output and the new states."""
    backward: bool


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
    rows: Sequence[str] = (),
    locate: bool = False,
) -> Captured:
    """Trace one step of a cell.

    Args:
        cell: the cell; it is called a few times on tensors without data.
        x: one step `(batch, ...)` whose features and dtype are taken; the batch is not.
        state: a state likewise.
        tensors: the parameters, buffers and plain tensors of the cell by name.
        gradients: whether a gradient is wanted, for each of `tensors`, `x` and the leaves of `state`.
        backward: whether the vector-Jacobian product is traced as well.
        rows: the tensors that have the batch first.
        locate: whether the line of the cell is kept for each operation; it costs time.

    Raises:
        Unsupported: PyTorch cannot trace the cell, for instance because it branches on values.
    """
    mode = FakeTensorMode(allow_non_fake_inputs=False)
    spec = torch.utils._pytree.tree_flatten(state)[1]
    names = tuple(tensors)
    fakes = [
        _fake(mode, tensors[name], (BATCH, *tensors[name].shape[1:]) if name in rows else tensors[name].shape)
        for name in names
    ]
    fakes.append(_fake(mode, x, (BATCH, *x.shape[1:])))
    fakes += [_fake(mode, leaf, (BATCH, *leaf.shape[1:])) for leaf in leaves(state)]
    shapes: list[tuple[int, ...]] = []

    def step(primals: list[Tensor], tangents: list[Tensor]) -> list[Tensor | None]:
        results = _call(cell, names, primals, spec)
        if not backward:
            return list(results)
        wanted = [primal for primal, needed in zip(primals, gradients, strict=True) if needed]
        outputs = [(result, tangent) for result, tangent in zip(results, tangents, strict=True) if result.requires_grad]
        grads: list[Tensor | None] = [None] * len(wanted)
        if wanted and outputs:
            found = torch.autograd.grad(
                [output for output, _ in outputs], wanted, [tangent for _, tangent in outputs], allow_unused=True
            )
            grads = list(found)
        spread = iter(grads)
        return [*results, *(next(spread) if needed else None for needed in gradients)]

    plain = torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor, lambda tensor: tensor)
    try:
        # the user's own hooks are not for tensors without data
        with mode, plain:
            for fake, needed in zip(fakes, gradients, strict=True):
                fake.requires_grad_(needed and backward)
            with torch.set_grad_enabled(backward):
                probe = _call(cell, names, fakes, spec)
            shapes = [tuple(result.shape) for result in probe]
            if any(not shape or shape[0] != BATCH for shape in shapes):
                raise Unsupported("the cell's output or state does not have the batch first")
            tangents = [torch.empty(shape, dtype=like.dtype) for shape, like in zip(shapes, probe, strict=True)]
            with torch.set_grad_enabled(backward):
                traced = make_fx(step, decomposition_table=_decompositions(), **_options(locate))
                graph = traced(fakes, tangents if backward else [])
    except Unsupported:
        raise
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0][:200]
        raise Unsupported(f"it cannot be traced{_line_of(error)} ({type(error).__name__}: {reason})") from error
    signature = Signature(
        names, tuple(rows), len(leaves(state)), tuple(gradients), tuple(shape[1:] for shape in shapes), backward
    )  # fmt: skip
    return Captured(graph, signature)


def _call(cell: nn.Module, names: tuple[str, ...], primals: Sequence[Tensor], spec: Any) -> list[Tensor]:
    count = len(names)
    state = torch.utils._pytree.tree_unflatten(list(primals[count + 1 :]), spec)
    bound = _Bound(cell, dict(zip(names, primals[:count], strict=True)))
    output, new_state = call_cell(bound, primals[count], state)
    return [output, *leaves(new_state)]


class _Bound(nn.Module):
    """The cell with other tensors in the place of its own, while it is called."""

    def __init__(self, cell: nn.Module, tensors: dict[str, Tensor]) -> None:
        super().__init__()
        # kept out of the module tree: the cell is not a part of this
        self.__dict__["_cell"], self.__dict__["_tensors"] = cell, tensors

    def forward(self, x: Tensor, state: State) -> Any:
        """Call the cell."""
        cell: nn.Module = self.__dict__["_cell"]
        tensors: dict[str, Tensor] = self.__dict__["_tensors"]
        new = {id(_own(cell, name)): tensor for name, tensor in tensors.items()}
        # each place once: a module may be there under several names, a tensor in several modules. PyTorch's
        # functional_call puts back the wrong tensors into a module that has two names.
        places: list[tuple[dict[str, Any], str, Tensor]] = [
            (table, name, value)
            for module in cell.modules()
            for table in (module._parameters, module._buffers, module.__dict__)
            for name, value in table.items()
            if isinstance(value, Tensor) and id(value) in new
        ]
        try:
            for table, name, value in places:
                table[name] = new[id(value)]
            return cell(x, state)
        finally:
            for table, name, value in places:
                table[name] = value


def _own(cell: nn.Module, name: str) -> Tensor:
    path, _, attribute = name.rpartition(".")
    tensor: Tensor = getattr(cell.get_submodule(path), attribute)
    return tensor


def _options(locate: bool) -> dict[str, Any]:
    known = "record_stack_traces" in inspect.signature(make_fx).parameters
    return {"record_stack_traces": True} if locate and known else {}


_LIBRARIES = (str(Path(torch.__file__).parent), str(Path(__file__).parent))


def _line_of(error: BaseException) -> str:
    """Return where in the user's code an error came from."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(_LIBRARIES)]
    return f" at {Path(frames[-1].filename).name}, line {frames[-1].lineno}: {frames[-1].line}" if frames else ""


def _fake(mode: FakeTensorMode, like: Tensor, shape: Sequence[int]) -> Tensor:
    # bfloat16 is how numbers are kept; what is computed is float32
    dtype = torch.float32 if like.dtype is torch.bfloat16 else like.dtype
    with mode:
        return torch.empty(tuple(shape), dtype=dtype)


_DECOMPOSED = (
    "native_group_norm",
    "_softmax",
    "_log_softmax",
    "gelu",
    "silu",
    "softplus",
    "elu",
    "leaky_relu",
    "hardtanh",
    "addcmul",
    "addcdiv",
    "lerp",
    "baddbmm",
    "mv",
    "_fused_rms_norm",
)
"""Operators that are taken apart, besides those that PyTorch takes apart by itself."""


def _decompositions() -> dict[Any, Any]:
    table: dict[Any, Any] = dict(core_aten_decompositions())
    # by name: older versions of PyTorch do not have them all
    known = [getattr(torch.ops.aten, name) for name in _DECOMPOSED if hasattr(torch.ops.aten, name)]
    extra = torch._decomp.get_decompositions(known)
    table.update(extra)
    return table
