"""Scans in pieces that are computed again: the same numbers, and less memory."""

import tempfile
import weakref
from functools import partial

import pytest
import torch
from torch import nn

import ostinato
from ostinato.engine import Checkpointing
from ostinato.engine.backends.cpu import passes
from ostinato.engine.front.state import leaves
from ostinato.engine.run.schedule import Costs, Pieces, pieces_for
from ostinato.engine.run.shelf import Shelf, back_over
from ostinato.errors import OutputError, UsageError


def gradients(cell, xs, **options):
    cell.zero_grad()
    xs = xs.clone().requires_grad_()
    ys, *rest = ostinato.scan(cell, xs, **options)
    (ys.square().sum() + sum(leaf.cos().sum() for state in rest for leaf in leaves(state))).backward()
    return [ys, *(leaf for state in rest for leaf in leaves(state)), xs.grad, *(p.grad for p in cell.parameters())]


SETTINGS = [
    Checkpointing(memory=9_000),
    Checkpointing(memory=4_000, folder=tempfile.gettempdir()),
    Checkpointing(steps=6, schedule="disk"),
    Checkpointing(steps=2, schedule="log"),
]


@pytest.mark.parametrize("checkpoint", [1, 7, "auto", "sqrt", "log", "disk", 100, *SETTINGS])
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
@pytest.mark.slow
@pytest.mark.ci
def test_pieces_give_the_same_outputs_and_gradients(checkpoint, options) -> None:
    torch.manual_seed(0)
    cell, xs = ostinato.cells.LSTMCell(4, 5).double(), torch.randn(20, 3, 4, dtype=torch.double)
    found = gradients(cell, xs, checkpoint=checkpoint, **options)
    expected = gradients(cell, xs, **options)
    torch.testing.assert_close(found, expected)
    assert torch.equal(found[0], expected[0])


@pytest.mark.slow
@pytest.mark.ci
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


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "root"])
def test_what_is_no_number_of_steps_is_refused(wrong) -> None:
    with pytest.raises(UsageError, match="checkpoint is"):
        ostinato.scan(nn.GRUCell(2, 2), torch.randn(3, 1, 2), checkpoint=wrong)


def test_resets_and_drawn_weights_are_refused() -> None:
    with pytest.raises(UsageError, match="resets"):
        ostinato.scan(nn.GRUCell(2, 2), torch.randn(3, 1, 2), resets=torch.zeros(3, 1).bool(), checkpoint=2)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 50, 1000])
@pytest.mark.parametrize("kept", [1, 2, 3, 5, 10, 1000])
def test_pieces_come_back_in_order_within_the_states_that_may_be_kept(count, kept) -> None:
    pieces = Pieces(1, count, min(kept, count - 1))
    shelf, live, again = Shelf([], None), pieces.first_kept(), 0
    assert len(live) <= kept
    for place in live:
        shelf.put(place, [torch.tensor(place)])

    def advance(first, last, state):
        nonlocal again
        again += last - first
        assert int(state[0]) == first
        return [torch.tensor(last)]

    found = [(number, int(state[0])) for number, state in back_over(pieces, shelf, [torch.tensor(0)], advance)]
    assert found == [(number, number) for number in reversed(range(count))]
    if kept >= count - 1:
        assert again == 0
    if kept == 10:
        assert again <= 3 * count


@pytest.mark.parametrize("memory", [10**k for k in range(2, 9)])
@pytest.mark.parametrize("costs", [Costs(1_000, 100), Costs(10, 1_000), Costs(50, 50)], ids=str)
def test_a_limit_is_kept_to_or_refused(memory, costs) -> None:
    if memory < costs.step + costs.state:
        with pytest.raises(UsageError, match=f"memory is {memory:,} bytes"):
            pieces_for(Checkpointing(memory=memory), 10_000, lambda: costs)
        return
    pieces = pieces_for(Checkpointing(memory=memory), 10_000, lambda: costs)
    if pieces is None:
        assert 10_000 * costs.step <= memory
    else:
        assert pieces.bytes(costs) <= memory
        assert pieces.steps * pieces.count >= 10_000


@pytest.mark.slow
@pytest.mark.ci
def test_gradients_of_gradients_of_pieces() -> None:
    cell, xs = nn.RNNCell(2, 2).double(), torch.randn(5, 1, 2, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda xs: ostinato.scan(cell, xs, checkpoint=2)[0], [xs], fast_mode=True)


