"""Every option of a stack: against formulas by hand, step by step, and one sequence at a time."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import ostinato
from ostinato.cells import GRUCell, LSTMCell, RecurrentDropout, Residual, Zoneout
from ostinato.errors import ShapeError, UsageError
from ostinato.nn import BatchNormLSTM, Recurrent, SequenceBatchNorm, VariationalDropout

OPTIONS = {
    "plain": {},
    "sum": {"bidirectional": True, "merge": "sum"},
    "mean": {"bidirectional": True, "merge": "mean"},
    "concat": {"bidirectional": True},
    "residual": {"skip": "residual"},
    "highway": {"skip": "highway"},
    "both ways round": {"bidirectional": True, "merge": "sum", "skip": "highway"},
    "layer norm": {"norm": "layer", "skip": "residual"},
    "batch norm": {"norm": "batch"},
    "tied": {"tie": True},
    "learned start": {"learn_initial_state": True},
}


def _stack(name, cell=GRUCell, layers=3) -> Recurrent:
    torch.manual_seed(0)
    stack = Recurrent(cell(5, 5), layers, **OPTIONS[name]).double()
    with torch.no_grad():
        for parameter in stack.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        for buffer in stack.buffers():
            if buffer.is_floating_point():
                buffer.add_(0.3)
    return stack


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(list(OPTIONS)), st.lists(st.integers(0, 7), min_size=1, max_size=4), st.booleans())
@pytest.mark.slow
@pytest.mark.ci
def test_a_padded_batch_gives_what_its_sequences_give_one_by_one(name, lengths, lstm) -> None:
    stack = _stack(name, LSTMCell if lstm else GRUCell).eval()
    xs = torch.randn(7, len(lengths), 5, dtype=torch.double)
    real = torch.arange(7)[:, None] < torch.tensor(lengths)
    together = torch.where(real[..., None], xs, torch.full_like(xs, float("nan"))).requires_grad_()
    ys, _ = stack(together, lengths=torch.tensor(lengths))
    assert (ys[~real] == 0).all()
    weights = torch.cos(torch.arange(ys.numel(), dtype=torch.double)).view(ys.shape)
    wanted = [parameter for parameter in stack.parameters() if parameter.requires_grad]
    grads = torch.autograd.grad((ys * weights).sum(), [together, *wanted], allow_unused=True)
    total = [torch.zeros_like(parameter) for parameter in wanted]
    for row, length in enumerate(lengths):
        if not length:
            continue
        alone = xs[:length, row : row + 1].detach().requires_grad_()
        own, _ = stack(alone)
        torch.testing.assert_close(own, ys[:length, row : row + 1])
        loss = (own * weights[:length, row : row + 1]).sum()
        found = torch.autograd.grad(loss, [alone, *wanted], allow_unused=True)
        torch.testing.assert_close(found[0][:, 0], grads[0][:length, row])
        for sum_, part in zip(total, found[1:], strict=True):
            sum_ += 0 if part is None else part
    for sum_, part in zip(total, grads[1:], strict=True):
        torch.testing.assert_close(sum_, torch.zeros_like(sum_) if part is None else part)


@pytest.mark.parametrize("name", [name for name, own in OPTIONS.items() if "bidirectional" not in own])
def test_a_stepper_and_chunks_give_the_numbers_of_the_whole(name) -> None:
    stack = _stack(name, LSTMCell).float().eval()
    xs = torch.randn(9, 2, 5)
    with torch.no_grad():
        expected, last = stack(xs)
        first, middle = stack(xs[:4])
        second, end = stack(xs[4:], middle)
    torch.testing.assert_close(torch.cat([first, second]), expected)
    torch.testing.assert_close(end, last)
    step = ostinato.stepper(stack, batch_size=2)
    for x, y in zip(xs.numpy(), expected.numpy(), strict=True):
        np.testing.assert_allclose(step(x), y, atol=1e-6)
    assert step._kernel is not None, "the whole stack is one compiled step"


def test_skips_and_norms_are_what_their_formulas_say() -> None:
    xs = torch.randn(6, 2, 5)
    stack = Recurrent(GRUCell(5, 5), 2, skip="highway", norm="layer")
    x = xs
    for index, cell in enumerate(stack.cells):
        y = ostinato.scan(cell, stack.norms[0](x) if index else x)[0]
        gate = torch.sigmoid(stack.skips[str(index)].gate(x))
        x = gate * y + (1 - gate) * x
    torch.testing.assert_close(stack(xs)[0], x)
    narrow = Recurrent(GRUCell(3, 5), 2, skip="residual")
    assert list(narrow.skips) == ["1"], "nothing goes around a first layer that changes the width"


def test_batch_norm_is_torchs_on_the_real_steps() -> None:
    ours, theirs = SequenceBatchNorm(3).double(), nn.BatchNorm1d(3).double()
    lengths = torch.tensor([4, 1, 6])
    real = torch.arange(6)[:, None] < lengths
    for _ in range(3):
        xs = torch.randn(6, 3, 3, dtype=torch.double)
        normal = ours(xs.masked_fill(~real[..., None], float("inf")), lengths)
        torch.testing.assert_close(normal[real], theirs(xs[real]))
        assert (normal[~real] == 0).all()
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict())
    torch.testing.assert_close(ours.eval()(xs, lengths)[real], theirs.eval()(xs[real]))
    with pytest.raises(ShapeError, match="1 real steps"):
        ours.train()(xs, torch.tensor([1, 0, 0]))


def test_variational_dropout_lasts_for_a_sequence_and_differs_between_them() -> None:
    stack = Recurrent(GRUCell(4, 64), 2, dropout=0.5, variational=True)
    read = []
    stack.cells[1].register_forward_pre_hook(lambda _, args: read.append(args[0]))
    with pytest.warns(UserWarning, match="hooks"):
        stack(torch.randn(8, 3, 4))
    dropped = torch.stack(read[-8:]) == 0
    assert (dropped == dropped[0]).all()
    assert 0.3 < dropped.float().mean() < 0.7
    assert not torch.equal(dropped[0, 0], dropped[0, 1])
    assert torch.equal(VariationalDropout(0.5).eval()(torch.ones(2, 2, 2)), torch.ones(2, 2, 2))


def test_tied_layers_are_the_same_cells_and_add_up_their_gradients() -> None:
    tied = Recurrent(GRUCell(4, 4), 3, tie=True).double()
    assert tied.cells[0] is tied.cells[2]
    assert sum(p.numel() for p in tied.parameters()) == sum(p.numel() for p in GRUCell(4, 4).parameters())
    free = Recurrent([copy.deepcopy(tied.cells[0]) for _ in range(3)])
    xs = torch.randn(5, 2, 4, dtype=torch.double)
    for stack in (tied, free):
        stack(xs)[0].square().sum().backward()
    for name, parameter in tied.cells[0].named_parameters():
        own = sum(cell.get_parameter(name).grad for cell in free.cells)
        torch.testing.assert_close(parameter.grad, own)


def test_learned_starts_begin_at_the_cells_own_and_get_gradients() -> None:
    torch.manual_seed(0)
    stack = Recurrent(ostinato.cells.SLSTMCell(3, 4), 2, learn_initial_state=True, bidirectional=True)
    fixed = Recurrent(ostinato.cells.SLSTMCell(3, 4), 2, bidirectional=True)
    fixed.load_state_dict(stack.state_dict(), strict=False)
    xs = torch.randn(5, 2, 3)
    torch.testing.assert_close(stack(xs)[0], fixed(xs)[0])
    stack(xs)[0].square().sum().backward()
    assert all(value.grad is not None for value in stack.starts.values)
    assert any((value.grad != 0).any() for value in stack.starts.values)
    again = copy.deepcopy(stack)
    torch.testing.assert_close(again(xs), stack(xs))


@pytest.mark.slow
@pytest.mark.ci
def test_layers_may_be_different_cells() -> None:
    stack = Recurrent(
        [LSTMCell(3, 6), lambda size: ostinato.cells.MinGRUCell(size, 4), nn.GRUCell(8, 7)], bidirectional=True
    )
    assert [type(cell).__name__ for cell in stack.cells] == [
        "LSTMCell", "LSTMCell", "MinGRUCell", "MinGRUCell", "GRUCell", "GRUCell",
    ]  # fmt: skip
    ys, last = stack(torch.randn(5, 2, 3))
    assert ys.shape == (5, 2, 14)
    assert len(last) == 6
    with pytest.raises(UsageError, match=r"layer 1 \(GRUCell\) reads 8 features, but layer 0 gives 6"):
        Recurrent([LSTMCell(3, 6), GRUCell(8, 7)])


@pytest.mark.parametrize("wrap", [Zoneout, RecurrentDropout, Residual, lambda cell: Zoneout(Residual(cell), 0.2)])
@pytest.mark.slow
@pytest.mark.ci
def test_wrapped_cells_are_made_again_for_further_layers(wrap) -> None:
    stack = Recurrent(wrap(LSTMCell(5, 5)), 3)
    assert [type(cell) for cell in stack.cells] == [type(stack.cells[0])] * 3
    assert len({id(parameter) for parameter in stack.parameters()}) == 3 * len(list(stack.cells[0].parameters()))
    ys, _ = stack(torch.randn(4, 2, 5))
    ys.sum().backward()
    assert stack(torch.randn(4, 2, 5), stack.initial_state(torch.randn(2, 5)))[0].shape == (4, 2, 5)


def test_settings_that_do_not_fit_are_refused_in_a_sentence() -> None:
    cell = GRUCell(3, 5)
    for options, said in [
        ({"merge": "max"}, "merge is 'max'; expected one of 'concat', 'sum', 'mean'"),
        ({"skip": "dense"}, "skip is 'dense'"),
        ({"norm": "group"}, "norm is 'group'"),
        ({"num_layers": 2, "tie": True}, "layer 0, which reads 3 features, but layer 0 gives 5"),
        ({"num_layers": 2, "skip": "residual", "bidirectional": True, "merge": "concat"}, None),
    ]:
        if said is None:
            assert Recurrent(cell, **options).skips.keys() == {"1"}
            continue
        with pytest.raises(UsageError, match=said):
            Recurrent(cell, **options)
    with pytest.raises(UsageError, match="num_layers is 3, but 2 cells are listed"):
        Recurrent([GRUCell(3, 5), GRUCell(5, 5)], 3)
    with pytest.raises(UsageError, match="the list of cells is empty"):
        Recurrent([])
    with pytest.raises(
        UsageError, match='skip="residual" leads what layer 1 reads, 5 features, around it, but it gives 4'
    ):
        Recurrent([GRUCell(3, 5), GRUCell(5, 4)], skip="residual")
    with pytest.raises(UsageError, match="dropout mask cannot be learned"):
        Recurrent(RecurrentDropout(LSTMCell(3, 5)), learn_initial_state=True)


# --- recurrent batch normalisation ---------------------------------------------------------------------------------


def _by_hand(layer, xs, lengths):
    """Cooijmans et al., equations 6 to 8, a row at a time and a step at a time."""

    def normal(rows, own):
        mean = rows.mean(0)
        variance = (rows - mean).square().mean(0)
        return own.weight * (rows - mean) / torch.sqrt(variance + 1e-5)

    batch, size = xs.shape[1], layer.hidden_size
    hs = [torch.zeros(size, dtype=xs.dtype) for _ in range(batch)]
    cs = list(hs)
    ys = torch.zeros(*xs.shape[:2], size, dtype=xs.dtype)
    for t in range(xs.shape[0]):
        rows = [row for row in range(batch) if lengths[row] > t]
        wx = torch.stack([layer.input.weight @ xs[t, row] for row in rows])
        uh = torch.stack([layer.recurrent.weight @ hs[row] for row in rows])
        gates = normal(wx, layer.input_norm) + normal(uh, layer.recurrent_norm) + layer.bias
        i, f, g, o = gates.chunk(4, -1)
        c = f.sigmoid() * torch.stack([cs[row] for row in rows]) + i.sigmoid() * g.tanh()
        h = o.sigmoid() * torch.tanh(normal(c, layer.cell_norm) + layer.cell_bias)
        for place, row in enumerate(rows):
            hs[row], cs[row] = h[place], c[place]
            ys[t, row] = h[place]
    return ys, torch.stack(hs), torch.stack(cs)


def test_recurrent_batch_norm_is_what_the_paper_says() -> None:
    torch.manual_seed(0)
    layer = BatchNormLSTM(3, 4).double()
    xs = torch.randn(6, 5, 3, dtype=torch.double)
    lengths = [6, 3, 4, 6, 2]
    ys, (h, c, taken) = layer(xs, lengths=torch.tensor(lengths))
    torch.testing.assert_close((ys, h, c), _by_hand(layer, xs, lengths))
    assert taken[:, 0].tolist() == lengths


def test_recurrent_batch_norm_by_running_statistics_is_that_of_one_large_batch() -> None:
    torch.manual_seed(0)
    layer = BatchNormLSTM(3, 4, max_steps=8).double()
    xs = torch.randn(6, 4000, 3, dtype=torch.double)
    trained, _ = layer(xs)
    layer.eval()
    torch.testing.assert_close(layer(xs)[0], trained, atol=1e-3, rtol=1e-2)
    # each row on its own, in chunks, past the last step with statistics
    long = torch.randn(12, 3, 3, dtype=torch.double)
    lengths = torch.tensor([12, 5, 9])
    ys, _ = layer(long, lengths=lengths)
    for row, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(layer(long[:length, row : row + 1])[0], ys[:length, row : row + 1])
    _, middle = layer(long[:5])
    torch.testing.assert_close(layer(long[5:], middle)[0], layer(long)[0][5:])


@pytest.mark.slow
@pytest.mark.ci
def test_recurrent_batch_norm_learns() -> None:
    torch.manual_seed(0)
    layer = BatchNormLSTM(1, 16)
    head = nn.Linear(16, 1)
    optimiser = torch.optim.Adam([*layer.parameters(), *head.parameters()], 0.02)
    losses = []
    for _ in range(60):
        xs = torch.rand(10, 32, 1)
        loss = (head(layer(xs)[0][-1])[:, 0] - xs.sum(0)[:, 0]).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    layer.eval()
    xs = torch.rand(10, 500, 1)
    assert losses[-1] < 0.1 * losses[0]
    assert (head(layer(xs)[0][-1])[:, 0] - xs.sum(0)[:, 0]).square().mean() < 0.2 * losses[0]


def test_layers_made_anew_drop_their_weights_as_the_first_does() -> None:
    stack = ostinato.nn.Recurrent(
        ostinato.nn.weight_drop(LSTMCell(3, 4), "recurrent.weight", 0.5), 2, bidirectional=True
    )
    for cell in stack.cells:
        weight = cell.recurrent.weight
        assert 0 < int((weight == 0).sum()) < weight.numel()
    assert len({id(cell.recurrent.parametrizations.weight.original) for cell in stack.cells}) == 4


def test_a_cell_whose_own_weight_is_normed_is_made_again() -> None:
    cell = ostinato.cells.IndRNNCell(3, 4)
    torch.nn.utils.parametrizations.weight_norm(cell.input, "weight")
    stack = Recurrent(cell, 2)
    names = [name for name, _ in stack.named_parameters() if "original0" in name]
    assert len(names) == 2


def test_a_parametrisation_with_numbers_of_its_own_is_not_copied_silently() -> None:
    cell = LSTMCell(3, 4)
    torch.nn.utils.parametrizations.spectral_norm(cell.recurrent, "weight")
    with pytest.raises(UsageError, match="numbers of its own"):
        Recurrent(cell, 2)
