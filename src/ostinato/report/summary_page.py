"""The report of a `Summary` as one HTML file: of every task but the forecaster, which has a page of its own."""

from __future__ import annotations

import math
from pathlib import Path

from ostinato.files import write_atomically
from ostinato.report.page import template
from ostinato.report.words import number
from ostinato.tasks.summary import Summary


def write_summary(summary: Summary, path: str | Path) -> Path:
    """Write the report of a fit; return its path.

    Raises:
        MissingExtra: matplotlib or jinja2 is not installed.
        OutputError: the file cannot be written; nothing half-written is left.
    """
    path = Path(path)
    write_atomically(path, render_summary(summary).encode())
    return path


def render_summary(summary: Summary) -> str:
    """Return the report as HTML; it refers to nothing outside itself."""
    text: str = template("summary.html.j2").render(summary=summary, table=_score_rows(summary))
    return text


def _score_rows(summary: Summary) -> list[tuple[str, list[tuple[str, bool]]]]:
    """Return the scores as rows of cells, each with whether it is the best of its column."""
    measures = list(summary.scores.get("model", {}))
    best = {measure: _best(summary, measure) for measure in measures}
    return [
        (name, [(number(own.get(measure, math.nan)), best[measure] == name) for measure in measures])
        for name, own in summary.scores.items()
    ]


def _best(summary: Summary, measure: str) -> str | None:
    known = {name: value for name, own in summary.scores.items() if (value := own.get(measure, math.nan)) == value}
    choose = max if summary.better.get(measure) == "higher" else min
    return choose(known, key=known.__getitem__) if known else None
