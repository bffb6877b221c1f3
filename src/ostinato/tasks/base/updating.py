"""New data for a model that is there: trained on from its weights, compared with it, and kept only if it is better."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from ostinato.tasks.base.allowance import Allowance
from ostinato.tasks.base.baselines import AnyTask, judged_apart, sentences
from ostinato.tasks.base.evaluating import better_of, compared_over_all
from ostinato.tasks.base.fitting import Fitted, encoded
from ostinato.tasks.base.holding_out import Shares, percent, require_parts, without_empty
from ostinato.tasks.base.judging import MODEL, Scores, decisive, stand
from ostinato.tasks.base.score_text import score_text
from ostinato.tasks.base.summary import Better, Summary
from ostinato.tasks.base.task import Model, reading_of
from ostinato.tasks.base.units import Units
from ostinato.tasks.base.wording import stands
from ostinato.training import BatchSource, History, Objective, TrainingConfig, mean_loss, train
from ostinato.words import counted, number

SHARES = Shares(validation=0.2, test=0.2)
"""Of the new data, what decides when to stop, and on what the two models are compared."""
_EPOCHS = 10
_SLOWER = 1 / 3  # of the learning rate of the fit: what was learned is to be moved, not to be learned again


@dataclass(frozen=True)
class Update:
    """What came of an update; `str` of it is a table and a sentence.

    Args:
        improved: whether the updated model was better, and is now the model.
        before, after: the loss of the model as it was, and of the updated one, on new data that neither was trained on.
        scores: `scores[name][measure]` of both on the same data, the kept one named `"model"`.
        better: of each measure, whether higher or lower is better.
        split: on which data that is, in words.
        kept: what of the old model was not fitted again.
        history: of the training.
        tested: by the measure that decides, whether the two can be told apart, in a sentence.
    """

    improved: bool
    before: float
    after: float
    scores: Mapping[str, Mapping[str, float]]
    better: Mapping[str, Better]
    split: str
    kept: str
    history: History
    tested: str = ""

    @property
    def verdict(self) -> str:
        """Which of the two is kept, and by how much it is better."""
        numbers = f"(loss {number(self.after)} after the update, {number(self.before)} before, on {self.split})"
        said = [self._kept(numbers), self.tested]
        return " ".join(filter(None, said))

    def _kept(self, numbers: str) -> str:
        if self.improved:
            return f"The updated model is kept: its loss is lower {self._gain(self.before, self.after)}{numbers}."
        if self.after == self.before:
            return f"The model is left as it was: the loss of the update is no lower {numbers}."
        gain = self._gain(self.after, self.before)
        return f"The model is left as it was: the loss of the update is higher {gain}{numbers}."

    @staticmethod
    def _gain(worse: float, better: float) -> str:
        # a share of a loss that may be negative, or near zero, says nothing
        if better <= 0 or worse / better > 10:
            return ""
        return f"by {100 * (worse - better) / worse:.1f} % "

    def plain(self) -> dict[str, Any]:
        """Return it as plain data."""
        body = {name: getattr(self, name) for name in ("improved", "before", "after", "split", "kept", "verdict")}
        return {**body, "scores": {name: dict(row) for name, row in self.scores.items()}}

    def __str__(self) -> str:
        return f"{score_text(self.scores, {})}\nkept as it was: {self.kept}\n{self.verdict}"


def update(
    task: AnyTask,
    fitted: Fitted,
    data: Any,
    epochs: int | None,
    learning_rate: float | None,
    max_seconds: float | None,
) -> tuple[Update, Fitted]:
    """Train on from a model's weights; return what came of it, and the updated model, whether it is better or not.

    Raises:
        DataError: something in the data is wrong, or there is too little new in it.
        NonFiniteLoss, Diverged: training broke off.
    """
    old = fitted.model
    records = task.read(old.parameters, data, reading_of(old))
    base, parts = task.extended(old, records, SHARES)
    parts = without_empty(parts)
    require_parts(parts, task.origin(records), task.records)
    examples = encoded(task, base, parts)
    config = _config(task, old.parameters, parts.train, epochs, learning_rate, max_seconds)
    network = copy.deepcopy(base.network)
    given = [task.batches(base, value, training=i == 0) for i, value in enumerate(examples.named().values())]
    batches = [each for each in given if each is not None]
    assert len(batches) == len(given), "no part is empty"
    history = train(
        network, task.objective(replace(base, network=network), examples.train), batches[0], batches[1], config
    )
    network.eval()
    new = replace(base, network=network)
    new = replace(new, encoder=task.updated(new, parts))
    new = replace(new, encoder=task.calibrate(new, examples.validation))
    before, after = (_loss(task, each, examples.train, batches[2]) for each in (base, new))
    improved = after < before
    names = (MODEL, "before the update") if improved else ("the update", MODEL)
    models = dict(zip(names, (new, base), strict=True))
    predicted = {name: task.predict(model, examples.test) for name, model in models.items()}
    values = {name: task.measures(models[name], examples.test, value) for name, value in predicted.items()}
    units = {
        name: judged
        for name, one in predicted.items()
        if (judged := task.units(models[name], examples.test, one)) is not None
    }
    ordered = {name: values[name] for name in sorted(values, key=lambda name: name != MODEL)}
    split = f"{percent(SHARES.test)} of {task.origin(records)}, {counted(len(parts.test or ()), task.records)}"
    better = better_of(task, ordered)
    tested = _tested(task, ordered, better, units)
    found = Update(improved, before, after, ordered, better, split, task.kept, history, tested)
    return found, _renewed(task, fitted, new, found, examples.test, predicted, units)


def _tested(
    task: AnyTask,
    values: Mapping[str, Mapping[str, float]],
    better: Mapping[str, Better],
    units: Mapping[str, Units],
) -> str:
    """Say whether the model that is kept and the other one can be told apart."""
    measure = decisive(values, task.decides)
    for other, row in stand(values, better, units).items():
        if measure in row:
            words = stands(row[measure], other, values[other][measure], better[measure])
            return f"By {measure} the model is {words}."
    return ""


def _loss(task: AnyTask, model: Model[Any, Any], train_examples: Any, batches: BatchSource | None) -> float:
    objective: Objective = task.objective(model, train_examples)
    assert batches is not None
    return mean_loss(model.network, lambda data, carry: objective(model.network, data, carry), batches)


def _config(
    task: AnyTask,
    parameters: Any,
    records: Any,
    epochs: int | None,
    learning_rate: float | None,
    max_seconds: float | None,
) -> TrainingConfig:
    """Return the settings of an update: those of the fit, but for a third of its learning rate and ten epochs."""
    config = task.config(parameters, records)
    slower = config.learning_rate * _SLOWER if learning_rate is None else learning_rate
    passes = epochs or min(config.epochs or _EPOCHS, _EPOCHS)
    return TrainingConfig.of(config, epochs=passes, learning_rate=slower, max_seconds=max_seconds, tensorboard=False)


def _renewed(
    task: AnyTask,
    fitted: Fitted,
    new: Model[Any, Any],
    found: Update,
    test: Any,
    ours: Mapping[str, Any],
    units: Mapping[str, Units],
) -> Fitted:
    count, of = task.counted(new, test)
    allowance = Allowance(fitted.seconds_beside, len(fitted.baselines))
    predicted, baselines, left_out = judged_apart(task, new, fitted.baselines, test, allowance)
    values: dict[str, Mapping[str, float]] = {**found.scores, **baselines}
    more = {name: judged for name, one in predicted.items() if (judged := task.units(new, test, one)) is not None}
    better, parts = better_of(task, values), {**units, **more}
    values, against = compared_over_all(task, new, test, {**ours, **predicted}, values, better, parts)
    said = " ".join([found.verdict, *sentences(left_out)])
    scores = Scores(found.split, count, of, values, better, said, {}, against, parts)
    run = replace(fitted.run, history=found.history, failure=None)
    return replace(fitted, model=new, run=run, scores=scores, summary=_summary(fitted.summary, found, scores))


def _summary(summary: Summary, found: Update, scores: Scores) -> Summary:
    """Return the summary of a model that was updated: what was seen of the old weights is no longer true of it."""
    return replace(
        summary,
        data=(*summary.data, ("updated", f"on {found.split} held out; kept as it was: {found.kept}")),
        history=tuple(asdict(row) for row in found.history.rows),
        best_epoch=found.history.best_epoch,
        stopped=found.history.stopped,
        protocol=scores.protocol,
        scores=scores.values,
        better=scores.better,
        verdict=scores.verdict,
        against=scores.against,
        panels=(),
    )
