"""The recurrent neural transducer: labels for a stream, each conditioned on those before it.

Source: A. Graves, "Sequence transduction with recurrent neural networks", arXiv 1211.3711, 2012.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils import _pytree

from ostinato.errors import ShapeError, UsageError


class Joint(nn.Module):
    """What is heard and what was said, joined: `W tanh(A frame + B prediction)` for every pair of them.

    Args:
        frame_size: features of the encoder's outputs.
        prediction_size: features of the prediction network's outputs.
        hidden_size: within.
        classes: labels and the blank.

    >>> import torch
    >>> scores = Joint(6, 4, 8, 10)(torch.randn(7, 2, 6), torch.randn(3, 2, 4))
    >>> tuple(scores.shape)
    (2, 7, 3, 10)
    """

    def __init__(self, frame_size: int, prediction_size: int, hidden_size: int, classes: int) -> None:
        super().__init__()
        self.frame = nn.Linear(frame_size, hidden_size)
        self.prediction = nn.Linear(prediction_size, hidden_size, bias=False)
        self.output = nn.Linear(hidden_size, classes)

    def forward(self, frames: Tensor, predictions: Tensor) -> Tensor:
        """Return scores `(batch, time, labels + 1, classes)`.

        Args:
            frames: `(time, batch, frame_size)`.
            predictions: after no label, after the first, and so on, `(labels + 1, batch, prediction_size)`.
        """
        heard, said = self.frame(frames).transpose(0, 1), self.prediction(predictions).transpose(0, 1)
        scores: Tensor = self.output(torch.tanh(heard[:, :, None] + said[:, None]))
        return scores


def transducer_loss(
    scores: Tensor,
    targets: Tensor,
    lengths: Tensor,
    target_lengths: Tensor,
    *,
    blank: int = 0,
    reduction: Literal["mean", "sum", "none"] = "mean",
) -> Tensor:
    """Return the negative log-likelihood of label sequences, all alignments taken together.

    The sums over alignments and their gradient are computed by forward and backward variables, one diagonal of the
    lattice at a time for all rows; three numbers a node are kept beside the softmax.

    Args:
        scores: before the softmax, `(batch, time, labels + 1, classes)`.
        targets: labels `(labels, batch)`, none of them the blank.
        lengths: real steps `(batch,)`, one or more.
        target_lengths: labels of each row `(batch,)`.
        blank: the class that goes on to the next step.
        reduction: `"mean"` over the batch, `"sum"`, or `"none"`.

    Raises:
        ShapeError: the shapes do not fit.
        UsageError: a length is out of range.

    >>> import torch
    >>> one = torch.ones(1, dtype=torch.long)
    >>> round(transducer_loss(torch.zeros(1, 2, 2, 3), torch.tensor([[1]]), 2 * one, one).item(), 4)  # 2 ways of 1/27
    2.6027
    """
    _check(scores, targets, lengths, target_lengths, blank)
    logs = scores.log_softmax(-1)
    batch, time, nodes, _ = logs.shape
    real = torch.arange(nodes - 1, device=scores.device)[:, None] < target_lengths.to(scores.device)
    shown = targets.masked_fill(~real, blank).t()[:, None, :, None].expand(batch, time, nodes - 1, 1)
    emits = logs[:, :, :-1].gather(-1, shown)[..., 0]
    losses: Tensor = _Lattice.apply(logs[..., blank], emits, lengths, target_lengths)  # type: ignore[no-untyped-call]
    if reduction == "none":
        return losses
    return losses.sum() if reduction == "sum" else losses.mean()


class _Lattice(torch.autograd.Function):
    """From log-probabilities of going on, `(batch, time, nodes)`, and of labels, one node less, to losses."""

    @staticmethod
    def forward(ctx: Any, blanks: Tensor, emits: Tensor, lengths: Tensor, labels: Tensor) -> Tensor:
        """Sum over all alignments, from the front."""
        never = float("-inf")
        slanted, said = _slanted(blanks), _slanted(torch.nn.functional.pad(emits, (0, 1), value=never))
        alpha = torch.full_like(slanted, never)
        alpha[0, :, 0] = 0.0
        for n in range(1, len(slanted)):
            alpha[n] = alpha[n - 1] + slanted[n - 1]
            alpha[n, :, 1:] = torch.logaddexp(alpha[n, :, 1:], (alpha[n - 1] + said[n - 1])[:, :-1])
        rows = torch.arange(blanks.shape[0], device=blanks.device)
        ends = lengths - 1 + labels
        total = alpha[ends, rows, labels] + slanted[ends, rows, labels]
        ctx.save_for_backward(alpha, slanted, said, total, lengths, labels)
        ctx.time = blanks.shape[1]
        return -total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        """Weigh each step of the lattice by how likely alignments go through it, from the back."""
        (grad,) = grads
        alpha, blanks, said, total, lengths, labels = ctx.saved_tensors
        ends = lengths - 1 + labels
        never = float("-inf")
        beta = torch.full_like(alpha[0], never)
        by_blank, by_label = torch.zeros_like(blanks), torch.zeros_like(said)
        for n in range(len(blanks) - 1, -1, -1):
            last = (ends == n).nonzero()[:, 0]
            onward = beta.clone()
            onward[last, labels[last]] = 0.0  # beyond the last blank
            shifted = torch.full_like(beta, never)
            shifted[:, :-1] = beta[:, 1:]
            going, saying = blanks[n] + onward, said[n] + shifted
            by_blank[n] = (alpha[n] + going - total[:, None]).exp()
            by_label[n] = (alpha[n] + saying - total[:, None]).exp()
            beta = torch.logaddexp(going, saying)
        weight = -grad[None, :, None]
        time = ctx.time
        emits = _straight(weight * by_label, time)[:, :, :-1]
        return _straight(weight * by_blank, time), emits, None, None


def _slanted(values: Tensor) -> Tensor:
    """Return `(batch, time, nodes)` by diagonals, `(time + nodes - 1, batch, nodes)`; minus infinity outside."""
    batch, time, nodes = values.shape
    places = torch.arange(time + nodes - 1, device=values.device)[:, None] - torch.arange(nodes, device=values.device)
    inside = (places >= 0) & (places < time)
    found = values.permute(1, 0, 2).gather(0, places.clamp(0, time - 1)[:, None].expand(-1, batch, -1))
    return found.masked_fill(~inside[:, None], float("-inf"))


def _straight(slanted: Tensor, time: int) -> Tensor:
    """Return diagonals as `(batch, time, nodes)` again."""
    nodes = slanted.shape[-1]
    places = torch.arange(time, device=slanted.device)[:, None] + torch.arange(nodes, device=slanted.device)
    found = slanted.gather(0, places[:, None].expand(-1, slanted.shape[1], -1))
    return found.nan_to_num(0.0).permute(1, 0, 2)


def transducer_greedy(
    frames: Tensor,
    lengths: Tensor,
    joint: Joint,
    predict: Callable[[Tensor, Any], tuple[Tensor, Any]],
    state: Any,
    *,
    blank: int = 0,
    most_labels: int = 10,
) -> tuple[list[list[int]], Any]:
    """Return the best labels, taken one at a time as the steps come: it can go on with the next piece of a stream.

    Args:
        frames: the encoder's outputs, `(time, batch, features)`.
        lengths: real steps `(batch,)`.
        joint: see `Joint`.
        predict: of labels `(batch,)` and its state the next prediction `(batch, features)` and state; the blank stands
            for the beginning.
        state: `(prediction, state)` where a piece before has ended; or the state to begin from, `(None, state)`.
        blank: the class that goes on to the next step.
        most_labels: labels within one step at most.

    Returns:
        The labels of each row, and what to go on with.
    """
    prediction, inner = state
    batch = frames.shape[1]
    if prediction is None:
        prediction, inner = predict(torch.full((batch,), blank, device=frames.device), inner)
    found: list[list[int]] = [[] for _ in range(batch)]
    for t, frame in enumerate(frames):
        running = lengths.to(frames.device) > t
        for _ in range(most_labels):
            best = joint(frame[None], prediction[None])[:, 0, 0].argmax(-1)
            saying = running & (best != blank)
            if not bool(saying.any()):
                break
            for row in saying.nonzero()[:, 0].tolist():
                found[row].append(int(best[row]))
            following, moved = predict(best, inner)
            prediction = _chosen(saying, following, prediction)
            inner = _pytree.tree_map(lambda new, old, said=saying: _chosen(said, new, old), moved, inner)
            running = saying
    return found, (prediction, inner)


def _chosen(rows: Tensor, new: Tensor, old: Tensor) -> Tensor:
    return torch.where(rows.view(-1, *[1] * (new.dim() - 1)), new, old)


def _check(scores: Tensor, targets: Tensor, lengths: Tensor, target_lengths: Tensor, blank: int) -> None:
    fits = scores.dim() == 4 and targets.shape == (scores.shape[2] - 1, scores.shape[0])
    if not fits or lengths.shape != (scores.shape[0],) or target_lengths.shape != lengths.shape:
        raise ShapeError(
            f"scores have shape {tuple(scores.shape)} and targets {tuple(targets.shape)}; expected "
            "(batch, time, labels + 1, classes) and (labels, batch), with lengths (batch,) twice"
        )
    if lengths.numel() and (int(lengths.min()) < 1 or int(lengths.max()) > scores.shape[1]):
        raise UsageError(
            f"lengths run from {int(lengths.min())} to {int(lengths.max())}; expected 1 to {scores.shape[1]}"
        )
    if lengths.numel() and (int(target_lengths.min()) < 0 or int(target_lengths.max()) > len(targets)):
        raise UsageError(
            f"target lengths run from {int(target_lengths.min())} to {int(target_lengths.max())}; expected 0 to "
            f"{len(targets)}"
        )
    real = torch.arange(len(targets), device=targets.device)[:, None] < target_lengths
    labels = targets[real]
    bad = labels[(labels == blank) | (labels < 0) | (labels >= scores.shape[-1])]
    if bad.numel():
        raise UsageError(
            f"a target holds label {int(bad[0])}; expected 0 to {scores.shape[-1] - 1} without the blank, {blank}"
        )
