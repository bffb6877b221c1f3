"""How the weights of a cell start."""

from __future__ import annotations

import torch
from torch import nn


def orthogonal_blocks_(linear: nn.Linear, blocks: int) -> None:
    """Fill each square block of a stacked recurrent matrix `(blocks * units, units)` with its own orthogonal matrix.

    An orthogonal recurrent matrix keeps the norm of what passes through it, so that gradients neither vanish nor
    explode at the start of training (Saxe, McClelland and Ganguli, 2014, section 3).
    """
    with torch.no_grad():
        for block in linear.weight.chunk(blocks, 0):
            nn.init.orthogonal_(block)
        if linear.bias is not None:
            linear.bias.zero_()


def glorot_blocks_(linear: nn.Linear, blocks: int) -> None:
    """Fill each block of a stacked input matrix `(blocks * units, inputs)` as Glorot and Bengio (2010); bias zero."""
    with torch.no_grad():
        for block in linear.weight.chunk(blocks, 0):
            nn.init.xavier_uniform_(block)
        if linear.bias is not None:
            linear.bias.zero_()
