"""Programs that no state passes through, over all rows and steps at once.

Their products are PyTorch's, each with its bias in one call; what lies between products is one kernel of ours, of one
step and as many rows as there are rows and steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ostinato.engine.backends.triton.kernels import Kernel, Launch, launch, make_kernel
from ostinato.engine.backends.triton.phases import order
from ostinato.engine.backends.triton.prepare import prepare
from ostinato.engine.backends.triton.tiles import Tiling, largest_tile
from ostinato.engine.backends.triton.values import Form
from ostinato.engine.forks import lazy
from ostinato.engine.plan import graph as g
from ostinato.engine.plan.graph import Node
from ostinato.engine.plan.plan import Program, Sink

_MOST_ROWS = 16
_TILE = 4096
"""Numbers of one value that a program holds, in 128 threads."""
_WARPS = 4

Name = tuple[str, int]
"""Of an input, by kind and index; what a stage has made is of the kind `made`."""


@dataclass(frozen=True)
class Operand:
    """One side of a product: an input or a constant, and the views taken of it."""

    constant: int | None
    name: Name
    views: tuple[Node, ...]
    """From the source up."""

    def of(self, known: dict[Name, Tensor], constants: dict[int, Tensor]) -> Tensor:
        """Return its numbers."""
        value = known[self.name] if self.constant is None else constants[self.constant]
        for view in self.views:
            value = _view(view, value, value.dim() - len(view.inputs[0].shape))
        return value

    @staticmethod
    def base_of(node: Node) -> Node:
        """Return what a value is views of."""
        while node.op in g.VIEWS:
            node = node.inputs[0]
        return node


@dataclass(frozen=True)
class Product:
    """A sum of products with weights."""

    goal: Name
    pairs: tuple[tuple[Operand, Operand], ...]
    bias: Operand | None


@dataclass(frozen=True, eq=False)
class Between:
    """What is computed between products, row by row."""

    program: Program
    goals: tuple[Name, ...]
    """What the streams of the program are, in order."""
    operand: torch.dtype
    computed: torch.dtype

    @lazy
    def kernel(self) -> Kernel:
        """Its kernel: one program has whole rows, as many as its registers hold."""
        phases = order(prepare(self.program), 1)
        rows = _MOST_ROWS
        while rows > 1 and largest_tile(phases, Tiling(rows, 1, _WARPS)) > _TILE:
            rows //= 2
        computed, operand = (str(kind).removeprefix("torch.") for kind in (self.computed, self.operand))
        return make_kernel(phases, Form(Tiling(rows, 1, _WARPS), computed, operand, "ieee", False, "", False))

    def run(self, known: dict[Name, Tensor], constants: dict[int, Tensor], kinds: Sequence[torch.dtype]) -> None:
        """Add what is computed to what is known, in these types."""
        kernel = self.kernel
        like = next(iter(known.values()))
        outputs = {}
        for sink, goal, kind in zip(self.program.sinks, self.goals, kinds, strict=True):
            shape = (like.shape[0], *sink.node.shape)
            outputs[sink.index] = known[goal] = memory(sink.node)(shape, dtype=kind, device=like.device)
        inputs = {name: known[name][None] for name in kernel.source.inputs}
        read = {index: constants[index] for index in kernel.source.constants}
        launch([kernel], Launch(inputs, read, outputs, (), (), (), None, None, 0, 1, like.shape[0], like.device), 1)


def memory(node: Node) -> Callable[..., Tensor]:
    """Return what makes the memory of a stream: with zeros where nothing is put together."""
    whole = node.op != "cat" or sum(part.size for part in node.inputs) == node.size
    return torch.empty if whole else torch.zeros


class Batched:
    """A program, divided into products and what lies between them.

    Args:
        program: what is done for each row.
        operand: the type of both sides of products, and of what they give.
        computed: the type of what lies between.
        stored: the type of what the program gives, if that is not a product's.
    """

    def __init__(
        self, program: Program, operand: torch.dtype, computed: torch.dtype, stored: torch.dtype | None = None
    ) -> None:
        self.operand, self.computed, self.stored = operand, computed, stored or computed
        nodes = g.topological(sink.node for sink in program.sinks)
        self.inputs: list[Name] = [node.attr for node in nodes if node.op == "input"]
        self.constants = {node.attr[0] for node in nodes if node.op == "const"}
        self._numbers = {node: index for index, node in enumerate(nodes)}
        self.sinks = [self._operand(sink.node) for sink in program.sinks]
        stage = _stages(nodes)
        last = [Operand.base_of(sink.node) for sink in program.sinks]
        used = _read_later(nodes, stage, last)
        self.stages: list[list[Product] | Between] = []
        known: dict[Node, Node] = {}
        for number in range(1 + max(stage.values(), default=0)):
            members = [node for node in nodes if stage.get(node) == number and node.op not in g.VIEWS]
            if members:
                self.stages.append(self._products(members) if number % 2 else self._between(members, used, known))
            for node in members:
                known[node] = Node("input", (), node.shape, self._name(node), node.boolean)
        self._last = {self._name(node) for node in last}

    def read_by_kernels(self) -> set[int]:
        """Return the constants that kernels read, which must be dense."""
        programs = [stage.program for stage in self.stages if isinstance(stage, Between)]
        nodes = g.topological(sink.node for program in programs for sink in program.sinks)
        return {node.attr[0] for node in nodes if node.op == "const"}

    def run(self, inputs: dict[Name, Tensor], constants: dict[int, Tensor]) -> list[Tensor]:
        """Return the streams of the program, `(time, batch, ...)`, in the order of its sinks.

        Args:
            inputs: `(time, batch, ...)` each.
            constants: of the plan, those that are read.
        """
        given = {name: inputs[name] for name in self.inputs}
        time, batch = next(iter(given.values())).shape[:2]
        turned = _are_turned(given.values())
        if turned:  # one sequence after the other in memory
            given = {name: value.transpose(0, 1) for name, value in given.items()}
        known = {name: value.flatten(0, 1) for name, value in given.items()}
        for stage in self.stages:
            if isinstance(stage, Between):
                stage.run(
                    known, constants, [self.stored if goal in self._last else self.computed for goal in stage.goals]
                )
                continue
            for product in stage:
                known[product.goal] = self._multiplied(product, known, constants)
        lead = (batch, time) if turned else (time, batch)
        whole = [value.reshape(*lead, *value.shape[1:]) for value in (sink.of(known, constants) for sink in self.sinks)]
        return [value.transpose(0, 1) for value in whole] if turned else whole

    def _name(self, node: Node) -> Name:
        name: Name = node.attr if node.op == "input" else ("made", self._numbers[node])
        return name

    def _operand(self, node: Node) -> Operand:
        views: list[Node] = []
        while node.op in g.VIEWS:
            views.append(node)
            node = node.inputs[0]
        constant = node.attr[0] if node.op == "const" else None
        return Operand(constant, self._name(node), tuple(reversed(views)))

    def _products(self, nodes: Sequence[Node]) -> list[Product]:
        found = []
        for node in nodes:
            pairs = len(node.inputs) - node.attr[0]
            sides = [self._operand(child) for child in node.inputs]
            both = tuple(zip(sides[:pairs:2], sides[1:pairs:2], strict=True))
            found.append(Product(self._name(node), both, sides[-1] if node.attr[0] else None))
        return found

    def _between(self, nodes: Sequence[Node], used: set[Node], known: dict[Node, Node]) -> Between:
        made = tuple(node for node in nodes if node in used)
        new = dict(known)
        for node in g.topological(made):
            if node not in new:
                new[node] = g.with_inputs(node, tuple(new[child] for child in node.inputs))
        sinks = tuple(Sink("stream", index, new[node]) for index, node in enumerate(made))
        return Between(Program(sinks, ()), tuple(map(self._name, made)), self.operand, self.computed)

    def _multiplied(self, product: Product, known: dict[Name, Tensor], constants: dict[int, Tensor]) -> Tensor:
        """Return a sum of products, its bias added before it is rounded."""
        kind = self.operand
        total = None if product.bias is None else product.bias.of(known, constants).to(kind)
        for row, matrix in product.pairs:
            left, right = row.of(known, constants).to(kind), matrix.of(known, constants).to(kind)
            if left.dim() > 2:
                total = _by_heads(left, right, total)
            else:
                total = torch.mm(left, right) if total is None else torch.addmm(total, left, right)
        assert total is not None
        return total


def _are_turned(values: Any) -> bool:
    return all(not value.is_contiguous() and value.transpose(0, 1).is_contiguous() for value in values)


def _stages(nodes: Sequence[Node]) -> dict[Node, int]:
    """Return when each value is made: products at odd stages, the rest at even ones; sources at none."""
    found: dict[Node, int] = {}
    for node in nodes:
        before = [found[child] for child in node.inputs if child in found]
        if node.op in g.VIEWS:
            found |= {node: before[0]} if before else {}
        elif node.op == "matmul":
            found[node] = max((stage + 1 + stage % 2 for stage in before), default=1)
        elif node.op not in g.SOURCES:
            found[node] = max((stage + stage % 2 for stage in before), default=0)
    return found


def _read_later(nodes: Sequence[Node], stage: dict[Node, int], last: Sequence[Node]) -> set[Node]:
    """Return the values that are read at a later stage than their own, or at the end."""
    found = set(last)
    for node in nodes:
        if node.op not in g.VIEWS:
            bases = [Operand.base_of(child) for child in node.inputs]
            found |= {base for base in bases if base in stage and stage[base] != stage[node]}
    return found


def _by_heads(left: Tensor, right: Tensor, total: Tensor | None) -> Tensor:
    """Return the products of `(rows, heads, k)` with `(heads, k, n)`, the heads of a row one after the other."""
    found = left.new_empty((*left.shape[:2], right.shape[2]))
    torch.bmm(left.transpose(0, 1), right, out=found.transpose(0, 1))
    return found if total is None else found.add_(total)


def _view(view: Node, value: Tensor, lead: int) -> Tensor:
    child = view.inputs[0]
    if view.op == "slice":
        axis, start = view.attr
        return value.narrow(axis + lead, start, view.shape[axis])
    if view.op == "permute":
        return value.permute(*range(lead), *(axis + lead for axis in view.attr))
    if view.op == "reshape":
        return value.reshape(*value.shape[:lead], *view.shape)
    missing = len(view.shape) - len(child.shape)
    aligned = value.reshape(*value.shape[:lead], *[1] * missing, *child.shape)
    return aligned.expand(*value.shape[:lead], *view.shape)
