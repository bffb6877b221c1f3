"""Several networks of one kind that answer together."""

from __future__ import annotations

import math

from torch import Tensor


def mean_probability(logs: Tensor) -> Tensor:
    """Return the logarithm of the members' mean probability.

    Args:
        logs: the logarithms of each member's probabilities, `(members, ...)`.

    >>> import torch
    >>> mean_probability(torch.tensor([[0.2, 0.8], [0.4, 0.6]]).log()).exp()
    tensor([0.3000, 0.7000])
    """
    return logs.logsumexp(0) - math.log(len(logs))
