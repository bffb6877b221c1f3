"""The course of a search: a folder, trials by one worker or several, and the best of them fitted again."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ostinato.errors import NonFiniteLoss, TrainingError, UsageError
from ostinato.files import write_atomically
from ostinato.studies import children
from ostinato.studies.comparing.sizes import count_weights
from ostinato.studies.study import alone_in, fingerprint, fresh_or_gone, open_study, read_json, source_of, write_json
from ostinato.studies.tuning.result import Search, Trial, importances_of, trial_of
from ostinato.studies.tuning.space import Dimension, Range, Space, default_space, plain_of, read_space
from ostinato.studies.tuning.storage import counted, drop_running, mend_journal, open_trials, require_optuna
from ostinato.studies.tuning.worker import Work, do_trials
from ostinato.tasks.base.estimator import Estimator
from ostinato.tasks.base.summary import in_words
from ostinato.training import remove_checkpoint

if TYPE_CHECKING:
    from optuna import Study

_TUNED = "tuned.json"
_POLL = 0.5  # seconds between two looks at what workers have done


def tune(
    estimator: Estimator[Any],
    data: Any,
    space: Space | None = None,
    *,
    validation: Any = None,
    test: Any = None,
    trials: int = 20,
    max_seconds: float | None = None,
    workers: int = 1,
    pruning: bool = True,
    directory: str | Path | None = None,
    on_trial: Callable[[Trial], None] | None = None,
) -> Search:
    """Search for parameters with a low validation loss, and fit the estimator with the best of them.

    The first trial has the parameters as they are given, where the space holds them. The test part is looked at once,
    by the model that is fitted at the end.

    Args:
        estimator: not fitted; its parameters but for those searched are the same in all trials.
        data: what its `fit` takes.
        space: by parameter: `"64:512:log"`, `Range(64, 512, log=True)` or `["gru", "lstm"]`; `None`: learning rate,
            width and dropout around their values.
        validation: what decides which trial is best, where `fit` takes one; else a share of the data.
        test: likewise, for the scores of the model at the end.
        trials: how many in all, those of an earlier call into the same directory included.
        max_seconds: time limit of the trials of this call; one that is running then is stopped after its epoch.
        workers: processes that do trials side by side.
        pruning: whether a trial whose validation loss is above the median of others' at its epoch is stopped at once.
        directory: where trials and the model are kept, so that the same call resumes after it was broken off; `None`:
            nowhere.
        on_trial: called with each trial that has ended.

    Raises:
        UsageError: a parameter or a range is invalid, or the directory holds something else.
        DataError: something in the data is wrong, or there is no validation part.
        TrainingError: no trial came to its end.
        MissingExtra: Optuna is not installed.

    >>> import math, ostinato
    >>> wave = {"y": [math.sin(i / 6) for i in range(240)]}
    >>> model = ostinato.Forecaster(4, context=16, hidden_size=8, epochs=2)
    >>> found = ostinato.tune(model, wave, {"hidden_size": "4:16:log"}, trials=2)  # doctest: +SKIP
    >>> found.best.parameters  # doctest: +SKIP
    {'hidden_size': 8}
    """
    require_optuna()
    given = {"data": data, "validation": validation, "test": test}
    arguments = {name: item for name, item in given.items() if item is not None}
    for name, value in (("trials", trials), ("workers", workers), ("max_seconds", max_seconds)):
        if value is not None and not value > 0:
            raise UsageError(f"{name} is {value}; expected more than 0")
    searched = default_space(estimator) if space is None else read_space(space, estimator)
    deadline = math.inf if max_seconds is None else time.time() + max_seconds

    def search(folder: Path) -> Search:
        work = Work(estimator, arguments, searched, folder, trials, deadline, pruning, 0, workers)
        return _search(work, on_trial)

    if directory is not None:
        return search(Path(directory))
    with tempfile.TemporaryDirectory() as folder:
        return search(Path(folder))


def _search(work: Work, on_trial: Callable[[Trial], None] | None) -> Search:
    with fresh_or_gone(work.folder):
        open_study(work.folder, _plan(work))
        count_weights(work.estimator, work.data)  # what is wrong with all trials is said here
    with alone_in(work.folder):
        mend_journal(work.folder)
        study = _study(work)
        news = _News(study, on_trial)
        if work.workers > 1 and not _can_be_sent(work):
            raise UsageError(
                "a cell of your own that is written in a notebook or in the script that is run has no home that other "
                "processes can import; write it in a module, or use workers=1"
            )
        if work.workers == 1:
            do_trials(work, study, news)
        else:
            _side_by_side(work, study, news)
        best = _best(study)
        model = _model(work, best)
        found = _found(work, study, best, model)
        write_atomically(work.folder / "trials.csv", found.csv().encode(errors="replace"))
    return found


def _plan(work: Work) -> dict[str, Any]:
    prints = {f"fingerprint of {name}": fingerprint(value) for name, value in work.data.items()}
    shared = {name: value for name, value in in_words(work.estimator.get_params()).items() if name != "progress"}
    spoken = {f"search of {name}": str(dimension) for name, dimension in work.space.items()}
    return {"kind": "search for parameters", "task": type(work.estimator).__name__, **prints, **spoken, **shared}


def _study(work: Work) -> Study:
    """Return the study, with what a killed run left undone put first, or the parameters as they are given."""
    # a sampler that starts over with the same seed would draw the same again
    begun = len(open_trials(work.folder, 0).get_trials(deepcopy=False))
    study = open_trials(work.folder, begun, pruning=work.pruning, workers=work.workers)
    drop_running(study, again=True)
    if begun == 0 and (given := _given(work.estimator, work.space)):
        study.enqueue_trial(given)
    return study


def _given(estimator: Estimator[Any], space: Mapping[str, Dimension]) -> dict[str, Any]:
    """Return the parameters as they are given, if the space holds all of them."""
    known = estimator.get_params()
    inside = all(dimension.holds(known[name]) for name, dimension in space.items())
    return {name: plain_of(known[name]) for name in space} if inside else {}


class _News:
    """Tells of trials that have ended since the last look."""

    def __init__(self, study: Study, on_trial: Callable[[Trial], None] | None) -> None:
        self.study, self.on_trial = study, on_trial
        self.seen = {trial.number for trial in self._ended()}

    def __call__(self) -> None:
        for trial in self._ended():
            if trial.number not in self.seen:
                self.seen.add(trial.number)
                if self.on_trial is not None:
                    self.on_trial(trial_of(trial))

    def _ended(self) -> list[Any]:
        return [trial for trial in counted(self.study) if trial.state.is_finished()]


def _can_be_sent(work: Work) -> bool:
    choices = [work.estimator.get_params().get("cell")]
    choices += [value for one in work.space.values() if not isinstance(one, Range) for value in one.values]
    return all(children.can_take(work, value) for value in choices)


def _side_by_side(work: Work, study: Study, news: _News) -> None:
    """Let several processes do the trials; should this one end, they end with it."""
    begun = len(study.get_trials(deepcopy=False))
    logs = [work.folder / f"worker-{i}.log" for i in range(work.workers)]
    started = []
    try:
        for i, log in enumerate(logs):
            seeded = {**vars(work), "seed": begun + 1000 * (i + 1)}
            started.append(children.start("ostinato.studies.tuning.worker:run", Work(**seeded), log))
        while any(child.poll() is None for child in started):
            time.sleep(_POLL)
            news()
    finally:
        for child in started:
            children.stop(child)
        drop_running(study, again=False)
    news()
    broken = [log for child, log in zip(started, logs, strict=True) if child.returncode]
    if broken and not any(trial.state.is_finished() for trial in counted(study)):
        raise TrainingError(f"the workers ended before a trial did: {children.last_line(broken[0])}; see {broken[0]}")


def _best(study: Study) -> Trial:
    from optuna.trial import TrialState

    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if not complete:
        errors = [one.user_attrs["error"] for one in counted(study) if "error" in one.user_attrs]
        why = f" (the last failed: {errors[-1]})" if errors else ""
        raise TrainingError(f"no trial came to its end{why}; give more time, more trials or another space")
    return trial_of(min(complete, key=lambda trial: trial.value or 0.0))


def _model(work: Work, best: Trial) -> Any:
    """Return the estimator fitted with the best parameters, from the folder if it was fitted there before."""
    path, estimator = work.folder / _TUNED, work.estimator
    chosen = {name: _value(work.space[name], parameter) for name, parameter in best.parameters.items()}
    note = {"trial": best.number, "parameters": dict(best.parameters), "validation_loss": best.value}
    if path.exists() and (work.folder / "model.json").exists() and read_json(path) == note:
        cell = chosen.get("cell", estimator.get_params().get("cell"))
        return type(estimator).load(work.folder, cell=cell if callable(cell) else None)
    path.unlink(missing_ok=True)
    model: Any = estimator.unfitted(**chosen)
    try:
        model.fit(**work.data, directory=work.folder)
    except NonFiniteLoss as error:
        if not error.history.rows:
            raise
    model.save(work.folder)
    remove_checkpoint(work.folder)
    write_json(path, note)
    return model


def _value(dimension: Dimension, chosen: Any) -> Any:
    return chosen if isinstance(dimension, Range) else dimension.value_of(chosen)


def _found(work: Work, study: Study, best: Trial, model: Any) -> Search:
    given = _given(work.estimator, work.space)
    ended = [trial_of(trial) for trial in counted(study) if trial.state.is_finished()]
    first = [t.value for t in ended if given and t.state == "complete" and dict(t.parameters) == given]
    return Search(
        task=type(work.estimator).__name__,
        source=source_of(work.data["data"]),
        space={name: str(dimension) for name, dimension in work.space.items()},
        given=first[0] if first else math.nan,
        trials=tuple(ended),
        best=best,
        importances=importances_of(study, len(work.space)),
        model=model,
    )
