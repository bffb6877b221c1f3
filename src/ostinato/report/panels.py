"""The panels of a summary that are figures: heat maps, curves and forecasts, and scores side by side."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ostinato.report.figures import (
    FULL_WIDTH,
    GREEN,
    LINES,
    MODEL,
    RIVAL,
    TRUTH,
    WARM,
    finish,
    logarithmic,
    new_figure,
    widest,
)
from ostinato.report.words import visible
from ostinato.tasks.base.summary import Curve, Fan, Matrix, best_of
from ostinato.words import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ostinato.report.drawing import Drawing

_INK, _PAPER = "#000001", "#ffffff"
_LABEL = 28  # letters of a label, at most
_TICKS = 64  # labels of an axis, at most
_ACROSS = 100  # characters that fit side by side below a figure of the page's width
_PRINTED = 14  # rows and columns of a matrix whose numbers are printed, at most
_SHADES = (WARM, GREEN, "#56B4E9")  # of stretches of an axis
_LINES = 12  # of a curve, at most
_RIVALS = {"naive": "#999999", "seasonal naive": RIVAL, "drift": "#CC79A7", "linear autoregression": GREEN}
_OFFSET = re.compile(r"(?<=\d)(Z|[+-]\d{2}:\d{2})$")  # from UTC, at the end of a time
_BEFORE, _FEWEST_BEFORE = 5, 48  # rows drawn before a forecast: times its length, and at least
_CELL = (0.3, 0.24)  # inches of a cell, across and up


def matrix_figure(panel: Matrix) -> Drawing:
    """Draw numbers by row and column as shades: of blue above zero, of red below it; nothing where there is none.

    A shade is a colour laid over the page with more or less of it, so that it reads on light and on dark paper.
    """
    values = _rectangle(panel)
    rows, columns = [_label(text) for text in panel.rows], [_label(text) for text in panel.columns]
    printed = max(values.shape) <= _PRINTED
    figure, (axes,) = new_figure(*_size(rows, columns, values, printed))
    axes.grid(visible=False)
    axes.imshow(_shades(values), aspect="auto", interpolation="none")
    _name_cells(axes, rows, columns)
    if printed:
        _print_numbers(axes, values)
    finish(axes, panel.column_axis, panel.row_axis)
    axes.xaxis.set_label_position("top")
    return figure


def _rectangle(panel: Matrix) -> NDArray[np.float64]:
    """Return the values as `(rows, columns)`; where a row is too short, NaN."""
    values = np.full((len(panel.rows), len(panel.columns)), np.nan)
    for i, row in enumerate(panel.values[: len(values)]):
        real = row[: values.shape[1]]
        values[i, : len(real)] = real
    return values


def _size(rows: list[str], columns: list[str], values: NDArray[np.float64], printed: bool) -> tuple[float, float]:
    """Return the inches of a matrix: as large as its cells and labels need, and no wider than the page.

    Numbers that are printed need their room on a phone too.
    """
    texts = _numbers(values) if printed else {}
    across = max(map(len, texts.values()), default=0) * 0.085 + 0.25 if printed else _CELL[0]
    labels = 0.085 * max(map(len, rows), default=0) + 0.6
    turned = _turned(columns, across)
    above = (0.08 * max(map(len, columns), default=0) if turned else 0.2) + 0.5
    width = min(FULL_WIDTH if printed else widest(), max(2.6, labels + across * len(columns)))
    height = min(14.0, max(1.2, above + (0.34 if printed else _CELL[1]) * len(rows)))
    return width, height


def _turned(columns: list[str], across: float) -> bool:
    return max(map(len, columns), default=0) * 0.085 > across


def _shades(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return colours `(rows, columns, 4)`, whose last channel is how much of it is laid on."""
    limit = np.nanmax(np.abs(values), initial=0.0, where=np.isfinite(values)) or 1.0
    share = np.clip(np.nan_to_num(np.abs(values) / limit, nan=0.0, posinf=1.0), 0.0, 1.0)
    colours = np.where((values < 0)[..., None], _channels(WARM), _channels(MODEL))
    return np.concatenate([colours, share[..., None]], -1)


