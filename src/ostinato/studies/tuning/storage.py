"""The trials on disk: an Optuna study in a journal, which a kill at any moment leaves whole."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ostinato.errors import MissingExtra, OutputError
from ostinato.files import reason

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

_JOURNAL = "study.journal"
_STARTUP = 4  # trials before the first is stopped early


def require_optuna() -> Any:
    """Return Optuna.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise MissingExtra("tuning needs the extra tune: pip install 'ostinato[tune]'") from error
    return optuna


def open_trials(folder: Path, seed: int, *, pruning: bool = True, workers: int = 1) -> Study:
    """Return the study of a folder; it is made if there is none.

    Args:
        folder: where its journal is.
        seed: of the sampler (tree-structured Parzen estimator; J. Bergstra et al., NeurIPS 2011).
        pruning: whether a trial whose validation loss is above the median of the others' at the same epoch is stopped.
        workers: how many ask for trials at once.
    """
    optuna = require_optuna()
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        # what is called experimental has been so for years
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        pruner = optuna.pruners.MedianPruner(_STARTUP, n_warmup_steps=1) if pruning else optuna.pruners.NopPruner()
        study: Study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(folder / _JOURNAL))),
            study_name="ostinato",
            load_if_exists=True,
            sampler=optuna.samplers.TPESampler(n_startup_trials=8, seed=seed, constant_liar=workers > 1),
            pruner=pruner,
        )
    return study


def mend_journal(folder: Path) -> None:
    """Put right what a kill or a power cut left of the journal; nobody else may be at work in the folder.

    Raises:
        OutputError: it cannot be read or written.
    """
    path = folder / _JOURNAL
    (folder / f"{_JOURNAL}.lock").unlink(missing_ok=True)
    try:
        if not path.exists() or (content := path.read_bytes()).endswith(b"\n") or not content:
            return
        with path.open("r+b") as file:
            file.truncate(content.rfind(b"\n") + 1)  # the entry that was being written
    except OSError as error:
        raise OutputError(f"{path} cannot be mended ({reason(error)}); check its permissions") from error


def drop_running(study: Study, *, again: bool) -> None:
    """Close the trials whose process is no more; with `again`, their parameters are the next to be tried."""
    from optuna.trial import TrialState

    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        if again and trial.params:
            study.enqueue_trial(trial.params)


def counted(study: Study) -> list[FrozenTrial]:
    """Return the trials that count: not those that wait, nor those whose process was lost (they have no `error`)."""
    from optuna.trial import TrialState

    return [
        trial
        for trial in study.get_trials(deepcopy=False)
        if trial.state != TrialState.WAITING and (trial.state != TrialState.FAIL or "error" in trial.user_attrs)
    ]
