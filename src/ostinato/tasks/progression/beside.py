"""A linear model of hazards on the last values, by the time, beside the network: the more the fewer patients there are.

A penalised network on few patients and Cox's model at landmarks err in ways of their own; their mean ranks patients
better than either. How much the linear model counts is found on patients that neither was fitted on, and drawn to a
share that falls with the events there were.

Source: H. van Houwelingen and H. Putter, "Dynamic prediction in clinical survival analysis", 2012 (landmark
supermodels); the pooling of log-hazards is the logarithmic opinion pool of C. Genest and J. Zidek, 1986.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ostinato.tasks.progression.courses import Courses, last_parts, linear_parts
from ostinato.tasks.progression.network import ProgressionNetwork, event_loss
from ostinato.tasks.progression.starts import Examples, chosen_ridge, examples_of, fitted

_SHARES = np.linspace(0, 1, 21)
_SHARE, _EVENTS = 0.5, 300.0  # what the linear model counts of few patients; events from which it is half of that
_SPREAD = 0.15  # of the belief in that share


def set_beside(network: ProgressionNetwork, train: Courses, validation: Courses | None, logits: Tensor | None) -> None:
    """Fit the linear model, and set how much it counts.

    Args:
        network: trained; its share is changed.
        train: what it was trained on.
        validation: patients that it was not trained on; `None`: there are none.
        logits: of the network's hazards at each step of these, `(members, steps, causes, intervals)`.
    """
    encoder, size = train.encoder, len(train.encoder.variables)
    inside = examples_of(train, lambda numbers: last_parts(linear_parts(numbers, size), size))
    if not bool((inside.events > 0).any()):
        return
    ridge = chosen_ridge(inside, encoder, seed=0)
    events = float((train.events > 0).sum())
    share, every = _SHARE * _EVENTS / (_EVENTS + events), [inside]
    if validation is not None and logits is not None:
        outside = examples_of(validation, lambda numbers: last_parts(linear_parts(numbers, size), size))
        share = _weighed(fitted(inside, encoder, ridge), outside, logits, share)
        every.append(outside)
    base, weights = fitted(_together(every), encoder, ridge)
    network.beside(base, weights, share)


def _weighed(linear: tuple[Tensor, Tensor], outside: Examples, logits: Tensor, share: float) -> float:
    """Return the share of the least loss on patients left out, drawn to where it starts."""
    base, weights = linear
    beside = base.T + (outside.x @ weights.T)[:, :, None]  # (steps, causes, intervals)
    deep = logits[:, outside.steps].double()
    losses = []
    for each in _SHARES.tolist():
        mixed = ((1 - each) * deep + each * beside).permute(3, 0, 1, 2)  # (intervals, members, steps, causes)
        one = [event_loss(mixed[:, member], outside.events, outside.watched) for member in range(mixed.shape[1])]
        loss = float((torch.stack(one).mean(0) / outside.visits).sum())
        losses.append(loss + 0.5 * ((each - share) / _SPREAD) ** 2)
    return float(_SHARES[int(np.argmin(losses))])


def _together(parts: Sequence[Examples]) -> Examples:
    offsets = np.cumsum([0, *(int(part.owners.max()) + 1 for part in parts[:-1])]).tolist()
    owners = torch.cat([part.owners + offset for part, offset in zip(parts, offsets, strict=True)])
    x, events, watched, visits, steps = (
        torch.cat([getattr(part, name) for part in parts]) for name in ("x", "events", "watched", "visits", "steps")
    )
    return Examples(x, events, watched, owners, visits, steps)
