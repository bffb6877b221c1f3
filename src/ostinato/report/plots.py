"""Single plots as PNG files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from ostinato.errors import UsageError
from ostinato.files import write_atomically
from ostinato.report.figures import forecast_figure, training_curves
from ostinato.tasks.record import FitRecord

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def forecast_plot(record: FitRecord, path: Path) -> Path:
    """Write the newest held-out forecast of a record as a PNG file; return its path.

    Raises:
        UsageError: the record has no forecast.
        MissingExtra: matplotlib is not installed.
        OutputError: the file cannot be written.
    """
    if not record.examples:
        raise UsageError("the model has no example forecast to plot; it was fitted on too little data")
    example = record.examples[-1]
    figure = forecast_figure(example, height=3.8)
    name = f" of {example.series_id}" if example.series_id else ""
    figure.axes[0].set_title(f"Forecast{name} from {example.times[0]}, held out from training", fontsize=11, loc="left")
    return _write(figure, path)


def training_plot(record: FitRecord, path: Path) -> Path:
    """Write the training curves as a PNG file; return its path.

    Raises:
        MissingExtra: matplotlib is not installed.
        OutputError: the file cannot be written.
    """
    return _write(training_curves(record), path)


def _write(figure: Figure, path: Path) -> Path:
    figure.patch.set_alpha(1)
    figure.patch.set_facecolor("white")
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=144)
    write_atomically(path, content.getvalue())
    return path
