"""Where the numbers of a value lie: views of memory, followed down to what they are views of."""

from __future__ import annotations

from dataclasses import dataclass

from ostinato.engine.plan import graph as g
from ostinato.engine.plan.graph import Node, Shape, Unsupported


@dataclass(frozen=True)
class View:
    """Where the numbers of a node lie: in the memory of `base`, which is contiguous, at these strides."""

    base: Node
    offset: int
    strides: tuple[int, ...]


def contiguous(shape: Shape) -> tuple[int, ...]:
    """Return the strides of a dense array."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= size
    return tuple(reversed(strides))


def locate(node: Node) -> View:
    """Return where a node's numbers lie, through all views.

    Raises:
        Unsupported: a reshape that the strides cannot follow (the schedule puts a copy there first).
    """
    if node.op not in g.VIEWS:
        return View(node, 0, contiguous(node.shape))
    source = locate(node.inputs[0])
    if node.op == "slice":
        axis, start = node.attr
        return View(source.base, source.offset + start * source.strides[axis], source.strides)
    if node.op == "permute":
        return View(source.base, source.offset, tuple(source.strides[axis] for axis in node.attr))
    if node.op == "expand":
        return View(source.base, source.offset, broadcast_strides(source, node.inputs[0].shape, node.shape))
    strides = reshape_strides(node.inputs[0].shape, source.strides, node.shape)
    if strides is None:
        raise Unsupported("a reshape that needs a copy")
    return View(source.base, source.offset, strides)


def broadcast_strides(view: View, shape: Shape, target: Shape) -> tuple[int, ...]:
    """Return strides under which a view of `shape` fills `target`."""
    missing = len(target) - len(shape)
    spread = [0 if size == 1 else stride for size, stride in zip(shape, view.strides, strict=True)]
    return (*[0] * missing, *spread)


def reshape_strides(shape: Shape, strides: tuple[int, ...], target: Shape) -> tuple[int, ...] | None:
    """Return the strides of the same numbers under another shape, or none where a copy is needed."""
    if 0 in shape:
        return contiguous(target)
    # runs of axes that are dense in themselves, as (count, innermost stride)
    runs: list[tuple[int, int]] = []
    for size, stride in zip(shape, strides, strict=True):
        if size == 1:
            continue
        if runs and runs[-1][1] == stride * size:
            runs[-1] = (runs[-1][0] * size, stride)
        else:
            runs.append((size, stride))
    result: list[int] = []
    rest = list(reversed(runs))
    count, stride = rest.pop(0) if rest else (1, 1)
    for size in reversed(target):
        if size == 1:
            result.append(0)
            continue
        if count == 1 and rest:
            count, stride = rest.pop(0)
        if count % size:
            return None
        result.append(stride)
        count, stride = count // size, stride * size
    return tuple(reversed(result))


def needs_copy(node: Node) -> bool:
    """Tell whether a view cannot be read in place."""
    try:
        locate(node)
    except Unsupported:
        return True
    return False
