"""What several verbs print: score tables and files written."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ostinato.tasks.record import Evaluation


def score_table(evaluation: Evaluation) -> str:
    """Return the scores as a table, the model first, the best of each column marked."""
    names = list(evaluation.scores)
    measures = list(evaluation.scores["model"])
    cells = [[_number(evaluation.scores[name].get(measure, math.nan)) for measure in measures] for name in names]
    for column, measure in enumerate(measures):
        row = _best(evaluation.scores, names, measure)
        if row is not None:
            cells[row][column] += " *"
    widths = [max(len(measure), *(len(row[i]) for row in cells)) for i, measure in enumerate(measures)]
    head = max(len(name) for name in names)
    table = [("", measures), *zip(names, cells, strict=True)]
    lines = [_line(name.ljust(head), row, widths) for name, row in table]
    return "\n".join(lines)


def _line(name: str, cells: list[str], widths: list[int]) -> str:
    return "  ".join([name, *(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))])


def print_evaluation(evaluation: Evaluation) -> None:
    """Print the table, how it was made, and the verdict."""
    print(score_table(evaluation))
    print(f"* best. {evaluation.split}; {evaluation.protocol}.")
    print(evaluation.verdict)


def evaluation_json(evaluation: Evaluation) -> dict[str, Any]:
    """Return an evaluation as plain data for `--json`; a number that is not finite becomes null."""
    plain: dict[str, Any] = _plain(asdict(evaluation))
    return plain


def print_json(value: Any) -> None:
    """Print one JSON document on one line."""
    sys.stdout.write(json.dumps(_plain(value)) + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(own) for key, own in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(own) for own in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _number(value: float) -> str:
    return "n/a" if math.isnan(value) else f"{value:.4g}" if abs(value) < 1e5 else f"{value:.3e}"


def _best(scores: Mapping[str, Mapping[str, float]], names: list[str], measure: str) -> int | None:
    values = [scores[name].get(measure, math.nan) for name in names]
    if measure.startswith("coverage"):
        wanted = float(measure.removeprefix("coverage ").removesuffix(" %"))
        values = [abs(value - wanted) for value in values]
    seen = [value for value in values if not math.isnan(value)]
    return values.index(min(seen)) if seen else None
