"""A first alignment for CTC: units spread evenly over what is loud, as recognisers of hidden Markov models began."""

from __future__ import annotations

import torch
from torch import Tensor

STEPS = 100
"""Training steps in which the even alignment fades out."""
_STEEP = 3.0  # of loudness, in deviations of a band, around the mean


def flat_share(step: int) -> float:
    """Return how much the even alignment counts at a training step, counted from 0.

    >>> flat_share(0), flat_share(50), flat_share(200)
    (1.0, 0.5, 0.0)
    """
    return max(0.0, 1.0 - step / STEPS)


def flat_loss(logits: Tensor, loud: Tensor, lengths: Tensor, targets: Tensor, target_lengths: Tensor) -> Tensor:
    """Return the cross-entropy of an even alignment, in nats, summed; a transcript counts as much as by CTC.

    CTC alone begins with blanks everywhere and learns where units are before it learns which: of a few dozen
    recordings it may stay there. An alignment that is roughly right takes it past that.

    Args:
        logits: `(steps, batch, classes)`, blank first.
        loud: `(steps, batch)`, standardised loudness.
        lengths: `(batch,)`, steps of each row.
        targets: `(batch, units)`.
        target_lengths: `(batch,)`.

    Source: S. Young et al., "The HTK book", 2006, section 3.2 (flat start).
    """
    time, batch = logits.shape[:2]
    real = (torch.arange(time)[:, None] < lengths).to(logits)
    voiced = torch.sigmoid(_STEEP * loud) * real
    place = (voiced.cumsum(0) - voiced / 2) / voiced.sum(0).clamp_min(1e-6)
    which = (place * target_lengths).long().clamp(max=(target_lengths - 1).clamp_min(0))
    if not targets.shape[1]:
        targets, voiced = targets.new_zeros((batch, 1)), torch.zeros_like(voiced)
    units = targets.gather(1, which.T).T
    scores = logits.log_softmax(-1)
    said = scores.gather(2, units[..., None])[..., 0]
    entropy = -(voiced * said + (real - voiced) * scores[..., 0])
    return (entropy.sum(0) * (target_lengths + 1) / lengths.clamp_min(1)).sum()
