"""How the weights of a cell start."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn


def uniform_(weight: Tensor) -> Tensor:
    """Fill `(outputs, inputs)` evenly between plus and minus one over the square root of `inputs`, as PyTorch does."""
    bound = 1.0 / math.sqrt(weight.shape[-1])
    return nn.init.uniform_(weight, -bound, bound)


RECURRENT_INITS: dict[str, Callable[[Tensor], Tensor]] = {
    "orthogonal": nn.init.orthogonal_,
    "identity": nn.init.eye_,
    "glorot": nn.init.xavier_uniform_,
    "uniform": uniform_,
}


def recurrent_blocks_(linear: nn.Linear, blocks: int, how: str = "orthogonal") -> None:
    """Fill each square block of a stacked recurrent matrix `(blocks * units, units)` by a named rule; bias zero.

    Raises:
        ValueError: the name is not one of `RECURRENT_INITS`.
    """
    if how not in RECURRENT_INITS:
        raise ValueError(f'"{how}" is not a known initialisation; choose one of {", ".join(RECURRENT_INITS)}')
    with torch.no_grad():
        for block in linear.weight.chunk(blocks, 0):
            RECURRENT_INITS[how](block)
        if linear.bias is not None:
            linear.bias.zero_()


def orthogonal_blocks_(linear: nn.Linear, blocks: int) -> None:
    """Fill each square block of a stacked recurrent matrix `(blocks * units, units)` with its own orthogonal matrix.

    An orthogonal recurrent matrix keeps the norm of what passes through it, so that gradients neither vanish nor
    explode at the start of training (Saxe, McClelland and Ganguli, 2014, section 3).
    """
    recurrent_blocks_(linear, blocks, "orthogonal")


def glorot_blocks_(linear: nn.Linear, blocks: int) -> None:
    """Fill each block of a stacked input matrix `(blocks * units, inputs)` as Glorot and Bengio (2010); bias zero."""
    with torch.no_grad():
        for block in linear.weight.chunk(blocks, 0):
            nn.init.xavier_uniform_(block)
        if linear.bias is not None:
            linear.bias.zero_()


def chrono_(forget_bias: Tensor, longest: int) -> None:
    """Fill a forget gate's bias so that units remember for times spread evenly from 1 to `longest - 1` steps.

    A unit whose forget gate sits at `sigmoid(b)` forgets at the time scale `1 + exp(b)` (C. Tallec and Y. Ollivier,
    "Can recurrent neural networks warp time?", ICLR 2018, section 2).

    Raises:
        ValueError: `longest` is less than three steps, for which there is nothing to spread.
    """
    if longest < 3:
        raise ValueError(f"the longest memory is {longest} steps; expected three or more")
    with torch.no_grad():
        forget_bias.uniform_(1.0, longest - 1.0).log_()
