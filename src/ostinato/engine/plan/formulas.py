"""What is computed once a call, outside of all steps: constants from parameters, gradients from sums. As data.

The operations are PyTorch's, each with its arguments: values that were given or computed before, numbers, types.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from ostinato.engine.forks import lazy

_SHORT = {
    torch.ops.aten.permute.default: torch.permute,
    torch.ops.aten.t.default: torch.t,
    torch.ops.aten.transpose.int: torch.transpose,
    torch.ops.aten.view.default: Tensor.view,
}
"""Functions of PyTorch that are called in half the time of the operations that they come to."""


@dataclass(frozen=True)
class Value:
    """A value by its number: what is given comes first, then the tensors held, then the results of operations."""

    index: int


@dataclass(frozen=True)
class Operation:
    """One operation of PyTorch on values; an argument may be a list of arguments."""

    target: Any
    arguments: tuple[Any, ...]
    named: tuple[tuple[str, Any], ...] = ()

    @property
    def name(self) -> str:
        """The operation's name, such as `aten.mul.Tensor`."""
        return "getitem" if self.target is operator.getitem else str(self.target)

    @property
    def changes(self) -> bool:
        """Whether it changes what it is given."""
        schema = getattr(self.target, "_schema", None)
        return schema is not None and bool(schema.is_mutable)


@dataclass(frozen=True, eq=False)
class Formulas:
    """Operations in order, from what is given to what is wanted."""

    given: int
    """How many tensors are given."""
    tensors: tuple[Tensor, ...]
    """Those that the cell's code holds itself."""
    operations: tuple[Operation, ...]
    wanted: tuple[int | None, ...]
    """Numbers of the values that are returned; none where there is none."""

    @lazy
    def run(self) -> Callable[..., list[Any]]:
        """The operations as one function of what is given."""
        graph = fx.Graph()
        values: list[Any] = [graph.placeholder(f"given_{index}") for index in range(self.given)]
        values += [graph.get_attr(f"tensor_{index}") for index in range(len(self.tensors))]
        needed = self._needed(None)
        changing = any(operation.changes for operation in self.operations)
        for operation in self.operations:
            if len(values) not in needed and not changing:
                values.append(None)
                continue
            arguments = filled(operation.arguments, values)
            target: Any = _SHORT.get(operation.target, operation.target)
            values.append(graph.call_function(target, arguments, dict(filled(operation.named, values))))
        graph.output([None if index is None else values[index] for index in self.wanted])
        held = torch.nn.Module()
        for index, tensor in enumerate(self.tensors):
            held.register_buffer(f"tensor_{index}", tensor)
        function: Callable[..., list[Any]] = fx.GraphModule(held, graph).forward
        return function

    @lazy
    def _placed(self) -> dict[torch.device, Formulas]:
        return {}

    def on(self, device: torch.device) -> Formulas:
        """Return the same, with what it makes itself on a device; it was traced on the CPU."""
        if device.type == "cpu":
            return self
        if device not in self._placed:
            operations = tuple(
                Operation(each.target, each.arguments, tuple((key, device if key == "device" else value)
                                                             for key, value in each.named))
                for each in self.operations
            )  # fmt: skip
            tensors = tuple(tensor.to(device) for tensor in self.tensors)
            self._placed[device] = Formulas(self.given, tensors, operations, self.wanted)
        return self._placed[device]

    def behind(self, wanted: set[int] | None) -> set[int]:
        """Return which of the given tensors some of the wanted values are computed from, or all of them."""
        return {value for value in self._needed(wanted) if value < self.given}

    def only(self, wanted: set[int]) -> Formulas:
        """Return what gives some of the wanted values, and none in the places of the others."""
        kept = tuple(value if place in wanted else None for place, value in enumerate(self.wanted))
        return Formulas(self.given, self.tensors, self.operations, kept)

    def is_view(self, place: int) -> bool:
        """Tell whether a wanted value is a given tensor seen in another way."""
        value = self.wanted[place]
        while value is not None and value >= self.given + len(self.tensors):
            operation = self.operations[value - self.given - len(self.tensors)]
            behind = values_in((operation.arguments, operation.named))
            if len(behind) != 1 or not getattr(operation.target, "is_view", False):
                return False
            value = behind[0]
        return value is not None and value < self.given

    def _needed(self, wanted: set[int] | None) -> set[int]:
        """Return the numbers of all values that some of the wanted ones, or all, are computed from."""
        first = self.given + len(self.tensors)
        found: set[int] = set()
        stack = [value for place, value in enumerate(self.wanted) if wanted is None or place in wanted]
        while stack:
            value = stack.pop()
            if value is not None and value not in found:
                found.add(value)
                if value >= first:
                    operation = self.operations[value - first]
                    stack += values_in((operation.arguments, operation.named))
        return found


def run_graph(formulas: Formulas, values: Sequence[Tensor]) -> list[Any]:
    """Compute without recording gradients."""
    with torch.no_grad():
        return formulas.run(*values)


def filled(argument: Any, values: Sequence[Any]) -> Any:
    """Return an argument with values in the places of their numbers."""
    if isinstance(argument, Value):
        return values[argument.index]
    if isinstance(argument, tuple):
        return tuple(filled(part, values) for part in argument)
    return [filled(part, values) for part in argument] if isinstance(argument, list) else argument


def values_in(argument: Any) -> list[int]:
    """Return the numbers of the values in an argument."""
    if isinstance(argument, Value):
        return [argument.index]
    return [index for part in argument for index in values_in(part)] if isinstance(argument, (tuple, list)) else []
