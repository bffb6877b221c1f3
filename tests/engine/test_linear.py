"""Linear recurrences cut into pieces that threads walk at the same time."""

import pytest
import torch
from torch import nn

import ostinato
from ostinato.engine import leaves
from ostinato.engine.backends.cpu import executable
from ostinato.engine.backends.cpu import pieces as walks
from ostinato.engine.plan import linear


class Smoothing(nn.Module):
    """Exponential smoothing; and one that takes what came before away again."""

    def __init__(self, sign: float = 1.0) -> None:
        super().__init__()
        self.rate, self.sign = nn.Parameter(torch.tensor([0.3])), sign

    def forward(self, x, state):
        new = self.rate * x - (self.rate - 1) * state * self.sign
        return new - state, new


class Coupled(nn.Module):
    """Two tensors of state, each with something of the other, one divided."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Parameter(torch.randn(3, 6) * 0.3)

    def forward(self, x, state):
        a, b = state
        new_a = self.mix[0] * a - b / (2 + x * x) + x
        new_b = x - (-b * self.mix[1] + a * self.mix[2])
        return new_a * new_b, (new_a, new_b)


NAMES = ["mingru", "minlstm", "lru", "rglru"]
CELLS = {
    **{name: (lambda name=name: ostinato.cells.CATALOGUE[name](6, 10)) for name in NAMES},
    "sru": lambda: ostinato.cells.SRUCell(6, 6),
    "smoothing": Smoothing,
    "alternating": lambda: Smoothing(-1.0),
    "coupled": Coupled,
}


@pytest.fixture
def pieces(monkeypatch):
    """Let short sequences be cut, and count how often that is done."""
    monkeypatch.setattr(walks, "_SHORTEST", 7)
    counts: list[int] = []
    run = executable.run_in_pieces

    def counting(*args, **kwargs):
        counts.append(args[4])
        return run(*args, **kwargs)

    monkeypatch.setattr(executable, "run_in_pieces", counting)
    return counts


def _results(cell, xs, state, reverse):
    xs = xs.detach().clone().requires_grad_()
    ys, last = ostinato.scan(cell, xs, state, reverse=reverse)
    weights = torch.sin(torch.arange(ys.numel(), dtype=ys.dtype)).view(ys.shape)
    total = (ys * weights).sum() + sum((leaf * leaf).sum() for leaf in leaves(last))
    wanted = [xs, *leaves(state), *cell.parameters()]
    return [ys, *leaves(last), *torch.autograd.grad(total, wanted)]


@pytest.fixture(scope="module", params=CELLS)
def named(request):
    """A name, its cell and the state of random numbers behind it, for all lengths and directions.

    Making a plan takes longer than a run.
    """
    torch.manual_seed(0)
    return request.param, CELLS[request.param]().double(), torch.get_rng_state()


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("steps", [56, 61, 13])
@pytest.mark.slow
def test_pieces_give_what_one_walk_gives(pieces, monkeypatch, named, reverse, steps) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    name, cell, drawn = named
    torch.set_rng_state(drawn)
    xs = torch.randn(steps, 1, 6, dtype=torch.double)
    width = 10 if name in NAMES else 6
    several = 2 if name in ("lru", "coupled") else 1
    parts = tuple(torch.randn(1, width, dtype=torch.double, requires_grad=True) for _ in range(several))
    state = parts if several > 1 else parts[0]
    one = _results(cell, xs, state, reverse)
    assert not pieces
    with linear.parallel_in_time():
        cut = _results(cell, xs, state, reverse)
    # forward and backward; one piece is not worth the name, and the gates of an SRU take the gradient back to the state
    assert pieces == ([] if steps == 13 else [8] if name == "sru" else [8, 8])
    for ours, theirs in zip(cut, one, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_a_row_is_cut_within_its_length(pieces) -> None:
    xs = torch.randn(60, 1, 5)
    cell = ostinato.cells.MinGRUCell(5, 4)
    with linear.parallel_in_time():
        ys, last = ostinato.scan(cell, xs, lengths=torch.tensor([40]))
    assert pieces
    torch.testing.assert_close((ys[:40], last), ostinato.scan(cell, xs[:40]))
    assert (ys[40:] == 0).all()


def test_what_cannot_be_cut_runs_as_ever(pieces) -> None:
    xs = torch.randn(60, 1, 5)
    cell = nn.GRUCell(5, 4)
    linear_cell = ostinato.cells.MinGRUCell(5, 4)
    with linear.parallel_in_time():
        inside = ostinato.scan(cell, xs)[0]
        ostinato.scan(linear_cell, xs, resets=torch.rand(60, 1) < 0.1)
        ostinato.scan(linear_cell, xs.expand(-1, 2, -1))
    assert not pieces
    assert torch.equal(inside, ostinato.scan(cell, xs)[0])


@pytest.mark.parametrize("name", NAMES)
def test_linear_recurrences_are_recognised_by_their_graph(name) -> None:
    assert ostinato.explain(ostinato.cells.CATALOGUE[name](5, 20), (1, 1, 5)).linear
    assert not ostinato.explain(nn.GRUCell(5, 20), (1, 1, 5)).linear
