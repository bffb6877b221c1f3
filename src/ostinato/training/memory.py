"""Memory that is not there, in whichever words a library says so."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from ostinato.errors import NotEnoughMemory, OstinatoError

# PyTorch says so in a RuntimeError, and of sizes that no number of its own holds in a TypeError
_SAID = re.compile(
    r"can't allocate memory|cannot allocate memory|out of memory|not enough memory|bad_?alloc|failed to allocate"
    r"|size calculation overflowed|overflow when unpacking|numel: integer multiplication overflow|too many elements"
    r"|array is too big|maximum allowed (?:size|dimension)",
    re.IGNORECASE,
)
_BYTES = re.compile(r"tried to allocate (\d+) bytes|allocate ([\d.]+ [KMGT]iB)", re.IGNORECASE)


def is_memory_error(error: BaseException) -> bool:
    """Tell whether an error says that there is not enough memory.

    >>> is_memory_error(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 12 bytes"))
    True
    >>> is_memory_error(RuntimeError("shape mismatch"))
    False
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, (RuntimeError, TypeError, ValueError, OverflowError)) and bool(_SAID.search(str(error)))


def memory_sentence(error: BaseException) -> str:
    """Return what to say of it, in one sentence."""
    return (
        f"there is not enough memory{memory_size(error)}; give a smaller model (hidden_size, num_layers), a smaller "
        "batch_size, a shorter context, or less data"
    )


def memory_size(error: BaseException) -> str:
    """Return how much was asked for, in brackets, or nothing if the error does not say."""
    found = _BYTES.search(str(error))
    return "" if found is None else f" ({_in_words(int(found[1])) if found[1] else found[2]} were asked for at once)"


@contextlib.contextmanager
def enough_memory() -> Iterator[None]:
    """Raise `NotEnoughMemory` for every error within that means it.

    >>> try:
    ...     with enough_memory():
    ...         raise MemoryError("Unable to allocate 7.45 TiB for an array")
    ... except NotEnoughMemory as error:
    ...     print(str(error)[:68])
    there is not enough memory (7.45 TiB were asked for at once); give a
    """
    try:
        yield
    except OstinatoError:
        raise
    except (MemoryError, RuntimeError, TypeError, ValueError, OverflowError) as error:
        if not is_memory_error(error):
            raise
        raise NotEnoughMemory(memory_sentence(error)) from error


def _in_words(count: int) -> str:
    size, unit = float(count), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{size:,.4g} {unit}" if size < 10_000 else f"{size:,.0f} {unit}"
