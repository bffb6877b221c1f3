"""The report: one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ostinato.errors import MissingExtra
from ostinato.files import write_atomically
from ostinato.report import figures
from ostinato.report.scores import score_table, score_tiles
from ostinato.report.words import judge_gradients, judge_training, number
from ostinato.tasks.record import FitRecord

_EXAMPLES = 12  # more forecasts than this are not drawn


def write_report(record: FitRecord, path: Path) -> Path:
    """Write the report of a fit; return its path.

    Raises:
        MissingExtra: matplotlib or jinja2 is not installed.
        OutputError: the file cannot be written; nothing half-written is left.
    """
    path = Path(path)
    write_atomically(path, render(record).encode(errors="replace"))
    return path


def render(record: FitRecord) -> str:
    """Return the report as HTML; it refers to nothing outside itself."""
    scores = record.evaluation.scores if record.evaluation else {}
    text: str = template("report.html.j2").render(
        record=record,
        figures=_figures(record),
        tiles=score_tiles(scores, record.better),
        table=score_table(scores, record.better),
        words=_words(record),
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
    return environment.get_template(name)


def _words(record: FitRecord) -> Mapping[str, str]:
    flow = judge_gradients(record.diagnostics) if record.diagnostics is not None else ""
    return {"training": judge_training(record), "gradients": flow}


def _figures(record: FitRecord) -> Mapping[str, Any]:
    from markupsafe import Markup

    def svg(draw: Any, what: Any, label: str) -> Markup:
        # the figures' own text comes from matplotlib, which escapes it
        return Markup(figures.drawn(draw, what, label=label))

    inside, evaluation = record.diagnostics, record.evaluation
    shown = record.examples[-_EXAMPLES:][::-1]
    return {
        "training": svg(figures.training_curves, record, "training and validation loss by epoch")
        if record.history
        else None,
        "examples": [
            (one, svg(figures.forecast_figure, one, f"forecast {i + 1} of {one.target} from {one.times[0]}"))
            for i, one in enumerate(shown)
        ],
        "steps": svg(figures.step_errors, evaluation, "mean absolute error by forecast step") if evaluation else None,
        "gradients": svg(figures.gradient_flow, inside, "gradient norm by recurrent steps back")
        if inside is not None and len(inside.gradient_norm)
        else None,
        "hidden": svg(figures.hidden_states, inside, "hidden state by recurrent step")
        if inside is not None and inside.hidden.size
        else None,
    }
