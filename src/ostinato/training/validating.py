"""The loss of many batches, nothing learned from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ostinato.training.objective import BatchSource, Carry, Step


def mean_loss(
    module: nn.Module,
    run: Callable[[Any, Carry | None], Step],
    batches: BatchSource,
    after_batch: Callable[[], None] = lambda: None,
) -> float:
    """Return the mean loss of batches in evaluation mode; the module is then in the mode it was in.

    Args:
        module: whose mode is set.
        run: the loss of one batch's data and what the chunk before carried over.
        batches: all of them are read.
        after_batch: called after each.
    """
    total, weight = 0.0, 0.0
    carry: Carry | None = None
    training = module.training
    module.eval()
    with torch.no_grad():
        for batch in batches.batches(0):
            step = run(batch.data, carry if batch.continues else None)
            carry = step.carry
            total, weight = total + float(step.loss) * step.weight, weight + step.weight
            after_batch()
    module.train(training)
    return total / max(weight, 1e-12)
