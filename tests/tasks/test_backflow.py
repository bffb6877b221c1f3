"""The gradient by the state after each step, against differentiating what comes after it."""

import pytest
import torch

from ostinato.cells import CATALOGUE, PLAIN
from ostinato.engine import leaves, map_state
from ostinato.nn import Recurrent
from ostinato.tasks.backflow import gradient_norms, watched_steps

STEPS, BATCH = 5, 3


@pytest.mark.parametrize("name", PLAIN)
def test_it_is_the_gradient_of_what_comes_after_by_the_state_alone(name) -> None:
    torch.manual_seed(0)
    stack = Recurrent(CATALOGUE[name](4, 12), 2).double()
    xs = torch.randn(STEPS, BATCH, 4, dtype=torch.float64)
    start = stack.initial_state(xs[0])
    y, _, seen = watched_steps(stack, xs, start)
    assert y is not None
    if not y.requires_grad:  # a reservoir is not trained
        assert name == "echo-state"
        return
    y.square().sum().backward()
    norms = gradient_norms(seen)
    for step in range(STEPS - 1):
        state = start
        for x in xs[: step + 1]:
            _, state = stack.step(x, state)
        top = map_state(lambda leaf: leaf.detach().requires_grad_(), state[-1])
        state = (*state[:-1], top)
        for x in xs[step + 1 :]:
            y, state = stack.step(x, state)
        found = torch.autograd.grad(y.square().sum(), leaves(top), allow_unused=True)
        pairs = zip(found, seen[step], strict=True)
        rows = [gradient.flatten(1) for gradient, leaf in pairs if gradient is not None and leaf.requires_grad]
        expected = float(torch.cat(rows, 1).norm(dim=1).mean()) if rows else 0.0
        assert norms[step] == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_no_steps_leave_the_state_as_it_was() -> None:
    stack = Recurrent(CATALOGUE["lstm"](4, 12), 1)
    start = stack.initial_state(torch.zeros(2, 4))
    y, state, seen = watched_steps(stack, [], start)
    assert y is None
    assert state is start
    assert seen == []
