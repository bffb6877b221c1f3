"""bfloat16: kept in half the memory, computed in float32."""

import copy

import pytest
import torch

import ostinato
from ostinato.engine.front.state import initial_state, leaves
from ostinato.engine.run.compiled import find
from ostinato.engine.run.reference import scan_eagerly

NAMES = ["lstm", "gru", "rnn", "lstm-layernorm", "slstm", "mingru", "indrnn"]


def _run(cell, xs, run, **options):
    xs = xs.detach().clone().requires_grad_()
    ys, last = run(cell, xs, **options)
    # the hidden state only: the stabiliser of an sLSTM starts from -10,000
    total = ys.float().square().mean() + leaves(last)[0].float().square().mean()
    return [ys, leaves(last)[0], *torch.autograd.grad(total, [xs, *cell.parameters()])]


def _eager(cell, xs, lengths, reverse, resets):
    return scan_eagerly(cell, xs, initial_state(cell, xs[0]), lengths, reverse, resets)


def _error(found, exact):
    return max(
        float((a.float() - b).abs().max() / b.abs().max().clamp_min(1e-3)) for a, b in zip(found, exact, strict=True)
    )


@pytest.fixture(scope="module", params=NAMES)
def cells(request):
    """A cell in bfloat16, the same in float32, and the state of random numbers behind them.

    They are the same for all lengths and directions: making plans takes longer than runs.
    """
    torch.manual_seed(0)
    cell = ostinato.cells.CATALOGUE[request.param](9, 21 if request.param != "slstm" else 20).bfloat16()
    return cell, copy.deepcopy(cell).float(), torch.get_rng_state()


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("ragged", [False, True])
def test_results_are_nearer_to_float32_than_the_eager_loop_comes(cells, reverse, ragged) -> None:
    cell, wide, drawn = cells
    torch.set_rng_state(drawn)
    xs = torch.randn(25, 5, 9).bfloat16()
    options = {
        "lengths": torch.tensor([25, 4, 17, 0, 9]) if ragged else None,
        "reverse": reverse,
        "resets": None if reverse else torch.rand(25, 5) < 0.1,
    }
    ours = _run(cell, xs, ostinato.scan, **options)
    assert all(part.dtype is torch.bfloat16 for part in ours)
    exact = _run(wide, xs.float(), ostinato.scan, **options)
    eager = _run(cell, xs, _eager, **options)
    assert _error(ours, exact) < 2e-2
    assert _error(ours, exact) < _error(eager, exact)


def test_what_is_kept_for_the_backward_pass_takes_half_the_memory() -> None:
    kept = {}
    for dtype in (torch.float32, torch.bfloat16):
        cell = ostinato.cells.LSTMCell(8, 32).to(dtype)
        sizes: dict[int, int] = {}

        def pack(tensor, sizes=sizes):
            storage = tensor.untyped_storage()
            sizes[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            ys, _ = ostinato.scan(cell, torch.randn(64, 16, 8, dtype=dtype))
        kept[dtype] = sum(sizes.values())
        ys.sum().backward()
    assert kept[torch.bfloat16] < 0.55 * kept[torch.float32]


class _Identity(torch.nn.Module):
    def forward(self, x, state):
        return x * 1.0009765625, state  # half way to the next bfloat16 and a little, or exactly half way


@pytest.mark.parametrize("width", [1, 7, 16, 33])
def test_all_numbers_are_rounded_as_pytorch_rounds_them(width) -> None:
    steps = -(-(2**16) // width)
    bits = (torch.arange(steps * width) % 2**16).to(torch.int32).to(torch.uint16)
    xs = bits.view(torch.bfloat16).reshape(steps, 1, width)
    with torch.no_grad():
        ys, _ = ostinato.scan(_Identity(), xs, torch.zeros(1, 1, dtype=torch.bfloat16))
    expected = (xs.float() * 1.0009765625).bfloat16()
    torch.testing.assert_close(ys, expected, rtol=0, atol=0, equal_nan=True)


def test_a_row_has_the_same_bits_alone_and_in_a_batch() -> None:
    cell = ostinato.cells.GRUCell(5, 19).bfloat16()
    xs = torch.randn(12, 7, 5).bfloat16()
    with torch.no_grad():
        together, _ = ostinato.scan(cell, xs)
        for row in range(7):
            assert torch.equal(ostinato.scan(cell, xs[:, row : row + 1])[0], together[:, row : row + 1])


def test_the_plan_is_compiled_and_steppers_go_on_in_pytorch() -> None:
    cell = ostinato.cells.GRUCell(3, 5).bfloat16()
    xs = torch.randn(4, 2, 3).bfloat16()
    ready = find(cell, cell, xs, initial_state(cell, xs[0]))
    assert ready.executable.half
