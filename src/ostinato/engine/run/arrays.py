"""What goes in and out of steps as NumPy arrays: one step of input, and states; each checked as a file would be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ostinato.engine.front.state import State, leaves, structure
from ostinato.errors import ShapeError, UsageError

ArrayState: TypeAlias = "NDArray[Any] | tuple[ArrayState, ...]"


def read_step(x: Any, batch_size: int, width: int | None) -> NDArray[Any]:
    """Return one step as an array of numbers, `(batch, features)`.

    Args:
        x: anything that NumPy takes for numbers, or a tensor; `(features,)` too where the batch is one row.
        batch_size: rows that are expected.
        width: features that are expected; `None` for any.

    Raises:
        UsageError: it holds no real numbers.
        ShapeError: it has another shape.
    """
    array = _numbers(x)
    rows = array[None] if array.ndim == 1 and batch_size == 1 else array
    if rows.ndim != 2 or rows.shape[0] != batch_size:
        raise ShapeError(f"x has shape {array.shape}; expected (batch, features) with a batch of {batch_size}")
    if width is not None and rows.shape[1] != width:
        raise ShapeError(
            f"x has {rows.shape[1]} features, shape {array.shape}; expected {width}, as in the steps before"
        )
    return rows


def _numbers(x: Any) -> NDArray[Any]:
    if isinstance(x, Tensor):
        x = x.detach().cpu()
        x = x.float().numpy() if x.dtype is torch.bfloat16 else x.numpy()
    try:
        array: NDArray[Any] = (
            np.ma.filled(x.astype(float), np.nan) if isinstance(x, np.ma.MaskedArray) else np.asarray(x)
        )
    except (TypeError, ValueError) as error:
        raise UsageError(f"x is no array of numbers ({error}); expected (batch, features)") from error
    if array.dtype.kind not in "fiub":
        raise UsageError(f"x holds values of type {array.dtype}; expected real numbers, (batch, features)")
    return array


def check_finite(x: NDArray[Any], results: Sequence[NDArray[Any]]) -> None:
    """Check a step `(batch, features)` by what came of it: NaN may stand for a value that is missing.

    Raises:
        UsageError: it holds infinite numbers, or NaN and so do the results.
    """
    wrong = ~np.isfinite(x)
    if not wrong.any() or (not np.isinf(x).any() and all(np.isfinite(result).all() for result in results)):
        return
    row, feature = (int(places[0]) for places in np.nonzero(wrong))
    raise UsageError(
        f"x[{row}, {feature}] is {x[row, feature]} as {x.dtype}; expected finite numbers; the state is as it was before"
    )


def to_arrays(state: State) -> ArrayState:
    """Return a copy of a state as NumPy arrays."""
    if isinstance(state, Tensor):
        # NumPy has no bfloat16; float32 holds all of its numbers
        array: NDArray[Any] = (state.float() if state.dtype is torch.bfloat16 else state).cpu().numpy().copy()
        return array
    return tuple(to_arrays(part) for part in state)


def to_tensors(state: Any, device: torch.device) -> State:
    """Return a copy of a state as tensors.

    Raises:
        UsageError: a part of it is no array of numbers.
    """
    if isinstance(state, (tuple, list)):
        return tuple(to_tensors(part, device) for part in state)
    if isinstance(state, Tensor):
        return state.detach().clone().to(device)
    if not isinstance(state, np.ndarray) or state.dtype.kind not in "fiub":
        what = f"an array of {state.dtype}" if isinstance(state, np.ndarray) else f"a {type(state).__name__}"
        raise UsageError(f"a part of the state is {what}; expected what state() gives: arrays of numbers in tuples")
    try:
        return torch.from_numpy(np.array(state, order="C")).to(device)
    except TypeError as error:  # a type of number that PyTorch has not, such as long double
        raise UsageError(f"a part of the state is an array of {state.dtype}; expected what state() gives") from error


def check_state(state: State, like: State | None, batch_size: int, dtype: torch.dtype, *, grows: bool = False) -> None:
    """Check a state that comes from outside.

    Args:
        state: as given.
        like: the state that the cell starts from, if that is known; else only the batch, types and values are checked.
        batch_size: rows that are expected.
        dtype: of the cell.
        grows: whether the second dimension grows from step to step, as the memory of a Transformer does.

    Raises:
        ShapeError: it has another structure or other shapes.
        UsageError: its numbers are of another type, or are not finite.
    """
    if like is not None and structure(state) != structure(like):
        raise ShapeError(f"the state is {describe(state)}; expected {describe(like)}, as state() gives it")
    for number, leaf in enumerate(leaves(state)):
        other = None if like is None else leaves(like)[number]
        _check_leaf(leaf, other, f"array {number + 1} of the state", batch_size, dtype, grows=grows)


def check_caches(state: State, context: int | None) -> None:
    """Check the memory of a Transformer's layers, which shapes alone do not tell: keys, values and their places.

    Raises:
        ShapeError: the arrays of a layer do not hold the same steps, or layers not as many.
        UsageError: places are none.
    """
    known = {leaf.shape[1] for leaf in leaves(state)}
    if len(known) != 1:
        raise ShapeError(f"the arrays of the state hold {sorted(known)} steps; expected as many in each")
    if context is not None and max(known) > context:
        raise ShapeError(f"the state holds {max(known)} steps; expected {context} at most, the context of the layers")
    for places in leaves(state)[2::3]:
        if places.numel() and (int(places.min()) < -1 or int(places.max()) >= 2**40):
            raise UsageError("the places of steps in the state are out of range; expected what state() gives")


def _check_leaf(
    leaf: Tensor, like: Tensor | None, name: str, batch_size: int, dtype: torch.dtype, *, grows: bool
) -> None:
    if leaf.dim() == 0 or leaf.shape[0] != batch_size:
        raise ShapeError(f"{name} has shape {tuple(leaf.shape)}; its first dimension must be {batch_size}, the batch")
    wanted = dtype if like is None else like.dtype
    # halves go out as float32, which holds all of their numbers
    known = (wanted, torch.float32) if wanted is torch.bfloat16 else (wanted,)
    if leaf.dtype not in known and (like is not None or leaf.is_floating_point()):
        raise UsageError(f"{name} holds {_short(leaf.dtype)}; expected {_short(known[-1])}, as state() gives it")
    if like is not None:
        fixed = 2 if grows else 1
        if leaf.dim() != like.dim() or leaf.shape[fixed:] != like.shape[fixed:]:
            raise ShapeError(f"{name} has shape {tuple(leaf.shape)}; expected {_shape(like, grows=grows)}")
    # a cell may start from infinity, as a running maximum does
    if not leaf.isfinite().all() and (like is None or like.isfinite().all() or leaf.isnan().any()):
        raise UsageError(f"{name} holds NaN or an infinite number; expected finite ones")


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _shape(like: Tensor, *, grows: bool) -> str:
    sizes = [str(size) for size in like.shape]
    if grows:
        sizes[1] = "steps"
    return f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"


def describe(state: State) -> str:
    """Return the structure of a state with its shapes, in words."""
    if isinstance(state, Tensor):
        return f"an array {tuple(state.shape)}"
    return "(" + ", ".join(describe(part) for part in state) + ("," if len(state) == 1 else "") + ")"
