"""The report of a fit, of any task: one HTML file that stands by itself."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ostinato.errors import MissingExtra
from ostinato.files import require_folder, write_atomically
from ostinato.report import figures
from ostinato.report.glossary import glossary
from ostinato.report.plots import DRAWN, has_content
from ostinato.report.scores import Tile, score_table, score_tiles
from ostinato.report.standing import standing_figure
from ostinato.report.words import duration, judge_training, visible
from ostinato.tasks.base.judging import legend
from ostinato.tasks.base.summary import Frames, Summary, WeightedText
from ostinato.words import number

_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.figure import Figure


def write_report(summary: Summary, path: str | Path) -> Path:
    """Write the report of a fit; return its path.

    Raises:
        MissingExtra: matplotlib or jinja2 is not installed.
        OutputError: the file cannot be written; nothing half-written is left.
    """
    return write_page(path, lambda: render(summary))


def write_page(path: str | Path, render: Callable[[], str]) -> Path:
    """Write a page of HTML, which is made once it is known that its folder is there; return its path.

    Raises:
        MissingExtra: matplotlib or jinja2 is not installed.
        OutputError: the file cannot be written; nothing half-written is left.
    """
    path = Path(path)
    require_folder(path)
    # half a surrogate pair, which a token may be, has no bytes
    write_atomically(path, render().encode(errors="replace"))
    return path


def render(summary: Summary, figure: Callable[[], Figure] | None = None, unmarked: Sequence[str] = ()) -> str:
    """Return the report as HTML; it refers to nothing outside itself.

    Args:
        summary: what there is to see.
        figure: draws one figure more, before the scores.
        unmarked: measures of which the best is not marked: those by which nothing may be chosen.
    """
    trained = bool(summary.history)
    text: str = template("report.html.j2").render(
        summary=summary,
        tiles=_tiles(summary),
        table=score_table(summary.scores, summary.better, summary.against, legend(summary.against), unmarked),
        standing=_svg(lambda: standing_figure(summary), "differences from the baselines, with their intervals")
        if any(summary.against.values())
        else None,
        glossary=glossary(dict.fromkeys(measure for score in summary.scores.values() for measure in score)),
        figure=figure and _svg(figure, f"{summary.title}, as a figure"),
        words=judge_training(summary) if trained else "",
        training=_svg(lambda: figures.training_curves(summary), "training and validation loss by epoch")
        if trained
        else None,
        panels=[drawn_panel(i, panel) for i, panel in enumerate(summary.panels)],
    )
    return text


def template(name: str) -> Any:
    """Return a template of the report.

    Raises:
        MissingExtra: jinja2 is not installed.
    """
    try:
        import jinja2
    except ImportError as error:
        raise MissingExtra("reports and plots need the extra report: pip install 'ostinato[report]'") from error
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("ostinato.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["number"] = number
    environment.filters["code"] = with_code
    return environment.get_template(name)


def with_code(text: str) -> Markup:
    """Return a sentence as HTML: what stands between backticks as code."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"`([^`\n]+)`", r"<code>\1</code>", str(escape(text))))


def _tiles(summary: Summary) -> list[Tile]:
    """Return the model's scores, its size and its time as large numbers."""
    tiles = score_tiles(summary.scores, summary.better)
    if summary.parameters:
        tiles.append(Tile(f"{summary.parameters:,}", "trained weights"))
    if summary.seconds:
        tiles.append(Tile(duration(summary.seconds), "to fit"))
    return tiles


def _svg(draw: Callable[[], Figure], label: str) -> Markup:
    from markupsafe import Markup

    # the figures' own text comes from matplotlib, which escapes it
    return Markup(figures.drawn(draw, label))


def drawn_panel(place: int, panel: Any) -> dict[str, Any]:
    """Return a panel as the template takes it: its kind, the panel, and what is drawn of it."""
    kind = type(panel).__name__
    content: Any = None
    label = f"panel {place + 1}: {panel.title}"
    if type(panel) in DRAWN and has_content(panel):
        content = _svg(partial(DRAWN[type(panel)], panel), label)
    elif isinstance(panel, WeightedText):
        content = _shaded(panel.tokens, panel.weights)
    elif isinstance(panel, Frames):
        content = _strip(panel)
    return {"kind": kind, "own": panel, "content": content}


def _strip(panel: Frames) -> list[tuple[str, str, str | None]]:
    """Return the address, the caption and the share of a bar of each picture; what is no picture is left out."""
    found = list[tuple[str, str, str | None]]()
    for place, picture in enumerate(panel.pictures):
        kind = "png" if picture.startswith("iVBOR") else "jpeg" if picture.startswith("/9j/") else None
        if kind is None or not _BASE64.fullmatch(picture):
            continue
        caption = visible(panel.captions[place]) if place < len(panel.captions) else ""
        weight = panel.weights[place] if place < len(panel.weights) else math.nan
        share = f"{min(1.0, max(0.0, weight)):.3f}" if math.isfinite(weight) else None
        found.append((f"data:image/{kind};base64,{picture}", caption, share))
    return found


def _shaded(tokens: Sequence[str], weights: Sequence[float]) -> dict[str, Any]:
    """Return tokens with how much colour lies under each, from 0 to 1, and whether a space goes between them."""
    shown = [weights[i] if i < len(weights) else math.nan for i in range(len(tokens))]
    shades = [min(1.0, max(0.0, weight)) if math.isfinite(weight) else 0.0 for weight in shown]
    # pieces of words and characters stand close; words apart
    spaced = not any(len(token) == 1 or token != token.strip() for token in tokens if token) or (
        sum(len(token) for token in tokens) > 2 * len(tokens) and not any(token != token.strip() for token in tokens)
    )
    texts = [visible(token) for token in tokens]
    rows = [
        (text, f"{shade:.3f}", f"{text}: {number(weight)}")
        for text, shade, weight in zip(texts, shades, shown, strict=True)
    ]
    return {"tokens": rows, "spaced": spaced}
