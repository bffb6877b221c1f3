"""Parts held out: to decide when to stop, and to be judged on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from ostinato.errors import DataError
from ostinato.words import counted, verb

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
    filled = {name: part if part is not None and len(part) else None for name, part in held.named().items()}  # type: ignore[arg-type]
    return replace(held, validation=filled["validation"], test=filled["test"])


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
            f"{origin} has {counted(sum(counts), 'new ' + of)}, too few for an update, which trains on some, "
            "stops by some and compares the old model with the new one on the rest; wait for more"
        )


def content_keys(contents: Iterable[Any]) -> list[bytes]:
    """Return a key of each content, 16 bytes; those of equal contents are equal, white space in texts not counted.

    >>> one, other, again = content_keys(["so it  goes", "it goes", "so it goes "])
    >>> one == again, one == other
    (True, False)
    """
    return [_key(content) for content in contents]


def _key(content: Any) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    _add(digest, " ".join(content.split()) if isinstance(content, str) else content)
    return digest.digest()


def groups_of(keys: Sequence[Any]) -> Rows:
    """Return for each key the number of its group, `(keys,)`: equal keys are one, numbered in their order.

    >>> groups_of(["a", "b", "a"]).tolist()
    [0, 1, 0]
    """
    numbers: dict[Any, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)


def drawn_groups(keys: Sequence[Any], shares: Sequence[float], seed: int) -> list[Rows]:
    """Draw parts at random, records of one key all in the same part.

    A group of more records than a part still has room for stays in training. Without repeated keys it is a draw of
    single records.

    Args:
        keys: of each record; see `content_keys`.
        shares: of each part that is held out.
        seed: of the draw.

    Returns:
        Rows of the training part and of each other part, each in ascending order.

    >>> [part.tolist() for part in drawn_groups(list("aabbccddee"), [0.2], seed=0)]
    [[0, 1, 2, 3, 6, 7, 8, 9], [4, 5]]
    """
    groups = groups_of(keys)
    members = np.split(np.argsort(groups, kind="stable"), np.cumsum(np.bincount(groups))[:-1]) if len(groups) else []
    left = [members[at] for at in np.random.default_rng(seed).permutation(len(members))]
    parts: list[Rows] = []
    for share in shares:
        taken, left = take_groups(left, round(len(groups) * share))
        parts.append(taken)
    return [_ascending(left), *parts]


def take_groups(groups: Sequence[Any], room: int) -> tuple[Rows, list[Any]]:
    """Return the rows of the first groups that fit into a part of `room` rows, and the groups that are left."""
    taken: list[Any] = []
    left: list[Any] = []
    for group in groups:
        fits = len(group) <= room
        (taken if fits else left).append(group)
        room -= len(group) if fits else 0
    return _ascending(taken), left


def _ascending(groups: Sequence[Any]) -> Rows:
    return np.sort(np.concatenate([np.zeros(0, np.int64), *(np.asarray(group, np.int64) for group in groups)]))


@dataclass(frozen=True)
class Repeats:
    """How many of the records that are judged are in the training part too; `of`: what one is, in the plural."""

    count: int = 0
    judged: int = 0
    of: str = "records"

    @classmethod
    def between(cls, train: Iterable[Any], judged: Iterable[Any], of: str) -> Repeats:
        """Count contents that are judged and are in the training part too.

        >>> str(Repeats.between(["a", "b"], ["b", "c", "b"], "texts"))
        '2 of 3 test texts are in the training part too'
        """
        known = set(content_keys(train))
        keys = content_keys(judged) if known else []
        return cls(sum(key in known for key in keys), len(keys), of)

    def __str__(self) -> str:
        if not self.count:
            return ""
        judged = counted(self.judged, f"test {self.of}")
        return f"{self.count:,} of {judged} {verb(self.count, 'are')} in the training part too"

    @property
    def remark(self) -> str:
        """What a verdict says of them."""
        return f"{self}: this is not all unseen." if self.count else ""


def fingerprint(*values: Any) -> str:
    """Return a checksum of what is trained on: of texts, numbers, arrays and dataclasses, at any depth."""
    digest = hashlib.sha256()
    for value in values:
        _add(digest, value)
    return digest.hexdigest()


def _add(digest: Any, value: Any) -> None:
    printed = getattr(value, "fingerprint", None)
    if printed is not None:
        value = printed() if callable(printed) else printed
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
