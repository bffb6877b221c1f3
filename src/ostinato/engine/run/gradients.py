"""Gradients through autograd of outputs some of which have none, as the ways around the compiled loop need them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def gradients_of(
    outputs: Sequence[Tensor], grads: Sequence[Tensor | None], inputs: Sequence[Tensor], *, recorded: bool
) -> list[Tensor | None]:
    """Return what comes to each input; none where nothing does.

    Args:
        outputs: of a computation that autograd recorded, or that nothing was recorded of.
        grads: of each output; `None`: none came.
        inputs: that require gradients.
        recorded: whether the gradients can be differentiated again.
    """
    pairs = [(out, grad) for out, grad in zip(outputs, grads, strict=True) if grad is not None and out.requires_grad]
    if not pairs or not inputs:
        return [None] * len(inputs)
    found = torch.autograd.grad(
        [out for out, _ in pairs], inputs, [grad for _, grad in pairs], create_graph=recorded, allow_unused=True
    )
    return list(found)
