"""How far a model is from each of its baselines, drawn with intervals."""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING

from ostinato.report.figures import FULL_WIDTH, MODEL, WARM, new_figure
from ostinato.report.words import visible
from ostinato.tasks.base.differences import Difference
from ostinato.tasks.base.summary import Better, Summary
from ostinato.tasks.base.wording import scale_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS, _LABEL = 4, 32
_TITLE = 20  # letters a line: a column of four is as wide
_PLAIN = "#808081"
_COLOURS = {"better": MODEL, "worse": WARM}


def standing_figure(summary: Summary) -> Figure:
    """Draw a row a baseline, a column a measure: how far the model is from it, with the interval, and a line at 0.

    Columns are in per cent of the baseline, in points, or in the measure's own unit.
    """
    against, better = summary.against, summary.better
    names = list(against)
    measures = list(dict.fromkeys(measure for each in against.values() for measure in each))[:_COLUMNS]
    figure, panels = new_figure(FULL_WIDTH, 1.0 + 0.34 * len(names), max(1, len(measures)))
    for place, (axes, measure) in enumerate(zip(panels, measures, strict=True)):
        side: Better = "higher" if better.get(measure) == "higher" else "lower"
        unit, every = "", [row[measure] for row in summary.scores.values() if math.isfinite(row.get(measure, math.nan))]
        for row, name in enumerate(names):
            if (difference := against[name].get(measure)) is not None:
                unit = _draw(axes, row, difference, scale_of(summary.scores[name][measure], side, every))
        axes.axvline(0, color=_PLAIN, linewidth=1)
        axes.set_yticks(range(len(names)), [_short(name) for name in names] if place == 0 else [""] * len(names))
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.tick_params(left=False)
        axes.locator_params(axis="x", nbins=4)
        axes.grid(visible=False)
        arrow = "→" if side == "higher" else "←"
        title = textwrap.fill(f"{visible(measure)}{',' if unit else ''}{unit} {arrow}", _TITLE)
        axes.set_title(title, fontsize=9.5, color="#000001", loc="left")
    return figure


def _draw(axes: Axes, row: int, difference: Difference, scaled: tuple[float, str]) -> str:
    """Draw one difference; return its unit."""
    scale, unit = scaled
    if math.isfinite(difference.low) and math.isfinite(difference.high):
        axes.plot(
            [difference.low * scale, difference.high * scale],
            [row, row],
            color=_COLOURS.get(difference.standing, _PLAIN),
            linewidth=2,
        )
    if math.isfinite(difference.value):
        axes.plot([difference.value * scale], [row], "o", color=_COLOURS.get(difference.standing, _PLAIN))
    return unit


def _short(name: str) -> str:
    seen = visible(name)
    return seen if len(seen) <= _LABEL else seen[: _LABEL - 1] + "…"