def _channels(colour: str) -> NDArray[np.float64]:
    return np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])


def _name_cells(axes: Axes, rows: list[str], columns: list[str]) -> None:
    width = axes.figure.get_figwidth() - 0.085 * max(map(len, rows), default=0) - 0.6  # type: ignore[union-attr]
    turned = _turned(columns, width / max(1, len(columns)))
    across, down = _spread(len(columns), int(_TICKS * widest() / FULL_WIDTH)), _spread(len(rows), _TICKS)
    axes.set_xticks(across, [columns[i] for i in across], rotation=90 if turned else 0)
    axes.set_yticks(down, [rows[i] for i in down])
    axes.tick_params(top=False, bottom=False, left=False, labeltop=True, labelbottom=False)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)


def _spread(count: int, most: int) -> list[int]:
    """Return which of so many labels are written: all of them, or every so many."""
    return list(range(0, count, -(-count // most))) if count else []


def _print_numbers(axes: Axes, values: NDArray[np.float64]) -> None:
    strength = _shades(values)[..., 3]
    for (i, j), text in _numbers(values).items():
        # white on the darkest shades, which are as dark in both of the page's lights
        colour = _PAPER if strength[i, j] > 0.6 else _INK
        axes.text(j, i, text, ha="center", va="center", color=colour, fontsize=9)


def _numbers(values: NDArray[np.float64]) -> dict[tuple[int, ...], str]:
    """Return the numbers that there are, all with as many decimals as the largest needs for two or three digits."""
    seen = values[np.isfinite(values)]
    limit = float(np.abs(seen).max(initial=0.0))
    whole = bool((seen == np.round(seen)).all()) and limit < 1e6
    decimals = 0 if whole else max(0, 1 - math.floor(math.log10(limit)))
    write = (lambda value: f"{value:,.{decimals}f}") if whole or 1e-4 < limit < 1e6 else number
    return {place: write(value) for place, value in np.ndenumerate(values) if not math.isnan(value)}


def curve_figure(panel: Curve) -> Drawing:
    """Draw lines over a common axis; a gap where a number is missing, or not above zero on a logarithmic axis."""
    figure, (axes,) = new_figure(widest(), 3.4)
    x = np.asarray(panel.x, np.float64)
    positive = False
    for name, stretches in panel.shaded.items():
        color = _SHADES[list(panel.shaded).index(name) % len(_SHADES)]
        for place, (first, stop) in enumerate(stretches):
            axes.axvspan(first, stop, color=color, alpha=0.3, linewidth=0, label=None if place else _legend(name))
    for i, (name, values) in enumerate(list(panel.lines.items())[:_LINES]):
        y = np.full(len(x), np.nan)
        y[: len(values)] = values[: len(x)]
        if panel.logarithmic:
            y = np.where(y > 0, y, np.nan)
            positive |= bool(np.isfinite(y).any())
        mark = "o" if panel.points or np.isfinite(y).sum() <= 30 else None
        style = "none" if panel.points else "-" if i < len(LINES) else "--"
        axes.plot(x, y, style, color=LINES[i % len(LINES)], label=_legend(name), marker=mark, markersize=3.5)
    if panel.diagonal and len(x):
        ends = [float(np.nanmin(x)), float(np.nanmax(x))]
        axes.plot(ends, ends, color="#808081", linestyle=":", linewidth=1, label="y = x")
    if positive:
        logarithmic(axes)
    if panel.words:
        axes.set_xticks([place for place, _ in panel.words], [text for _, text in panel.words])
    elif len(x) and bool((np.mod(x, 1) == 0).all()):
        axes.locator_params(axis="x", integer=True)
    finish(axes, panel.x_axis, panel.y_axis)
    return figure


def fan_figure(panel: Fan, height: float = 3.4) -> Drawing:
    """Draw one forecast with its intervals beside what was observed, and the newest of what came before."""
    figure, (axes,) = new_figure(widest(), height)
    kept = min(len(panel.history), max(_BEFORE * len(panel.times), _FEWEST_BEFORE))
    history, history_times = panel.history[-kept:], panel.history_times[-kept:]
    before, ahead = np.arange(-len(history), 0), np.arange(len(panel.times))
    axes.plot(before, history, color=TRUTH, linewidth=1.2)
    if panel.truth:
        came = np.r_[history[-1:], panel.truth]
        axes.plot(np.r_[before[-1:], ahead], came, color=TRUTH, linewidth=1.6, label="observed")
    quantiles = np.asarray(panel.quantiles)
    bands = _bands(panel.levels)
    widths = ", ".join(f"{100 * (panel.levels[high] - panel.levels[low]):.0f}" for low, high in bands)
    for i, (low, high) in enumerate(bands):
        # the bands overlap, so one entry of the legend stands for all
        name = f"{widths} % interval" if i == 0 else "_nolegend_"
        band = quantiles[:, low], quantiles[:, high]
        axes.fill_between(ahead, *band, color=MODEL, alpha=0.16, linewidth=0, label=name)
    for name, values in panel.baselines.items():
        axes.plot(ahead, values, color=_RIVALS.get(name, RIVAL), linewidth=1, linestyle="--", label=name)
    axes.plot(ahead, panel.point, color=MODEL, linewidth=1.8, label="forecast")
    axes.axvline(-0.5, color="#808081", linewidth=0.8, linestyle=":")
    zone = _time_ticks(axes, [*history_times, *panel.times], -len(history))
    finish(axes, zone, panel.target)
    return figure


def _bands(levels: Sequence[float]) -> list[tuple[int, int]]:
    """Return the central intervals, the widest first; four at most."""
    pairs = [(i, len(levels) - 1 - i) for i in range(len(levels) // 2)]
    return [(i, j) for i, j in pairs if abs(levels[i] + levels[j] - 1) < 1e-6][:4]


def _time_ticks(axes: Axes, times: Sequence[str], first: int) -> str:
    """Mark as many times as fit; return the offset from UTC that all of them have, which the axis then names."""
    offsets = {found[0] if (found := _OFFSET.search(time)) else "" for time in times}
    offset = offsets.pop() if len(offsets) == 1 else ""
    shown = [time.removesuffix(offset) for time in times]
    longest = max(map(len, shown), default=1)
    count = min(6, max(2, int(_ACROSS * widest() / FULL_WIDTH) // (longest + 3)), len(shown))
    places = np.unique(np.linspace(0, len(shown) - 1, count).round().astype(int))
    axes.set_xticks([first + int(place) for place in places], [shown[place] for place in places])
    if not offset:
        return ""
    return "time in UTC" if offset in {"Z", "+00:00", "-00:00"} else f"time in UTC{offset}"


def _legend(name: str) -> str:
    """Return a line's name as a legend takes it: matplotlib leaves those with a `_` before them out."""
    text = _label(name)
    return "\u200b" + text if text.startswith("_") else text


def scores_figure(scores: Mapping[str, Mapping[str, float]], better: Mapping[str, str]) -> Drawing:
    """Draw who scored what: a row each, a column for each measure, the best in colour."""
    measures = list(dict.fromkeys(measure for score in scores.values() for measure in score))[:5]
    names = list(scores)
    figure, panels = new_figure(FULL_WIDTH, 0.9 + 0.3 * len(names), max(1, len(measures)))
    for i, (axes, measure) in enumerate(zip(panels, measures, strict=True)):
        best = best_of(scores, measure, better)
        for row, name in enumerate(names):
            value = scores[name].get(measure, math.nan)
            axes.plot([value], [row], "o", color=MODEL if name == best else "#808081")
        axes.set_yticks(range(len(names)), [_label(name) for name in names] if i == 0 else [""] * len(names))
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.tick_params(left=False)
        axes.locator_params(axis="x", nbins=3)
        axes.margins(x=0.15)
        side = {"higher": " →", "lower": " ←"}.get(better.get(measure, ""), "")
        axes.set_title(f"{_label(measure)}{side}", fontsize=9.5, color=_INK, loc="left")
    return figure


def _label(text: str) -> str:
    seen = visible(str(text))
    return seen if len(seen) <= _LABEL else seen[: _LABEL - 1] + "…"
