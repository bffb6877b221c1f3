"""What happens within a recurrent part: each layer and direction as one cell with the states that it went through."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree
from torch.utils._python_dispatch import TorchDispatchMode

from ostinato.diagnosis.stages import Call, Stage
from ostinato.engine import call_cell
from ostinato.nn import Recurrent, from_torch

_ROWS = 64  # of a batch that are looked into
_GATES = {
    # in the order in which their equations ask for them
    "LSTMCell": ("forget", "input", "output"),
    "LayerNormLSTMCell": ("forget", "input", "output"),
    "PeepholeLSTMCell": ("forget", "input", "output"),
    "ProjectedLSTMCell": ("forget", "input", "output"),
    "GRUCell": ("reset", "update"),
    "GRUResetBeforeCell": ("reset", "update"),
}


@dataclass(frozen=True)
class Walk:
    """One cell over one sequence, in the order in which it walked it.

    Args:
        name: of the layer and direction; cell: a cell in the sense of `ostinato.scan`.
        xs: `(time, batch, ...)`; states: those before each step, each tensor `(time, batch, ...)`.
        nesting: how the tensors of a state are nested.
        ys: outputs, `(time, batch, units)`; after: states after each step, their tensors flat, `(time, batch, n)`.
        real: `(time, batch)`, which steps are no padding.
        gates: by name, `(time, batch, units)`: what a sigmoid gave within the cell.
        reverse: whether it walked from the end.
    """

    name: str
    cell: nn.Module
    xs: Tensor
    states: list[Tensor]
    nesting: Any
    ys: Tensor
    after: list[Tensor]
    real: Tensor
    gates: dict[str, Tensor]
    reverse: bool = False


def walks_of(stage: Stage) -> list[Walk]:
    """Return each layer and direction of a recurrent part, of some rows of the batch."""
    with torch.no_grad():
        if not stage.is_layer:
            cell = stage.module
            if isinstance(cell, (nn.RNNCell, nn.LSTMCell, nn.GRUCell)):
                cell = from_torch(cell)
            walk = _walk(stage.name or type(stage.module).__name__, cell, stage.calls, stage.lengths, reverse=False)
            return [walk]
        stack = from_torch(stage.module) if isinstance(stage.module, nn.RNNBase) else stage.module
        assert isinstance(stack, Recurrent)
        return list(_of_stack(stage, stack))


def _of_stack(stage: Stage, stack: Recurrent) -> Iterator[Walk]:
    xs, lengths = stage.xs[:, :_ROWS], stage.lengths[:_ROWS]
    calls: dict[int, list[Call]] = {}
    handles = []
    for cell in dict.fromkeys(stack.cells):
        kept = calls.setdefault(id(cell), [])
        handles.append(cell.register_forward_hook(_keep(kept), with_kwargs=True))
    try:
        with torch.random.fork_rng(devices=[]):
            stack(xs.transpose(0, 1) if stack.batch_first else xs, _start(stage), lengths=lengths)
    finally:
        for handle in handles:
            handle.remove()
    ways = 2 if stack.bidirectional else 1
    seen: dict[int, int] = {}
    for place, cell in enumerate(stack.cells):
        # tied layers are one cell; and an initial state may be found by a step or two before
        mine, runs = calls[id(cell)], sum(each is cell for each in stack.cells)
        skipped = len(mine) - runs * len(xs)
        start = skipped + seen.get(id(cell), 0) * len(xs)
        seen[id(cell)] = seen.get(id(cell), 0) + 1
        layer, way = divmod(place, ways)
        name = stage.name or type(stage.module).__name__
        name += f", layer {layer + 1}" if len(stack.cells) > ways else ""
        name += ", backward" if way else ", forward" if ways == 2 else ""
        yield _walk(name, cell, mine[start : start + len(xs)], lengths, reverse=way == 1)


def _start(stage: Stage) -> Any:
    """Return the state that a layer was given first, as a stack takes it; `None`: none was given."""
    given = _state_of(stage.calls[0])
    if given is None:
        return None
    if not isinstance(stage.module, nn.RNNBase):
        return _pytree.tree_map_only(Tensor, lambda leaf: leaf[:_ROWS], given)
    parts = given if isinstance(given, (tuple, list)) else (given,)
    rows = [each if each.dim() == 3 else each[:, None] for each in parts]
    layers = zip(*(each[:, :_ROWS].unbind(0) for each in rows), strict=True)
    return tuple(layer if len(layer) > 1 else layer[0] for layer in layers)


def _keep(kept: list[Call]) -> Any:
    def after(_cell: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        kept.append(Call(args, kwargs, output, len(kept)))

    return after


def _walk(name: str, cell: nn.Module, calls: list[Call], lengths: Tensor, *, reverse: bool) -> Walk:
    given = [call.given if call.given.dim() > 1 else call.given[None] for call in calls]
    xs = torch.stack(given)[:, :_ROWS].detach()
    example = next((each for call in calls if (each := _state_of(call)) is not None), None)
    leaves, nesting = _pytree.tree_flatten(example)
    steps, rows = xs.shape[:2]
    states = []
    for place, leaf in enumerate(leaves):
        zeros = torch.zeros_like(leaf)
        row = [call.state_in[place] if call.state_in else zeros for call in calls]
        stacked = torch.stack(row).detach()
        states.append(stacked.reshape(steps, -1, *leaf.shape[1:] if leaf.dim() > 1 else leaf.shape)[:, :rows])
    ys, after, gates = _all_steps(cell, xs, states, nesting)
    places = torch.arange(steps, device=xs.device)[:, None]
    real = places < lengths[:rows] if not reverse else places >= steps - lengths[:rows]
    return Walk(name, cell, xs, states, nesting, ys, after, real, _named(cell, gates), reverse)


def _state_of(call: Call) -> Any:
    return call.args[1] if len(call.args) > 1 else call.kwargs.get("hx", call.kwargs.get("state"))


def _all_steps(
    cell: nn.Module, xs: Tensor, states: list[Tensor], nesting: Any
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Run a cell over all steps at once, as rows of one batch: their states are known."""
    steps, rows = xs.shape[:2]
    state = _pytree.tree_unflatten([each.flatten(0, 1) for each in states], nesting)
    with _Sigmoids() as seen:
        ys, new = call_cell(cell, xs.flatten(0, 1), state)
    after = [leaf.reshape(steps, rows, -1) for leaf in _pytree.tree_leaves(new)]
    gates = [each.reshape(steps, rows, -1) for each in seen.values if each.shape[:1] == (steps * rows,)]
    return ys.reshape(steps, rows, -1), after, gates


class _Sigmoids(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Keeps what sigmoids give: gates, whoever wrote the cell."""

    _OF = (torch.ops.aten.sigmoid, torch.ops.aten.sigmoid_, torch.ops.aten.hardsigmoid, torch.ops.aten.hardsigmoid_)

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.values: list[Tensor] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation; keep its result if it is a sigmoid."""
        result = func(*args, **(kwargs or {}))
        if func.overloadpacket in self._OF:
            self.values.append(result.detach().clone())
        return result


def _named(cell: nn.Module, gates: list[Tensor]) -> dict[str, Tensor]:
    names = _GATES.get(type(cell).__name__, ())
    if len(names) != len(gates):
        names = tuple(f"{place + 1}" for place in range(len(gates))) if len(gates) > 1 else ("",)
    return {f"{name} gate".strip(): gate for name, gate in zip(names, gates, strict=False)}


def step_of(walk: Walk, x: Tensor, leaves: list[Tensor]) -> Tensor:
    """Return the new state of a cell, flat, `(rows, n)`."""
    _, new = call_cell(walk.cell, x, _pytree.tree_unflatten(leaves, walk.nesting))
    return torch.cat([leaf.flatten(1) for leaf in _pytree.tree_leaves(new)], -1)
