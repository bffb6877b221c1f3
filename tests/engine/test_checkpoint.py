"""Scans in pieces that are computed again: the same numbers, and less memory."""

import weakref

import pytest
import torch
from torch import nn

import ostinato
from ostinato.engine.backends.cpu import passes
from ostinato.engine.front.state import leaves
from ostinato.errors import UsageError


def gradients(cell, xs, **options):
    cell.zero_grad()
    xs = xs.clone().requires_grad_()
    ys, *rest = ostinato.scan(cell, xs, **options)
    (ys.square().sum() + sum(leaf.cos().sum() for state in rest for leaf in leaves(state))).backward()
    return [ys, *(leaf for state in rest for leaf in leaves(state)), xs.grad, *(p.grad for p in cell.parameters())]


@pytest.mark.parametrize("checkpoint", [1, 7, "auto", 100])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"reverse": True},
        {"lengths": [20, 3, 11]},
        {"lengths": [20, 0, 9], "reverse": True},
        {"return_states": True},
    ],
    ids=str,
)
def test_pieces_give_the_same_outputs_and_gradients(checkpoint, options) -> None:
    torch.manual_seed(0)
    cell, xs = ostinato.cells.LSTMCell(4, 5).double(), torch.randn(20, 3, 4, dtype=torch.double)
    found = gradients(cell, xs, checkpoint=checkpoint, **options)
    torch.testing.assert_close(found, gradients(cell, xs, **options))


def test_random_numbers_are_drawn_again() -> None:
    class Dropped(nn.Module):
        hidden_size = 4

        def forward(self, x, h):
            h = torch.tanh(x + nn.functional.dropout(h, 0.5))
            return h, h

    cell, xs = Dropped(), torch.randn(12, 2, 4, dtype=torch.double, requires_grad=True)

    def run(xs):
        torch.manual_seed(1)
        return ostinato.scan(cell, xs, checkpoint=4)[0]

    assert torch.autograd.gradcheck(run, [xs], fast_mode=True)


def test_memory_grows_with_the_pieces_and_not_with_the_steps(monkeypatch) -> None:
    alive = {"now": 0, "most": 0}
    allocate = passes.empty

    def counting(shape, dtype):
        tensor = allocate(shape, dtype)
        size = tensor.numel()
        alive["now"] += size
        alive["most"] = max(alive["most"], alive["now"])
        weakref.finalize(tensor, lambda: alive.update(now=alive["now"] - size))
        return tensor

    monkeypatch.setattr(passes, "empty", counting)
    monkeypatch.setattr(passes, "SMALLEST", 0)
    cell, xs = ostinato.cells.GRUCell(2, 8), torch.randn(1600, 1, 2)
    most = []
    for checkpoint in (None, "auto"):
        alive.update(now=0, most=0)
        ys, _ = ostinato.scan(cell, xs, checkpoint=checkpoint)
        ys.sum().backward()
        most.append(alive["most"])
        del ys
    outputs = 1600 * 8
    assert most[1] - outputs < (most[0] - outputs) / 4


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "sqrt"])
def test_what_is_no_number_of_steps_is_refused(wrong) -> None:
    with pytest.raises(UsageError, match="checkpoint is"):
        ostinato.scan(nn.GRUCell(2, 2), torch.randn(3, 1, 2), checkpoint=wrong)


def test_resets_and_drawn_weights_are_refused() -> None:
    with pytest.raises(UsageError, match="resets"):
        ostinato.scan(nn.GRUCell(2, 2), torch.randn(3, 1, 2), resets=torch.zeros(3, 1).bool(), checkpoint=2)
