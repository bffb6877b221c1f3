"""Whatever a call is given (lengths, resets, autocast, ...) goes the short way, and gives the same to the bit."""

import sys

import pytest
import torch

import ostinato
from ostinato.engine import leaves
from ostinato.engine.run import compiled, repeated, scan

STEPS = 6


def lengths_of(rows, steps=STEPS):
    return torch.tensor([steps - 2, steps, 0, 3][:rows])


VARIANTS = {
    "plain": lambda rows: {},
    "reverse": lambda rows: {"reverse": True},
    "lengths": lambda rows: {"lengths": lengths_of(rows)},
    "lengths of another type": lambda rows: {"lengths": lengths_of(rows).to(torch.int32)},
    "a list of lengths": lambda rows: {"lengths": lengths_of(rows).tolist()},
    "lengths of all steps": lambda rows: {"lengths": torch.full((rows,), STEPS)},
    "lengths in reverse": lambda rows: {"lengths": lengths_of(rows), "reverse": True},
    "resets": lambda rows: {"resets": resets_of(rows)},
    "lengths and resets": lambda rows: {"lengths": lengths_of(rows), "resets": resets_of(rows)},
    "all states": lambda rows: {"return_states": True},
    "all states, lengths": lambda rows: {"return_states": True, "lengths": lengths_of(rows)},
    "batch first": lambda rows: {"batch_first": True},
    "batch first, all states": lambda rows: {"batch_first": True, "return_states": True},
}


def resets_of(rows):
    resets = torch.zeros(STEPS, rows, dtype=torch.bool)
    resets[2, 0] = resets[4, -1] = True
    return resets


@pytest.fixture
def short(monkeypatch):
    """Count the calls that go the short way."""
    counted, run = [], repeated.run_calls
    monkeypatch.setattr(repeated, "run_calls", lambda *given: counted.append(1) or run(*given))
    return counted


def results(cell, xs, state, options, autocast):
    """Return outputs, states and all gradients of a call; without gradients where none are wanted."""
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        found = ostinato.scan(cell, xs, state, **options)
    found = [tensor for part in found for tensor in leaves(part)]
    if not torch.is_grad_enabled():
        return found
    wanted = [xs, *cell.parameters(), *(leaves(state) if state is not None else ())]
    loss = sum((place + 2) * tensor.square().sum() for place, tensor in enumerate(found))
    return [*found, *torch.autograd.grad(loss, wanted)]


@pytest.mark.parametrize("rows", [1, 4])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", ["float32", "float64", "autocast", "a state"])
def test_every_variant_goes_the_short_way_and_gives_the_same_to_the_bit(monkeypatch, short, kind, training, rows):
    monkeypatch.setenv("OSTINATO_BF16", "on")
    torch.manual_seed(0)
    dtype = torch.float64 if kind == "float64" else torch.float32
    make, parts = (ostinato.cells.LSTMCell, 2) if kind in ("float32", "a state") else (ostinato.cells.GRUCell, 1)
    cell = make(3, 5).to(dtype)
    for name, options in VARIANTS.items():
        given = options(rows)
        xs = torch.randn((rows, STEPS, 3) if "batch_first" in given else (STEPS, rows, 3), dtype=dtype)
        state = tuple(torch.randn(rows, 5, requires_grad=True) for _ in range(parts)) if kind == "a state" else None
        call = cell, xs.requires_grad_(training), state, given, kind == "autocast"
        with torch.set_grad_enabled(training):
            results(*call)
            before = len(short)
            found = results(*call)
            assert len(short) == before + 1, name
            with monkeypatch.context() as patch:
                patch.setattr(scan, "run_again", lambda *_: None)
                patch.setattr(compiled, "scan_quickly", lambda *_, **__: None)
                expected = results(*call)
        assert len(found) == len(expected)
        assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True)), name


def test_a_row_of_some_length_may_stand_in_any_padding():
    torch.manual_seed(0)
    cell, row = ostinato.cells.LSTMCell(3, 4), torch.randn(4, 1, 3)
    found = []
    for steps in (4, 9, 6, 9, 4):
        xs = torch.cat([row, torch.full((steps - 4, 1, 3), torch.nan)]).requires_grad_()
        ys, _ = ostinato.scan(cell, xs, lengths=[4])
        assert ys.shape == (steps, 1, 4)
        gradients = torch.autograd.grad(ys.square().sum(), [xs, *cell.parameters()])
        assert not gradients[0][4:].any()
        found.append([ys[:4], gradients[0][:4], *gradients[1:]])
    for other in found[1:]:
        assert all(torch.equal(one, two) for one, two in zip(found[0], other, strict=True))


