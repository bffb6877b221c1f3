"""What classifiers are given: items, each with the class it belongs to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ostinato.data.identities import Label
from ostinato.tasks.base.labels import Classes, Integers, checked_labels, counts_in_words, drawn_parts

__all__ = ["Classes", "Examples", "Integers", "checked_labels", "counts_in_words", "drawn_parts"]


@dataclass(frozen=True)
class Examples:
    """Items in the order of their source.

    Args:
        origin: what to call the source in a message.
        items: texts, or `Steps` of numeric sequences.
        labels: the class of each; `None`: not given.
        channels: the names of the channels of numeric sequences.
        reading: how they were read, which holds for all later ones.
        names: what each is called, such as its file; empty: they have none.
    """

    origin: str
    items: tuple[Any, ...]
    labels: tuple[Label, ...] | None = None
    channels: tuple[str, ...] = ()
    reading: Any = None
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.items)

    def part(self, rows: Integers) -> Examples:
        """Return the examples of some rows, in their order."""
        labels = None if self.labels is None else tuple(self.labels[row] for row in rows)
        names = tuple(self.names[row] for row in rows) if self.names else ()
        return replace(self, items=tuple(self.items[row] for row in rows), labels=labels, names=names)
