"""The recurrent transducer: labels for an input, where each label also hears the labels before it.

A path goes over a lattice of input steps and labels: a blank moves to the next step, a label to the next label. The
loss sums over all paths by the forward-backward algorithm, one anti-diagonal (all places reached after as many moves)
at a time, and its gradient is written with the forward and backward variables: automatic differentiation of the loop is
not needed, and nothing as large as the logits is kept but the logits. (Forward and backward on one core, float32, batch
8, 100 steps, 20 labels, 30 classes: 5.5 ms; a loop over the lattice under autograd 530 ms.) Modules and decoding are in
`transducer_decoding`. Source: A. Graves, "Sequence transduction with recurrent neural networks", 2012.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ostinato.errors import ShapeError, UsageError
from ostinato.nn.losses.masking import Reduction, check_classes, check_steps, checked_lengths, real_steps, reduce

_NEVER = float("-inf")
_CHUNK = 1 << 20  # elements of the logits that are exponentiated at once: a temporary of 4 MB in float32


def transducer_loss(
    logits: Tensor,
    targets: Tensor,
    lengths: Tensor | None = None,
    target_lengths: Tensor | None = None,
    *,
    blank: int = 0,
    reduction: Reduction = "mean",
) -> Tensor:
    """Return the negative log-likelihood of each row's labels, over all paths of the lattice.

    Memory: the logits are kept for the backward pass, which makes one more tensor of their size, the gradient; beside
    these the forward pass keeps under four numbers of 64 bits for each place of the lattice. It cannot be
    differentiated twice.

    Args:
        logits: `(time, labels + 1, batch, classes)`, unnormalised, as `TransducerJoint` makes them: what is said at
            each step after each number of labels. Types of 16 bits are computed in float32.
        targets: `(batch, labels)`, classes other than the blank; what stands in padding is not read.
        lengths: `(batch,)`, the steps of each row, 1 or more; `None` if all are real.
        target_lengths: `(batch,)`, the labels of each row; `None` if all are real.
        blank: the class that moves to the next step.
        reduction: "mean" divides by the number of rows, "sum", or "none", `(batch,)`.

    Raises:
        ShapeError: shapes do not fit each other, or a length is out of range.
        UsageError: a real label is no class or is the blank.

    Source: Graves, 2012, sections 2.4 and 2.5 (equations 16 to 20).

    >>> import torch
    >>> logits = torch.zeros(2, 2, 1, 2)  # the label before the first or the second blank: two paths of 1/8
    >>> round(transducer_loss(logits, torch.tensor([[1]])).exp().item(), 4)
    4.0
    """
    check_steps(logits, 4, "(time, labels + 1, batch, classes)", "logits")
    steps, places, batch, classes = logits.shape
    shape = steps, places, batch, classes
    targets, lengths, target_lengths = checked_labels(shape, targets, lengths, target_lengths, blank, logits.device)
    if logits.dtype in (torch.float16, torch.bfloat16):
        logits = logits.float()
    arguments = (logits, targets, lengths, target_lengths, blank)
    losses: Tensor = _TransducerLoss.apply(*arguments)  # type: ignore[no-untyped-call]
    return reduce(losses, losses.shape[0], reduction)


class _TransducerLoss(torch.autograd.Function):
    """The loss of each row, `(batch,)`; `targets` is `(labels, batch)` with class 0 in padding."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, targets: Tensor, lengths: Tensor, target_lengths: Tensor, blank: int
    ) -> Tensor:
        normaliser = _normaliser(logits)
        moves = _moves(logits, normaliser, targets, lengths, target_lengths, blank)
        forward, total = _forward_variables(moves, lengths, target_lengths)
        ctx.save_for_backward(logits, normaliser, targets, lengths, target_lengths, moves, forward, total)
        ctx.blank = blank
        return -total.to(logits.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None, None, None]:
        logits, normaliser, targets, lengths, target_lengths, moves, forward, total = ctx.saved_tensors
        by_blank, by_label = (
            visits.to(logits.dtype) * upstream
            for visits in _visits(moves, forward, total, lengths, target_lengths, logits.shape[0])
        )
        gradient = _expected_emissions(logits, normaliser, by_blank + by_label)
        gradient[..., ctx.blank] -= by_blank
        index = targets.expand(logits.shape[0], -1, -1)[..., None]
        gradient[:, :-1].scatter_add_(-1, index, -by_label[:, :-1, :, None])
        real = _real_places(logits, lengths, target_lengths)
        return gradient.masked_fill_(~real[..., None], 0.0), None, None, None, None


