"""What a search found: its trials, which parameters mattered, and the model that was fitted with the best of them."""

from __future__ import annotations

import csv
import io
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ostinato.tasks.base import display
from ostinato.tasks.base.summary import Curve, Panel, Summary, Table
from ostinato.words import counted, number, verb

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from optuna import Study
    from optuna.trial import FrozenTrial

_SHOWN = 100  # trials in a table, the best first
_FEWEST, _EACH = 20, 10


@dataclass(frozen=True)
class Trial:
    """One trial.

    Args:
        number: in the order of their beginning.
        state: `"complete"`, `"pruned"` or `"failed"`.
        value: the best validation loss; of one that was pruned, that of its last epoch; NaN if it failed.
        parameters: what was tried.
        epochs, weights, seconds: of its training.
        note: why it failed or was stopped.
    """

    number: int
    state: str
    value: float
    parameters: Mapping[str, Any]
    epochs: int
    weights: int
    seconds: float
    note: str = ""


@dataclass(frozen=True)
class Search:
    """What a search found.

    Args:
        task: the estimator's name; source: what the data is called.
        space: what was searched, in words.
        given: the value of the parameters as they were given; NaN if they were not tried.
        trials: in the order of their beginning.
        best: the trial with the lowest validation loss.
        importances: the share of each parameter in what made a good trial; nothing where there are too few trials to
            tell, see `enough_trials`.
        model: fitted again with the best trial's parameters.
    """

    task: str
    source: str
    space: Mapping[str, str]
    given: float
    trials: tuple[Trial, ...]
    best: Trial
    importances: Mapping[str, float]
    model: Any

    def __str__(self) -> str:
        lines = [f"  {name} = {in_short(value)}" for name, value in self.best.parameters.items()]
        return "\n".join([self.verdict, *lines, f"what mattered: {self.mattered}"])

    def plot(self) -> Figure:
        """Return a figure of the search's course.

        Raises:
            MissingExtra: matplotlib is not installed.
        """
        figure: Figure = display.room_of_reports().panel_figure(self._course())
        return figure

    def _repr_html_(self) -> str:
        found = self._table()
        chosen = ((name, in_short(value)) for name, value in self.best.parameters.items())
        return display.shown(
            f"Search: {self.task} on {self.source}",
            display.sentence(self.verdict),
            display.pairs(chosen),
            display.sentence(f"what mattered: {self.mattered}", faint=True),
            display.folded(counted(len(self.trials), "trials"), display.table(found.columns, found.rows, limit=40)),
        )

    @property
    def mattered(self) -> str:
        """Which parameters mattered, or that there are too few trials to tell."""
        complete = sum(trial.state == "complete" for trial in self.trials)
        if complete < (need := enough_trials(len(self.space))):
            return f"too few trials to tell: {complete} came to the end, and {need} are needed (--trials)"
        shares = ", ".join(f"{name} {100 * share:.0f} %" for name, share in self.importances.items())
        return shares or "nothing that these trials tell"

    @property
    def verdict(self) -> str:
        """What was found, in a sentence or two."""
        complete = sum(trial.state == "complete" for trial in self.trials)
        pruned = sum(trial.state == "pruned" for trial in self.trials)
        failed = len(self.trials) - complete - pruned
        counts = f"{complete} to the end, {pruned} stopped early" + (f", {failed} failed" if failed else "")
        said = (
            f"Of {counted(len(self.trials), 'trials')} ({counts}), number {self.best.number} is best: validation loss "
            f"{number(self.best.value)}"
        )
        if math.isnan(self.given):
            return f"{said}."
        gain = 100 * (1 - self.best.value / self.given) if self.given > 0 else math.nan
        if self.best.value >= self.given:
            return f"{said}; nothing was better than the parameters as they were given ({number(self.given)})."
        share = f", {gain:.1f} % lower" if math.isfinite(gain) else ""
        return (
            f"{said}; the parameters as they were given have {number(self.given)}{share}. Each was fitted once, and "
            "the lowest of several is partly luck: the test part says what it is worth."
        )

    def csv(self) -> str:
        """Return the trials as a table of CSV."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["trial", "state", "validation_loss", *self.space, "epochs", "weights", "seconds", "note"])
        for one in self.trials:
            value = "" if math.isnan(one.value) else one.value
            chosen = [one.parameters.get(name, "") for name in self.space]
            writer.writerow(
                [one.number, one.state, value, *chosen, one.epochs, one.weights, f"{one.seconds:.2f}", one.note]
            )
        return text.getvalue()

    def summary(self) -> Summary:
        """Return the search as a summary that the report draws, with the scores of the best model."""
        summary_: Summary = self.model.summary_
        return replace(
            summary_,
            title=f"Search: {self.task} on {self.source}",
            verdict=f"{self.verdict} It was fitted again: {summary_.verdict}",
            panels=self._panels(),
        )

    def _panels(self) -> tuple[Panel, ...]:
        panels: list[Panel] = [self._course()]
        if self.importances:
            rows = tuple((name, self.space[name], share) for name, share in self.importances.items())
            note = "The share of each parameter in telling the better trials from the others (PED-ANOVA)."
            panels.append(Table("What mattered", ("parameter", "searched", "importance"), rows, note))
        else:
            unknown = tuple((name, spoken, "not known") for name, spoken in self.space.items())
            note = self.mattered[:1].upper() + self.mattered[1:] + "."
            panels.append(Table("What mattered", ("parameter", "searched", "importance"), unknown, note))
        panels.append(self._table())
        return tuple(panels)

    def _course(self) -> Curve:
        least, so_far = math.inf, []
        for trial in self.trials:
            least = min(least, trial.value) if trial.state == "complete" else least
            so_far.append(least if math.isfinite(least) else math.nan)
        lines = {"best so far": tuple(so_far)}
        for state, name in (("complete", "trained to the end"), ("pruned", "stopped early, at its last epoch")):
            if any(trial.state == state for trial in self.trials):
                lines[name] = tuple(trial.value if trial.state == state else math.nan for trial in self.trials)
        x = tuple(float(trial.number) for trial in self.trials)
        return Curve("The course of the search", x, lines, "trial", "validation loss")

    def _table(self) -> Table:
        ordered = sorted(self.trials, key=lambda one: (one.state != "complete", math.isnan(one.value), one.value))
        rows = tuple(self._table_row(one) for one in ordered[:_SHOWN])
        columns = ("trial", "validation loss", *self.space, "epochs", "weights", "seconds", "end")
        left = len(ordered) - len(rows)
        return Table(
            "Trials, the best first",
            columns,
            rows,
            f"{left:,} more {verb(left, 'are')} in trials.csv." if left > 0 else "",
        )

    def _table_row(self, one: Trial) -> tuple[str | float, ...]:
        chosen = [in_short(one.parameters.get(name)) for name in self.space]
        end = one.state + (f": {one.note}" if one.note else "")
        return (one.number, one.value, *chosen, one.epochs, one.weights, one.seconds, end)


def in_short(value: Any) -> str:
    """Return a parameter's value in words."""
    return f"{value:.4g}" if isinstance(value, float) else "none" if value is None else str(value)