def calls_in(run):
    """Return how many functions, Python's and others, a call enters."""
    count = 0

    def seen(_, event, __):
        nonlocal count
        count += event in ("call", "c_call")

    for _ in range(3):
        run()
    sys.setprofile(seen)
    try:
        run()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("rows", [1, 8])
def test_no_variant_does_much_more_around_its_loop_than_a_plain_call(rows):
    torch.manual_seed(0)
    cell = ostinato.cells.LSTMCell(3, 4)
    lengths = torch.randint(1, STEPS, (rows,))
    counts = {}
    for name, options in VARIANTS.items():
        given = options(min(rows, 4))
        if "lengths" in given:
            given["lengths"] = lengths.tolist() if isinstance(given["lengths"], list) else lengths
        if "resets" in given:
            given["resets"] = torch.rand(STEPS, rows) < 0.5
        xs = torch.randn((rows, STEPS, 3) if "batch_first" in given else (STEPS, rows, 3))
        with torch.no_grad():
            counts[name] = calls_in(lambda: ostinato.scan(cell, xs, **given))  # noqa: B023
    for name, count in counts.items():
        assert count <= (1.7 if "states" in name else 1.35) * counts["plain"], counts


def test_lengths_out_of_range_are_refused_by_a_known_cell_too():
    cell, xs = ostinato.cells.GRUCell(3, 4), torch.randn(STEPS, 2, 3)
    for rows in (1, 2):
        for _ in range(2):
            ostinato.scan(cell, xs[:, :rows], lengths=lengths_of(rows))
        for wrong in (-1, STEPS + 1):
            with pytest.raises(ostinato.errors.ShapeError, match="expected 0 to 6"):
                ostinato.scan(cell, xs[:, :rows], lengths=torch.tensor([wrong, 3][:rows]))


@pytest.mark.parametrize("rows", [1, 3, 150])
def test_a_length_says_how_far_a_row_is_read_and_how_long_it_is_remembered(rows):
    """A row with a length is the row that ends there; what is behind it, even a NaN, is not looked at."""
    torch.manual_seed(0)
    cell = ostinato.cells.LSTMCell(3, 4)
    for turn in range(3):
        lengths = torch.randint(0, STEPS + 1, (rows,))
        lengths[0] = turn
        xs = torch.randn(STEPS, rows, 3)
        for row, length in enumerate(lengths.tolist()):
            xs[length:, row] = torch.nan
        xs.requires_grad_()
        ys, last = ostinato.scan(cell, xs, lengths=lengths)
        gradient = torch.autograd.grad(ys.sum() + last[1].sum(), xs)[0]
        for row in range(min(rows, 3)):
            length = int(lengths[row])
            alone = xs.detach()[:length, row : row + 1]
            torch.testing.assert_close(ys[:length, row], ostinato.scan(cell, alone)[0][:, 0], rtol=1e-5, atol=1e-6)
            assert not ys[length:, row].any()
            assert not gradient[length:, row].any()
        assert not gradient.isnan().any()


@pytest.mark.parametrize("options", [{}, {"return_states": True}, {"lengths": [4, 6]}], ids=str)
def test_a_call_from_zeros_is_one_from_zeros_that_are_given(short, options):
    torch.manual_seed(0)
    cell = ostinato.cells.LSTMCell(3, 4)
    xs = torch.randn(STEPS, 2, 3, requires_grad=True)
    for turn in range(3):
        found, given = (results(cell, xs, state, options, False)[: -2 or None] for state in (None, zeros(2)))
        assert all(torch.equal(one, other) for one, other in zip(found, given, strict=False))
        assert len(short) == 2 * turn


def zeros(rows):
    return tuple(torch.zeros(rows, 4, requires_grad=True) for _ in range(2))


def test_a_start_that_a_known_cell_says_from_now_on_is_heard():
    class Cell(torch.nn.GRUCell):
        pass

    cell, xs = Cell(3, 4), torch.randn(STEPS, 2, 3)
    ones = torch.ones(2, 4)
    from_zeros, from_ones = ostinato.scan(cell, xs)[0], ostinato.scan(cell, xs, ones)[0]
    for _ in range(2):
        assert torch.equal(ostinato.scan(cell, xs)[0], from_zeros)
    cell.initial_state = lambda x: x.new_ones(len(x), 4)
    assert torch.equal(ostinato.scan(cell, xs)[0], from_ones)
    del cell.initial_state
    assert torch.equal(ostinato.scan(cell, xs)[0], from_zeros)
    Cell.initial_state = lambda _, x: x.new_ones(len(x), 4)
    assert torch.equal(ostinato.scan(cell, xs)[0], from_ones)
