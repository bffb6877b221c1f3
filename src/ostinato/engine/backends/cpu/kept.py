"""What a program of jobs reads of plans: what is kept for the backward pass and where, constants, factors of sums."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch

from ostinato.engine.backends.cpu import launch
from ostinato.engine.backends.cpu.assembled import Sum
from ostinato.engine.backends.cpu.jobs import LINE, Ref, Shape, Walk
from ostinato.engine.backends.cpu.kernels import size_of
from ostinato.engine.backends.cpu.layout import round_up
from ostinato.engine.plan.formulas import run_graph
from ostinato.engine.plan.graph import Unsupported
from ostinato.engine.plan.plan import Factor
from ostinato.engine.plan.views import contiguous

if TYPE_CHECKING:
    from ostinato.engine.backends.cpu.executable import CpuExecutable

Layers = Sequence[Sequence[Walk]]
"""Layers, the first one first, each walked in one direction or in both."""


def check(executable: CpuExecutable, shape: Shape) -> None:
    """Refuse a plan that only the longer way knows.

    Raises:
        Unsupported: that is so.
    """
    plan = executable.plan
    if executable.half or executable.parallel:
        raise Unsupported("a plan of halves or in pieces")
    if any(kind != executable._name for kind in plan.signature.types):
        raise Unsupported("parameters of another type")
    if shape.threads > 1 and not launch.teams():
        raise Unsupported("threads that are Python's")


class Constant(NamedTuple):
    """A constant of a plan: where in the memory of which parameter, in numbers."""

    parameter: int
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def in_order(self) -> bool:
        """Tell whether its numbers lie one after the other."""
        return self.strides == tuple(contiguous(self.shape))


def constants_of(executable: CpuExecutable) -> list[Constant]:
    """Return where the constants of a plan lie: views of parameters, found on tensors without data.

    Raises:
        Unsupported: one is computed.
    """
    plan = executable.plan
    parameters = [torch.empty(size, device="meta", dtype=executable.dtype) for size in plan.signature.sizes]
    numbers = {tensor.untyped_storage()._cdata: index for index, tensor in enumerate(parameters)}
    try:
        values = run_graph(plan.constants, parameters)
    except (RuntimeError, TypeError, ValueError) as error:  # it computes with numbers, which these do not have
        raise Unsupported("a plan whose constants are computed") from error
    found = []
    for value in values:
        number = None if value is None else numbers.get(value.untyped_storage()._cdata)
        if value is None or number is None or value.dtype is not executable.dtype:
            raise Unsupported("a plan whose constants are computed")
        found.append(Constant(number, value.storage_offset(), tuple(value.shape), value.stride()))
    return found


def rows_of_sequences(walk: Walk) -> list[tuple[int, int]]:
    """Return the parameters that have a row for each sequence: the number of each, and how many numbers a row has."""
    signature = walk.executable.plan.signature
    found = [signature.parameters.index(name) for name in signature.rows]
    return [(walk.first + index, math.prod(signature.sizes[index])) for index in found]


def width_of(layer: Sequence[Walk]) -> int:
    """Return how many numbers a layer gives for a row and step."""
    return sum(math.prod(walk.executable.plan.outputs[0]) for walk in layer)


class Kept(NamedTuple):
    """Where, in one piece of memory, everything lies that the backward pass reads; all counts are of numbers."""

    size: int
    streams: list[list[int]]
    """For each walk, where each of its streams starts."""
    between: list[int]
    """For each layer but the last, where its outputs start."""


def kept_of(layers: Layers, shape: Shape) -> Kept:
    """Lay out what is kept."""
    size, streams, between = 0, [], []
    for number, layer in enumerate(layers):
        for walk in layer:
            taken, places = _places(walk, shape)
            streams.append([size + place for place in places])
            size += taken
        if number + 1 < len(layers):
            between.append(size)
            size += round_up(shape.steps * shape.batch * width_of(layer), LINE // size_of(layer[0].executable._name))
    return Kept(size, streams, between)


def _places(walk: Walk, shape: Shape) -> tuple[int, list[int]]:
    """Return how many numbers all that a walk keeps takes, and where each stream of it starts.

    Where a state is kept at both ends of every step, one stream holds both: a step's start is the end of another.
    """
    executable, (steps, batch, *_) = walk.executable, shape
    line, total = LINE // size_of(executable._name), 0
    saved = executable.plan.saved
    pairs = [(start, end) for start, (end, _) in executable._followed.items() if end is not None]
    ends = [end for _, end in pairs]
    # states that are handed from one to the next have streams of their own; so has all where rows end of themselves
    followed = {
        start: end
        for start, end in pairs
        if start not in ends
        and end not in dict(pairs)
        and ends.count(end) == 1
        and not shape.ragged
        and not shape.resets
    }
    places: list[int | None] = [None] * len(saved)
    for index, node in enumerate(saved):
        if places[index] is not None or index in followed.values():
            continue
        ahead = batch * node.size if index in followed else 0
        places[index] = total + (ahead if walk.reverse else 0)
        if index in followed:
            places[followed[index]] = total + (0 if walk.reverse else ahead)
        total += round_up(steps * batch * node.size + ahead, line)
    return total, [place if place is not None else 0 for place in places]


def reads_sequences(executable: CpuExecutable, gradients: Sequence[Sequence[Sum]]) -> bool:
    """Tell whether a gradient is a sum over the sequences themselves."""
    factors = [executable.plan.contractions[part.number].factors for parts in gradients for part in parts]
    return any(factor.kind == "x" for pair in factors if pair is not None for factor in pair)


def factor_of(executable: CpuExecutable, factor: Factor, source: Ref, size: int) -> tuple[Ref, int, int]:
    """Return where a factor's numbers are, how many a row has, and how far rows lie apart.

    Raises:
        Unsupported: it has several axes, or a row for each sequence.
    """
    plan = executable.plan
    if factor.kind == "x":
        shape: Sequence[int] = plan.signature.features
        if factor.index:
            raise Unsupported("a factor with a row for each sequence")
    elif factor.kind == "saved":
        shape = plan.saved[factor.index].shape
    else:
        assert plan.backward is not None
        shape = next(sink.node.shape for sink in plan.backward.of("stream") if sink.index == factor.index)
    stride, offset = math.prod(shape), 0
    for view in factor.views:
        if view.op == "slice" and len(shape) == 1:
            offset += view.attr[1]
        elif view.op != "reshape":
            raise Unsupported("a factor that is a view with several axes")
        shape = view.shape
    if len(shape) != 1:
        raise Unsupported("a factor with several axes")
    return source.plus(offset * size), shape[0], stride
