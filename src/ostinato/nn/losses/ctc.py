"""Connectionist temporal classification: labels shorter than the input, without knowing where each belongs.

The probability of a labelling is the sum over all paths that become it when repeats are merged and blanks dropped.
Decoding is in `ctc_decoding`. Source: A. Graves et al., "Connectionist temporal classification: labelling unsegmented
sequence data with recurrent neural networks", 2006.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ostinato.errors import ShapeError, UsageError
from ostinato.nn.losses.masking import (
    Reduction,
    check_classes,
    check_steps,
    checked_lengths,
    fill_padding,
    real_steps,
    reduce,
)


@dataclass(frozen=True)
class Alignment:
    """The most probable path of a labelling.

    `labels`, `(time, batch)`, has each step's label, or the blank (also in padding); `positions`, `(time, batch)`, says
    which label of the target that is, or -1; `scores`, `(batch,)`, is the logarithm of the path's probability.
    """

    labels: Tensor
    positions: Tensor
    scores: Tensor


def ctc_loss(
    logits: Tensor,
    targets: Tensor,
    lengths: Tensor | None = None,
    target_lengths: Tensor | None = None,
    *,
    blank: int = 0,
    zero_infinity: bool = False,
    reduction: Reduction = "mean",
) -> Tensor:
    """Return the negative log-likelihood of each row's labels, over all alignments.

    Args:
        logits: `(time, batch, classes)`, unnormalised.
        targets: `(batch, labels)`, classes other than the blank; what stands in padding is not read.
        lengths: `(batch,)`, the steps of each row; `None` if all are real.
        target_lengths: `(batch,)`, the labels of each row; `None` if all are real.
        blank: the class that stands for no label.
        zero_infinity: let a row too short for its labels have loss and gradient 0, rather than raise.
        reduction: "mean" divides by the number of rows (PyTorch's divides each row by its labels first), "sum", or
            "none", `(batch,)`.

    Raises:
        ShapeError: shapes do not fit each other.
        UsageError: a real label is no class or is the blank, or a row has too few steps for its labels.

    Source: Graves et al., 2006, section 4; computed by `torch.nn.functional.ctc_loss`.

    >>> import torch
    >>> loss = ctc_loss(torch.zeros(2, 1, 3), torch.tensor([[1]]))  # paths 11, 10, 01 of nine
    >>> round(loss.exp().item(), 4)
    3.0
    """
    logits, targets, lengths, target_lengths = _checked(logits, targets, lengths, target_lengths, blank)
    if not zero_infinity:
        _check_room(targets, lengths, target_lengths)
    if not logits.numel():  # no steps or no rows: PyTorch's own refuses them
        return reduce(logits.sum((0, 2)), logits.shape[1], reduction)
    losses = functional.ctc_loss(
        functional.log_softmax(logits, -1),
        targets,
        lengths,
        target_lengths,
        blank=blank,
        reduction="none",
        zero_infinity=zero_infinity,
    )
    return reduce(losses, losses.shape[0], reduction)


def ctc_align(
    logits: Tensor,
    targets: Tensor,
    lengths: Tensor | None = None,
    target_lengths: Tensor | None = None,
    *,
    blank: int = 0,
) -> Alignment:
    """Return the most probable path of each row's labels (forced alignment), by dynamic programming.

    Args:
        logits: `(time, batch, classes)`, unnormalised.
        targets: `(batch, labels)`, as in `ctc_loss`.
        lengths: `(batch,)`, the steps of each row; `None` if all are real.
        target_lengths: `(batch,)`, the labels of each row; `None` if all are real.
        blank: the class that stands for no label.

    Raises:
        ShapeError: shapes do not fit each other.
        UsageError: a real label is no class or is the blank, or a row has too few steps for its labels.

    Source: A. Viterbi, "Error bounds for convolutional codes", 1967, on the lattice of Graves et al., 2006.

    >>> import torch
    >>> logits = torch.tensor([[0.0, 2.0, 0.0], [3.0, 0.0, 0.0], [0.0, 0.0, 2.0]])[:, None]
    >>> ctc_align(logits, torch.tensor([[1, 2]])).labels[:, 0].tolist()
    [1, 0, 2]
    """
    with torch.no_grad():
        logits, targets, lengths, target_lengths = _checked(logits, targets, lengths, target_lengths, blank)
        _check_room(targets, lengths, target_lengths)
        states = _with_blanks(targets, blank)
        emitted = functional.log_softmax(logits, -1).gather(-1, states.expand(logits.shape[0], -1, -1))
        best, moves = _best_scores(emitted, states, lengths, blank)
        path, scores = _trace(best, moves, target_lengths)
        real = real_steps(lengths, logits.shape[0])
        labels = states.T.gather(0, path).masked_fill(~real, blank)
        return Alignment(labels, torch.where(real & (path % 2 == 1), path // 2, -1), scores)


def needed_steps(targets: Tensor, target_lengths: Tensor) -> Tensor:
    """Return the fewest steps each row's labels need, `(batch,)`: one a label, and a blank between equal neighbours.

    >>> import torch
    >>> needed_steps(torch.tensor([[1, 1, 2], [1, 1, 1]]), torch.tensor([3, 1])).tolist()
    [4, 1]
    """
    later = torch.arange(1, max(targets.shape[1], 1), device=targets.device)
    repeats = (targets[:, 1:] == targets[:, :-1]) & (later < target_lengths[:, None])
    return target_lengths + repeats.sum(-1)


def _checked(
    logits: Tensor, targets: Tensor, lengths: Tensor | None, target_lengths: Tensor | None, blank: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the arguments checked, with zeros in the padding of the logits and some label in that of the targets."""
    check_steps(logits, 3, "(time, batch, classes)", "logits")
    steps, batch, classes = logits.shape
    if not 0 <= blank < classes:
        raise UsageError(f"blank is {blank}; expected a class from 0 to {classes - 1}")
    if targets.dim() != 2 or targets.shape[0] != batch:
        raise ShapeError(f"targets has shape {tuple(targets.shape)}; expected (batch, labels) with {batch} rows")
    lengths = checked_lengths(lengths, steps, batch, logits.device)
    target_lengths = checked_lengths(target_lengths, targets.shape[1], batch, logits.device, "target_lengths")
    real = real_steps(target_lengths, targets.shape[1])
    check_classes(targets.T, real, classes, "targets")
    if bool((real.T & (targets == blank)).any()):
        row, place = (real.T & (targets == blank)).nonzero()[0].tolist()
        raise UsageError(f"row {row}, label {place}: targets is {blank}, which is the blank; leave blanks out")
    targets = targets.masked_fill(~real.T, blank).long()
    return fill_padding(logits, real_steps(lengths, steps)), targets, lengths, target_lengths


def _check_room(targets: Tensor, lengths: Tensor, target_lengths: Tensor) -> None:
    needed = needed_steps(targets, target_lengths)
    short = (needed > lengths).nonzero()
    if short.numel():
        row = int(short[0])
        raise UsageError(
            f"row {row} has {int(lengths[row])} steps, but its {int(target_lengths[row])} labels need "
            f"{int(needed[row])} (equal neighbours need a blank between them); shorten the target, subsample the input "
            "less, or, for the loss, pass zero_infinity=True to leave such rows out"
        )


def _with_blanks(targets: Tensor, blank: int) -> Tensor:
    """Return targets with a blank before, between and after: `(batch, 2 * labels + 1)`."""
    states = targets.new_full((targets.shape[0], 2 * targets.shape[1] + 1), blank)
    states[:, 1::2] = targets
    return states


def _best_scores(emitted: Tensor, states: Tensor, lengths: Tensor, blank: int) -> tuple[Tensor, Tensor]:
    """Return each state's best score at the row's last step, `(batch, states)`, and the moves, `(time, ...)`, 0 to 2.

    A move is how many states the path came forward to reach a state.
    """
    time, batch, count = emitted.shape
    lowest = float("-inf")
    may_skip = torch.zeros_like(states, dtype=torch.bool)
    may_skip[:, 2:] = (states[:, 2:] != blank) & (states[:, 2:] != states[:, :-2])
    scores = emitted.new_full((batch, count), lowest)
    scores[:, 0] = 0.0  # before the first step, one place before either of the states that a path may begin in
    moves = torch.zeros(emitted.shape, dtype=torch.int8, device=emitted.device)
    for step in range(time):
        one = functional.pad(scores, (1, 0), value=lowest)[:, :-1]
        two = functional.pad(scores, (2, 0), value=lowest)[:, :count].masked_fill(~may_skip, lowest)
        best, move = torch.stack([scores, one, two]).max(0)
        running = (step < lengths)[:, None]
        moves[step] = move.masked_fill(~running, 0)
        scores = torch.where(running, best + emitted[step], scores)
    return scores, moves


def _trace(scores: Tensor, moves: Tensor, target_lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Follow the moves back from the better of the two last states: the states, `(time, batch)`, and their score."""
    last = 2 * target_lengths
    ends = torch.stack([last, (last - 1).clamp_min(0)])
    best, which = scores.gather(1, ends.T).max(1)
    state = ends.T.gather(1, which[:, None])[:, 0]
    path = torch.zeros(moves.shape[:2], dtype=torch.int64, device=moves.device)
    for step in range(moves.shape[0] - 1, -1, -1):
        path[step] = state
        state = state - moves[step].gather(1, state[:, None])[:, 0]
    return path, best
