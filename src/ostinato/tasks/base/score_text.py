"""Scores as a table of text, as `print` and the command line have it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias

from ostinato.tasks.base.summary import Better, best_of
from ostinato.words import aligned, number

Values: TypeAlias = Mapping[str, Mapping[str, float]]
_GAP = 2  # characters between columns


def score_text(
    values: Values,
    better: Mapping[str, Better],
    signs: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
    wide: int | None = None,
) -> str:
    """Return scores as a table: `*` marks the best of a column, a sign behind it how the model stands to a baseline.

    Args:
        values: `values[name][measure]`.
        better: which side of a measure is better; of others no best is marked.
        signs: see `ostinato.tasks.base.judging.marks`.
        wide: characters of a line; columns that do not fit go below, in a table of their own.
    """
    measures = list(dict.fromkeys(measure for row in values.values() for measure in row))
    columns = [_column(values, measure, best_of(values, measure, better), signs) for measure in measures]
    names = ["", *values]
    head = max(map(len, names))
    widths = [_GAP + max(map(len, column)) for column in columns]
    blocks = [
        "\n".join(aligned([list(row) for row in zip(names, *columns[first:end], strict=True)]))
        for first, end in _blocks(widths, math.inf if wide is None else wide - head)
    ]
    return "\n\n".join(blocks)


def _column(values: Values, measure: str, best: str | None, signs: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return the heading of a column and its cells; behind each number is room for what stands behind any."""
    numbers = [number(row.get(measure, math.nan)) for row in values.values()]
    stars = ["*" if name == best else "" for name in values]
    against = [signs.get(name, {}).get(measure, "") for name in values]
    cells = ["", *numbers]
    for marks in (stars, against):
        if any(marks):
            cells = [f"{cell} {mark or ' '}" for cell, mark in zip(cells, ["", *marks], strict=True)]
    return [measure + cells[0], *cells[1:]]


def _blocks(widths: Sequence[int], room: float) -> Iterator[tuple[int, int]]:
    """Yield the first column and the one after the last of each block that fits the room, one column at least."""
    first, used = 0, 0
    for place, width in enumerate(widths):
        if place > first and used + width > room:
            yield first, place
            first, used = place, 0
        used += width
    yield first, len(widths)
