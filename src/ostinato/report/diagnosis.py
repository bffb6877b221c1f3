"""A diagnosis as one page, and as a piece of a notebook."""

from __future__ import annotations

from pathlib import Path

from ostinato.diagnosis import Diagnosis
from ostinato.report.page import drawn_panel, template, write_page
from ostinato.report.words import duration


def write_diagnosis(diagnosis: Diagnosis, path: str | Path) -> Path:
    """Write a diagnosis as one HTML file that refers to nothing outside itself; return its path.

    Raises:
        MissingExtra: matplotlib or jinja2 is not installed.
        OutputError: the file cannot be written.
    """
    return write_page(path, lambda: render_diagnosis(diagnosis))


def render_diagnosis(diagnosis: Diagnosis) -> str:
    """Return a diagnosis as a page of HTML."""
    text: str = template("diagnosis.html.j2").render(
        diagnosis=diagnosis,
        seconds=duration(diagnosis.seconds),
        panels=[drawn_panel(place, panel) for place, panel in enumerate(diagnosis.panels)],
    )
    return text


def diagnosis_fragment(diagnosis: Diagnosis) -> str:
    """Return a diagnosis as HTML for a notebook: its verdicts and figures, without pictures.

    Raises:
        MissingExtra: jinja2 is not installed.
    """
    text: str = template("diagnosis_fragment.html.j2").render(diagnosis=diagnosis, seconds=duration(diagnosis.seconds))
    return text