def _normaliser(logits: Tensor) -> Tensor:
    """Return the logarithm of the sum of exponentials over classes, some steps at a time to bound its temporary."""
    return torch.cat([part.logsumexp(-1) for part in torch.split(logits, _chunk(logits))])


def _expected_emissions(logits: Tensor, normaliser: Tensor, visits: Tensor) -> Tensor:
    """Return each class's probability times how often its place is visited, in one new tensor."""
    return torch.sub(logits, normaliser[..., None]).exp_().mul_(visits[..., None])


def _moves(
    logits: Tensor, normaliser: Tensor, targets: Tensor, lengths: Tensor, target_lengths: Tensor, blank: int
) -> Tensor:
    """Return the log-probabilities of the blank and of the next label: `(2, diagonals, labels + 1, batch)`."""
    by_label = torch.full_like(normaliser, _NEVER, dtype=torch.float64)
    index = targets.expand(logits.shape[0], -1, -1)[..., None]
    by_label[:, :-1] = logits[:, :-1].gather(-1, index)[..., 0].double() - normaliser[:, :-1]
    by_blank = logits[..., blank].double() - normaliser
    return _by_diagonals(by_blank, by_label, lengths, target_lengths)


def _by_diagonals(by_blank: Tensor, by_label: Tensor, lengths: Tensor, target_lengths: Tensor) -> Tensor:
    """Return the log-probabilities of the moves, each `(time, labels + 1, batch)`, by anti-diagonals.

    They are -inf outside a row's lattice; a label that would leave it leads nowhere. They are float64, as is all that
    is summed over the lattice: a path of hundreds of moves would leave float32 four digits for the gradient.
    """
    real = _real_places(by_blank, lengths, target_lengths)
    parts = [_skewed(scores.double().masked_fill(~real, _NEVER)) for scores in (by_blank, by_label)]
    return torch.stack(parts)