def trial_of(frozen: FrozenTrial) -> Trial:
    """Return an Optuna trial as plain data."""
    from optuna.trial import TrialState

    states = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned"}
    value = frozen.value
    if value is None and frozen.intermediate_values:
        value = frozen.intermediate_values[max(frozen.intermediate_values)]
    attributes = frozen.user_attrs
    return Trial(
        number=frozen.number,
        state=states.get(frozen.state, "failed"),
        value=math.nan if value is None else float(value),
        parameters=dict(frozen.params),
        epochs=int(attributes.get("epochs", 0)),
        weights=int(attributes.get("weights", 0)),
        seconds=frozen.duration.total_seconds() if frozen.duration else math.nan,
        note=str(attributes.get("error", attributes.get("stopped", ""))),
    )


def enough_trials(parameters: int) -> int:
    """Return how many trials must have come to their end before it is said which of so many parameters mattered.

    Ten for each, 20 at least: PED-ANOVA compares the best tenth with all of them, so that of fewer it sees one trial.

    >>> enough_trials(1), enough_trials(4)
    (20, 40)
    """
    return max(_FEWEST, _EACH * parameters)


def importances_of(study: Study, parameters: int) -> dict[str, float]:
    """Return the share of each parameter, the greatest first; nothing where there are too few trials to tell.

    Args:
        study: with its trials.
        parameters: how many are searched.

    Source: S. Watanabe, A. Bansal and F. Hutter, "PED-ANOVA", IJCAI 2023.
    """
    import optuna
    from optuna.trial import TrialState

    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(complete) < enough_trials(parameters) or len({trial.value for trial in complete}) < 2:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: float(share) for name, share in found.items() if math.isfinite(share)}
