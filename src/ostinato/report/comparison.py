"""A comparison of cells, drawn: the page and the plot."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from ostinato.files import write_atomically
from ostinato.report.figures import FULL_WIDTH, MODEL, new_figure, on_white
from ostinato.report.page import render
from ostinato.report.words import visible
from ostinato.studies.comparing import Comparison
from ostinato.studies.comparing.result import COSTS, VALIDATION
from ostinato.studies.comparing.showing import markdown, summary_of
from ostinato.tasks.base.summary import best_of

if TYPE_CHECKING:
    from ostinato.report.drawing import Drawing


def write_comparison(comparison: Comparison, folder: str | Path) -> list[Path]:
    """Write `compare.md`, `compare.html` and `compare.png` into a folder; return their paths.

    Raises:
        MissingExtra: matplotlib or jinja2 is not installed.
        OutputError: a file cannot be written.
    """
    folder = Path(folder)
    page = render(summary_of(comparison), lambda: comparison_figure(comparison), comparison.measures)
    contents = {"compare.html": page.encode(errors="replace"), "compare.png": comparison_plot(comparison).png()}
    for name, content in contents.items():
        write_atomically(folder / name, content)
    return [write_markdown(comparison, folder), *(folder / name for name in contents)]


def write_markdown(comparison: Comparison, folder: str | Path) -> Path:
    """Write `compare.md` into a folder; it needs no extra."""
    path = Path(folder) / "compare.md"
    write_atomically(path, markdown(comparison).encode(errors="replace"))
    return path


def comparison_plot(comparison: Comparison) -> Drawing:
    """Draw a comparison as a figure that stands by itself.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    return on_white(lambda: comparison_figure(comparison))


def comparison_figure(comparison: Comparison) -> Drawing:
    """Draw a row a cell, a column a quantity: validation loss, the test part with its spread, time, memory, latency.

    The best is in colour; on the test part, the cell that was chosen by validation. A baseline is a dotted line there.
    """
    rows = [row for row in comparison.rows() if row.parameters is not None]
    baselines = [row for row in comparison.rows() if row.parameters is None]
    columns = [
        each for each in comparison.columns if each == VALIDATION or each in (*comparison.measures[:1], *COSTS[1:])
    ]
    figure, panels = new_figure(FULL_WIDTH, 1.1 + 0.34 * max(1, len(rows)), len(columns))
    for place, (axes, column) in enumerate(zip(panels, columns, strict=True)):
        best = best_of({row.name: row.means for row in rows}, column, comparison.better)
        if column in comparison.measures:
            best = comparison.chosen  # the test part shows what was chosen, and chooses nothing
        for i, row in enumerate(rows):
            spread = row.spreads.get(column, 0.0)
            colour = MODEL if row.name == best else "#808081"
            error = spread if math.isfinite(spread) else 0.0
            axes.errorbar(row.means.get(column, math.nan), i, xerr=error, fmt="o", color=colour, capsize=3)
        rival = best_of({row.name: row.means for row in baselines}, column, comparison.better)
        if rival is not None:
            value = next(row.means[column] for row in baselines if row.name == rival)
            axes.axvline(value, color="#808081", linestyle=":", linewidth=1)
            axes.annotate(
                visible(rival), (value, 1), xycoords=("data", "axes fraction"), fontsize=8, color="#000001",
                ha="center", va="bottom",
            )  # fmt: skip
        axes.set_yticks(range(len(rows)), [visible(row.name) for row in rows] if place == 0 else [""] * len(rows))
        axes.set_ylim(max(1, len(rows)) - 0.5, -0.5)
        axes.tick_params(left=False)
        axes.locator_params(axis="x", nbins=3)
        axes.margins(x=0.15)
        if column in COSTS and rows:
            axes.set_xlim(left=0.0)  # a cost of twice as much is drawn twice as long
        side = {"higher": " →", "lower": " ←"}.get(comparison.better.get(column, ""), "")
        axes.set_xlabel(f"{visible(column)}{side}", fontsize=9.5, color="#000001")
    return figure
