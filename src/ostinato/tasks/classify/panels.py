"""What is to be seen of a fitted classifier, as plain data: confusion, reliability, mistakes, gradients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ostinato.tasks.classify.examples import Classes
from ostinato.tasks.classify.looking import gradients_back
from ostinato.tasks.classify.metrics import BINS, Floats, Prediction, reliability
from ostinato.tasks.classify.network import ClassifierNetwork
from ostinato.tasks.classify.parts import Part
from ostinato.tasks.base.classes import class_scores, confusion_counts
from ostinato.tasks.base.summary import Curve, Matrix, Panel, Table

_MISTAKES = 12
_LOOKED_AT = 64
_LONGEST = 240


def class_panels(
    network: ClassifierNetwork, part: Part, classes: Classes, raw: Floats, chances: Floats, show: Callable[[int], str]
) -> list[Panel]:
    """Return the panels that texts and numeric sequences share.

    Args:
        network: fitted.
        part: held out, or, where nothing is, the training part.
        classes: their names.
        raw: probabilities before the temperature, `(examples, classes)`.
        chances: those after it.
        show: an example of the part, in a line.
    """
    names = tuple(str(name) for name in classes.names)
    counts = confusion_counts(part.targets, chances.argmax(1), len(classes))
    scores = class_scores(counts)
    matrix = Matrix("Confusion", names, names, _rows(counts.astype(float)), "class", "told", "examples")
    shares = (own.round(4).tolist() for own in (scores.precision, scores.recall, scores.f1))
    columns = (names, *shares, scores.support.tolist())
    table = Table("Each class", ("class", "precision", "recall", "F1", "examples"), tuple(zip(*columns, strict=True)))
    return [
        matrix,
        table,
        _reliability(part, raw, chances),
        _mistakes(part, names, chances, show),
        _back(network, part),
    ]


def _rows(values: Floats) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in values.tolist())


def _reliability(part: Part, raw: Floats, chances: Floats) -> Curve:
    centres = tuple(((np.arange(BINS) + 0.5) / BINS).round(4).tolist())
    lines = {
        "calibrated": tuple(reliability(chances, part.targets)[1].tolist()),
        "before the temperature": tuple(reliability(raw, part.targets)[1].tolist()),
    }
    counts = reliability(chances, part.targets)[0]
    note = "On the diagonal a probability is what it says. Examples in each tenth: " + ", ".join(map(str, counts)) + "."
    return Curve("Reliability", centres, lines, "probability told", "share that was right", diagonal=True, note=note)


def _mistakes(part: Part, names: tuple[str, ...], chances: Floats, show: Callable[[int], str]) -> Table:
    told = chances.argmax(1)
    wrong = np.flatnonzero(told != part.targets)
    order = wrong[np.argsort(-chances[wrong, told[wrong]], kind="stable")][:_MISTAKES]
    rows = tuple(
        (show(row)[:_LONGEST], names[part.targets[row]], names[told[row]], round(float(chances[row, told[row]]), 4))
        for row in order.tolist()
    )
    note = f"{len(wrong):,} of {len(part):,} were told wrong."
    return Table("The most confident mistakes", ("example", "class", "told", "probability"), rows, note)


def _back(network: ClassifierNetwork, part: Part) -> Curve:
    rows = np.linspace(0, len(part) - 1, min(_LOOKED_AT, len(part))).astype(np.int64)
    norms = gradients_back(network, [part.arrays[row] for row in rows], part.targets[rows])
    return Curve(
        "Gradient through time",
        tuple(float(step) for step in range(len(norms))),
        {"norm at the stack's input": tuple(norms)},
        "steps before the end",
        "gradient of the loss",
        logarithmic=True,
        note=f"The mean of {len(rows)} examples.",
    )


def verdict(scores: dict[str, Prediction], targets: np.ndarray) -> str:
    """Return in one sentence whether the model beats the best baseline, by a paired test of who was right.

    Source: Q. McNemar, Psychometrika 12, 1947.
    """
    right = {name: own.classes == targets for name, own in scores.items()}
    model = right.pop("model")
    best = max(right, key=lambda name: right[name].mean())
    ours, theirs = 100 * model.mean(), 100 * right[best].mean()
    gained, lost = int((model & ~right[best]).sum()), int((~model & right[best]).sum())
    sure = abs(gained - lost) > 1.96 * np.sqrt(max(gained + lost, 1))
    figures = f"{ours:.1f} % right against {theirs:.1f} % of the best baseline ({best})"
    if not sure:
        return f"The model is level with a baseline: {figures}, a difference that chance explains."
    return f"The model beats the baselines: {figures}." if gained > lost else f"A baseline beats the model: {figures}."
