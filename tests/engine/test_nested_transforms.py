"""Transforms of functions within one another, over few rows and over outputs alone, give what the eager loop gives."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, func, nn

import ostinato
from ostinato.engine.run.reference import scan_eagerly


class Plain(nn.Module):
    """`h' = tanh(W x + U h)`."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs, self.recurrent = nn.Linear(2, 3), nn.Linear(3, 3)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = (self.inputs(x) + self.recurrent(h)).tanh()
        return h, h


CELL = Plain().double()


def _loss(run: Callable) -> Callable[[Tensor], Tensor]:
    """Return a loss of the outputs, and not of the last state."""
    return lambda xs: run(CELL, xs, xs.new_zeros(xs.shape[1], 3))[0].square().sum()


def _eagerly(cell: nn.Module, xs: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    return scan_eagerly(cell, xs, h, None, False, None)


NESTED = {
    "per sample": lambda loss, xs: func.vmap(func.grad(loss))(torch.stack([xs, 2 * xs, 3 * xs])),
    "Hessian": lambda loss, xs: func.hessian(loss)(xs),
    "forward over forward": lambda loss, xs: func.jacfwd(func.jacfwd(loss))(xs),
    "reverse over reverse": lambda loss, xs: func.jacrev(func.jacrev(loss))(xs),
}


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("name", NESTED)
def test_nested_transforms(name: str, rows: int) -> None:
    xs = torch.randn(3, rows, 2, dtype=torch.double)
    torch.testing.assert_close(NESTED[name](_loss(ostinato.scan), xs), NESTED[name](_loss(_eagerly), xs))
