"""Labels of anything that belongs to one of several classes: which there are, in their types; parts drawn by class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ostinato.data.cells import flag_of
from ostinato.data.frames import plain_value
from ostinato.data.identities import NO_NAMES, Label
from ostinato.errors import DataError
from ostinato.tasks.base.holding_out import groups_of, take_groups
from ostinato.words import counted

Integers: TypeAlias = "NDArray[np.int64]"
Floats: TypeAlias = "NDArray[np.float64]"
_SHOWN = 12


class Labelled(Protocol):
    """Records with labels: where they are from, and the label of each, if they have any."""

    @property
    def origin(self) -> str:
        """What to call their source in a message."""

    @property
    def labels(self) -> tuple[Any, ...] | None:
        """The label of each; `None`: there are none."""

    def __len__(self) -> int: ...


@dataclass(frozen=True)
class Prediction:
    """The class predicted for each example, `(examples,)`, and, if there are any, the probabilities of all.

    Shape: `probabilities (examples, classes)`.
    """

    classes: Integers
    probabilities: Floats | None = None

    @classmethod
    def of(cls, probabilities: Floats) -> Prediction:
        """Return the most probable classes."""
        return cls(probabilities.argmax(1).astype(np.int64), probabilities)


@dataclass(frozen=True)
class Classes:
    """The classes a model tells apart, in the order of its probabilities."""

    names: tuple[Label, ...]

    @classmethod
    def of(cls, examples: Labelled) -> Classes:
        """Return the classes of training examples, sorted.

        Raises:
            DataError: there are fewer than two.
        """
        names = set(examples.labels or ())
        if len(names) < 2:
            only = f'all {len(examples)} have the label "{next(iter(names))}"' if names else "there are none"
            raise DataError(f"{examples.origin}: {only}; expected examples of two classes or more to learn from")
        return cls(tuple(sorted(names, key=lambda name: (isinstance(name, str), name))))

    def answer(self, probabilities: Floats) -> dict[str, Any]:
        """Return the most probable label, its probability and those of all classes, `(classes,)`."""
        best = int(probabilities.argmax())
        names = [str(name) for name in self.names]
        return {
            "label": self.names[best],
            "probability": float(probabilities[best]),
            "probabilities": dict(zip(names, probabilities.tolist(), strict=True)),
        }

    def __len__(self) -> int:
        return len(self.names)

    def numbers(self, examples: Labelled) -> Integers:
        """Return the class of each example as a number, `(examples,)`.

        Raises:
            DataError: an example has no label, or one that was not there in training.
        """
        if examples.labels is None:
            raise DataError(f"{examples.origin} has no labels; expected one for each example")
        place = self.places(set(examples.labels))
        wrong = next((row for row, label in enumerate(examples.labels) if place[_exactly(label)] is None), None)
        if wrong is not None:
            known = ", ".join(f'"{name}"' for name in self.names[:_SHOWN]) + (", ..." if len(self) > _SHOWN else "")
            raise DataError(
                f'example {wrong + 1} of {examples.origin} has the label "{examples.labels[wrong]}", which none of the '
                f"training examples has; expected one of {known}"
            )
        return np.array([place[_exactly(label)] for label in examples.labels], np.int64)

    def places(self, labels: set[Label]) -> dict[tuple[type, Label], int | None]:
        """Return which class each label is: by its text, else by its number where those tell all classes apart."""
        by_text = {str(name): number for number, name in enumerate(self.names)}
        by_value = {_value(name): number for number, name in enumerate(self.names)}
        if None in by_value or len(by_value) < len(self):
            by_value = {}
        return {
            _exactly(label): by_text.get(str(label), by_value.get(_value(label)) if by_value else None)
            for label in labels
        }

    def as_array(self) -> NDArray[Any]:
        """Return the names as an array of their type: integers, floats, booleans or texts."""
        large = any(type(name) is int and name >= 2**63 for name in self.names)
        return np.array(self.names, np.uint64 if large else None)


def _exactly(label: Label) -> tuple[type, Label]:
    """Return a key that tells 1, 1.0 and True apart."""
    return type(label), label


def _value(label: Label) -> float | None:
    """Return what a label is as a number, true and yes being 1, however it is written; `None` if it is none."""
    flag = flag_of(label) if isinstance(label, str) else None
    try:
        return float(label if flag is None else flag)
    except (ValueError, OverflowError):
        return None


def checked_labels(labels: Iterable[Any], origin: str) -> tuple[Label, ...]:
    """Return labels in the type that they have - booleans, whole numbers, floats - if all have one, else as texts.

    Whole numbers that no type of NumPy holds are texts too.

    Raises:
        DataError: one is missing or empty, or two that differ would be one text.
    """
    plain = [plain_value(label) for label in labels]
    for row, label in enumerate(plain):
        if label is None or (isinstance(label, str) and (not label.strip() or label.strip() in NO_NAMES)):
            raise DataError(f"example {row + 1} of {origin} has no label; give it one, or leave it out")
    kinds = set(map(type, plain))
    whole = [label for label in plain if type(label) is int]
    if kinds == {int, float} and all(abs(label) <= 2**53 for label in whole):
        return tuple(float(label) for label in plain)
    if kinds in ({bool}, {float}) or (kinds == {int} and _fit_one_type(whole)):
        return tuple(plain)
    return _as_texts(plain, origin)


def _fit_one_type(whole: Sequence[int]) -> bool:
    """Tell whether all are signed, or all unsigned, numbers of 64 bits."""
    least, most = min(whole), max(whole)
    return least >= -(2**63) and most < (2**63 if least < 0 else 2**64)


def _as_texts(plain: Sequence[Any], origin: str) -> tuple[str, ...]:
    seen: dict[str, tuple[Any, int]] = {}
    for row, label in enumerate(plain):
        first, before = seen.setdefault(str(label).strip(), (label, row))
        if _exactly(first) != _exactly(label):
            raise DataError(
                f"example {row + 1} of {origin} has the label {label!r}, and example {before + 1} {first!r}, which "
                "are the same text; write them alike if they are one class, or rename one"
            )
    return tuple(str(label).strip() for label in plain)


def drawn_parts(
    labels: Sequence[Label], shares: Sequence[float], seed: int, keys: Sequence[Any] | None = None
) -> list[Integers]:
    """Draw parts with the same shares of every class; what is left, the training part, comes first.

    Every class keeps an example in training, so that one with a single example is never held out. Examples of the same
    content are all in one part, unless that would leave less than half of what is to be held out.

    Args:
        labels: of all examples.
        shares: of each part, 0 for none.
        seed: of the draw.
        keys: of each content, see `content_keys`; `None`: no two are the same.

    Returns:
        Rows of the training part and of each part, each in ascending order.
    """
    alone = _drawn(labels, shares, seed, np.arange(len(labels)))
    if keys is None or len(set(keys)) == len(labels):
        return alone
    together = _with_every_class(_drawn(labels, shares, seed, groups_of(keys)), labels)
    enough = all(2 * len(value) >= len(other) for value, other in zip(together[1:], alone[1:], strict=True))
    return together if enough else alone


def _drawn(labels: Sequence[Label], shares: Sequence[float], seed: int, groups: Integers) -> list[Integers]:
    """Draw whole groups, each as one of the class of its first example."""
    rng = np.random.default_rng(seed)
    parts: list[list[Integers]] = [[] for _ in range(len(shares) + 1)]
    members = np.split(np.argsort(groups, kind="stable"), np.cumsum(np.bincount(groups))[:-1])
    groups_of_label: dict[Label, list[Integers]] = {}
    for rows in members:
        groups_of_label.setdefault(labels[rows[0]], []).append(rows)
    for label in sorted(groups_of_label, key=str):
        its_groups = groups_of_label[label]
        left, count = [its_groups[at] for at in rng.permutation(len(its_groups))], sum(map(len, its_groups))
        for number, share in enumerate(shares, 1):
            # the fraction of an example is drawn, so that many small classes give the share on the whole
            room = min(int(count * share + rng.random()), sum(map(len, left)) - 1) if share else 0
            taken, left = take_groups(left, room)
            parts[number].append(taken)
        parts[0] += left
    return [np.sort(np.concatenate([np.zeros(0, np.int64), *part])) for part in parts]


def _with_every_class(parts: list[Integers], labels: Sequence[Label]) -> list[Integers]:
    """Return parts with a class that training lacks brought back: contents of two classes may take one's all along."""
    there = {labels[row] for row in parts[0]}
    back = [row for part in parts[1:] for row in part.tolist() if labels[row] not in there]
    if not back:
        return parts
    return [np.union1d(parts[0], back), *(np.setdiff1d(part, back) for part in parts[1:])]


def counts_in_words(classes: Classes, targets: Integers) -> str:
    """Return how many examples each class has, the largest first."""
    counts = Counter(targets.tolist()).most_common()
    listed = ", ".join(f"{classes.names[number]} {count:,}" for number, count in counts[:_SHOWN])
    return listed + (f" and {counted(len(counts) - _SHOWN, 'more classes')}" if len(counts) > _SHOWN else "")
