"""What a batch is: arrays, lists, a loader of data or tensors; copied, and looked through for tensors."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from os import PathLike
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils import _pytree

from ostinato.errors import UsageError

_ROWS = 256  # of a data set


def copied_batch(batch: Any) -> Any:
    """Return a copy of a batch; tensors that were computed with gradients lose them."""
    if isinstance(batch, Tensor):
        return batch.detach().clone()
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(copied_batch(each) for each in batch))
    if isinstance(batch, (tuple, list)):
        return type(batch)(copied_batch(each) for each in batch)
    if isinstance(batch, dict):
        return {name: copied_batch(each) for name, each in batch.items()}
    return copy.deepcopy(batch)


def drawn_batch(batch: Any) -> Any:
    """Return the first batch of a `DataLoader`, or one of the first rows of a `Dataset`; another as it is.

    Raises:
        UsageError: it has none.
    """
    from torch.utils import data
    from torch.utils.data import DataLoader, Dataset, IterableDataset

    collate: Any = data.default_collate
    if isinstance(batch, DataLoader):
        first = next(iter(batch), None)
    elif isinstance(batch, IterableDataset):
        rows = list(itertools.islice(iter(batch), _ROWS))
        first = collate(rows) if rows else None
    elif isinstance(batch, Dataset) and hasattr(batch, "__len__"):
        count = len(batch)
        first = collate([batch[row] for row in range(min(_ROWS, count))]) if count else None
    elif batch is None or isinstance(batch, (str, bytes, PathLike)):
        raise UsageError(
            f"batch is {batch!r}; expected tensors, arrays or lists, (inputs, targets) of them, or a DataLoader"
        )
    else:
        return batch
    if first is None:
        raise UsageError(f"the {type(batch).__name__} gives no batch; give tens to hundreds of rows")
    return first


def as_tensors(batch: Any, like: Tensor | None = None) -> Any:
    """Return a batch whose arrays, and lists of numbers, are tensors: only of those can be told what they are.

    Args:
        batch: what the loss is given.
        like: of whose type numbers with decimals are to be; `None`: float32.
    """
    kind = torch.float32 if like is None or not like.is_floating_point() else like.dtype
    if isinstance(batch, (list, tuple)) and batch and not any(True for _ in tensors_in(batch)):
        numbers = _as_array(batch)
        batch = batch if numbers is None else numbers
    if isinstance(batch, np.ndarray) and batch.dtype.kind in "fiub":
        found = torch.from_numpy(batch)
        return found.to(kind) if batch.dtype.kind == "f" else found
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(as_tensors(each, like) for each in batch))
    if isinstance(batch, (tuple, list)):
        return type(batch)(as_tensors(each, like) for each in batch)
    return {name: as_tensors(each, like) for name, each in batch.items()} if isinstance(batch, dict) else batch


def _as_array(value: Sequence[Any]) -> NDArray[Any] | None:
    """Return lists of numbers in lists as one array; `None`: they are others, arrays among them, or a pair of two."""
    if any(isinstance(each, np.ndarray) for each in value) or not isinstance(value[0], (list, int, float)):
        return None
    if isinstance(value, tuple) or len(value) == 2:  # inputs and targets
        return None
    try:
        found = np.asarray(value)
    except ValueError:
        return None
    return found if found.dtype.kind in "fiub" else None


def leaves_of(value: Any) -> list[Any]:
    """Return all that a batch holds, within whatever it is nested in."""
    return list(_pytree.tree_leaves(value))


def tensors_in(value: Any, name: str = "batch") -> Iterator[tuple[str, Tensor]]:
    """Yield all tensors of a batch with where they stand."""
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from tensors_in(each, f"{name}[{key!r}]")
    elif isinstance(value, (tuple, list)):
        for place, each in enumerate(value):
            yield from tensors_in(each, f"{name}[{place}]")
    elif is_dataclass(value) and not isinstance(value, type):
        for one in fields(value):
            yield from tensors_in(getattr(value, one.name, None), f"{name}.{one.name}")


def not_finite(batch: Any) -> str:
    """Return where a batch has numbers that are none, or infinite, in words; empty: nowhere."""
    for name, tensor in tensors_in(batch):
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            bad = ~torch.isfinite(tensor)
            first = tuple(int(place) for place in bad.nonzero()[0])
            count = f"{int(bad.sum()):,} values"
            return f"{name} {tuple(tensor.shape)} has {count} that are NaN or infinite, the first at {first}"
    return ""
