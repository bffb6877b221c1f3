"""What is said of texts before a classifier learns from them: those that say nothing, those with two labels."""

from __future__ import annotations

from collections import Counter

from ostinato.data.notes import note
from ostinato.errors import DataError
from ostinato.tasks.classify.examples import Examples
from ostinato.words import verb

_SHOWN = 40


def say_doubtful(records: Examples, *, held: bool) -> None:
    """Say how many texts are empty, how many are there with several labels, and which labels have one text alone.

    Args:
        records: with their labels.
        held: whether some of them are held out to be judged on.

    Raises:
        DataError: every text is empty.
    """
    total, labels = len(records), records.labels or ()
    empty = sum(not text.strip() for text in records.items)
    if empty == total:
        raise DataError(f"all {total:,} texts of {records.origin} are empty; expected texts to learn from")
    if empty:
        said = f"{empty:,} of the {total:,} texts of {records.origin} {verb(empty, 'are')} empty"
        note(f"{said}; nothing can be read from them")
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
    alone = [label for label, count in Counter(labels).items() if count == 1]
    if held and 0 < len(alone) < len(set(labels)):
        have = "1 label has one text" if len(alone) == 1 else f"{len(alone):,} labels have one text each"
        note(f'{have} in {records.origin}, such as "{alone[0]}": it is learned from, and none is left to be judged on')
