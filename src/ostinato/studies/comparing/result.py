"""What a comparison found: a run for each cell and seed, a row for each cell."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from ostinato.errors import UsageError
from ostinato.tasks.base.display import room_of_reports
from ostinato.tasks.base.summary import best_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VALIDATION = "validation loss"
"""By what a cell is chosen: never by the test part."""
COSTS = ("epochs", "training s", "memory MB", "latency ms")
"""What is measured beside the task's own measures; of all but the epochs, less is better."""


@dataclass(frozen=True)
class CellRun:
    """One fit. If it failed, `error` says why and the rest is empty.

    Args:
        cell, seed, hidden_size: what was fitted.
        parameters: how many weights were trained.
        scores, better, protocol: of the fit's summary.
        epochs, best_epoch, stopped: of its history.
        seconds: of training, validation included.
        memory: by how many bytes the process grew while it trained, at most.
        latency: median seconds of one answer on one thread; `latency_of`: what that is.
        curve: seconds and validation loss of each epoch.
        verdict: what the fit says of its scores.
        judged: by what measure, in what units, and the `values` and `weights` of each on the test part, so that two
            cells can be compared there; nothing where the measure is no mean over units.
    """

    cell: str
    seed: int
    hidden_size: int
    parameters: int = 0
    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    better: Mapping[str, str] = field(default_factory=dict)
    protocol: str = ""
    epochs: int = 0
    best_epoch: int = 0
    stopped: str = ""
    seconds: float = math.nan
    memory: float = math.nan
    latency: float = math.nan
    latency_of: str = ""
    curve: tuple[tuple[float, float], ...] = ()
    verdict: str = ""
    judged: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""

    @property
    def validation(self) -> float:
        """The lowest validation loss of an epoch; NaN without a validation part."""
        return min((loss for _, loss in self.curve if math.isfinite(loss)), default=math.nan)


@dataclass(frozen=True)
class Row:
    """A cell over its seeds, or a baseline: means, and standard deviations where there are several seeds."""

    name: str
    hidden_size: int | None
    parameters: int | None
    means: Mapping[str, float]
    spreads: Mapping[str, float]
    seeds: int


@dataclass(frozen=True)
class Comparison:
    """What a comparison found.

    Args:
        task: the estimator's name.
        source: what the data is called.
        wanted: the weights that every cell should have.
        seeds: how many fits of each cell were asked for.
        settings: what all fits share, in words.
        runs: in the order of the cells, then of the seeds.
    """

    task: str
    source: str
    wanted: int
    seeds: int
    settings: Mapping[str, str]
    runs: tuple[CellRun, ...]

    @property
    def done(self) -> tuple[CellRun, ...]:
        """The runs that did not fail."""
        return tuple(run for run in self.runs if not run.error)

    @property
    def failures(self) -> dict[str, str]:
        """Why runs failed, by cell; of several seeds, the first failure."""
        return {run.cell: run.error for run in reversed(self.runs) if run.error}

    @property
    def better(self) -> dict[str, Any]:
        """For each measure, the costs included, which side is better."""
        found = self.done[0].better if self.done else {}
        return {VALIDATION: "lower", **found, **dict.fromkeys(COSTS[1:], "lower")}

    @property
    def measures(self) -> list[str]:
        """The task's own measures, the first being the one that decides."""
        return list(self.done[0].scores.get("model", {})) if self.done else []

    @property
    def columns(self) -> list[str]:
        """What a table shows: what cells are chosen by, the task's own measures on the test part, the costs."""
        chosen_by = [VALIDATION] if any(math.isfinite(run.validation) for run in self.done) else []
        return [*chosen_by, *self.measures, *COSTS]

    @property
    def chosen(self) -> str | None:
        """The cell with the lowest validation loss in the mean over seeds; `None` without a validation part."""
        cells = {row.name: row.means for row in self.rows() if row.parameters is not None}
        return best_of(cells, VALIDATION, self.better)

    def rows(self) -> list[Row]:
        """Return the cells in their order, then the baselines; a cell of which no run was finished is left out."""
        cells = dict.fromkeys(run.cell for run in self.done)
        rows = [_row(cell, [run for run in self.done if run.cell == cell]) for cell in cells]
        names = dict.fromkeys(name for run in self.done for name in run.scores if name != "model")
        return [*rows, *(_baseline(name, self.done) for name in names)]

    def plain(self) -> dict[str, Any]:
        """Return all of it as plain data."""
        from dataclasses import asdict

        rows = [asdict(row) for row in self.rows()]
        return {**{one.name: getattr(self, one.name) for one in fields(self) if one.name != "runs"}, "rows": rows,
                "failures": self.failures, "runs": [asdict(run) for run in self.runs]}  # fmt: skip

    def __str__(self) -> str:
        from ostinato.studies.comparing.showing import text_table, verdict

        lines = [text_table(self), ""]
        lines += [f"{cell} failed: {error}" for cell, error in self.failures.items()]
        return "\n".join([*lines, verdict(self)])

    def plot(self) -> Figure:
        """Return a figure: a row a cell, with its validation loss, its measure on the test part, and its costs.

        Raises:
            MissingExtra: matplotlib is not installed.
            UsageError: no cell was fitted.
        """
        if not self.done:
            raise UsageError("no cell was fitted, so that there is nothing to plot; failures says why")
        figure: Figure = room_of_reports("comparison").comparison_plot(self)
        return figure

    def _repr_html_(self) -> str:
        from ostinato.studies.comparing.showing import as_html

        return as_html(self)


