"""The transducer's loss straight from the outputs of its encoder and predictor, some steps at a time.

Logits of all pairs of a step and a number of labels, `(time, labels + 1, batch, classes)`, are what a transducer's
memory goes to: 16 utterances of 150 steps and 40 labels with 500 classes are 197 MB, and as much for their gradient.
Here they are made in pieces, of which each is reduced to two numbers a place, the log-probabilities of the blank and of
the next label, and forgotten; the backward pass makes them again, piece by piece, at the price of computing the joint
network twice.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ostinato.errors import ShapeError
from ostinato.nn.losses.masking import Reduction, check_steps, fill_padding, real_steps, reduce
from ostinato.nn.losses.transducer import LatticeLoss, checked_labels
from ostinato.nn.losses.transducer_parts import TransducerJoint

MOST = 1 << 22
"""Logits, or values of the hidden layer, that are held at a time: 16 MB in float32."""


def transducer_joint_loss(
    joint: TransducerJoint,
    encoded: Tensor,
    predicted: Tensor,
    targets: Tensor,
    lengths: Tensor | None = None,
    target_lengths: Tensor | None = None,
    *,
    blank: int = 0,
    reduction: Reduction = "mean",
    most: int = MOST,
) -> Tensor:
    """Return `transducer_loss(joint(encoded, predicted), ...)` in bounded memory.

    Memory: a few numbers for each place of the lattice, and a few times `most` numbers at a time.

    Args:
        joint: the joint network.
        encoded: `(time, batch, encoder features)`.
        predicted: `(labels + 1, batch, predictor features)`.
        targets: `(batch, labels)`, classes other than the blank.
        lengths: `(batch,)`, 1 or more; `None` if all steps are real.
        target_lengths: `(batch,)`; `None` if all labels are real.
        blank: the class that moves to the next step.
        reduction: as in `transducer_loss`.
        most: numbers that are held at a time.

    Raises:
        ShapeError: shapes do not fit each other, or a length is out of range.
        UsageError: a real label is no class or is the blank.

    Source: A. Graves, 2012; computing again rather than keeping is J. Li et al., "Improving RNN transducer modeling for
    end-to-end speech recognition", 2019, in spirit.

    >>> joint = TransducerJoint(4, 3, 8, classes=5)
    >>> encoded, predicted, targets = torch.randn(7, 2, 4), torch.randn(3, 2, 3), torch.tensor([[1, 2], [4, 4]])
    >>> transducer_joint_loss(joint, encoded, predicted, targets, most=100).shape
    torch.Size([])
    """
    check_steps(encoded, 3, "(time, batch, encoder features)", "encoded")
    check_steps(predicted, 3, "(labels + 1, batch, predictor features)", "predicted")
    (steps, batch, _), places = encoded.shape, predicted.shape[0]
    if predicted.shape[1] != batch:
        raise ShapeError(f"predicted has {predicted.shape[1]} rows a batch; expected {batch}, as encoded has")
    shape = steps, places, batch, joint.output.out_features
    targets, lengths, target_lengths = checked_labels(shape, targets, lengths, target_lengths, blank, encoded.device)
    labels = torch.cat([targets, targets.new_zeros(1, batch)])  # of the last place, which is not read
    heard = joint.encoder(fill_padding(encoded, real_steps(lengths, steps)))
    said = joint.predictor(fill_padding(predicted, real_steps(target_lengths + 1, places)))
    widest = max(joint.output.out_features, joint.output.in_features)
    together = max(1, most // max(1, places * batch * widest))
    parts = [
        checkpoint(_moves, joint.output, piece, said, labels, blank, use_reentrant=False)
        for piece in heard.split(together)
    ]
    by_blank, by_label = torch.cat(parts, 1)
    losses: Tensor = LatticeLoss.apply(by_blank, by_label, lengths, target_lengths)  # type: ignore[no-untyped-call]
    return reduce(losses, batch, reduction)


def _moves(output: torch.nn.Linear, heard: Tensor, said: Tensor, labels: Tensor, blank: int) -> Tensor:
    """Return the log-probabilities of the blank and of the next label, `(2, steps, labels + 1, batch)`."""
    logits = output(torch.tanh(heard[:, None] + said))
    if logits.dtype in (torch.float16, torch.bfloat16):
        logits = logits.float()
    index = labels.expand(heard.shape[0], -1, -1)[..., None]
    moves: Tensor = torch.stack([logits[..., blank], logits.gather(-1, index)[..., 0]]) - logits.logsumexp(-1)
    return moves
