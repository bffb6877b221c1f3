"""The figures of a report, drawn by matplotlib as SVG that follows the page's light or dark colours."""

from __future__ import annotations

import contextlib
import html
import io
import math
import re
import warnings
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING

from ostinato.errors import MissingExtra
from ostinato.report.words import Trained, visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ostinato.report.drawing import Drawing

# Okabe and Ito's colours, which people with any colour vision tell apart; ink and paper are put in by the page
MODEL, TRUTH, RIVAL, WARM, GREEN = "#0072B2", "#000001", "#E69F00", "#D55E00", "#009E73"
_SHORT, _SHORTER = 100.0, 5.0  # the highest number of a logarithmic axis over its lowest, where numbers are added
_INK = {"#000001": "var(--ink)", "#808081": "var(--faint)", "#fffffe": "var(--paper)"}
LINES = (MODEL, RIVAL, GREEN, WARM, "#CC79A7", "#56B4E9", "#999999")
# fonts of other scripts, tried in this order where the first has no glyph
_SCRIPTS = (
    "Noto Sans CJK JP", "Noto Sans CJK SC", "Source Han Sans", "Noto Sans Arabic", "Noto Sans Hebrew",
    "Noto Sans Devanagari", "Noto Sans Thai", "Noto Sans", "Arial Unicode MS", "PingFang SC", "Microsoft YaHei",
)  # fmt: skip
FULL_WIDTH = 9.0  # inches of a figure that is as wide as the page
_NARROW = 4.2  # of one as wide as a phone, on which the same letters can be read
_MOST_TWICE = (
    60_000  # characters of a figure that is drawn for both: a page of long forecasts stays small enough to send
)
_widest: ContextVar[float] = ContextVar("widest", default=FULL_WIDTH)


def widest() -> float:
    """Return the inches of a figure that is as wide as the page, on the screen that is drawn for."""
    return _widest.get()


def new_figure(width: float, height: float, columns: int = 1, *, rows: int = 1) -> tuple[Drawing, list[Axes]]:
    """Return an empty figure with axes in a row, or below one another, in the report's style.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    require_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from ostinato.report.drawing import Drawing

    figure = Drawing(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    figure.patch.set_alpha(0)
    axes = [figure.add_subplot(rows, columns, i + 1) for i in range(rows * columns)]
    for one in axes:
        one.set_facecolor("none")
        for side in ("top", "right"):
            one.spines[side].set_visible(False)
        for side in ("left", "bottom"):
            one.spines[side].set_color("#808081")
        one.tick_params(colors="#000001", labelsize=9)
        one.grid(axis="y", color="#808081", alpha=0.25, linewidth=0.6)
    return figure, axes


def require_matplotlib() -> None:
    """Refuse to draw without matplotlib.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise MissingExtra("reports and plots need the extra report: pip install 'ostinato[report]'") from error


def as_svg(figure: Figure, label: str) -> str:
    """Return a figure as inline SVG: text as text, a label for those who cannot see it, colours from the page."""
    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "ostinato", "font.family": "sans-serif"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    prefix = "f" + format(hash_text(text + label), "x")
    # within the tags only: what stands between them is a user's text
    text = re.sub(r"<[^>]*>", lambda tag: _themed(tag.group(), prefix), text)
    name = html.escape(label)
    width = 62 * figure.get_figwidth() / FULL_WIDTH
    opening = f'<svg role="img" aria-label="{name}" style="--width: {width:.3g}rem" viewBox="'
    return re.sub(r'<svg [^>]*?viewBox="([^"]+)"[^>]*>', lambda tag: f'{opening}{tag[1]}">', text, count=1)


def _themed(tag: str, prefix: str) -> str:
    """Give a tag the page's colours and font, and names of its own: several figures stand on one page."""
    for plain, themed in _INK.items():
        tag = tag.replace(plain, themed)
    tag = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font: \1 inherit; font-family: inherit", tag)
    return re.sub(r'(id="|url\(#|href="#)', rf"\1{prefix}-", tag)


