"""Calls with lengths by the quick way: cells whose gradients are parts of one another, sums, or read rows."""

import pytest
import torch
from torch import nn

import ostinato
from ostinato.engine.run.reference import scan_eagerly


class Pieces(nn.Module):
    """A cell that reads its tensors in pieces, along both axes, and by elements."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 10) / 2)
        self.recurrent = nn.Parameter(torch.randn(10, 5) / 2)
        self.scale = nn.Parameter(torch.randn(2, 5))
        self.bias = nn.Parameter(torch.randn(2, 5))
        self.hidden_size = 5

    def forward(self, x, h):
        left, right = self.weight.chunk(2, 1)
        upper, lower = self.recurrent.chunk(2, 0)
        one, other = self.scale.chunk(2, 1)[0], self.scale.unbind(0)[1]
        h = torch.tanh(x @ left + h @ upper + self.bias.flatten().chunk(2)[0]) * other
        h = h + torch.sigmoid(x @ right + h @ lower) * one.sum()
        return h, h


@pytest.mark.parametrize("lengths", [None, [4, 0, 6]])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_cell_of_pieces(lengths, reverse) -> None:
    torch.manual_seed(0)
    cell, xs = Pieces().double(), torch.randn(6, 3, 3, dtype=torch.double, requires_grad=True)
    start, given = torch.zeros(3, 5, dtype=torch.double), None if lengths is None else torch.tensor(lengths)
    wanted = [xs, *cell.parameters()]
    for _ in range(2):
        found = ostinato.scan(cell, xs, start, lengths=lengths, reverse=reverse)
        expected = scan_eagerly(cell, xs, start, given, reverse)
        torch.testing.assert_close(found, expected)
        losses = [ys.square().sum() + last.cos().sum() for ys, last in (found, expected)]
        grads = [torch.autograd.grad(loss, wanted) for loss in losses]
        torch.testing.assert_close(*grads)


@pytest.mark.parametrize("name", ["lstm", "gru", "mgu", "slstm", "indrnn", "mingru"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.slow
@pytest.mark.ci
def test_cells_of_the_catalogue(name, reverse) -> None:
    if name not in ostinato.cells.CATALOGUE:
        pytest.skip(f"no cell {name}")
    torch.manual_seed(0)
    cell = ostinato.cells.CATALOGUE[name](3, 5).double()
    xs = torch.randn(6, 4, 3, dtype=torch.double, requires_grad=True)
    lengths, wanted = [4, 0, 6, 1], [xs, *cell.parameters()]
    found, _ = ostinato.scan(cell, xs, lengths=lengths, reverse=reverse)
    real = [(row, length) for row, length in enumerate(lengths) if length]
    rows = [ostinato.scan(cell, xs[:length, row : row + 1], reverse=reverse)[0] for row, length in real]
    for ys, row in zip(rows, [0, 2, 3], strict=True):
        torch.testing.assert_close(found[: len(ys), row : row + 1], ys, rtol=0, atol=0)
    grads = torch.autograd.grad(found.square().sum(), wanted, allow_unused=True, materialize_grads=True)
    alone = torch.autograd.grad(
        sum(ys.square().sum() for ys in rows), wanted, allow_unused=True, materialize_grads=True
    )
    torch.testing.assert_close(grads, alone)
