"""What a report shows of an event predictor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from ostinato.data import EventLog
from ostinato.tasks.events.batches import collate
from ostinato.tasks.events.cases import END, UNSEEN, Case, Parts
from ostinato.tasks.events.evaluation import Protocol, Truth, truth_of
from ostinato.tasks.events.prediction import Foretold, Reader
from ostinato.tasks.panels import class_table, confusion_panel, reliability_curve
from ostinato.tasks.summary import Curve, Panel, Table

_LEAST = 10
"""Prefixes of a length that a point of a curve stands on, at least."""
_CASES = 64
_SHOWN = 6


def described(parts: Parts, reader: Reader) -> tuple[tuple[str, str], ...]:
    """Return the data in pairs of a word and what it says."""

    def size(log: EventLog | None) -> str:
        return "none" if log is None else f"{len(log):,} cases, {sum(map(len, log.activities)):,} events"

    return (
        ("source", parts.train.origin),
        ("train", size(parts.train)),
        ("validation", size(parts.validation)),
        ("test", size(parts.test)),
        ("activities", f"{len(reader.known)}: {', '.join(reader.known[:20])}{', ...' * (len(reader.known) > 20)}"),
        ("times", reader.unit[0] or "none"),
    )


def event_panels(
    reader: Reader, cases: Sequence[Case], log: EventLog | None, foretold: Foretold, protocol: Protocol
) -> list[Panel]:
    """Return the panels of held-out cases, none if there are none."""
    if not cases or log is None:
        return []
    truth = truth_of(cases, len(reader.known) + 1, protocol)
    chances = foretold.chances[truth.judged]
    found = chances.argmax(-1)
    labels = (*reader.known, END, UNSEEN)
    panels: list[Panel] = [
        confusion_panel(labels, truth.following, found, title="What came next, and what was foretold"),
        class_table(labels, truth.following, found, title="Each activity as what comes next"),
        _by_length(truth, found),
        reliability_curve(chances.max(-1), found == truth.following, title="Reliability of the chances given"),
        _gradients(reader, cases),
        _strangest(reader, cases, log, foretold),
    ]
    return panels


def _by_length(truth: Truth, found: np.ndarray) -> Curve:
    """Return accuracy by the length of the prefix, as far as there are enough of them."""
    lengths, counts = np.unique(truth.lengths, return_counts=True)
    lengths = lengths[counts >= min(_LEAST, counts.max())]
    right = tuple(float((found == truth.following)[truth.lengths == length].mean()) for length in lengths)
    return Curve(
        "Accuracy by length of the prefix",
        x=tuple(map(float, lengths)),
        lines={"accuracy": right},
        x_axis="events seen",
        y_axis="share that was right",
        note=f"lengths with {_LEAST} prefixes or more",
    )


def _gradients(reader: Reader, cases: Sequence[Case]) -> Curve:
    """Return how much an event some steps ago moves the loss of what comes next, over the longest cases."""
    longest = sorted(cases, key=lambda case: -len(case.kinds))[:_CASES]
    batch = collate(longest, reader.scales, len(reader.known))
    with torch.enable_grad():
        read = reader.network.read(batch.kinds, batch.features).detach().requires_grad_()
        ys, _ = reader.network.stack(read, lengths=batch.lengths)
        last = batch.lengths - 1
        scores, _ = reader.network.said(ys[last, torch.arange(len(longest))])
        wanted = batch.following[last, torch.arange(len(longest))]
        (own,) = torch.autograd.grad(functional.cross_entropy(scores, wanted, reduction="sum"), read)
    norms = own.norm(dim=-1)
    ago = last - torch.arange(len(read))[:, None]
    mean = [float(norms[ago == steps].mean()) for steps in range(len(read))]
    return Curve(
        "Gradient through time",
        x=tuple(map(float, range(len(mean)))),
        lines={"norm": tuple(mean)},
        x_axis="events before the last",
        y_axis="norm of the loss's gradient by what was read",
        logarithmic=True,
        note=f"mean over the {len(longest)} longest held-out cases that reach so far back",
    )


def _strangest(reader: Reader, cases: Sequence[Case], log: EventLog, foretold: Foretold) -> Table:
    """Return the events that were least expected."""
    ends = np.cumsum([len(case.kinds) for case in cases])
    following = np.concatenate([case.following for case in cases])
    own = np.where(following < foretold.chances.shape[1], following, 0)
    chances = np.where(following < foretold.chances.shape[1], foretold.chances[np.arange(len(own)), own], 0.0)
    labels = (*reader.known, END, UNSEEN)
    rows = []
    for at in np.argsort(chances, kind="stable")[:_SHOWN]:
        row = int(np.searchsorted(ends, at, side="right"))
        place = int(at - (ends[row] - len(cases[row].kinds)))
        before = " ".join(log.activities[row][max(0, place - 3) : place + 1])
        came = log.activities[row][place + 1] if place + 1 < len(log.activities[row]) else END
        rows.append((log.cases[row], before, came, labels[int(foretold.chances[at].argmax())], float(chances[at])))
    columns = ("case", "last activities", "came", "foretold", "chance given to what came")
    return Table("The least expected", columns, tuple(rows))
