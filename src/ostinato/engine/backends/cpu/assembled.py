"""Gradients of parameters as sums over rows and steps that are put side by side: where in a gradient each sum goes.

The formulas of a plan may view sums, concatenate them, or set them into zeros and add these: of all that, only the
places are left, so that a program writes each sum straight into the gradient.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from ostinato.engine.plan.formulas import Formulas, Operation, Value
from ostinato.engine.plan.graph import Unsupported

if TYPE_CHECKING:
    from ostinato.engine.backends.cpu.executable import CpuExecutable

_aten = torch.ops.aten
_VIEWS = (_aten.view.default, _aten.reshape.default, _aten._unsafe_view.default)


class Sum(NamedTuple):
    """A sum over rows and steps that is a gradient, or a part of one; counts are of numbers."""

    parameter: int
    number: int
    """Of the contraction."""
    offset: int
    """Where it starts in the gradient."""
    stride: int
    """How far its rows lie apart there."""


class _Block(NamedTuple):
    """A sum within a value, whose numbers lie one after the other."""

    number: int
    offset: int
    stride: int
    rows: int
    cols: int

    def beside(self, width: int, total: int, ahead: int) -> _Block:
        """Return it where rows of `width` numbers become parts of rows of `total`, `ahead` numbers before them.

        Raises:
            Unsupported: its rows are not parts of those rows.
        """
        row, col = divmod(self.offset, width)
        if col + self.cols > width or (self.rows > 1 and self.stride % width):
            raise Unsupported("a gradient of parts whose rows are others")
        stride = total * (self.stride // width) if self.rows > 1 else total
        return self._replace(offset=row * total + ahead + col, stride=stride)

    def places(self) -> Any:
        """Return where its numbers are."""
        return self.offset + np.arange(self.rows)[:, None] * self.stride + np.arange(self.cols)


class _Parts(NamedTuple):
    """A value of the formulas: its shape, and the sums in it; what no sum covers is zero."""

    shape: tuple[int, ...]
    blocks: tuple[_Block, ...]


def gradients_of(executable: CpuExecutable) -> list[list[Sum]]:
    """Return for each parameter whose gradient is wanted the sums that it is made of.

    Raises:
        Unsupported: a gradient is computed from sums otherwise than by putting them side by side.
    """
    plan, formulas = executable.plan, executable.plan.weights
    assert formulas is not None
    reader = _Reader(executable, formulas)
    found = []
    for index, (number, wanted) in enumerate(zip(formulas.wanted, plan.signature.gradients, strict=False)):
        if not wanted:
            continue
        if plan.signature.parameters[index] in plan.signature.rows:
            raise Unsupported("a gradient with a row for each sequence")
        if number is None:
            raise Unsupported("a gradient that is no sum")
        blocks = reader.read(number).blocks
        _check_whole(blocks, math.prod(plan.signature.sizes[index]))
        for block in blocks:
            apart = block.rows > 1 and block.stride != block.cols
            if apart and plan.contractions[block.number].factors is None:
                raise Unsupported("a gradient of plain sums beside one another")
        found.append([Sum(index, block.number, block.offset, block.stride) for block in blocks])
    return found


def _check_whole(blocks: Sequence[_Block], size: int) -> None:
    """Refuse a gradient that sums do not cover, each number once.

    Raises:
        Unsupported: that is so.
    """
    if sum(block.rows * block.cols for block in blocks) != size:
        raise Unsupported("a gradient that is spread")
    if len(blocks) > 1:
        covered = np.zeros(size, bool)
        for block in blocks:
            covered[block.places()] = True
        if not covered.all():
            raise Unsupported("a gradient of sums that are added")


class _Reader:
    """Reads values of the formulas, each once."""

    def __init__(self, executable: CpuExecutable, formulas: Formulas) -> None:
        self.contractions, self.formulas = executable.plan.contractions, formulas
        self.count = len(executable.plan.signature.parameters)
        self.known: dict[int, _Parts] = {}

    def read(self, number: int) -> _Parts:
        """Return a value's parts.

        Raises:
            Unsupported: it is computed in another way.
        """
        if number not in self.known:
            self.known[number] = self._read(number)
        return self.known[number]

    def _read(self, number: int) -> _Parts:
        formulas, first = self.formulas, self.formulas.given + len(self.formulas.tensors)
        if number < first:
            if not self.count <= number < formulas.given:
                raise Unsupported("a gradient that is no sum")
            place = number - self.count
            shape = tuple(self.contractions[place].shape)
            rows, cols = (math.prod(shape[:-1]), shape[-1]) if shape else (1, 1)
            return _Parts(shape, (_Block(place, 0, cols, rows, cols),))
        return self._computed(formulas.operations[number - first])

    def _computed(self, operation: Operation) -> _Parts:
        target, arguments = operation.target, operation.arguments
        if target in _VIEWS:
            found = self._value(arguments[0])
            return found._replace(shape=_sizes(arguments[1], math.prod(found.shape)))
        if target is _aten.cat.default:
            axis = arguments[1] if len(arguments) > 1 else 0
            return _side_by_side([self._value(part) for part in arguments[0]], axis)
        if target is _aten.full.default and arguments[1] == 0:
            return _Parts(tuple(arguments[0]), ())
        if target is _aten.slice_scatter.default:
            return self._within(*arguments)
        if target is _aten.add.Tensor and not operation.named:
            one, other = self._value(arguments[0]), self._value(arguments[1])
            if one.shape == other.shape:
                return _Parts(one.shape, one.blocks + other.blocks)
        raise Unsupported(f"a gradient that is computed ({target})")

    def _value(self, argument: Any) -> _Parts:
        if not isinstance(argument, Value):
            raise Unsupported("a gradient that is computed from a number")
        return self.read(argument.index)

    def _within(self, base: Any, source: Any, axis: int = 0, start: Any = None, _: Any = None, step: int = 1) -> _Parts:
        """Return a value that is set into another, which is zero."""
        around, inner = self._value(base), self._value(source)
        shape = around.shape
        axis, before = axis % len(shape), int(start or 0)
        after = shape[axis] - before - inner.shape[axis]
        if around.blocks or step != 1 or before < 0 or after < 0:
            raise Unsupported("a gradient that is set into another")

        def zeros(count: int) -> _Parts:
            return _Parts((*shape[:axis], count, *shape[axis + 1 :]), ())

        return _side_by_side([part for part in (zeros(before), inner, zeros(after)) if part.shape[axis]], axis)


def _side_by_side(parts: Sequence[_Parts], axis: int) -> _Parts:
    """Return values concatenated along an axis."""
    shape = parts[0].shape
    axis %= len(shape)
    widths = [math.prod(part.shape[axis:]) for part in parts]
    total, ahead = sum(widths), 0
    blocks: list[_Block] = []
    for part, width in zip(parts, widths, strict=True):
        # before the axis there is one row, or rows of which these are parts
        whole = axis == 0 or all(size == 1 for size in shape[:axis])
        blocks += [
            block._replace(offset=ahead + block.offset) if whole else block.beside(width, total, ahead)
            for block in part.blocks
        ]
        ahead += width
    count = sum(part.shape[axis] for part in parts)
    return _Parts((*shape[:axis], count, *shape[axis + 1 :]), tuple(blocks))


def _sizes(wanted: Sequence[int], numbers: int) -> tuple[int, ...]:
    """Return the sizes of a view, one of which may be left open."""
    known = math.prod(size for size in wanted if size >= 0)
    return tuple(size if size >= 0 else numbers // max(known, 1) for size in wanted)
