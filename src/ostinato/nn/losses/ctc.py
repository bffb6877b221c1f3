"""Connectionist temporal classification: labels for a sequence whose alignment is not known.

Source: A. Graves et al., "Connectionist temporal classification", ICML 2006.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from ostinato.errors import ShapeError, UsageError


def ctc_loss(
    scores: Tensor,
    targets: Tensor,
    lengths: Tensor,
    target_lengths: Tensor,
    *,
    blank: int = 0,
    impossible: Literal["error", "zero"] = "error",
    reduction: Literal["mean", "sum", "none"] = "mean",
) -> Tensor:
    """Return the negative log-likelihood of label sequences, all alignments taken together.

    Args:
        scores: before the softmax, `(time, batch, classes)`.
        targets: labels `(labels, batch)`, none of them the blank.
        lengths: real steps `(batch,)`.
        target_lengths: labels of each row `(batch,)`.
        blank: the class of no label.
        impossible: what to do with a row that has more labels than its steps can say: raise, or count nothing.
        reduction: `"mean"` over the batch (each row's loss whole, not by its labels), `"sum"`, or `"none"`.

    Raises:
        ShapeError: the shapes do not fit.
        UsageError: a row is too short for its labels, or a label is the blank or out of range.

    >>> import torch
    >>> loss = ctc_loss(torch.zeros(4, 1, 3), torch.tensor([[1], [2]]), torch.tensor([4]), torch.tensor([2]))
    >>> round(loss.item(), 4)  # 15 of the 81 ways to walk say "1 2"
    1.6864
    """
    _check(scores, targets, lengths, target_lengths, blank)
    short = _needed(targets, target_lengths) > lengths
    if impossible == "error" and bool(short.any()):
        row = int(short.nonzero()[0])
        raise UsageError(
            f"row {row} has {int(lengths[row])} steps for {int(target_lengths[row])} labels, which need "
            f'{int(_needed(targets, target_lengths)[row])}; give it more steps, or pass impossible="zero"'
        )
    losses: Tensor = functional.ctc_loss(
        scores.log_softmax(-1), targets.t(), lengths, target_lengths, blank, "none", zero_infinity=True
    )
    if reduction == "none":
        return losses
    return losses.sum() if reduction == "sum" else losses.mean()


def ctc_greedy(scores: Tensor, lengths: Tensor, *, blank: int = 0) -> list[list[int]]:
    """Return the labels of the best class of every step, repeats and blanks left out.

    Args:
        scores: `(time, batch, classes)`.
        lengths: real steps `(batch,)`.
        blank: the class of no label.
    """
    best = scores.argmax(-1).t()
    found = []
    for row, length in zip(best, lengths.tolist(), strict=True):
        kept = torch.unique_consecutive(row[:length])
        found.append([label for label in kept.tolist() if label != blank])
    return found


def ctc_beam_search(
    scores: Tensor,
    lengths: Tensor,
    *,
    beam_size: int = 16,
    blank: int = 0,
    language: Callable[[tuple[int, ...], int], float] | None = None,
) -> list[list[tuple[list[int], float]]]:
    """Return the most likely label sequences, each with all of its alignments: prefix beam search.

    Args:
        scores: `(time, batch, classes)`.
        lengths: real steps `(batch,)`.
        beam_size: prefixes that are kept at every step.
        blank: the class of no label.
        language: of a prefix and the label that goes on, a log-probability to add.

    Returns:
        For each row, label sequences with their log-probabilities, the best first.

    Source: A. Hannun et al., "First-pass large vocabulary continuous speech recognition using bi-directional recurrent
    DNNs", arXiv 1408.2873, 2014, algorithm 1.
    """
    if beam_size < 1:
        raise UsageError(f"beam_size is {beam_size}; expected one or more")
    logs = scores.detach().log_softmax(-1).double().cpu()
    return [
        _beam(logs[:length, row].tolist(), beam_size, blank, language) for row, length in enumerate(lengths.tolist())
    ]


def _beam(
    steps: Sequence[Sequence[float]],
    size: int,
    blank: int,
    language: Callable[[tuple[int, ...], int], float] | None,
) -> list[tuple[list[int], float]]:
    # for each prefix: log-probabilities of all alignments that end with a blank, and with its last label
    beam: dict[tuple[int, ...], tuple[float, float]] = {(): (0.0, -math.inf)}
    for logs in steps:
        following: dict[tuple[int, ...], tuple[float, float]] = {}

        def add(prefix: tuple[int, ...], by_blank: float, by_label: float, into: dict = following) -> None:  # type: ignore[type-arg]
            before = into.get(prefix, (-math.inf, -math.inf))
            into[prefix] = (_logaddexp(before[0], by_blank), _logaddexp(before[1], by_label))

        for prefix, (ends_blank, ends_label) in beam.items():
            both = _logaddexp(ends_blank, ends_label)
            add(prefix, both + logs[blank], -math.inf)
            for label, log in enumerate(logs):
                if label == blank:
                    continue
                extra = language(prefix, label) if language else 0.0
                if prefix and prefix[-1] == label:
                    add(prefix, -math.inf, ends_label + log)
                    add((*prefix, label), -math.inf, ends_blank + log + extra)
                else:
                    add((*prefix, label), -math.inf, both + log + extra)
        ordered = sorted(following.items(), key=lambda item: -_logaddexp(*item[1]))
        beam = dict(ordered[:size])
    return [(list(prefix), _logaddexp(*ends)) for prefix, ends in beam.items()]


def _logaddexp(a: float, b: float) -> float:
    high, low = max(a, b), min(a, b)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))


def ctc_align(scores: Tensor, labels: Sequence[int], *, blank: int = 0) -> list[int]:
    """Return the most likely alignment of one sequence: for each step a place in `labels`, or -1 for the blank.

    Args:
        scores: `(time, classes)` of the real steps.
        labels: what was said.
        blank: the class of no label.

    Raises:
        UsageError: there are fewer steps than the labels need.
    """
    logs = scores.detach().log_softmax(-1).double().cpu()
    states = [blank] + [state for label in labels for state in (label, blank)]
    best = torch.full((len(states),), -math.inf, dtype=torch.double)
    best[:2] = logs[0, states[:2]] if len(logs) else best[:2]
    came = []
    skips = torch.tensor([i > 1 and own != blank and own != states[i - 2] for i, own in enumerate(states)])
    for log in logs[1:]:
        stay = torch.stack([best, best.roll(1), best.roll(2)])
        stay[1, 0] = -math.inf
        stay[2, ~skips] = -math.inf
        value, back = stay.max(0)
        came.append(back)
        best = value + log[states]
    last = max(range(max(len(states) - 2, 0), len(states)), key=lambda i: float(best[i]))
    if not len(logs) or best[last] == -math.inf:
        raise UsageError(f"{len(logs)} steps are too few for {len(labels)} labels; give the sequence more steps")
    path = [last]
    for back in reversed(came):
        path.append(path[-1] - int(back[path[-1]]))
    return [(state - 1) // 2 if state % 2 else -1 for state in reversed(path)]


def _needed(targets: Tensor, target_lengths: Tensor) -> Tensor:
    """Return the steps that labels need: one each, and a blank between equal ones."""
    places = torch.arange(1, max(targets.shape[0], 1), device=targets.device)[:, None]
    repeats = ((targets[1:] == targets[:-1]) & (places < target_lengths)).sum(0)
    return target_lengths + repeats


def _check(scores: Tensor, targets: Tensor, lengths: Tensor, target_lengths: Tensor, blank: int) -> None:
    batch = scores.shape[1] if scores.dim() == 3 else -1
    if batch < 0 or targets.dim() != 2 or targets.shape[1] != batch or lengths.shape != target_lengths.shape:
        raise ShapeError(
            f"scores have shape {tuple(scores.shape)}, targets {tuple(targets.shape)}, lengths {tuple(lengths.shape)} "
            f"and {tuple(target_lengths.shape)}; expected (time, batch, classes), (labels, batch) and (batch,) twice"
        )
    real = torch.arange(targets.shape[0], device=targets.device)[:, None] < target_lengths
    labels = targets[real]
    bad = labels[(labels == blank) | (labels < 0) | (labels >= scores.shape[-1])]
    if bad.numel():
        raise UsageError(
            f"a target holds label {int(bad[0])}; expected 0 to {scores.shape[-1] - 1} without the blank, {blank}"
        )
