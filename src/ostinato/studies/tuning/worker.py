"""Trials one after the other, in one process: ask for parameters, train, tell the validation loss."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ostinato.errors import DataError, NonFiniteLoss, OstinatoError, UsageError
from ostinato.studies.tuning.space import Dimension, Range
from ostinato.studies.tuning.storage import counted, open_trials
from ostinato.training import EpochRow, History, Listener, listening

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import Trial


@dataclass(frozen=True)
class Work:
    """What a worker needs: an estimator, the arguments of its `fit`, what is searched, and when to stop."""

    estimator: Any
    data: Mapping[str, Any]
    space: Mapping[str, Dimension]
    folder: Path
    trials: int
    deadline: float  # seconds since the epoch; infinite for none
    pruning: bool
    seed: int
    workers: int


def run(work: Work) -> None:
    """Do trials in a process of its own, beside others."""
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // work.workers))
    do_trials(work, open_trials(work.folder, work.seed, pruning=work.pruning, workers=work.workers))


def do_trials(work: Work, study: Study, after_each: Callable[[], None] = lambda: None) -> None:
    """Do trials until there are enough, or it is time to stop."""
    while len(counted(study)) < work.trials and time.time() < work.deadline:
        _do_trial(work, study)
        after_each()


def _do_trial(work: Work, study: Study) -> None:
    from optuna import TrialPruned
    from optuna.trial import TrialState

    trial = study.ask()
    try:
        value = _objective(work, trial)
    except TrialPruned:
        study.tell(trial, state=TrialState.PRUNED)
    except DataError:
        study.tell(trial, state=TrialState.FAIL)
        raise  # the data is the same for all
    except (OstinatoError, RuntimeError, ArithmeticError, MemoryError) as error:
        # parameters that do not go together, or too large a network: the others may do better
        trial.set_user_attr("error", str(error) or type(error).__name__)
        study.tell(trial, state=TrialState.FAIL)
    else:
        study.tell(trial, value)


def _objective(work: Work, trial: Trial) -> float:
    """Train with the trial's parameters and return the best validation loss; the test part is not looked at."""
    chosen = {name: _suggest(trial, name, dimension) for name, dimension in work.space.items()}
    model, watch = work.estimator.unfitted(**{"progress": False, **chosen}), _Watch(trial, work.deadline)
    try:
        with listening(watch):
            model.fit(**work.data)
    except _Trained:
        return watch.best
    except NonFiniteLoss:
        if math.isfinite(watch.best):
            return watch.best  # the weights of that epoch are kept
        raise
    raise UsageError(f"a {type(model).__name__} trains without ostinato.training.train: it cannot be tuned")


def _suggest(trial: Trial, name: str, dimension: Dimension) -> Any:
    if not isinstance(dimension, Range):
        return dimension.value_of(trial.suggest_categorical(name, dimension.names))
    if dimension.whole:
        step = int(dimension.step or 1)
        return trial.suggest_int(name, int(dimension.low), int(dimension.high), step=step, log=dimension.log)
    return trial.suggest_float(name, dimension.low, dimension.high, step=dimension.step, log=dimension.log)


class _Trained(Exception):
    """Raised when training has ended, so that nothing is evaluated on the test part."""


class _Watch(Listener):
    """Tells Optuna of every epoch, and ends a trial that is not worth its time, or that has no time left."""

    def __init__(self, trial: Trial, deadline: float) -> None:
        self.trial, self.deadline = trial, deadline
        self.best, self.epochs = math.inf, 0

    def begin(self, module: nn.Module) -> None:
        weights = sum(weight.numel() for weight in module.parameters() if weight.requires_grad)
        self.trial.set_user_attr("weights", weights)

    def epoch(self, row: EpochRow) -> None:
        from optuna import TrialPruned

        if math.isnan(row.validation_loss):
            raise DataError("tuning needs a validation part; hold a share of the data out for it (validation)")
        self.epochs += 1
        self.best = min(self.best, row.validation_loss)
        self.trial.report(row.validation_loss, self.epochs)
        self.trial.set_user_attr("epochs", self.epochs)
        if self.trial.should_prune():
            raise TrialPruned
        if time.time() > self.deadline:
            self.trial.set_user_attr("stopped", "the time limit was reached")
            raise TrialPruned

    def end(self, history: History) -> None:  # noqa: ARG002
        raise _Trained
