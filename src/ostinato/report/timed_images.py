"""A picture over time, such as a spectrogram, with the words above what they stand for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ostinato.report.figures import FULL_WIDTH, MODEL, WARM, finish, new_figure
from ostinato.report.words import visible
from ostinato.tasks.base.summary import TimedImage

if TYPE_CHECKING:
    from ostinato.report.drawing import Drawing

_SHORTEST = 0.12  # inches of a letter, under which texts above would run into each other
_TEXTS = 60


def timed_image_figure(panel: TimedImage) -> Drawing:
    """Draw the values as shades of one colour laid over the page, and a line under each span's text."""
    width = max(map(len, panel.values))
    image = np.full((len(panel.values), width), np.nan)
    for row, values in enumerate(panel.values):
        image[row, : len(values)] = values
    figure, (axes,) = new_figure(FULL_WIDTH, 3.2)
    axes.grid(visible=False)
    axes.imshow(
        _shades(image), aspect="auto", origin="lower", interpolation="none",
        extent=(0.0, width * panel.seconds, 0.0, float(len(image))),
    )  # fmt: skip
    top, ends = float(len(image)), [-1.0, -1.0, -1.0]
    inch = width * panel.seconds / (FULL_WIDTH - 1)
    for text, start, end in panel.spans[:_TEXTS]:
        # on the lowest of three lines that is free
        line = next((number for number, last in enumerate(ends) if last <= start), 0)
        ends[line] = start + max(end - start, _SHORTEST * len(text) * inch)
        axes.plot([start, end], [top * 1.03] * 2, color=WARM, linewidth=2, clip_on=False, solid_capstyle="butt")
        axes.text(start, top * (1.06 + 0.09 * line), visible(text), fontsize=9, color="#000001", clip_on=False)
    axes.set_ylim(0, top * (1.36 if panel.spans else 1.0))
    finish(axes, "seconds", panel.y_axis)
    return figure


def _shades(
    image: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Return colours `(rows, columns, 4)`, from nothing at the 5th percentile to all of it at the 99th."""
    seen = image[np.isfinite(image)]
    low, high = np.percentile(seen, [5, 99]) if seen.size else (0.0, 1.0)
    share = np.clip(np.nan_to_num((image - low) / max(high - low, 1e-9)), 0.0, 1.0)
    colour = np.array([int(MODEL[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.concatenate([np.broadcast_to(colour, (*image.shape, 3)), share[..., None]], -1)
