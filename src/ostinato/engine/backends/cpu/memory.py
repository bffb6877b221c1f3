"""Memory for what a scan keeps between its forward and its backward pass, used again from call to call.

Fresh memory costs: the system clears each page when it is first touched, which took longer than the whole backward
loop of a GRU (32 rows, 100 steps, 64 units: 3.0 ms with fresh pages, 0.9 with used ones). Blocks come back here when
the last tensor on them is gone. Where there are too many, those go whose size was not wanted for longest: other models
and batches of other lengths were run before.
"""

from __future__ import annotations

import math
import mmap
import weakref
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

SMALLEST = 1 << 16
"""Bytes below which PyTorch's own allocator is as good."""
_HUGE = 1 << 22
_limit = 1 << 29
"""Bytes that are kept for later at most."""
_OPTIONS: dict[str, int] = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}
"""Private: a forked process has a copy of what lies there. Python's own default is memory that both write into."""

_free: OrderedDict[int, list[mmap.mmap]] = OrderedDict()
"""By size, the last wanted at the end. No size is ever taken out again: another thread may be about to use its list."""
_kept = 0


def empty(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Return a dense tensor whose numbers are not set, on memory that was used before if there is any."""
    count = math.prod(shape)
    wanted = count * dtype.itemsize
    if wanted < SMALLEST:
        return torch.empty(tuple(shape), dtype=dtype)
    size = _rounded(wanted)
    block = _take(size)
    array = np.frombuffer(block, dtype=np.uint8)
    weakref.finalize(array, _give_back, block, size).atexit = False
    # no view of another tensor: PyTorch would then refuse to let a user change an output in place
    tensor: Any = torch.empty(0, dtype=dtype)
    return tensor.set_(torch.from_numpy(array).untyped_storage(), 0, tuple(shape))  # type: ignore[no-any-return]


def release() -> None:
    """Give all memory that is kept for later back to the system."""
    global _kept
    _spaces.clear()
    for blocks in list(_free.values()):
        blocks.clear()
    _kept = 0


def _rounded(size: int) -> int:
    """Return a size that many requests share: eight steps from one power of two to the next."""
    step = 1 << max(12, size.bit_length() - 4)
    return -(-size // step) * step


def _take(size: int) -> mmap.mmap:
    global _kept
    blocks = _free.get(size)
    if not blocks:
        return _fresh(size)
    try:
        block = blocks.pop()
    except IndexError:  # another thread was quicker
        return _fresh(size)
    _kept -= size
    _free.move_to_end(size)
    return block


def _fresh(size: int) -> mmap.mmap:
    block = mmap.mmap(-1, size, **_OPTIONS)
    if size >= _HUGE and hasattr(mmap, "MADV_HUGEPAGE"):
        block.madvise(mmap.MADV_HUGEPAGE)
    return block


def _give_back(block: mmap.mmap, size: int) -> None:
    global _kept
    if size > _limit:
        return
    _free.setdefault(size, []).append(block)
    _free.move_to_end(size)
    _kept += size
    if _kept > _limit:
        _forget()


def _forget() -> None:
    """Give back what was not wanted for longest, until no more is kept than may be."""
    global _kept
    # the sizes, not pairs: a pair is new memory, at which the collector may let go a tensor and so reorder them
    for size in list(_free):
        blocks = _free[size]
        while blocks and _kept > _limit:
            try:
                blocks.pop()
            except IndexError:  # another thread was quicker
                break
            _kept -= size


Block: TypeAlias = "tuple[int, int, Any]"
"""Scratch memory: address, size, and what holds it."""
_spaces: list[Block] = []
"""Scratch memory that no call uses now."""
_LARGEST_SPACE = 1 << 24
"""Bytes above which scratch memory comes from the blocks that are kept by size."""


def take_space(size: int) -> Block:
    """Return scratch memory, to be given back; its address is a multiple of 64.

    One block serves calls of all sizes one after the other, so that it stays in the caches.
    """
    try:
        block = _spaces.pop()
    except IndexError:  # all in use, by other threads or a call further up
        block = (0, 0, None)
    if block[1] < size or not block[1]:
        tensor = empty((max(size, SMALLEST) + 64,), torch.uint8)
        block = (tensor.data_ptr() + 63) // 64 * 64, tensor.numel() - 64, tensor
    return block


def give_space(block: Block) -> None:
    """Give scratch memory back for the next call."""
    if block[1] <= _LARGEST_SPACE:
        _spaces.append(block)
