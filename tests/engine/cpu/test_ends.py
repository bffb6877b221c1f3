"""What only makes the gradients of first states is left out where nobody reads them: everything else is the same."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import ostinato
from ostinato.cells import CATALOGUE
from ostinato.engine import initial_state, leaves, map_state

NAMES = ("lstm", "gru", "lstm-layernorm")


def gradients(cell: torch.nn.Module, xs: Tensor, *, starts: bool, **options: object) -> list[Tensor]:
    """Return the gradients of the weights and of x, those of a first state of zeros being wanted or not."""
    state = map_state(lambda leaf: leaf.requires_grad_(starts), initial_state(cell, xs[0].detach()))
    ys, last = ostinato.scan(cell, xs, state if starts else None, **options)
    total = ys.square().sum() + sum(leaf.sum() for leaf in leaves(last))
    return list(torch.autograd.grad(total, [*cell.parameters(), xs]))


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_the_same_bits_whether_those_of_first_states_are_wanted(name: str) -> None:
    torch.manual_seed(0)
    cell = CATALOGUE[name](5, 6)
    for steps, batch, options in (
        (1, 3, {}), (2, 1, {"reverse": True}), (5, 4, {"lengths": [5, 1, 3, 5]}), (4, 2, {"resets": True}),
    ):  # fmt: skip
        xs = torch.randn(steps, batch, 5, requires_grad=True)
        if "resets" in options:
            options = {"resets": torch.rand(steps, batch) < 0.4}
        wanted, unwanted = (gradients(cell, xs, starts=starts, **options) for starts in (True, False))
        assert all(map(torch.equal, wanted, unwanted))


@pytest.mark.parametrize("steps", [1, 3])
def test_stacks_in_both_directions_too(steps: int) -> None:
    layer = ostinato.nn.GRU(4, 5, num_layers=2, bidirectional=True)
    twin = torch.nn.GRU(4, 5, num_layers=2, bidirectional=True)
    twin.load_state_dict(layer.state_dict())
    xs = torch.randn(steps, 3, 4)
    h = torch.zeros(4, 3, 5, requires_grad=True)
    for _ in range(2):  # arranged, then as it was arranged
        found = torch.autograd.grad(layer(xs, h)[0].sum(), [*layer.parameters(), h])
        without = torch.autograd.grad(layer(xs)[0].sum(), list(layer.parameters()))
        expected = torch.autograd.grad(twin(xs, h)[0].sum(), [*twin.parameters(), h])
        torch.testing.assert_close(found, expected)
        assert all(map(torch.equal, found, without))
