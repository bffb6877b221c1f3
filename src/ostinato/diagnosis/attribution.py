"""What each past step contributed to one output, and where attention looked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ostinato.diagnosis.flow import answer_at_end
from ostinato.diagnosis.stages import Stage, watched
from ostinato.diagnosis.subject import Subject
from ostinato.errors import UsageError

_POINTS = 24  # of the way from the usual input to this one
_LEAST_STEPS = 4  # a softmax over fewer is not taken for attention over steps


@dataclass(frozen=True)
class Contributions:
    """What each step of one row contributed to one number of its output.

    Args:
        by_step: `(steps,)`, they add up to how far the output is from that of the usual input.
        row, output: which they are of; value: what the output is; usual: that of the usual input.
    """

    by_step: NDArray[np.float64]
    row: int
    output: int
    value: float
    usual: float


def contributions(subject: Subject, stage: Stage, row: int, output: int | None) -> Contributions | None:
    """Return what each step contributed, by integrated gradients; `None`: the output is not reached by gradients.

    The way leads from the usual input, the mean of all real steps, to what was read (M. Sundararajan, A. Taly and
    Q. Yan, "Axiomatic attribution for deep networks", 2017).

    Args:
        subject: the model, the batch, the loss.
        stage: whose steps contributed.
        row: of the batch.
        output: place of the number in what is answered of the row; `None`: the largest.

    Raises:
        UsageError: there is no such row or output.
    """
    rows = stage.xs.shape[1]
    if not 0 <= row < rows:
        raise UsageError(f"row is {row}; expected a whole number from 0 to {rows - 1}, the rows of the batch")
    real = torch.arange(stage.steps, device=stage.xs.device)[:, None] < stage.lengths
    usual = stage.xs[real].mean(0)
    mine = stage.xs[:, row]
    total = torch.zeros_like(mine)
    ends = []
    # the middle of each part of the way, and both ends for their values
    for share in (*((np.arange(_POINTS) + 0.5) / _POINTS), 0.0, 1.0):
        read = stage.xs.clone()
        read[:, row] = torch.where(real[:, row].reshape(-1, *[1] * usual.dim()), usual + share * (mine - usual), mine)
        read.requires_grad_()
        run = watched(subject, {stage.name: stage.module}, {stage.name: (stage, read)})
        first = stage.calls[0].number
        calls = run.calls[stage.name][first : first + len(stage.calls)]
        numbers = _of_row(answer_at_end(run.answer, calls, stage)[0], row, rows)
        if output is None:
            output = int(numbers.detach().abs().argmax())
        if not 0 <= output < len(numbers):
            raise UsageError(f"output is {output}; expected a whole number from 0 to {len(numbers) - 1}")
        if share in (0.0, 1.0):
            ends.append(float(numbers[output].detach()))
            continue
        if not numbers.requires_grad:
            return None
        (gradient,) = torch.autograd.grad(numbers[output], read, allow_unused=True)
        if gradient is None:
            return None
        total += gradient[:, row] / _POINTS
    parts = (total * (mine - usual)).flatten(1).sum(-1)[: int(stage.lengths[row])]
    assert output is not None
    return Contributions(parts.double().cpu().numpy(), row, output, ends[1], ends[0])


def _of_row(answer: Tensor, row: int, rows: int) -> Tensor:
    place = next((i for i, size in enumerate(answer.shape) if size == rows), None)
    return (answer if place is None else answer.select(place, row)).reshape(-1)


# --- attention -------------------------------------------------------------------------------------------------------


class _Softmaxes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Keeps softmaxes over as many numbers as there are steps: attention, whoever wrote it."""

    def __init__(self, steps: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.steps, self.values = steps, list[Tensor]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation; keep its result if it is such a softmax."""
        result = func(*args, **(kwargs or {}))
        if func.overloadpacket is torch.ops.aten._softmax and result.shape[args[1]] == self.steps:
            self.values.append(result.detach().movedim(args[1], -1).clone())
        return result


def attention_of(subject: Subject, stage: Stage, row: int) -> NDArray[np.float64] | None:
    """Return where the last attention over steps looked for one row, `(queries, steps)`; `None`: there is none."""
    if stage.steps < _LEAST_STEPS:
        return None
    with torch.no_grad(), _Softmaxes(stage.steps) as seen:
        subject.loss()
    rows = stage.xs.shape[1]
    for weights in reversed(seen.values):
        place = next((i for i, size in enumerate(weights.shape[:-1]) if size % rows == 0 and size), None)
        if place is None:
            continue
        heads = weights.shape[place] // rows
        mine = weights.movedim(place, 0)[row * heads : (row + 1) * heads].double()
        mine = mine.mean(0).reshape(-1, stage.steps)[:, : int(stage.lengths[row])]
        return np.asarray(mine.cpu().numpy())
    return None