def hash_text(text: str) -> int:
    """Return a number for a text that is the same in every process."""
    import zlib

    return zlib.crc32(text.encode())


def training_curves(record: Trained) -> Drawing:
    """Draw the losses of all epochs, the best one marked, and the learning rate."""
    figure, (losses, rates) = (
        new_figure(FULL_WIDTH, 3.2, 2) if widest() == FULL_WIDTH else new_figure(widest(), 5.6, rows=2)
    )
    epochs = [row["epoch"] for row in record.history]
    mark = "o" if len(epochs) < 2 else None
    losses.plot(epochs, [row["loss"] for row in record.history], color=RIVAL, label="training", marker=mark)
    validation = [row["validation_loss"] for row in record.history]
    if not all(math.isnan(value) for value in validation):
        losses.plot(epochs, validation, color=MODEL, label="validation", marker=mark)
    if record.best_epoch:
        losses.axvline(record.best_epoch, color="#808081", linestyle=":", linewidth=1)
        losses.annotate("kept", (record.best_epoch, 1), xycoords=("data", "axes fraction"), color="#000001", fontsize=9)
    finish(losses, "epoch", "loss")
    rates.plot(epochs, [row["learning_rate"] for row in record.history], color=WARM, label="learning rate", marker=mark)
    finish(rates, "epoch", "learning rate")
    return figure


def logarithmic(axes: Axes) -> None:
    """Make the vertical axis logarithmic, its numbers written without formulas; two or more of them, however short."""
    from matplotlib.ticker import AutoLocator, LogLocator, NullLocator

    axes.set_yscale("log")
    low, high = axes.get_ylim()
    if high < _SHORT * low:  # less than two powers of ten may lie within: the numbers between are written too
        axes.yaxis.set_major_locator(AutoLocator() if high < _SHORTER * low else LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.6g}")
    axes.yaxis.set_minor_formatter(lambda _value, _place: "")


def finish(axes: Axes, across: str, up: str) -> None:
    """Name the axes, and the lines where there are several."""
    axes.set_xlabel(visible(across), color="#000001", fontsize=9.5)
    axes.set_ylabel(visible(up), color="#000001", fontsize=9.5)
    handles, _ = axes.get_legend_handles_labels()
    if len(handles) > 1:
        most = 4 if widest() == FULL_WIDTH else 2
        axes.legend(frameon=False, fontsize=8.5, labelcolor="#000001", ncols=min(most, len(handles)), loc="best")


def on_white(draw: Callable[[], Drawing], title: str = "") -> Drawing:
    """Draw a figure that stands by itself, on white paper, with a title."""
    with plain_text():
        figure = draw()
        if title:
            figure.suptitle(visible(title), fontsize=11, x=0.01, ha="left")
    figure.patch.set_alpha(1)
    figure.patch.set_facecolor("white")
    return figure


def drawn(draw: Callable[[], Figure], label: str) -> str:
    """Draw a figure and return its SVG, or two, of which a page shows one: a phone is too narrow for the other."""
    with plain_text():
        figure = draw()
        wide = as_svg(figure, label)
        if figure.get_figwidth() <= _NARROW or len(wide) > _MOST_TWICE:
            return wide
        with _on_a_phone():
            slim = draw()
            if slim.get_figwidth() > _NARROW:
                return wide
            return f'<div class="wide">{wide}</div><div class="slim">{as_svg(slim, label)}</div>'


@contextlib.contextmanager
def _on_a_phone() -> Iterator[None]:
    before = _widest.set(_NARROW)
    try:
        yield
    finally:
        _widest.reset(before)


@contextlib.contextmanager
def plain_text() -> Iterator[None]:
    """Draw text as it stands, in any script: a `$` is no formula, and a missing glyph no warning.

    matplotlib measures with its own font; the page's reader has others.
    """
    require_matplotlib()
    import matplotlib as mpl
    from matplotlib.font_manager import fontManager

    known = {font.name for font in fontManager.ttflist}
    family = ["DejaVu Sans", *(name for name in _SCRIPTS if name in known)]
    with mpl.rc_context({"text.parse_math": False, "font.family": family}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield
