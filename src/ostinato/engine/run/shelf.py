"""Where a long scan keeps what it needs later: in memory, or in files without names that are mapped into memory."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ostinato.engine.run.schedule import Pieces
from ostinato.errors import OutputError

_NUMPY = {torch.bfloat16: np.int16, torch.float16: np.float16, torch.float32: np.float32, torch.float64: np.float64,
          torch.int64: np.int64, torch.int32: np.int32, torch.uint8: np.uint8, torch.bool: np.bool_}  # fmt: skip


def mapped(shape: Sequence[int], dtype: torch.dtype, folder: Path | None) -> Tensor:
    """Return a tensor of zeros in a file that is gone when nothing uses it.

    Args:
        shape: of the tensor.
        dtype: of its numbers.
        folder: where the file is; `None` for the system's temporary folder.

    Raises:
        OutputError: the file cannot be made.
    """
    if not math.prod(shape):
        return torch.zeros(tuple(shape), dtype=dtype)
    try:
        with tempfile.TemporaryFile(dir=folder, prefix="ostinato-") as file:
            array = np.memmap(file, _NUMPY[dtype], "w+", shape=tuple(shape))
    except OSError as error:
        where = tempfile.gettempdir() if folder is None else folder
        raise OutputError(f"no file could be made in {where} for a long scan ({error}); name another folder") from error
    tensor = torch.from_numpy(array)
    return tensor.view(dtype) if tensor.dtype is not dtype else tensor


class Shelf:
    """States by number, each a list of tensors."""

    def __init__(self, places: Sequence[int], folder: Path | None) -> None:
        self._folder = folder
        self._places = {place: index for index, place in enumerate(sorted(places))}
        self._memory: dict[int, list[Tensor]] = {}
        self._files: list[Tensor] = []

    def put(self, number: int, state: Sequence[Tensor]) -> None:
        """Keep a state."""
        if self._folder is None or number not in self._places:
            self._memory[number] = list(state)
            return
        if not self._files:
            count = len(self._places)
            self._files = [mapped((count, *leaf.shape), leaf.dtype, self._folder) for leaf in state]
        for file, leaf in zip(self._files, state, strict=True):
            file[self._places[number]] = leaf
        self._memory[number] = []

    def take(self, number: int) -> list[Tensor] | None:
        """Return a state that was kept, and keep it no longer; none if it was not."""
        found = self._memory.pop(number, None)
        if found is None or found:
            return found
        return [file[self._places[number]].clone() for file in self._files]


def back_over(
    pieces: Pieces, shelf: Shelf, start: list[Tensor], advance: Callable[[int, int, list[Tensor]], list[Tensor]]
) -> Iterator[tuple[int, list[Tensor]]]:
    """Return the pieces, the last first, each with the state before it.

    Args:
        pieces: how many there are, and how many states may be kept.
        shelf: the states that the first pass kept.
        start: the state before the first piece.
        advance: runs the pieces from one to before another from a state, and returns the state there.
    """
    stack = [(0, pieces.count, pieces.kept, start)]
    while stack:
        first, last, kept, state = stack.pop()
        if last - first == 1:
            yield first, state
            continue
        middle = pieces.middle(first, last, kept)
        found = shelf.take(middle)
        if found is None:
            found = advance(first, middle, state)
        stack.append((first, middle, kept, state))
        stack.append((middle, last, kept - 1, found))


@contextmanager
def drawn_again(numbers: Tensor | None) -> Iterator[None]:
    """Draw random numbers within as from a state of the generator; as they come if there is none."""
    if numbers is None:
        yield
        return
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(numbers)
        yield
