"""A fitted estimator and data, of any task, as what is diagnosed: its network, a batch, its loss, its history."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from torch import Tensor, nn

from ostinato.diagnosis.batches import copied_batch
from ostinato.diagnosis.diagnosing import measured
from ostinato.diagnosis.findings import Clock, Context
from ostinato.diagnosis.rates import optimizer_of
from ostinato.diagnosis.result import Diagnosis
from ostinato.diagnosis.subject import Subject, copied_model, undisturbed
from ostinato.errors import DataError, UsageError
from ostinato.options import parameters_of
from ostinato.tasks.base.judging import MODEL, Scores, decisive
from ostinato.tasks.base.task import reading_of
from ostinato.words import number

_BATCHES = 4  # of which the one with most rows is taken: the last may be a small rest


def diagnose_fitted(
    estimator: Any,
    data: Any,
    *,
    row: int = 0,
    output: int | None = None,
    max_seconds: float = 60.0,
    seed: int = 0,
    scores: Scores | None = None,
) -> Diagnosis:
    """Find out why a fitted model of any task learns or does not.

    Args:
        estimator: fitted; it is left as it is.
        data: as its `fit` takes it.
        row: as in `ostinato.diagnose`, and so are the next three.
        output: of that row.
        max_seconds: that it may take.
        seed: of what is drawn.
        scores: of the model beside its baselines; `None`: those of its fit.

    Raises:
        UsageError: there is no data, or the network has no recurrent layer.
        DataError: the data cannot be read, or gives no batch.
    """
    if data is None:
        raise UsageError("there is no data; give what the model is to be run on: diagnose(model, data)")
    clock = Clock(max_seconds)
    task, model = estimator.task, estimator._model()
    records = task.read(model.parameters, data, reading_of(model))
    examples = task.encode(model, records)
    with undisturbed(seed):
        source = task.batches(model, examples, training=False)
        if source is None or len(source) == 0:
            source = task.batches(model, examples, training=True)
        if source is None or len(source) == 0:
            raise DataError(f"{task.origin(records)} gives no batch to run the model on; give more data")
        batch, continues = _a_batch(source)
        objective = task.objective(model, examples)

        def loss(network: nn.Module, given: Any) -> Tensor:
            found: Tensor = objective(network, given, None).loss
            return found

        subject = Subject(
            copied_model(model.network).eval(), copied_batch(batch), loss, lesson=_lesson(task, model, examples)
        )
        parameters = model.parameters
        context = Context(
            title=f"{parameters.about.kind} on {task.origin(records)}",
            unit=task.step_unit(model),
            options=frozenset(parameter.name for parameter in parameters_of(type(parameters))),
            history=tuple(asdict(each) for each in estimator.history_.rows),
            **_rivals(scores or estimator.scores_, task),
            continues=continues,
            **_coverage(scores or estimator.scores_),
        )
        make, rate = optimizer_of(parameters.optimizer, parameters.learning_rate)
        return measured(subject, context, clock, None, row, output, make, rate, parameters.gradient_clip)


def _lesson(task: Any, model: Any, examples: Any) -> Any:
    """Return a batch as training has it; `None`: there is none."""
    source = task.batches(model, examples, training=True)
    return None if source is None or len(source) == 0 else copied_batch(next(iter(source.batches(0))).data)


def _a_batch(source: Any) -> tuple[Any, bool]:
    """Return the largest of the first batches, and whether batches go on where the one before ended."""
    first = [batch for _, batch in zip(range(_BATCHES), source.batches(0), strict=False)]
    return first[0].data, any(batch.continues for batch in first)


def _rivals(scores: Scores | None, task: Any) -> dict[str, Any]:
    """Return the baselines that are as good as the model by the measure that decides, or better, and those that may be.

    Where a paired test was made, what it cannot tell is no fault; nor is it one to be as good as can be.
    """
    if scores is None or len(scores.values) < 2:
        return {}
    measure = decisive(scores.values, task.decides)
    mine, higher = scores.model.get(measure, math.nan), scores.better.get(measure) == "higher"
    found: dict[str, str] = {}
    undecided = []
    for name, row in scores.values.items():
        other = row.get(measure, math.nan)
        if name == MODEL or not math.isfinite(other) or not math.isfinite(mine):
            continue
        if ((other >= mine) if higher else (other <= mine)) and not _is_perfect(mine, higher=higher):
            test = scores.against.get(name, {}).get(measure)
            if test is not None and test.standing in ("unclear", "better"):
                undecided.append(name)
                continue
            numbers = f"it comes to {number(other)}, the model to {number(mine)}"
            found[name] = f"By {measure} {numbers}, on {scores.protocol}."
    return {"rivals": found, "undecided": tuple(undecided)}


def _is_perfect(value: float, *, higher: bool) -> bool:
    """Tell whether a measure is as good as can be: no error, or a share of all, be it of 1 or of 100 per cent."""
    return value in (1.0, 100.0) if higher else value == 0.0


def _coverage(scores: Scores | None) -> dict[str, Any]:
    if scores is None:
        return {}
    found = {
        float(name.removeprefix("coverage ").removesuffix(" %")) / 100: value / 100
        for name, value in scores.model.items()
        if name.startswith("coverage ") and math.isfinite(value)
    }
    return {"coverage": found, "answers": scores.count}
