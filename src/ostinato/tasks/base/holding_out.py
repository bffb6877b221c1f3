"""Parts held out: to decide when to stop, and to be judged on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from ostinato.errors import DataError

R = TypeVar("R")
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Shares:
    """What is held out of the data, 0 where other data is given for it."""

    validation: float
    test: float


@dataclass(frozen=True)
class Held(Generic[R]):
    """Records in their parts; `words` say which are tested on, such as `"the last 20 % of cases"`."""

    train: R
    validation: R | None
    test: R | None
    words: str

    def named(self) -> dict[str, R | None]:
        """Return the parts by their names."""
        return {"train": self.train, "validation": self.validation, "test": self.test}


def cut(count: int, shares: Shares) -> tuple[slice, slice, slice]:
    """Return the places to train on, to stop by, and, the last ones, to test on.

    >>> cut(10, Shares(0.25, 0.2))
    (slice(0, 6, None), slice(6, 8, None), slice(8, 10, None))
    """
    test = round(count * shares.test)
    validation = round((count - test) * shares.validation)
    first = count - test - validation
    return slice(0, first), slice(first, first + validation), slice(first + validation, count)


def percent(share: float) -> str:
    """Return a share in words.

    >>> percent(1 / 3)
    '33.33 %'
    """
    return f"{100 * share:.4g} %"


def without_empty(held: Held[R]) -> Held[R]:
    """Return parts of which those without records are none."""
    own = {name: part if part is not None and len(part) else None for name, part in held.named().items()}  # type: ignore[arg-type]
    return replace(held, validation=own["validation"], test=own["test"])


def require_parts(held: Held[Any], origin: str, of: str) -> None:
    """Raise `DataError` if one of three parts of new data is empty.

    Args:
        held: the parts.
        origin: what the data is called.
        of: what one record is, in the plural.
    """
    counts = [0 if part is None else len(part) for part in held.named().values()]
    if min(counts) < 1:
        raise DataError(
            f"{origin} has {sum(counts)} new {of}, too few for an update, which trains on some, stops by some and "
            "compares the old model with the new one on the rest; wait for more"
        )


def fingerprint(*values: Any) -> str:
    """Return a checksum of what is trained on: of texts, numbers, arrays and dataclasses, at any depth."""
    digest = hashlib.sha256()
    for value in values:
        _add(digest, value)
    return digest.hexdigest()


def _add(digest: Any, value: Any) -> None:
    own = getattr(value, "fingerprint", None)
    if own is not None:
        value = own() if callable(own) else own
    if isinstance(value, np.ndarray):
        digest.update(f"{value.dtype} {value.shape}".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    elif is_dataclass(value) and not isinstance(value, type):
        for one in fields(value):
            _add(digest, getattr(value, one.name))
    elif isinstance(value, Mapping):
        for key, one in value.items():
            _add(digest, (key, one))
    elif isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        digest.update(f"{len(value)}[".encode())
        if all(isinstance(one, (str, int, float, type(None))) for one in value):
            digest.update(repr(list(value)).encode("utf-8", "surrogatepass"))
        else:
            for one in value:
                _add(digest, one)
    else:
        digest.update(repr(value).encode("utf-8", "surrogatepass"))
