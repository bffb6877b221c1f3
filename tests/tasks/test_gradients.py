"""The gradient through time: of any task, one function."""

import numpy as np
import pytest
import torch

from ostinato.cells import CATALOGUE
from ostinato.nn import Recurrent
from ostinato.tasks.base.gradients import gradient_norms, gradient_panel, judge_gradients


def test_it_is_the_gradient_by_what_is_read_counted_from_each_sequences_end() -> None:
    torch.manual_seed(0)
    stack = Recurrent(CATALOGUE["gru"](3, 5), 2).double()
    xs, lengths = torch.randn(7, 2, 3, dtype=torch.float64), torch.tensor([7, 4])

    def loss(read):
        ys, _ = stack(read, lengths=lengths)
        return sum(ys[length - 1, row].square().sum() for row, length in enumerate(lengths))

    norms = gradient_norms(xs, lengths, loss)
    read = xs.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(read), read)
    assert len(norms) == 7
    for ago in range(7):
        own = [gradient[length - 1 - ago, row].norm().item() for row, length in enumerate((7, 4)) if length > ago]
        assert norms[ago] == pytest.approx(np.mean(own), rel=1e-9)


@pytest.mark.parametrize(
    ("norms", "word"),
    [
        (np.geomspace(1, 1e-4, 9), "vanishes"),
        (np.geomspace(1, 1e4, 9), "explodes"),
        (np.geomspace(1, 0.1, 9), "reaches back to the first"),
        ([1.0], "too few"),
        ([1.0, float("nan")], "too few"),
        ([], "too few"),
    ],
)
def test_gradients_are_judged(norms, word) -> None:
    assert word in judge_gradients(norms)
    assert word in gradient_panel(norms).note
