"""A cell may hold tensors with a row for each sequence beside others that only look like it."""

import warnings

import pytest
import torch
from torch import nn

import ostinato
from ostinato.engine.run.reference import scan_eagerly


class Masked(nn.Module):
    """A recurrent cell whose state is masked by row, with a fixed matrix that is no parameter."""

    def __init__(self, rows, units):
        super().__init__()
        self.register_buffer("matrix", torch.randn(units, 2 * units))
        self.register_buffer("mask", torch.rand(rows, units))
        self.hidden_size = units

    def forward(self, x, h):
        h = torch.tanh((h * self.mask @ self.matrix)[:, : self.hidden_size] + x)
        return h, h


@pytest.mark.parametrize("units", [3, 4])
def test_a_matrix_with_as_many_rows_as_the_batch_is_told_from_a_mask(units):
    cell, xs = Masked(4, units), torch.randn(5, 4, units, requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ys, _ = ostinato.scan(cell, xs)
    expected, _ = scan_eagerly(cell, xs, torch.zeros(4, units), None, False, None)
    torch.testing.assert_close(ys, expected)
    grads = [torch.autograd.grad(each.square().sum(), xs)[0] for each in (ys, expected)]
    torch.testing.assert_close(*grads)
