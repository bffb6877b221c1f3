"""The records of the engine's benchmark as tables in Markdown."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import TypeVar

from common import table
from engine_records import Figure, Ratio

Item = TypeVar("Item")
Key = TypeVar("Key")


def grouped(items: Sequence[Item], key: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    """Return items by key, in the order in which they first come."""
    groups: dict[Key, list[Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def rows_of(ratios: Sequence[Ratio]) -> dict[tuple[str, str, int], list[Ratio]]:
    """Return the rows of the summary: what, against whom, with how many threads, over the sizes."""
    return grouped(ratios, lambda own: (own.what, own.peer, own.threads))


def summary(ratios: Sequence[Ratio]) -> str:
    """Return one line a row: the geometric mean and the smallest of its ratios over the sizes, beside the target."""
    lines = [[*row, *_summary_cells(own)] for row, own in rows_of(ratios).items()]
    return table(["ours", "against", "threads", "geometric mean", "minimum", "target", "met"], lines)


def _summary_cells(own: Sequence[Ratio]) -> list[str]:
    target = own[0].target
    wanted = "" if target is None else f"{target:g}"
    measured = [(record.ratio, record.size) for record in own if record.ratio]
    missing = f"{len(own) - len(measured)} of {len(own)} n/a" if len(measured) < len(own) else ""
    if not measured:
        return ["n/a", "n/a", wanted, f"n/a: {own[0].reason}"]
    mean = math.exp(sum(math.log(ratio) for ratio, _ in measured) / len(measured))
    smallest, size = min(measured)
    return [
        _times(mean),
        f"{_times(smallest)} ({size})",
        wanted,
        "; ".join(filter(None, [_met(mean, smallest, target), missing])),
    ]


def _met(mean: float, smallest: float, target: float | None) -> str:
    if target is None:
        return ""
    if smallest >= target:
        return "yes"
    return "in the mean" if mean >= target else "no"


def details(ratios: Sequence[Ratio]) -> str:
    """Return one line a measurement: medians and their ratio, or why there is none."""
    lines = [_detail(own) for records in rows_of(ratios).values() for own in records]
    return table(["ours", "against", "threads", "size", "ours, ms", "theirs, ms", "ratio"], lines)


def _detail(own: Ratio) -> list[object]:
    last = _times(own.ratio) if own.ratio else f"n/a: {own.reason}"
    return [own.what, own.peer, own.threads, own.size, _milli(own.ours), _milli(own.theirs), last]


def compile_times(ratios: Sequence[Ratio]) -> str:
    """Return what the first call took beyond a later one, over the sizes: the median and the largest, in seconds."""
    lines = []
    for (what, threads), own in grouped(ratios, lambda record: (record.what, record.threads)).items():
        ours = {record.size: _extra(record.ours_first, record.ours) for record in own}
        compilers = [
            [_extra(record.theirs_first, record.theirs) for record in own if record.peer == peer]
            for peer in ("torch.compile", "jax.lax.scan")
        ]
        lines.append([what, threads, *(_median_and_largest(extras) for extras in (list(ours.values()), *compilers))])
    return table(["ours", "threads", "ours, s", "torch.compile, s", "jax.jit, s"], lines)


def _median_and_largest(extras: Sequence[float | None]) -> str:
    known = [own for own in extras if own is not None]
    return f"{statistics.median(known):.2f}, {max(known):.2f}" if known else ""


def _extra(first: float | None, later: float | None) -> float | None:
    return None if first is None or later is None else max(0.0, first - later)


def figure_tables(figures: Sequence[Figure]) -> str:
    """Return a table for each kind of figure, with a column for each of those measured."""
    parts = []
    for title, own in grouped(figures, lambda record: record.table).items():
        columns = list(dict.fromkeys(record.who for record in own))
        lines = []
        for place, records in grouped(own, lambda record: (record.what, record.size, record.threads)).items():
            cells = {record.who: _value(record) for record in records}
            lines.append([*place, *(cells.get(column, "") for column in columns)])
        parts.append(f"## {title}\n\n" + table(["what", "size", "threads", *columns], lines))
    return "\n\n".join(parts)


def _value(record: Figure) -> str:
    return f"n/a: {record.reason}" if record.value is None else f"{record.value:.1f}"


def _times(ratio: float | None) -> str:
    return "n/a" if ratio is None else f"{ratio:.2f} x"


def _milli(seconds: float | None) -> str:
    return "n/a" if seconds is None else f"{1000 * seconds:.3g}"
