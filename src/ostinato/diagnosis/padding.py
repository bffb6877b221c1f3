"""Whether what stands past the length of a row moves the output."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from ostinato.diagnosis.batches import tensors_in
from ostinato.diagnosis.flow import answer_at_end, answers_of
from ostinato.diagnosis.stages import Stage, watched
from ostinato.diagnosis.subject import Subject
from ostinato.errors import UsageError

_LEAK = 1e-4  # of the size of the output, or of the loss: what moves less is rounding


@dataclass(frozen=True)
class Leak:
    """What moves if the padding changes.

    Args:
        loss: by how much of itself; answer: by how much of its size what is answered of a row moves, the most of rows.
        rows: how many rows have padding; moved: of how many of them the answer moves.
        padded: how many steps were changed.
    """

    loss: float
    answer: float
    rows: int
    moved: int
    padded: int

    @property
    def leaks(self) -> bool:
        """Whether anything moves, more than by rounding."""
        return self.loss > _LEAK or self.answer > _LEAK


def lengths_given(lengths: Any) -> Tensor | None:
    """Return lengths as a tensor.

    Raises:
        UsageError: they are no whole numbers of one or more.
    """
    if lengths is None:
        return None
    try:
        found = torch.as_tensor(np.asarray(lengths.cpu() if isinstance(lengths, Tensor) else lengths))
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(
            f"lengths is {lengths!r:.80}; expected whole numbers, one for each row of the batch"
        ) from error
    if found.dim() != 1 or found.is_floating_point() or found.is_complex() or found.dtype is torch.bool:
        raise UsageError(
            f"lengths has shape {tuple(found.shape)} and type {found.dtype}; expected whole numbers, one for each row "
            "of the batch"
        )
    if not len(found) or int(found.min()) < 1:
        raise UsageError(f"lengths are {found.tolist()!r:.80}; expected one or more, each 1 or larger")
    return found.long()


def lengths_in(batch: Any) -> Tensor | None:
    """Return what looks like the lengths of a batch: whole numbers, as many as rows, the largest all steps."""
    for values in _whole_numbers(batch):
        rows, longest = len(values), int(values.max())
        if (
            rows > 1
            and int(values.min()) >= 1
            and longest >= 2
            and any(
                tensor.dim() >= 2 and sorted(tensor.shape[:2]) == sorted((rows, longest))
                for _, tensor in tensors_in(batch)
            )
        ):
            return values
    return None


def _whole_numbers(value: Any) -> list[Tensor]:
    """Return the flat tensors, arrays and lists of whole numbers in a batch."""
    if isinstance(value, Tensor):
        whole = value.dim() == 1 and len(value) and not value.is_floating_point() and value.dtype is not torch.bool
        return [value.detach().cpu().long()] if whole else []
    if isinstance(value, np.ndarray):
        return (
            [torch.from_numpy(value.astype(np.int64))]
            if value.ndim == 1 and value.dtype.kind in "iu" and len(value)
            else []
        )
    if isinstance(value, PackedSequence):
        return []
    if isinstance(value, Sequence) and not isinstance(value, str):
        if value and all(isinstance(each, int) and not isinstance(each, bool) for each in value):
            return [torch.tensor(value)]
        return [each for inner in value for each in _whole_numbers(inner)]
    if isinstance(value, dict):
        return [each for inner in value.values() for each in _whole_numbers(inner)]
    return []


def padding_leak(subject: Subject, stage: Stage) -> Leak | None:
    """Change what stands past the lengths; return what moves, or `None` where there is no padding.

    Args:
        subject: the model, the batch, the loss.
        stage: the part whose lengths count.
    """
    longest = int(stage.lengths.max())
    if int(stage.lengths.min()) == longest and longest == stage.steps:
        return None
    base, loss = answers_of(subject, stage, stage.xs)
    changed = _changed_batch(subject, stage)
    if changed is not None:
        with torch.no_grad():
            again = watched(_with_batch(subject, changed), {stage.name: stage.module})
        calls = again.calls[stage.name][stage.calls[0].number :][: len(stage.calls)]
        moved, after = answer_at_end(again.answer, calls, stage), again.loss
    elif isinstance(stage.calls[0].given, PackedSequence):
        return None  # packed, and nothing before it could mix the steps
    else:
        moved, after = answers_of(subject, stage, _changed_read(stage))
    padded = int((stage.steps - stage.lengths).sum())
    rows, scale = stage.lengths < stage.steps, max(float(loss.abs()), 1e-6)
    return Leak(float((after - loss).abs()) / scale, *_moved(base, moved, rows), padded)


def _moved(base: list[Tensor], moved: list[Tensor], rows: Tensor) -> tuple[float, int, int]:
    """Return how far the answers of rows move, over their size, how many rows have padding, and how many move."""
    shares = torch.zeros(len(rows), dtype=torch.float64)
    for old, new in zip(base, moved, strict=True):
        place = next((i for i, size in enumerate(old.shape) if size == len(rows)), None)
        if place is None:
            continue
        flat = (new - old).double().transpose(0, place).flatten(1) if old.dim() > 1 else (new - old).double()[:, None]
        size = float(old.double().square().mean().sqrt()) or 1.0
        shares = torch.maximum(shares, flat.abs().amax(1).cpu() / size)
    return float(shares.max()), int(rows.sum()), int((shares > _LEAK).sum())


def _with_batch(subject: Subject, batch: Any) -> Subject:
    return replace(subject, batch=batch)


def _changed_read(stage: Stage) -> Tensor:
    real = torch.arange(stage.steps, device=stage.xs.device)[:, None] < stage.lengths
    return torch.where(real.reshape(*real.shape, *[1] * (stage.xs.dim() - 2)), stage.xs, _other(stage.xs))


def _other(values: Tensor) -> Tensor:
    if values.is_floating_point():
        scale = float(values.double().std(correction=0)) or 1.0
        return values + 3 * scale * torch.randn_like(values) + scale
    known = torch.from_numpy(np.unique(values.cpu().numpy())).to(values.device)
    return known[torch.randint(len(known), values.shape, device=values.device)]


def raw_inputs(subject: Subject, stage: Stage) -> tuple[str, Tensor, bool] | None:
    """Return the sequences that the model itself is given: where they stand, and whether the batch comes first."""
    rows, longest = stage.xs.shape[1], int(stage.lengths.max())
    for name, tensor in tensors_in(subject.inputs):
        if tensor.dim() < 2 or (tensor.dim() == 2 and tensor.shape[1] == 1) or tensor.dtype is torch.bool:
            continue
        by_row = tensor.shape[0] == rows and tensor.shape[1] >= longest
        by_step = tensor.shape[1] == rows and tensor.shape[0] >= longest
        if by_row or by_step:
            return name, tensor, by_row and not (by_step and not stage.batch_first)
    return None


def _changed_batch(subject: Subject, stage: Stage) -> Any | None:
    """Return the batch with other values past the lengths of what the model reads; `None`: it cannot be told apart."""
    found = raw_inputs(subject, stage)
    if found is None:
        return None
    _, tensor, by_row = found
    steps = tensor.shape[1] if by_row else tensor.shape[0]
    if steps != stage.steps and int(stage.lengths.max()) != steps:
        # a front that joins steps: where a row ends is not known in what the model reads
        known = lengths_in(subject.told)
        if known is None or len(known) != len(stage.lengths) or int(known.max()) > steps:
            return None
        lengths = known.to(tensor.device)
    else:
        lengths = stage.lengths.to(tensor.device)
    real = torch.arange(steps, device=tensor.device)[:, None] < lengths
    mask = (real.T if by_row else real).reshape(*tensor.shape[:2], *[1] * (tensor.dim() - 2))
    with torch.no_grad():
        other = torch.where(mask, tensor, _other(tensor))
    batch = copy.deepcopy(subject.batch)
    place = [name for name, _ in tensors_in(subject.batch)][place_of(subject.batch, tensor)]
    dict(tensors_in(batch))[place].copy_(other)
    return batch


def place_of(batch: Any, tensor: Tensor) -> int:
    """Return which of the tensors of a batch one is."""
    return next(place for place, (_, each) in enumerate(tensors_in(batch)) if each is tensor)
