"""A training run of a task's network, and what a fitted one shows of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from ostinato.errors import NonFiniteLoss
from ostinato.files import make_folder
from ostinato.tasks.scores import Scores
from ostinato.tasks.base.summary import Panel, Summary, history_rows, in_words, whole_seconds
from ostinato.training import History, TrainingConfig, train
from ostinato.training.history import EpochRow
from ostinato.training.objective import BatchSource, Objective


@dataclass(frozen=True)
class Run:
    """How training went; `failure` is set when it broke off but left good weights."""

    history: History
    failure: NonFiniteLoss | None = None

    def plain(self) -> dict[str, Any]:
        """Return the history as plain data."""
        own = self.history
        return {"rows": [asdict(row) for row in own.rows], "best_epoch": own.best_epoch, "stopped": own.stopped}


def run_from(plain: dict[str, Any]) -> Run:
    """Return the run that `Run.plain` was called on."""
    return Run(History(tuple(EpochRow(**row) for row in plain["rows"]), plain["best_epoch"], plain["stopped"]))


def run_training(
    network: nn.Module,
    objective: Objective,
    batches: BatchSource,
    validation: BatchSource | None,
    config: TrainingConfig,
    *,
    directory: Path | None,
    resume: bool,
    fingerprint: str,
) -> Run:
    """Train a network in place, and leave it in evaluation mode; see `ostinato.training.train`.

    Raises:
        NonFiniteLoss: training broke off before an epoch was done.
    """
    if directory is not None:
        make_folder(directory)
    failure = None
    try:
        history = train(
            network, objective, batches, validation, config,
            directory=directory, resume=resume, fingerprint=fingerprint,
        )  # fmt: skip
    except NonFiniteLoss as error:
        if not error.history.rows:
            raise
        failure, history = error, error.history
    network.eval()
    return Run(history, failure)


def summary_of(
    title: str,
    task: str,
    parameters: Mapping[str, Any],
    network: nn.Module,
    run: Run,
    scores: Scores | None,
    *,
    measure: str,
    seconds: float,
    data: Sequence[tuple[str, str]],
    panels: Sequence[Panel],
) -> Summary:
    """Return what there is to see of a fit.

    Args:
        title: of the report.
        task: the kind of model.
        parameters: of the estimator.
        network: what was trained.
        run: how that went.
        scores: on what was held out, or `None`.
        measure: the one that the verdict is about.
        seconds: of the whole fit.
        data: see `Summary`.
        panels: see `Summary`.
    """
    said = "Nothing was held out, so nothing is said of how good it is." if scores is None else scores.verdict(measure)
    return Summary(
        title=title,
        task=task,
        settings=in_words(parameters),
        parameters=sum(own.numel() for own in network.parameters() if own.requires_grad),
        seconds=whole_seconds(seconds, run.history),
        data=tuple(data),
        history=history_rows(run.history),
        best_epoch=run.history.best_epoch,
        stopped=run.history.stopped,
        protocol="" if scores is None else f"{scores.protocol}; {scores.count:,} {scores.of}",
        scores={} if scores is None else scores.values,
        better={} if scores is None else scores.better,
        verdict=said,
        panels=tuple(panels),
    )
