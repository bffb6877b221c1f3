"""What a report shows of an event predictor."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ostinato.data import EventLog
from ostinato.tasks.base.classes import class_table, confusion_panel, reliability_curve
from ostinato.tasks.base.gradients import gradient_norms, gradient_panel
from ostinato.tasks.base.summary import Curve, Panel, Table
from ostinato.tasks.base.task import Model
from ostinato.tasks.events.baselines import Predicted
from ostinato.tasks.events.cases import Cases, collate

_LEAST = 10
"""Prefixes of a length that a point of a curve stands on, at least."""
_CASES, _SHOWN = 64, 6


def event_panels(
    model: Model[Any, Any], log: EventLog, cases: Cases, predicted: Predicted, judged: NDArray[np.bool_]
) -> Iterator[Panel]:
    """Yield the panels of held-out cases."""
    assert predicted.probabilities is not None
    probabilities, truth = predicted.probabilities[judged], cases.following[judged]
    found, labels = probabilities.argmax(-1), model.encoder.labels
    yield confusion_panel(labels, truth, found, title="What came next, and what was predicted")
    yield class_table(labels, truth, found, title="Each activity as what comes next")
    yield _by_length(cases.prefixes[judged], found == truth)
    yield reliability_curve(probabilities.max(-1), found == truth)
    yield _gradients(model, cases)
    yield _least_expected(labels, log, cases, predicted.probabilities)


def _by_length(prefixes: NDArray[np.int64], right: NDArray[np.bool_]) -> Curve:
    """Return accuracy by the length of the prefix, as far as there are enough of them."""
    lengths, counts = np.unique(prefixes, return_counts=True)
    lengths = lengths[counts >= min(_LEAST, counts.max())]
    return Curve(
        "Accuracy by length of the prefix",
        x=tuple(map(float, lengths)),
        lines={"accuracy": tuple(float(right[prefixes == length].mean()) for length in lengths)},
        x_axis="events seen",
        y_axis="share that was right",
        note=f"lengths with {_LEAST} prefixes or more",
    )


def _gradients(model: Model[Any, Any], cases: Cases) -> Curve:
    """Return how much an event some steps ago moves the loss of what comes next, over the longest cases."""
    longest = sorted(cases.cases, key=lambda case: -len(case.kinds))[:_CASES]
    member, batch = model.network.members[0], collate(model.encoder, longest)
    last = batch.lengths - 1, torch.arange(len(longest))

    def loss(xs: Tensor) -> Tensor:
        ys, _ = member.stack(xs, lengths=batch.lengths)
        return functional.cross_entropy(member.predicted(ys[last], xs[last])[0], batch.following[last], reduction="sum")

    read = member.read(batch.kinds, batch.numbers, batch.codes, batch.counts)
    norms = gradient_norms(read, batch.lengths, loss)
    return gradient_panel(norms, step="events", note=f"Mean over the {len(longest)} longest held-out cases.")


def _least_expected(labels: tuple[str, ...], log: EventLog, cases: Cases, probabilities: NDArray[np.float64]) -> Table:
    """Return the events that were least expected."""
    ends, classes = np.cumsum(cases.lengths), probabilities.shape[1]
    known = cases.following < classes
    given = np.where(known, probabilities[np.arange(len(known)), np.where(known, cases.following, 0)], 0.0)
    rows = []
    for at in np.argsort(given, kind="stable")[:_SHOWN]:
        row = int(np.searchsorted(ends, at, side="right"))
        place = int(at - (ends[row] - cases.lengths[row]))
        names = (*log.activities[row], labels[-2])
        before = " ".join(names[max(0, place - 3) : place + 1])
        rows.append(
            (log.cases[row], before, names[place + 1], labels[int(probabilities[at].argmax())], float(given[at]))
        )
    columns = ("case", "last activities", "observed", "predicted", "probability given to the observed")
    return Table("The least expected", columns, tuple(rows))