def _forward_variables(moves: Tensor, lengths: Tensor, target_lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Return the log-probability of all ways from the start to each place, and to the end of each row.

    They are `(diagonals, labels + 1, batch)` and `(batch,)`.
    """
    forward = torch.full_like(moves[0], _NEVER)
    forward[0, 0] = 0.0
    diagonals, blanks, labels = forward.unbind(0), moves[0].unbind(0), moves[1, :, :-1].unbind(0)
    rest = forward[:, 1:].unbind(0)  # all but the first label place: those that a label can lead to
    before = forward[:, :-1].unbind(0)
    for n in range(1, len(diagonals)):
        torch.add(diagonals[n - 1], blanks[n - 1], out=diagonals[n])
        torch.logaddexp(rest[n], before[n - 1] + labels[n - 1], out=rest[n])
    rows = torch.arange(lengths.shape[0], device=moves.device)
    ends = (lengths + target_lengths - 1, target_lengths, rows)  # the last place; a last blank leaves it
    return forward, forward[ends] + moves[0][ends]


def _visits(
    moves: Tensor, forward: Tensor, total: Tensor, lengths: Tensor, target_lengths: Tensor, time: int
) -> tuple[Tensor, Tensor]:
    """Return how often a path takes each place's blank, and its label, on average: `(time, labels + 1, batch)`."""
    backward = _backward_variables(moves, lengths, target_lengths)[1:]
    by_blank, by_label = (
        _unskewed((forward + moves[way] + after - total).exp_(), time)
        for way, after in enumerate((backward, _next_label(backward)))
    )
    return by_blank, by_label


def _backward_variables(moves: Tensor, lengths: Tensor, target_lengths: Tensor) -> Tensor:
    """Return the log-probability of all ways from each place to the end, `(diagonals + 1, labels + 1, batch)`."""
    blanks, labels = moves[0].unbind(0), moves[1, :, :-1].unbind(0)
    backward = moves.new_full((len(blanks) + 1, *moves.shape[2:]), _NEVER)
    rows = torch.arange(lengths.shape[0], device=moves.device)
    backward[lengths + target_lengths, target_lengths, rows] = 0.0  # one blank after the last place
    diagonals = backward.unbind(0)
    rest, before = backward[:, 1:].unbind(0), backward[:, :-1].unbind(0)
    for n in range(len(blanks) - 1, -1, -1):
        # the first logaddexp keeps the zero of a row that ends here: nothing else leads away from that place
        torch.logaddexp(diagonals[n], blanks[n] + diagonals[n + 1], out=diagonals[n])
        torch.logaddexp(before[n], labels[n] + rest[n + 1], out=before[n])
    return backward


def _next_label(values: Tensor) -> Tensor:
    """Return `values (..., labels + 1, batch)` moved by one label: what stands at the next one, -inf at the last."""
    return torch.cat([values[..., 1:, :], torch.full_like(values[..., :1, :], _NEVER)], -2)


def _skewed(values: Tensor) -> Tensor:
    """Return `(time, labels + 1, batch)` by anti-diagonals, `(time + labels, labels + 1, batch)`; -inf outside.

    Each label's steps, followed by -inf in number labels + 1, read again in rows one shorter: each row is then one step
    further on than the one before.
    """
    time, places, batch = values.shape
    diagonals = time + places - 1
    wide = values.new_full((places, diagonals + 1, batch), _NEVER)
    wide[:, :time] = values.transpose(0, 1)
    rows = wide.flatten(0, 1)[: places * diagonals].reshape(places, diagonals, batch)
    return rows.transpose(0, 1).contiguous()


def _unskewed(values: Tensor, time: int) -> Tensor:
    """Undo `_skewed`."""
    diagonals, places, batch = values.shape
    flat = values.new_zeros((places * (diagonals + 1), batch))
    flat[: places * diagonals] = values.transpose(0, 1).flatten(0, 1)
    return flat.reshape(places, diagonals + 1, batch)[:, :time].transpose(0, 1)


def _real_places(values: Tensor, lengths: Tensor, target_lengths: Tensor) -> Tensor:
    """Return which places of `(time, labels + 1, ...)` belong to a row's lattice, `(time, labels + 1, batch)`."""
    return real_steps(lengths, values.shape[0])[:, None] & real_steps(target_lengths + 1, values.shape[1])


def _chunk(logits: Tensor) -> int:
    return max(1, _CHUNK * logits.shape[0] // max(1, logits.numel()))


class LatticeLoss(torch.autograd.Function):
    """The loss of each row, `(batch,)`, of the log-probabilities of blanks and labels, `(time, labels + 1, batch)`.

    As `_TransducerLoss`, where no logits are at hand; the last label's move leads nowhere and is not read.
    """

    @staticmethod
    def forward(ctx: Any, by_blank: Tensor, by_label: Tensor, lengths: Tensor, target_lengths: Tensor) -> Tensor:
        """Sum over all paths."""
        by_label = by_label.clone()
        by_label[:, -1] = _NEVER
        moves = _by_diagonals(by_blank, by_label, lengths, target_lengths)
        forward, total = _forward_variables(moves, lengths, target_lengths)
        ctx.save_for_backward(moves, forward, total, lengths, target_lengths)
        ctx.time, ctx.dtype = by_blank.shape[0], by_blank.dtype
        return -total.to(by_blank.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor, None, None]:
        """Return how often each move is taken."""
        moves, forward, total, lengths, target_lengths = ctx.saved_tensors
        both = _visits(moves, forward, total, lengths, target_lengths, ctx.time)
        by_blank, by_label = (-visits.to(ctx.dtype) * upstream for visits in both)
        return by_blank, by_label, None, None


def checked_labels(
    shape: tuple[int, int, int, int],
    targets: Tensor,
    lengths: Tensor | None,
    target_lengths: Tensor | None,
    blank: int,
    device: torch.device,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return targets, `(labels, batch)` with 0 in padding, and both lengths, checked against the logits' shape."""
    steps, places, batch, classes = shape
    if not 0 <= blank < classes:
        raise UsageError(f"blank is {blank}; expected a class from 0 to {classes - 1}")
    if tuple(targets.shape) != (batch, places - 1):
        raise ShapeError(
            f"targets has shape {tuple(targets.shape)}; expected {(batch, places - 1)}, (batch, labels), as logits "
            f"{shape} are (time, labels + 1, batch, classes)"
        )
    lengths = checked_lengths(lengths, steps, batch, device, least=1)
    target_lengths = checked_lengths(target_lengths, places - 1, batch, device, "target_lengths")
    real = real_steps(target_lengths, places - 1)
    check_classes(targets.T, real, classes, "targets")
    if bool((real & (blank == targets.T)).any()):
        place, row = (real & (blank == targets.T)).nonzero()[0].tolist()
        raise UsageError(f"row {row}, label {place}: targets is {blank}, which is the blank; leave blanks out")
    return targets.T.masked_fill(~real, 0).long(), lengths, target_lengths
