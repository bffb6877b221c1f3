"""What is said of texts before a classifier learns from them: those that say nothing, and those with two labels."""

from __future__ import annotations

from ostinato.data.notes import note
from ostinato.tasks.classify.examples import Examples

_SHOWN = 40


def say_doubtful(records: Examples) -> None:
    """Say how many texts are empty, and how many are there with several labels: no model tells such ones apart."""
    total, labels = len(records), records.labels or ()
    empty = sum(not text.strip() for text in records.items)
    if empty:
        are = "is" if empty == 1 else "are"
        note(f"{empty:,} of the {total:,} texts of {records.origin} {are} empty; nothing can be read from them")
    first: dict[str, object] = {}
    doubtful: dict[str, object] = {}
    for text, label in zip(records.items, labels, strict=False):
        if first.setdefault(text, label) != label and text.strip():
            doubtful.setdefault(text, label)
    if doubtful:
        text, other = next(iter(doubtful.items()))
        shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
        count = sum(text in doubtful for text in records.items)
        note(
            f'{count:,} of the {total:,} texts of {records.origin} are there with several labels, such as "{shown}" '
            f'as "{first[text]}" and "{other}": no model tells them apart; keep one of each if that is a mistake'
        )