def run_from(plain: Mapping[str, Any]) -> CellRun:
    """Return the run that was written as plain data.

    Raises:
        UsageError: it is not whole.
    """
    try:
        known = {one.name: plain[one.name] for one in fields(CellRun)}
        known["judged"] = dict(known["judged"])
    except (KeyError, TypeError) as error:
        raise UsageError(f"the result of a run is not whole ({error}); delete its folder to do it again") from error
    for name in ("seconds", "memory", "latency"):
        known[name] = _number(known[name])
    scores = {who: {what: _number(value) for what, value in item.items()} for who, item in known["scores"].items()}
    curve = tuple((_number(a), _number(b)) for a, b in known["curve"])
    return CellRun(**{**known, "scores": scores, "curve": curve})


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _row(cell: str, runs: Sequence[CellRun]) -> Row:
    measures = dict.fromkeys(name for run in runs for name in run.scores.get("model", {}))
    values = {name: [run.scores.get("model", {}).get(name, math.nan) for run in runs] for name in measures}
    values[VALIDATION] = [run.validation for run in runs]
    costs = [(run.epochs, run.seconds, run.memory / 2**20, 1e3 * run.latency) for run in runs]
    values |= {name: [float(each[i]) for each in costs] for i, name in enumerate(COSTS)}
    means, spreads = _over_seeds(values)
    return Row(cell, runs[0].hidden_size, runs[0].parameters, means, spreads, len(runs))


def _baseline(name: str, runs: Sequence[CellRun]) -> Row:
    """Return a baseline's row: it is the same in all runs, unless the seed draws the split."""
    rows = [run.scores[name] for run in runs if name in run.scores]
    measures = dict.fromkeys(measure for scores in rows for measure in scores)
    means, spreads = _over_seeds({measure: [one.get(measure, math.nan) for one in rows] for measure in measures})
    differ = {measure: spread for measure, spread in spreads.items() if spread > 1e-9 * abs(means[measure])}
    return Row(name, None, None, means, differ, len(rows))


def _over_seeds(values: Mapping[str, Sequence[float]]) -> tuple[dict[str, float], dict[str, float]]:
    means = {name: statistics.fmean(value) for name, value in values.items()}
    several = {name: value for name, value in values.items() if len(value) > 1}
    return means, {name: statistics.stdev(value) if all(map(math.isfinite, value)) else math.nan
                   for name, value in several.items()}  # fmt: skip
