"""Single plots as PNG files."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ostinato.errors import UsageError
from ostinato.files import write_atomically
from ostinato.report.figures import plain_text, training_curves
from ostinato.report.panels import curve_figure, fan_figure, matrix_figure, scores_figure
from ostinato.report.timed_images import timed_image_figure
from ostinato.report.words import visible
from ostinato.tasks.base.summary import Curve, Fan, Matrix, Summary, TimedImage

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def training_plot(summary: Summary, path: str | Path) -> Path:
    """Write the training curves as a PNG file; return its path.

    Raises:
        MissingExtra: matplotlib is not installed.
        OutputError: the file cannot be written.
    """
    return _write(lambda: training_curves(summary), "", path)


def summary_plot(summary: Summary, path: str | Path) -> Path:
    """Write the first figure among a summary's panels, or its scores, or its training curves, as a PNG file.

    Returns:
        Its path.

    Raises:
        UsageError: there is nothing to plot.
        MissingExtra: matplotlib is not installed.
        OutputError: the file cannot be written.
    """
    for panel in summary.panels:
        if isinstance(panel, Matrix) and panel.rows and panel.columns:
            return panel_plot(panel, path)
        if isinstance(panel, TimedImage) and panel.values:
            return panel_plot(panel, path)
        if (isinstance(panel, Curve) and panel.x and panel.lines) or (isinstance(panel, Fan) and panel.times):
            return panel_plot(panel, path)
    if any(summary.scores.values()):
        return _write(lambda: scores_figure(summary.scores, summary.better), summary.title, path)
    if summary.history:
        return _write(lambda: training_curves(summary), "", path)
    raise UsageError("the model's summary has no panel, score or epoch to plot; its report has all there is")


def panel_plot(panel: Matrix | Curve | Fan | TimedImage, path: str | Path) -> Path:
    """Write one panel as a PNG file; return its path.

    Raises:
        MissingExtra: matplotlib is not installed.
        OutputError: the file cannot be written.
    """
    draw: Callable[[], Figure] = partial(_DRAWN[type(panel)], panel)
    return _write(draw, panel.title, path)


_DRAWN: dict[type, Callable[[Any], Figure]] = {
    Matrix: matrix_figure,
    Curve: curve_figure,
    Fan: fan_figure,
    TimedImage: timed_image_figure,
}


def _write(draw: Callable[[], Figure], title: str, path: str | Path) -> Path:
    content, path = io.BytesIO(), Path(path)
    with plain_text():
        figure = draw()
        if title:
            figure.suptitle(visible(title), fontsize=11, x=0.01, ha="left")
        figure.patch.set_alpha(1)
        figure.patch.set_facecolor("white")
        figure.savefig(content, format="png", dpi=144)
    write_atomically(path, content.getvalue())
    return path
