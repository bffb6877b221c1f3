"""Single plots, as figures and as PNG files."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ostinato.errors import UsageError
from ostinato.files import write_atomically
from ostinato.report.figures import on_white, training_curves
from ostinato.report.panels import curve_figure, fan_figure, matrix_figure, scores_figure
from ostinato.report.timed_images import timed_image_figure
from ostinato.tasks.base.summary import Curve, Fan, Matrix, Summary, TimedImage

if TYPE_CHECKING:
    from ostinato.report.drawing import Drawing

DrawnPanel: TypeAlias = "Matrix | Curve | Fan | TimedImage"


def summary_figure(summary: Summary) -> Drawing:
    """Draw the first figure among a summary's panels, or its scores, or its training curves.

    Where that is a forecast, and there are several beside what came, it is the one whose error is the median.

    Raises:
        UsageError: there is nothing to plot.
        MissingExtra: matplotlib is not installed.
    """
    for panel in summary.panels:
        if isinstance(panel, (Matrix, Curve, Fan, TimedImage)) and has_content(panel):
            return panel_figure(_usual_one(summary) if isinstance(panel, Fan) else panel)
    if any(summary.scores.values()):
        return on_white(lambda: scores_figure(summary.scores, summary.better), summary.title)
    if summary.history:
        return on_white(lambda: training_curves(summary))
    raise UsageError("the model's summary has no panel, score or epoch to plot; its report has all there is")


def _usual_one(summary: Summary) -> Fan:
    """Return the forecast of median error, each beside how far its series went; of an even number, the better one."""
    fans = [panel for panel in summary.panels if isinstance(panel, Fan) and has_content(panel)]
    known = [fan for fan in fans if fan.truth and np.isfinite(_error(fan))]
    return sorted(known, key=_error)[(len(known) - 1) // 2] if known else fans[0]


def _error(fan: Fan) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # nothing was observed
        error = np.nanmean(np.abs(np.subtract(fan.truth, fan.point)))
        spread = np.nanstd(fan.history) if fan.history else 1.0
    return float(error / spread if spread > 0 else error)


def panel_figure(panel: DrawnPanel) -> Drawing:
    """Draw one panel as a figure that stands by itself.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    draw: Callable[[], Drawing] = partial(DRAWN[type(panel)], panel)
    return on_white(draw, panel.title)


def training_plot(summary: Summary, path: str | Path) -> Path:
    """Write the training curves as a PNG file; return its path.

    Raises:
        MissingExtra: matplotlib is not installed.
        OutputError: the file cannot be written.
    """
    return _write(on_white(lambda: training_curves(summary)), path)


def summary_plot(summary: Summary, path: str | Path) -> Path:
    """Write what `summary_figure` draws as a PNG file.

    Returns:
        Its path.

    Raises:
        UsageError: there is nothing to plot.
        MissingExtra: matplotlib is not installed.
        OutputError: the file cannot be written.
    """
    return _write(summary_figure(summary), path)


def panel_plot(panel: DrawnPanel, path: str | Path) -> Path:
    """Write one panel as a PNG file; return its path.

    Raises:
        MissingExtra: matplotlib is not installed.
        OutputError: the file cannot be written.
    """
    return _write(panel_figure(panel), path)


def has_content(panel: DrawnPanel) -> bool:
    """Tell whether there is anything to draw."""
    if isinstance(panel, Matrix):
        return bool(panel.rows and panel.columns)
    if isinstance(panel, Curve):
        return bool(panel.x and panel.lines)
    return bool(panel.times if isinstance(panel, Fan) else panel.values)


DRAWN: dict[type, Callable[[Any], Drawing]] = {
    Matrix: matrix_figure,
    Curve: curve_figure,
    Fan: fan_figure,
    TimedImage: timed_image_figure,
}


def _write(figure: Drawing, path: str | Path) -> Path:
    path = Path(path)
    write_atomically(path, figure.png())
    return path
