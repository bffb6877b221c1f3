"""One fit, of any task: read, hold out, encode, train, perhaps train again, judge, summarise."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

from ostinato.errors import UsageError
from ostinato.options import Cell, check, parameters_of, values_of
from ostinato.tasks.base.allowance import seconds_beside
from ostinato.tasks.base.baselines import AnyTask, fitted_apart, sentences
from ostinato.tasks.base.evaluating import judge
from ostinato.tasks.base.holding_out import Held, Repeats, Shares, fingerprint, without_empty
from ostinato.tasks.base.judging import Scores, decisive
from ostinato.tasks.base.running import Run, check_memory, make_network, run_training
from ostinato.tasks.base.summary import Panel, Summary, in_words
from ostinato.tasks.base.task import Baseline, Model
from ostinato.training import TrainingConfig, checkpoint_path
from ostinato.words import counted, rounded

Facts = tuple[tuple[str, str], ...]
_READING, _TRAINING, _CALIBRATION, _BASELINES, _JUDGING = "reading", "training", "calibration", "baselines", "judging"
_BEFORE_REFIT = 0.45  # of the time, to find out how many epochs are best; those are then done with more data
_LEAST = 0.25  # of the time, at least, is the network's, however long what is fitted before it and after it takes
_NOT_COMPARED = (
    "The model was written before it was compared, and the fit then broke off: no baselines stand beside it; the same "
    "fit with --resume (in Python: resume=True) fits and judges them."
)
_NOTHING = "Nothing was held out to be judged on, so nothing is known of how good it is."


@dataclass(frozen=True)
class Fitted:
    """What a fit gives: what predicts, how its training went, what stands beside it, and what there is to see.

    Args:
        model, run: what predicts, and how its training went.
        baselines: what stands beside it; left_out: what does not, and why.
        scores: on what was held out; `None`: nothing was, or it is not compared yet.
        summary: what there is to see.
        compared: whether the baselines have been fitted: a model is written before they are.
        seconds: how long each part of the fit took.
    """

    model: Model[Any, Any]
    run: Run
    baselines: Mapping[str, Baseline]
    scores: Scores | None
    summary: Summary
    left_out: Mapping[str, str] = field(default_factory=dict)
    compared: bool = True
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def seconds_beside(self) -> float:
        """How long all baselines together may take."""
        limit = getattr(self.model.parameters, "max_seconds", None)
        return seconds_beside(trained_for(self.run, self.seconds.get(_TRAINING, 0.0)), limit)


@dataclass(frozen=True)
class Given:
    """The arguments of a fit.

    Args:
        data: to train on; validation, test: what else is given to be held out.
        directory: where it is kept; resume: whether it is resumed.
        keep: called with what is trained and calibrated, before it is compared.
    """

    data: Any
    validation: Any = None
    test: Any = None
    directory: Path | None = None
    resume: bool = False
    keep: Callable[[Fitted], object] | None = None


class _Laps:
    """How long each part of a fit took, measured from the end of the one before."""

    def __init__(self) -> None:
        self.began = self.last = time.monotonic()
        self.seconds: dict[str, float] = {}

    def end(self, part: str) -> None:
        now = time.monotonic()
        self.seconds[part], self.last = self.seconds.get(part, 0.0) + now - self.last, now

    def whole(self) -> float:
        return time.monotonic() - self.began


def trained_for(run: Run, seconds: float = 0.0) -> float:
    """Return how long a training took, with what it took before it was broken off and resumed."""
    return max(seconds, run.history.rows[-1].seconds if run.history.rows else 0.0)


def fit(task: AnyTask, parameters: Any, given: Given) -> Fitted:
    """Fit a task.

    Args:
        task: what it is.
        parameters: of the estimator; a copy that nobody changes.
        given: the data.

    Raises:
        DataError: something in the data is wrong, or there is too little of it.
        UsageError: a parameter is out of range, or does not go with another.
    """
    laps = _Laps()
    check(parameters)
    _check_cell(getattr(parameters, "cell", None), parameters.cells_beside)
    task.check(parameters, tested=given.test is not None or parameters.test > 0)
    parts = read_parts(task, parameters, given)
    config = task.config(parameters, parts.train)
    laps.end(_READING)
    first = config
    if config.max_seconds is not None and _is_refitted(parameters, parts):
        first = TrainingConfig.of(config, max_seconds=config.max_seconds * _BEFORE_REFIT)
    model, run = _trained(task, parameters, parts, first, given.directory, given.resume)
    model, run = _refitted(task, model, run, parts, config, laps.last, given)
    laps.end(_TRAINING)
    examples = encoded(task, model, parts)
    model = replace(model, encoder=task.finished(model, examples))
    laps.end(_CALIBRATION)
    facts = tuple(task.facts(model, parts, examples))  # once: some of them take predictions
    summary = summarise(task, model, run, None, parts, facts, [], laps.whole(), laps.seconds)
    alone = Fitted(model, run, {}, None, replace(summary, verdict=_NOT_COMPARED), {}, False, laps.seconds)
    if given.keep is not None:
        given.keep(alone)
    return _compared(task, alone, parts, examples, facts, laps)


def read_parts(task: AnyTask, parameters: Any, given: Given) -> Held[Any]:
    """Return records in their parts: read where data is given for them, else held out."""
    whole = task.read(parameters, given.data)
    shares = Shares(
        0.0 if given.validation is not None else parameters.validation,
        0.0 if given.test is not None else parameters.test,
    )
    held = task.hold_out(parameters, whole, shares)
    for name, source in (("validation", given.validation), ("test", given.test)):
        if source is not None:
            held = replace(held, **{name: task.read(parameters, source, task.reading(whole))})
    if given.test is not None:
        held = replace(held, words="data of its own")
    return without_empty(held)


def build(task: AnyTask, parameters: Any, train: Any, seed: int, first: Any = None) -> Model[Any, Any]:
    """Return a model whose network is not trained.

    Args:
        task: what it is.
        parameters: of the estimator.
        train: the records of its training part.
        seed: of the weights that are drawn.
        first: the encoder of the model that was trained before it, if it is trained once more.

    Raises:
        UsageError: the parameters do not go together, or the network is too large.
    """
    encoder = task.encoder(parameters, train) if first is None else task.encoder_again(parameters, train, first)
    network = make_network(lambda: task.network(parameters, encoder, train), seed)
    check_memory(network)
    return Model(parameters, encoder, network)


def encoded(task: AnyTask, model: Model[Any, Any], parts: Held[Any]) -> Held[Any]:
    """Return parts as the network reads them."""
    inputs = {name: None if part is None else task.encode(model, part) for name, part in parts.named().items()}
    return without_empty(Held(inputs["train"], inputs["validation"], inputs["test"], parts.words))


def _trained(
    task: AnyTask,
    parameters: Any,
    parts: Held[Any],
    config: TrainingConfig,
    directory: Path | None,
    resume: bool,
    first: Any = None,
) -> tuple[Model[Any, Any], Run]:
    began = time.monotonic()
    model = build(task, parameters, parts.train, config.seed, first)
    model = replace(model, parameters=replace_epochs(parameters, config))
    train = task.encode(model, parts.train)
    held_out = None if parts.validation is None else task.encode(model, parts.validation)
    config = _with_time_left(config, time.monotonic() - began + task.seconds_after(model))
    batches = task.batches(model, train, training=True)
    if batches is None:
        raise UsageError("there is nothing to train on; give more data, or hold less of it out")
    run = run_training(
        model.network, task.objective(model, train), batches,
        None if held_out is None else task.batches(model, held_out, training=False), config,
        directory=directory, resume=resume,
        fingerprint=fingerprint(train, held_out, _of_model(parameters)),
    )  # fmt: skip
    history = run.history.within(getattr(parameters, "max_seconds", None))
    return replace(model, parameters=parameters), replace(run, history=history)


def _with_time_left(config: TrainingConfig, seconds: float) -> TrainingConfig:
    """Return settings whose time limit is what is left of it, beside what is fitted before the network and after it."""
    if config.max_seconds is None:
        return config
    return TrainingConfig.of(config, max_seconds=max(config.max_seconds - seconds, _LEAST * config.max_seconds))


def _of_model(parameters: Any) -> dict[str, Any]:
    """Return the parameters, in words, that the numbers of a training depend on beside the data and its own."""
    names = [each.name for each in parameters_of(type(parameters)) if each.group == "model"]
    return in_words({name: getattr(parameters, name) for name in names})


def replace_epochs(parameters: Any, config: TrainingConfig) -> Any:
    """Return parameters with the epochs that were decided on, for batches that depend on them."""
    if parameters.epochs == config.epochs:
        return parameters
    return type(parameters)(**{**values_of(parameters), "epochs": config.epochs})


def _is_refitted(parameters: Any, parts: Held[Any]) -> bool:
    return bool(getattr(parameters, "refit", False)) and parts.validation is not None


def _refitted(
    task: AnyTask,
    model: Model[Any, Any],
    run: Run,
    parts: Held[Any],
    config: TrainingConfig,
    began: float,
    given: Given,
) -> tuple[Model[Any, Any], Run]:
    """Train once more, on what decided when to stop as well, for as many epochs as were best, if that is asked for."""
    left = None if config.max_seconds is None else config.max_seconds - trained_for(run, time.monotonic() - began)
    if not _is_refitted(model.parameters, parts) or run.failure is not None or (left is not None and left <= 0):
        return model, run
    joined = task.join(parts.train, parts.validation)
    if joined is None:
        return model, run
    whole = Held(joined, None, None, "")
    epochs = max(math.ceil(run.history.best_epoch), 1)
    # as many epochs as were best, or what is left of the time: the schedule ends with either
    again = TrainingConfig.of(config, epochs=epochs, patience=None, max_seconds=left)
    # goes with the checkpoint
    folder = None if given.directory is None else checkpoint_path(given.directory).parent / "refit"
    renewed, second = _trained(task, model.parameters, whole, again, folder, given.resume, model.encoder)
    first = replace(model, encoder=task.calibrate(model, task.encode(model, parts.validation)))
    renewed = replace(renewed, encoder=task.carried(first, renewed))
    return renewed, replace(run, failure=second.failure)


def repeats_of(task: AnyTask, parts: Held[Any]) -> Repeats:
    """Return how many records of the test part are in what was trained on, or decided when to stop."""
    if parts.test is None:
        return Repeats()
    known = [task.contents(each) for each in (parts.train, parts.validation) if each is not None]
    return Repeats.between(chain.from_iterable(known), task.contents(parts.test), task.content_name)


def evaluated(task: AnyTask, fitted: Fitted, model: Model[Any, Any], examples: Any, words: str) -> Scores:
    """Judge a model that was fitted, with parameters as they are now, beside its baselines.

    The baselines have as long as they had when it was fitted, or as long as the model takes itself.
    """
    scores = judge(task, model, fitted.baselines, examples, words, seconds=fitted.seconds_beside)[0]
    return scores if fitted.compared else replace(scores, verdict=f"{scores.verdict} {_NOT_COMPARED}")


def _compared(
    task: AnyTask, fitted: Fitted, parts: Held[Any], examples: Held[Any], facts: Facts, laps: _Laps
) -> Fitted:
    """Fit baselines, judge on what was held out, and put together what there is to see."""
    model, run, scores, panels = fitted.model, fitted.run, None, list[Panel]()
    # kept with the model, whatever is held out now: each later evaluation stands beside them
    baselines, left_out, allowance = fitted_apart(
        task, model, examples.train, examples.validation, fitted.seconds_beside, judged=examples.test is not None
    )
    laps.end(_BASELINES)
    shown = next(name for name in ("test", "validation", "train") if getattr(examples, name) is not None)
    records, shown_examples = getattr(parts, shown), getattr(examples, shown)
    repeats = repeats_of(task, parts)
    if shown == "test":
        scores, predicted = judge(
            task,
            model,
            baselines,
            shown_examples,
            f"test: {parts.words}",
            repeats=repeats,
            allowance=allowance,
            left_out=left_out,
        )
        scores = replace(scores, verdict=" ".join(filter(None, (scores.verdict, _too_short(task, scores, run)))))
    else:
        predicted = task.predict(model, shown_examples)
    panels += task.panels(model, records, shown_examples, predicted)
    laps.end(_JUDGING)
    summary = summarise(task, model, run, scores, parts, facts, panels, laps.whole(), laps.seconds, repeats)
    if scores is None and left_out:
        summary = replace(summary, verdict=" ".join([summary.verdict, *sentences(left_out)]))
    return replace(
        fitted, baselines=baselines, scores=scores, summary=summary, left_out=left_out, compared=True,
        seconds=laps.seconds,
    )  # fmt: skip


def _too_short(task: AnyTask, scores: Scores, run: Run) -> str:
    """Return a sentence, if a model that loses to a baseline could have learned more in more time."""
    measure = decisive(scores.values, task.decides)
    loses = any(row[measure].standing == "worse" for row in scores.against.values() if measure in row)
    if not (loses and run.history.cut_short):
        return ""
    falling = ", while its loss was still falling" if len(run.history.rows) > 1 else ""
    after = f"after {counted(round(run.history.rows[-1].epoch, 2), 'epochs')} {run.history.stopped}{falling}"
    return f"Its training was cut short: {after}; give it more time (max_seconds)."


def summarise(
    task: AnyTask,
    model: Model[Any, Any],
    run: Run,
    scores: Scores | None,
    parts: Held[Any],
    facts: Facts,
    panels: list[Panel],
    seconds: float,
    laps: Mapping[str, float],
    repeats: Repeats = Repeats(),  # noqa: B008, as above
) -> Summary:
    """Return what there is to see of a fit; `seconds` are those of all of it, `laps` those of its parts."""
    history, about = run.history, model.parameters.about
    return Summary(
        title=task.title(parts.train),
        task=about.kind,
        settings=in_words({**values_of(model.parameters), **task.settings(model)}),
        parameters=sum(parameter.numel() for parameter in model.network.parameters() if parameter.requires_grad),
        # with what it took before it was broken off and resumed
        seconds=trained_for(run, seconds),
        data=(
            ("source", task.origin(parts.train)),
            *facts,
            *_repeated(repeats),
            ("time", _in_seconds(laps)),
        ),
        history=tuple(asdict(row) for row in history.rows),
        best_epoch=history.best_epoch,
        stopped=history.stopped,
        protocol="" if scores is None else f"{scores.protocol}; {counted(scores.count, scores.of)}",
        scores={} if scores is None else scores.values,
        better={} if scores is None else scores.better,
        verdict=_NOTHING if scores is None else scores.verdict,
        against={} if scores is None else scores.against,
        panels=tuple(panels),
    )


def _repeated(repeats: Repeats) -> list[tuple[str, str]]:
    return [("repeated", str(repeats))] if repeats.count else []


def _in_seconds(laps: Mapping[str, float]) -> str:
    return ", ".join(f"{part} {rounded(seconds, 3)} s" for part, seconds in laps.items())


def _check_cell(cell: Cell | None, also: Collection[str]) -> None:
    from ostinato.nn.by_name import check_cell

    if cell is not None:
        check_cell(cell, also)
