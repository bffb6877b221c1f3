"""Recurrent states: the trees of tensors that a cell carries from step to step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from ostinato.engine.beside import Beside
from ostinato.errors import UsageError

State: TypeAlias = "Tensor | tuple[State, ...]"

_widths_found: Beside[dict[Any, State]] = Beside()
_MOST_WIDTHS = 64


def leaves(state: State) -> list[Tensor]:
    """Return the tensors of a state, in order."""
    if isinstance(state, Tensor):
        return [state]
    return list(chain.from_iterable(leaves(part) for part in state))


def map_state(function: Callable[..., Tensor], *states: State) -> State:
    """Apply a function leaf by leaf to states of the same structure."""
    first = states[0]
    if isinstance(first, Tensor):
        return function(*states)
    return tuple(map_state(function, *parts) for parts in zip(*states, strict=True))


def structure(state: Any) -> Any:
    """Return what two states must share to be the same kind: the nesting, with a leaf as `None`."""
    if isinstance(state, Tensor):
        return None
    if isinstance(state, (tuple, list)):
        return tuple(structure(part) for part in state)
    raise UsageError(f"a state must be a tensor or a tuple of tensors, but it is {type(state).__name__}")


def built(shape: Any, parts: Iterator[Tensor]) -> State:
    """Return a state of a structure, its leaves taken one after the other."""
    return next(parts) if shape is None else tuple(built(part, parts) for part in shape)


def check_cell(cell: Any) -> None:
    """Refuse what is no cell.

    Raises:
        UsageError: it is a name, a class, a function, or a layer that walks over whole sequences by itself.
    """
    if isinstance(cell, nn.RNNBase) or not isinstance(cell, nn.Module):
        raise UsageError(_what_is_no_cell(cell))


def _what_is_no_cell(cell: Any) -> str:
    expected = "expected a cell, a module whose forward(x, state) returns (output, new_state)"
    if isinstance(cell, str):
        return (
            f'cell is the text "{cell}"; {expected}, such as ostinato.cells.CATALOGUE["lstm"](input_size, hidden_size)'
        )
    if isinstance(cell, nn.RNNBase):
        name = type(cell).__name__
        return f"cell is a {name} layer, which walks over whole sequences itself; call it, or pass a {name}Cell"
    if isinstance(cell, type):
        return f"cell is the class {cell.__name__}; {expected}: make one with {cell.__name__}(input_size, hidden_size)"
    return f"cell is of type {type(cell).__name__}; {expected}"


def call_cell(cell: nn.Module, x: Tensor, state: State) -> tuple[Tensor, State]:
    """Advance a cell one step, whether it returns `(output, state)` or, as `torch.nn.LSTMCell` does, only the state.

    A cell that returns only its state is told apart by structure: what it returns looks like what it was given.
    Its output is then the first tensor of the new state (the hidden state).
    """
    result = cell(x, state)
    shape = structure(state)
    if structure(result) == shape:
        return leaves(result)[0], result
    if isinstance(result, tuple) and len(result) == 2 and structure(result[1]) == shape:
        return result[0], result[1]
    raise UsageError(
        f"{type(cell).__name__} returned {_describe(result)} from a state of {_describe(state)}; "
        "a cell must return (output, new_state) with the new state shaped like the old one"
    )


def initial_state(cell: nn.Module, x: Tensor, fingerprint: object = None) -> State:
    """Return the state that a cell starts from when none is given: its own, or zeros of the right structure.

    A cell may say its own with a method `initial_state(x)`, `x` being one step `(batch, features)`. For any other the
    structure is found once, by trying zeros on one row: a tensor or a tuple of two, three or four, as wide as
    `hidden_size` or else as a parameter of the cell.

    `fingerprint` tells what the cell is now, if the caller knows it already.

    Raises:
        UsageError: no structure was found that the cell accepts.
    """
    initial = _own_start(cell)
    if callable(initial):
        state: State = initial(x)
        return state
    widths = _zero_state_widths(cell, x, fingerprint)
    return map_state(lambda leaf: x.new_zeros((x.shape[0], *leaf.shape[1:])), widths)


def _own_start(cell: nn.Module) -> Any:
    """Return a cell's `initial_state`, or none: asked of the usual module in vain, PyTorch takes two microseconds."""
    kind = type(cell)
    usual = kind.__getattr__ is nn.Module.__getattr__ and kind.__getattribute__ is object.__getattribute__
    if usual and not hasattr(kind, "initial_state"):
        name = "initial_state"
        return cell.__dict__.get(name) or cell._modules.get(name)
    return getattr(cell, "initial_state", None)


def zeros_known(cell: nn.Module, features: torch.Size, fingerprint: object) -> State | None:
    """Return a state without data, of one row, where a cell starts from zeros like it, if that was found before.

    None where the cell says its own start, as it may say another each time.
    """
    known = _widths_found.get(cell)
    if known is None or fingerprint is None or callable(_own_start(cell)):
        return None
    return known.get((fingerprint, features))


def _zero_state_widths(cell: nn.Module, x: Tensor, fingerprint: object) -> State:
    """Return a state of one row that the cell accepts and gives back unchanged in shape."""
    if fingerprint is None:
        from ostinato.engine.front.watch import look_now

        # a cell that cannot be watched has none: it may want another state by now
        fingerprint = look_now(cell).fingerprint
    known = _widths_found.get(cell) or _widths_found.setdefault(cell, {})
    found = None if fingerprint is None else known.get((fingerprint, x.shape[1:]))
    if found is None:
        found = map_state(lambda leaf: leaf.to("meta"), _probe(cell, x))
        if len(known) >= _MOST_WIDTHS:
            known.clear()
        if fingerprint is not None:
            known[fingerprint, x.shape[1:]] = found
    return found


def _probe(cell: nn.Module, x: Tensor) -> State:
    from ostinato.engine.front.shell import probe_of

    row = x.detach()[:1] if x.shape[0] else x.new_zeros((1, *x.shape[1:]))
    # a cell that keeps something for each row wants as many as there are
    rows = [row, x.detach()] if x.shape[0] > 1 else [row]
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        for few in rows:
            for candidate in _candidates(cell, few):
                if _accepts(probe_of(cell), few, candidate):
                    return map_state(lambda leaf: leaf[:1], candidate)
    raise UsageError(
        f"the initial state of {type(cell).__name__} could not be found by trying zeros; "
        "pass state=..., or give the cell a method initial_state(x)"
    )


def _candidates(cell: nn.Module, row: Tensor) -> Iterator[State]:
    for width in _widths(cell):
        zeros = row.new_zeros((row.shape[0], width))
        yield zeros
        for count in (2, 3, 4):
            yield tuple(zeros for _ in range(count))


def _widths(cell: nn.Module) -> list[int]:
    """Return the possible sizes of a state, the most likely first."""
    named = getattr(cell, "hidden_size", None)
    sizes = [named] if isinstance(named, int) else []
    sizes += [size for parameter in cell.parameters() for size in reversed(parameter.shape)]
    return list(dict.fromkeys(sizes))


def _accepts(cell: nn.Module, row: Tensor, state: State) -> bool:
    try:
        _, new_state = call_cell(cell, row, state)
    except (RuntimeError, ValueError, TypeError, IndexError, AttributeError, AssertionError):
        return False
    return [leaf.shape for leaf in leaves(new_state)] == [leaf.shape for leaf in leaves(state)]


def _describe(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor {tuple(value.shape)}"
    if isinstance(value, (tuple, list)):
        return "(" + ", ".join(_describe(part) for part in value) + ")"
    return type(value).__name__
