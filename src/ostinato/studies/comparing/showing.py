"""A comparison as text, as Markdown and as the summary that a report draws."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ostinato.artifact import versions
from ostinato.studies.comparing.result import VALIDATION, CellRun, Comparison, Row
from ostinato.studies.comparing.telling import on_test, over_seeds
from ostinato.tasks.base import display
from ostinato.tasks.base.summary import Curve, Panel, Summary, Table, best_of
from ostinato.words import aligned, counted, number, rough

_POINTS = 60  # of a curve over time


def text_table(comparison: Comparison) -> str:
    """Return one table: cells, then baselines; `*` marks the best of a column."""
    head, rows = _cells(comparison, best=" *")
    return "\n".join(aligned([head, *rows]))


def markdown(comparison: Comparison) -> str:
    """Return the comparison as a page of Markdown."""
    head, rows = _cells(comparison, best=" ★")
    lines = [f"# {title(comparison)}", "", verdict(comparison), ""]
    lines += [_line(head), _line(["---", *["---:"] * (len(head) - 1)]), *map(_line, rows), "", notes(comparison), ""]
    lines += [f"- **{cell}** failed: {error}" for cell, error in comparison.failures.items()]
    return "\n".join(lines).rstrip() + "\n"


def as_html(comparison: Comparison) -> str:
    """Return the comparison as a notebook shows it."""
    head, rows = _cells(comparison, best=" ★")
    return display.shown(
        title(comparison),
        display.sentence(verdict(comparison)),
        display.table(head, rows, limit=40),
        display.pairs((f"{cell} failed", error) for cell, error in comparison.failures.items()),
        display.sentence(notes(comparison), faint=True),
    )


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def title(comparison: Comparison) -> str:
    """Return what was compared, in words."""
    return f"Cells compared: {comparison.task} on {comparison.source}"


def _cells(comparison: Comparison, best: str) -> tuple[list[str], list[list[str]]]:
    columns = comparison.columns
    scores = {row.name: row.means for row in comparison.rows()}
    # the test part is shown, and chooses nothing
    winners = {
        column: best_of(scores, column, comparison.better) for column in columns if column not in comparison.measures
    }
    rows = []
    for row in comparison.rows():
        cells = [_spread(row, column) + (best if winners.get(column) == row.name else "") for column in columns]
        rows.append([row.name, _whole(row.hidden_size), _whole(row.parameters), *cells])
    return ["", "units", "weights", *columns], rows


def _whole(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _spread(row: Row, column: str) -> str:
    if column not in row.means:
        return ""
    mean, spread = row.means[column], row.spreads.get(column)
    return number(mean) if not spread or math.isnan(spread) else f"{number(mean)} ± {rough(spread)}"


def notes(comparison: Comparison) -> str:
    """Return how the numbers were made."""
    run = comparison.done[0] if comparison.done else None
    seeds = f"{counted(comparison.seeds, 'seeds')} a cell"
    if comparison.seeds > 1:
        seeds += ", mean ± standard deviation"
    answer = f"; latency: median of {run.latency_of}, one thread" if run and run.latency_of else ""
    protocol = f"{run.protocol}. " if run and run.protocol else ""
    chosen = " Chosen by validation loss; the test part chooses nothing." if comparison.chosen else ""
    return (
        f"{protocol}{seeds}; about {comparison.wanted:,} trained weights; training time includes validation; memory: "
        f"by how much the process grew while it trained, at most{answer}. Each fit had a process of its own.{chosen}"
    )


def verdict(comparison: Comparison) -> str:
    """Say in a few sentences which cell is chosen, which are level with it, and what the test part says of it."""
    if not comparison.rows() or not comparison.measures:
        return "No cell was fitted, or nothing was held out to compare them on."
    best = comparison.chosen
    if best is None:
        return (
            "No cell is chosen: there is no validation loss to choose by, and a choice by the test part would make its "
            "figures too good; hold a validation part out (validation)."
        )
    loss = next(row.means[VALIDATION] for row in comparison.rows() if row.name == best)
    said = [f"{best} has the lowest validation loss ({number(loss)}){over_seeds(comparison, best)}."]
    fastest = best_of({row.name: row.means for row in comparison.rows()}, "training s", comparison.better)
    if fastest not in (best, None):
        said.append(f"{fastest} trains fastest.")
    run = next(run for run in comparison.done if run.cell == best)
    said.append(on_test(comparison, run))
    if run.verdict:
        said.append(f"{best} beside the baselines, seed {run.seed}: {run.verdict}")
    return " ".join(filter(None, said))


def summary_of(comparison: Comparison) -> Summary:
    """Return a comparison as a summary that the report draws."""
    columns = comparison.columns
    scores = {
        row.name: {column: row.means[column] for column in columns if column in row.means} for row in comparison.rows()
    }
    return Summary(
        title=title(comparison),
        task="comparison",
        settings=comparison.settings,
        parameters=0,
        seconds=0.0,
        data=(
            ("source", comparison.source),
            ("size", f"about {comparison.wanted:,} trained weights each"),
            ("fits", f"{len(comparison.runs)}, {comparison.seeds} of each cell"),
        ),
        history=(),
        best_epoch=0,
        stopped="",
        protocol=notes(comparison).rstrip("."),
        scores=scores,
        better=comparison.better,
        verdict=verdict(comparison),
        panels=_panels(comparison),
        versions=versions(),
    )  # fmt: skip


def _panels(comparison: Comparison) -> tuple[Panel, ...]:
    head, rows = _cells(comparison, best="")
    panels: list[Panel] = []
    if comparison.seeds > 1:
        panels.append(Table("Over the seeds", tuple(head), tuple(map(tuple, rows)), "Mean ± standard deviation."))
    sized = [(row.name, row.hidden_size or 0, row.parameters) for row in comparison.rows() if row.parameters]
    off = tuple((name, units, value, f"{100 * (value / comparison.wanted - 1):+.1f} %") for name, units, value in sized)
    panels.append(Table("Sizes", ("cell", "units", "weights", "from the aim"), off))
    first = {run.cell: run for run in reversed(comparison.done) if run.curve}
    if first:
        panels += [_over_time(first), _over_epochs(first)]
    if comparison.failures:
        panels.append(Table("Failed", ("cell", "why"), tuple(comparison.failures.items())))
    return tuple(panels)


def _over_time(runs: dict[str, CellRun]) -> Curve:
    end = max(run.curve[-1][0] for run in runs.values())
    times = tuple(end * (i + 1) / _POINTS for i in range(_POINTS))
    lines = {cell: tuple(_best_until(run, time) for time in times) for cell, run in runs.items()}
    note = "The best validation loss so far, of the first seed of each cell; the lines end with the training."
    return Curve("Validation loss by training time", times, lines, "seconds", "validation loss", note=note)


def _best_until(run: CellRun, time: float) -> float:
    seen = [loss for at, loss in run.curve if at <= time and not math.isnan(loss)]
    over = time > run.curve[-1][0] * (1 + 1.0 / _POINTS)
    return min(seen) if seen and not over else math.nan


def _over_epochs(runs: dict[str, CellRun]) -> Curve:
    epochs = max(len(run.curve) for run in runs.values())
    lines = {cell: tuple(loss for _, loss in run.curve) for cell, run in runs.items()}
    x = tuple(float(i + 1) for i in range(epochs))
    return Curve("Validation loss by epoch", x, lines, "epoch", "validation loss", note="The first seed of each cell.")