@pytest.mark.filterwarnings("ignore::ostinato.errors.EngineWarning")
def test_a_cell_of_the_eager_loop_keeps_gradients_of_what_only_its_code_knows() -> None:
    outside = torch.randn(3, dtype=torch.double, requires_grad=True)

    class Hidden(nn.Module):
        hidden_size = 3

        def forward(self, x, h):
            h = torch.cumsum(x + h * outside, -1).tanh()
            return h, h

    found = []
    for checkpoint in (None, 2):
        ys, _ = ostinato.scan(Hidden(), torch.ones(5, 1, 3).double(), checkpoint=checkpoint)
        found.append(torch.autograd.grad(ys.sum(), outside)[0])
    torch.testing.assert_close(*found)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"memory": -1}, "memory is -1"),
        ({"memory": 1.5}, "memory is 1.5"),
        ({"memory": 10, "steps": 3}, "memory was given together"),
        ({"schedule": "root"}, "schedule is 'root'"),
        ({"folder": "/nowhere/at/all"}, "which is no folder"),
    ],
)
def test_settings_out_of_range_are_refused(options, message) -> None:
    with pytest.raises(UsageError, match=message):
        Checkpointing(**options)


@pytest.mark.slow
@pytest.mark.ci
def test_a_folder_that_cannot_be_written_is_said(monkeypatch) -> None:
    def refuse(*_, **__):
        raise PermissionError("no")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(OutputError, match="name another folder"):
        ostinato.scan(nn.GRUCell(2, 2), torch.randn(3, 1, 2), checkpoint="disk")[0].sum().backward()


def test_a_batch_of_gradients_and_transforms_of_functions_of_pieces() -> None:
    cell, xs = nn.RNNCell(2, 2).double(), torch.randn(5, 1, 2, dtype=torch.double, requires_grad=True)
    run = partial(ostinato.scan, cell, checkpoint=2)
    dys = torch.randn(3, 5, 1, 2, dtype=torch.double)
    (batched,) = torch.autograd.grad(run(xs)[0], xs, dys, is_grads_batched=True)
    torch.testing.assert_close(batched, torch.stack([torch.autograd.grad(run(xs)[0], xs, dy)[0] for dy in dys]))
    found = torch.func.grad(lambda xs: run(xs)[0].sum())(xs.detach())
    torch.testing.assert_close(found, torch.autograd.grad(run(xs)[0].sum(), xs)[0])


@pytest.mark.parametrize("checkpoint", [None, 2, "sqrt", "log", "disk"])
@pytest.mark.parametrize("kind", [nn.GRUCell, nn.LSTMCell], ids=lambda kind: kind.__name__)
def test_pieces_in_which_no_row_has_a_step(kind, checkpoint) -> None:
    cell, xs = kind(3, 4).double(), torch.randn(11, 3, 3, dtype=torch.float64)
    lengths = [5, 0, 2]
    expected = gradients(cell, xs[:5], lengths=lengths)
    for _ in range(3):
        found = gradients(cell, xs, lengths=lengths, checkpoint=checkpoint)
        found[0] = found[0][:5]
        place = next(index for index, part in enumerate(found) if part.shape == xs.shape)
        assert not found[place][5:].any()
        found[place] = found[place][:5]
        torch.testing.assert_close(found, expected)


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight, self.frozen = nn.Parameter(torch.randn(3, 3)), nn.Parameter(torch.randn(3, 3), requires_grad=False)
        self.register_buffer("scale", torch.tensor(0.7))

    def forward(self, x, state):
        new = torch.tanh(x @ self.weight + state @ self.frozen * self.scale)
        return new, new

    def initial_state(self, x):
        return torch.zeros_like(x)


@pytest.mark.parametrize("changed", ["frozen", "scale", "weight", "lengths", "wanted"])
@pytest.mark.parametrize("checkpoint", [None, 2, "disk"])
def test_what_is_changed_before_the_backward_pass_is_refused_or_has_no_effect(changed, checkpoint) -> None:
    torch.manual_seed(0)
    cell, xs = Scaled(), torch.randn(8, 3, 3)
    expected = gradients(cell, xs, lengths=torch.tensor([8, 5, 3]))
    cell.zero_grad()
    given, lengths = xs.clone().requires_grad_(), torch.tensor([8, 5, 3])
    ys, last = ostinato.scan(cell, given, lengths=lengths, checkpoint=checkpoint)
    if changed == "lengths":
        lengths.fill_(8)
    elif changed == "wanted":
        cell.weight.requires_grad_(False)
    else:
        with torch.no_grad():
            getattr(cell, changed).mul_(0.1)
    loss = ys.square().sum() + last.cos().sum()
    if changed == "weight" or (changed in ("frozen", "scale") and checkpoint != "disk"):
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.backward()
        return
    loss.backward()  # what is in files is there as it was
    torch.testing.assert_close(given.grad, expected[2])
    if changed == "wanted":
        assert cell.weight.grad is None
    else:
        torch.testing.assert_close(cell.weight.grad, expected[3])
