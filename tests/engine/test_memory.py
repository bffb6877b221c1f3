"""The memory that scans use again: what is kept, what is let go."""

import pytest
import torch

from ostinato.engine.backends.cpu import memory

PAGE = memory.SMALLEST


@pytest.fixture
def _little(monkeypatch) -> None:
    memory.release()
    monkeypatch.setattr(memory, "_limit", 8 * PAGE)
    yield
    memory.release()


def _kept() -> int:
    return sum(size * len(blocks) for size, blocks in memory._free.items())


def _use(size: int) -> int:
    """Have a tensor of so many bytes for a moment, and return where it was."""
    return memory.empty((size,), torch.uint8).data_ptr()


@pytest.mark.usefixtures("_little")
def test_memory_is_used_again() -> None:
    assert _use(2 * PAGE) == _use(2 * PAGE)


@pytest.mark.usefixtures("_little")
def test_what_other_sizes_left_does_not_keep_a_new_size_from_being_kept() -> None:
    for size in (3, 4, 5, 6, 7):
        _use(size * PAGE)
    assert _kept() == memory._kept <= 8 * PAGE
    first = _use(2 * PAGE)
    assert _kept() == memory._kept <= 8 * PAGE
    assert _use(2 * PAGE) == first


@pytest.mark.usefixtures("_little")
def test_the_size_that_was_not_wanted_for_longest_goes_first() -> None:
    for size in (2, 3, 2, 4):  # nine pages are one too many
        _use(size * PAGE)
    assert {size // PAGE for size, blocks in memory._free.items() if blocks} == {2, 4}


@pytest.mark.usefixtures("_little")
def test_a_block_larger_than_all_that_may_be_kept_is_not_kept() -> None:
    _use(2 * PAGE)
    _use(9 * PAGE)
    assert _kept() == memory._kept == 2 * PAGE


@pytest.mark.usefixtures("_little")
def test_release_leaves_nothing() -> None:
    _use(2 * PAGE)
    memory.release()
    assert _kept() == memory._kept == 0
