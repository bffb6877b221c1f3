"""What a program of jobs reads of plans: what is kept for the backward pass and where, and which sums gradients are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch

from ostinato.engine.backends.cpu import launch
from ostinato.engine.backends.cpu.jobs import LINE, Ref, Shape, Walk
from ostinato.engine.backends.cpu.kernels import size_of
from ostinato.engine.backends.cpu.layout import round_up
from ostinato.engine.plan.graph import Unsupported
from ostinato.engine.plan.plan import Factor

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
    if executable.half or executable.parallel or plan.signature.rows or executable._simple_constants is None:
        raise Unsupported("a plan whose constants are computed, or that has rows, halves or pieces")
    if any(kind != executable._name for kind in plan.signature.types):
        raise Unsupported("parameters of another type")
    if shape.threads > 1 and not launch.teams():
        raise Unsupported("threads that are Python's")


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
        if start not in ends and end not in dict(pairs) and ends.count(end) == 1 and not shape.ragged
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


def gradients_of(executable: CpuExecutable) -> list[tuple[int, int]]:
    """Return for each parameter whose gradient is wanted the number of the sum that it is.

    Raises:
        Unsupported: a gradient is computed from sums.
    """
    plan, formulas = executable.plan, executable.plan.weights
    assert formulas is not None
    count = len(plan.signature.parameters)
    first = formulas.given + len(formulas.tensors)
    found = []
    for index, (number, wanted) in enumerate(zip(formulas.wanted, plan.signature.gradients, strict=False)):
        if not wanted:
            continue
        while number is not None and number >= first:
            operation = formulas.operations[number - first]
            if operation.target not in (torch.ops.aten.view.default, torch.ops.aten.reshape.default):
                raise Unsupported("a gradient that is computed")
            number = operation.arguments[0].index
        if number is None or not count <= number < formulas.given:
            raise Unsupported("a gradient that is no sum")
        if math.prod(plan.contractions[number - count].shape) != math.prod(plan.signature.sizes[index]):
            raise Unsupported("a gradient that is spread")
        found.append((index, number - count))
    return found


def reads_sequences(executable: CpuExecutable, gradients: Sequence[tuple[int, int]]) -> bool:
    """Tell whether a gradient is a sum over the sequences themselves."""
    sums = [executable.plan.contractions[number].factors for _, number in gradients]
    return any(factor.kind == "x" for factors in sums if factors is not None for factor in factors)


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
