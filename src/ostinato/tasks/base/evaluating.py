"""A fitted model and its baselines, judged on examples by what its task measures."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ostinato.tasks.base.allowance import Allowance
from ostinato.tasks.base.baselines import AnyTask, judged_apart, sentences
from ostinato.tasks.base.holding_out import Repeats
from ostinato.tasks.base.judging import MODEL, Against, Scores, decisive, over_all, stand, verdict_sentences
from ostinato.tasks.base.summary import Better
from ostinato.tasks.base.task import Baseline, Model
from ostinato.tasks.base.units import Units


def judge(
    task: AnyTask,
    model: Model[Any, Any],
    baselines: Mapping[str, Baseline],
    examples: Any,
    words: str,
    *,
    repeats: Repeats = Repeats(),  # noqa: B008, it is frozen
    seconds: float = math.inf,
    allowance: Allowance | None = None,
    left_out: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Scores, Any]:
    """Judge a model and its baselines on examples; return the scores, and what the model predicted.

    Args:
        task: says by what they are judged.
        model: what is judged.
        baselines: what is judged beside it.
        examples: on what.
        words: which these are.
        repeats: how many of them are in the training part too.
        seconds: how long the baselines together may take, if that is longer than the model takes.
        allowance: what is left of their time, if they were only just fitted.
        left_out: those that could not be, and why.
    """
    began = time.monotonic()
    predicted = {MODEL: task.predict(model, examples)}
    values: dict[str, Mapping[str, float]] = {MODEL: task.measures(model, examples, predicted[MODEL])}
    allowance = allowance or Allowance(max(seconds, time.monotonic() - began), len(baselines))
    answered, judged, lost = judged_apart(task, model, baselines, examples, allowance)
    predicted, values, lost = {**predicted, **answered}, {**values, **judged}, {**left_out, **lost}
    better = better_of(task, values)
    parts = {name: found for name in values if (found := task.units(model, examples, predicted[name])) is not None}
    values, against = compared_over_all(task, model, examples, predicted, values, better, parts)
    decides = decisive(values, task.decides)
    said = verdict_sentences(values, decides, better, against, task.matters.get(decides, ""))
    count, of = task.counted(model, examples)
    said += [*task.remarks(values, count), repeats.remark, *sentences(lost)]
    protocol = "; ".join(filter(None, (words, str(repeats), task.protocol(model, examples))))
    details = {**task.details(model, examples, predicted), **({"left out": lost} if lost else {})}
    words = " ".join(filter(None, said))
    return Scores(protocol, count, of, values, better, words, details, against, parts), predicted[MODEL]


def compared_over_all(
    task: AnyTask,
    model: Model[Any, Any],
    examples: Any,
    predicted: Mapping[str, Any],
    values: Mapping[str, Mapping[str, float]],
    better: Mapping[str, Better],
    parts: Mapping[str, Units],
) -> tuple[dict[str, Mapping[str, float]], Against]:
    """Return measures, and how the model stands to each baseline; by shared answers where one does not have all."""
    ours = predicted[MODEL]
    shared = {name: task.answered(ours, predicted[name]) for name in predicted if name != MODEL}
    shared = {name: each for name, each in shared.items() if each is not ours}
    measures = {name: task.measures(model, examples, each) for name, each in shared.items()}
    found = {name: task.units(model, examples, each) for name, each in shared.items()}
    answered = {name: units for name, units in found.items() if units is not None}
    return over_all(values, stand(values, better, parts, answered), measures)


def better_of(task: AnyTask, values: Mapping[str, Mapping[str, float]]) -> dict[str, Better]:
    """Return for each measure whether more or less of it is better.

    Those that only describe are left out, and so is coverage, which keeps a promise.
    """
    measures = dict.fromkeys(measure for row in values.values() for measure in row if measure not in task.descriptive)
    return {measure: task.better(measure) for measure in measures if not measure.startswith("coverage ")}
