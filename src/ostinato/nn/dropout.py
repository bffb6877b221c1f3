"""Dropout of sequences: the same units missing at every step."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class VariationalDropout(nn.Module):
    """Dropout whose mask is drawn once for each sequence and lasts for all its steps.

    Args:
        rate: the probability that a unit is missing, from 0 to 1.

    >>> import torch
    >>> ys = VariationalDropout(0.5)(torch.ones(7, 2, 3))
    >>> bool((ys == ys[0]).all())
    True

    Source: Y. Gal and Z. Ghahramani, "A theoretically grounded application of dropout in recurrent neural networks",
    NeurIPS 2016; "locked" in S. Merity, N. Keskar and R. Socher, "Regularizing and optimizing LSTM language models",
    ICLR 2018.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, xs: Tensor) -> Tensor:
        """Drop units of `(time, batch, features)`, or of one step `(batch, features)`, in training."""
        if not self.training or self.rate == 0:
            return xs
        mask = functional.dropout(xs.new_ones(xs.shape[-2:]), self.rate)
        return xs * mask
