"""What a report shows of a classifier: which steps weighed in an answer, mistakes, gradients through time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ostinato.tasks.base.classes import class_table, confusion_panel, mistakes_table, reliability_curve
from ostinato.tasks.base.gradients import gradient_norms, gradient_panel
from ostinato.tasks.base.labels import Prediction
from ostinato.tasks.base.summary import Curve, Panel, WeightedText
from ostinato.tasks.base.task import Model
from ostinato.tasks.classify.encoding import Part, padded
from ostinato.tasks.classify.network import ClassifierNetwork

_LOOKED_AT, _LONGEST = 64, 240
_TEXTS, _TOKENS, _SEQUENCES = 6, 300, 4


def class_panels(
    model: Model[Any, Any], part: Part, predicted: Prediction, show: Callable[[int], str]
) -> Iterator[Panel]:
    """Yield the panels that texts and numeric sequences share; `show` gives an example of the part in a line."""
    names = [str(name) for name in model.encoder.classes.names]
    assert predicted.probabilities is not None
    given = predicted.probabilities.max(1)
    wrong = np.flatnonzero(predicted.classes != part.targets)
    yield confusion_panel(names, part.targets, predicted.classes)
    yield class_table(names, part.targets, predicted.classes, title="Each class")
    yield reliability_curve(given, predicted.classes == part.targets)
    rows = (
        (float(given[row]), (show(row)[:_LONGEST], names[part.targets[row]], names[predicted.classes[row]]))
        for row in wrong.tolist()
    )
    yield mistakes_table(rows, ("example", "class", "predicted"))
    yield _gradients(model.network, part)


def _gradients(network: ClassifierNetwork, part: Part) -> Curve:
    rows = np.linspace(0, len(part) - 1, min(_LOOKED_AT, len(part))).astype(np.int64)
    inputs, lengths = padded([part.arrays[row] for row in rows])
    with torch.no_grad():
        xs, lengths = network.front(inputs, lengths)

    def loss(read: Tensor) -> Tensor:
        return functional.cross_entropy(
            network.scores(read, lengths), torch.from_numpy(part.targets[rows]), reduction="sum"
        )

    return gradient_panel(gradient_norms(xs, lengths, loss), note=f"Mean of {len(rows)} examples.")


def step_weights(network: ClassifierNetwork, array: NDArray[Any]) -> NDArray[np.float64]:
    """Return how much each step weighed in what was predicted of one example, `(time,)`, the largest being one.

    With attention pooling, its weights; else the size of gradient times input, the gradient that of the most probable
    class's score (A. Shrikumar et al., 2016).
    """
    inputs, lengths = padded([array])
    with torch.no_grad():
        xs, lengths = network.front(inputs, lengths)
        attended = network.attended(xs, lengths)
    if attended is not None:
        weights = attended[:, 0].double().numpy()
    else:
        xs = xs.detach().clone().requires_grad_()
        scores = network.scores(xs, lengths)
        (gradient,) = torch.autograd.grad(scores[0, scores[0].argmax()], xs)
        weights = (gradient * xs).sum(-1).abs()[:, 0].detach().double().numpy()
    largest = float(weights.max())
    return np.asarray(weights / largest if largest > 0 else weights).round(4)


def attended(network: ClassifierNetwork) -> str:
    """Return what `step_weights` shows, in words."""
    return "attention" if network.pooling.attention is not None else "gradient times input"


def text_panels(model: Model[Any, Any], part: Part) -> Iterator[Panel]:
    """Yield some texts with what the model looked at."""
    for row in np.linspace(0, len(part) - 1, min(_TEXTS, len(part))).astype(np.int64).tolist():
        tokens = model.encoder.tokens(part.examples.items[row])
        if tokens:
            weights = step_weights(model.network, part.arrays[row]).tolist()
            title = f'What it looked at: a text of class "{model.encoder.classes.names[part.targets[row]]}"'
            note = attended(model.network) + _spoke(model, part.examples.items[row], int(part.targets[row]))
            yield WeightedText(title, tokens[:_TOKENS], tuple(weights[:_TOKENS]), note)


def _spoke(model: Model[Any, Any], text: str, target: int) -> str:
    """Return the terms of a text that spoke for its class in the wide part, if there is one."""
    if model.encoder.wide is None:
        return ""
    return "; in the wide part spoke for it: " + (", ".join(model.encoder.wide.reasons(text, target)) or "nothing")


def sequence_panels(model: Model[Any, Any], part: Part, show: Callable[[int], str]) -> Iterator[Panel]:
    """Yield which steps weighed most in some answers, one example of each of the first classes."""
    rows = [int(np.flatnonzero(part.targets == each)[0]) for each in np.unique(part.targets)[:_SEQUENCES]]
    weights = {row: step_weights(model.network, part.arrays[row]) for row in rows}
    longest = max(map(len, weights.values()))
    lines = {
        f'{show(row)}, class "{model.encoder.classes.names[part.targets[row]]}"': tuple(
            np.pad(weight, (0, longest - len(weight)), constant_values=np.nan).tolist()
        )
        for row, weight in weights.items()
    }
    steps = tuple(float(step) for step in range(1, longest + 1))
    yield Curve("Which steps it looked at", steps, lines, "step", attended(model.network))
