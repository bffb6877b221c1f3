"""Training, validation and test examples, read, held out, encoded."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ostinato.errors import DataError
from ostinato.tasks.classify.examples import Classes, Examples, Integers, check_share, hold_out


class Encoder(Protocol):
    """From examples to arrays of steps."""

    def encode(self, examples: Examples) -> Sequence[NDArray[Any]]:
        """Return tokens `(time,)` or features `(time, features)` of each example."""


@dataclass(frozen=True)
class Part:
    """Examples with what the network reads of them, and their classes `(examples,)`."""

    examples: Examples
    arrays: Sequence[NDArray[Any]]
    targets: Integers

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True)
class Parts:
    """What is trained on, what decides when to stop, what is tested on; and the last in words."""

    classes: Classes
    train: Part
    validation: Part | None
    test: Part | None
    protocol: str

    @property
    def fingerprint(self) -> str:
        """A checksum of what is trained on."""
        found = hashlib.sha256()
        for part in (self.train, self.validation):
            if part is not None:
                found.update(part.targets.tobytes())
                for array in part.arrays:
                    found.update(np.ascontiguousarray(array).tobytes())
        return found.hexdigest()


def read_parts(
    parameters: Mapping[str, Any],
    read: Callable[[Any, tuple[str, ...]], Examples],
    encoder_of: Callable[[Examples], Encoder],
    data: Any,
    validation: Any,
    test: Any,
) -> tuple[Parts, Encoder]:
    """Read all examples, hold parts out where no data is given for them, and encode them by the training part.

    Raises:
        DataError: something in the data is wrong, it has one class only, or a part has a class that training has not.
        UsageError: a share is out of range.
    """
    shares = {"validation": 0.0, "test": 0.0}
    for name, given in (("validation", validation), ("test", test)):
        check_share(name, parameters[name])
        shares[name] = parameters[name] if given is None else 0.0
    whole = read(data, ())
    Classes.of(whole)
    train_rows, *held = hold_out(whole.labels or (), (shares["validation"], shares["test"]), parameters["seed"])
    train = whole.part(train_rows)
    pieces: list[Examples | None] = [whole.part(rows) if len(rows) else None for rows in held]
    for place, given in enumerate((validation, test)):
        if given is not None:
            pieces[place] = read(given, whole.channels)
    classes, encoder = Classes.of(train), encoder_of(train)
    made = [None if own is None else _part(own, classes, encoder) for own in pieces]
    return Parts(classes, _part(train, classes, encoder), made[0], made[1], _protocol(pieces[1], test, shares)), encoder


def _part(examples: Examples, classes: Classes, encoder: Encoder) -> Part:
    targets = classes.numbers(examples)
    return Part(examples, encoder.encode(examples), targets)


def _protocol(tested: Examples | None, given: Any, shares: Mapping[str, float]) -> str:
    if tested is None:
        return ""
    drawn = f"{100 * shares['test']:.4g} % of each class, drawn at random"
    where = drawn if given is None else tested.origin if tested.origin != "the data" else "data of its own"
    return f"test: {where}, {len(tested):,} examples, seen by nothing before"


def check_enough(part: Part) -> None:
    """Raise `DataError` where there is nothing left to train on."""
    if len(part) < 2:
        raise DataError(f"there are {len(part)} examples to train on; give more, or hold fewer of them out")
