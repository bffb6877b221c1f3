"""Several layers and both directions in one program: values and gradients of `torch.nn`, in every mode."""

import random

import pytest
import torch
from peers import pair
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence
from torch.utils.flop_counter import FlopCounterMode

import ostinato
from ostinato.engine.run import quick as engine_quick
from ostinato.nn.dropin.quick import Known

OPTIONS = [{"num_layers": 2}, {"bidirectional": True}, {"num_layers": 3, "bidirectional": True, "bias": False}]


def leaves(state):
    return list(state) if isinstance(state, tuple) else [state]


def results(layer, xs, state=None, weights=(1, 1)):
    """Return outputs, states and all gradients of a call."""
    layer.zero_grad()
    wanted = [tensor for tensor in (xs, *(leaves(state) if state is not None else ())) if tensor.requires_grad]
    for tensor in wanted:
        tensor.grad = None
    ys, last = layer(xs, state)
    loss = weights[0] * (ys * ys).sum() + weights[1] * sum(part.cos().sum() for part in leaves(last))
    loss.backward()
    found = [ys.detach(), *(part.detach() for part in leaves(last))]
    return found + [tensor.grad for tensor in [*wanted, *layer.parameters()]]


def assert_equal(theirs, ours, *args) -> None:
    torch.testing.assert_close(results(ours, *args), results(theirs, *args), rtol=2e-4, atol=2e-5)


@pytest.fixture
def walks(monkeypatch):
    """Return how many walks each program had that was run."""
    found = []
    forward = engine_quick._Quick.forward

    def counting(ctx, calls, *args):
        found.append(len(calls.walks))
        return forward(ctx, calls, *args)

    monkeypatch.setattr(engine_quick._Quick, "forward", staticmethod(counting))
    return found


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.slow
@pytest.mark.ci
def test_all_layers_are_one_program(kind, options, walks) -> None:
    theirs, ours = pair(kind, 3, 5, **options)
    count = len(ours._all_weights)
    for turn in range(4):
        xs = torch.randn(6, 2, 3, requires_grad=turn > 1)
        parts = tuple(torch.randn(count, 2, 5, requires_grad=True) for _ in range(1 + (kind is nn.LSTM)))
        state = None if turn % 2 else parts if kind is nn.LSTM else parts[0]
        for weights in ((1, 1), (0, 1), (1, 0)):
            assert_equal(theirs, ours, xs, state, weights)
    assert count in walks


def test_layers_go_one_by_one_where_their_outputs_are_dropped(walks) -> None:
    _, ours = pair(nn.LSTM, 3, 5, 2, dropout=0.5)
    xs = torch.randn(6, 2, 3)
    ours(xs)
    for training in (True, False, True):
        ours.train(training)
        walks.clear()
        ours(xs)[0].sum().backward()
        assert walks == ([1, 1] if training else [2])


@pytest.mark.parametrize("frozen", ["l0", "l1", "reverse", "weight_hh_l1"])
def test_some_of_the_layers_may_be_frozen(frozen) -> None:
    theirs, ours = pair(nn.GRU, 3, 5, 2, bidirectional=True)
    for layer in (theirs, ours):
        for name, parameter in layer.named_parameters():
            parameter.requires_grad_(frozen not in name)
    for _ in range(3):
        assert_equal(theirs, ours, torch.randn(6, 2, 3))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.slow
@pytest.mark.ci
def test_gradients_of_gradients_and_what_counts_operations(options) -> None:
    theirs, ours = (layer.double() for layer in pair(nn.LSTM, 3, 4, **options))
    xs = torch.randn(5, 2, 3, dtype=torch.float64, requires_grad=True)
    results(ours, xs)
    found = []
    for layer in (theirs, ours):
        with torch.backends.mkldnn.flags(enabled=False):
            ys, (h, _) = layer(xs)
        (first,) = torch.autograd.grad(ys.square().sum() + h.sum(), xs, create_graph=True)
        second = torch.autograd.grad(first.square().sum(), [xs, layer.weight_hh_l0])
        found.append([first.detach(), *second])
    torch.testing.assert_close(found[1], found[0])
    expected = results(ours, xs)
    ours.zero_grad()
    xs.grad = None
    ys, last = ours(xs)
    loss = (ys * ys).sum() + sum(part.cos().sum() for part in last)
    with FlopCounterMode(display=False) as counter:
        loss.backward()
    assert counter.get_total_flops()
    torch.testing.assert_close([xs.grad, *(each.grad for each in ours.parameters())], expected[3:])


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.slow
@pytest.mark.ci
def test_packed_sequences_are_quick_too(kind, walks) -> None:
    theirs, ours = pair(kind, 3, 20)
    for lengths in ([4, 6, 1], [6, 6, 2], [1, 1, 1], [3, 2, 5], [1, 1, 1], [4], [4]):
        xs, found = torch.randn(max(lengths), len(lengths), 3), []
        for layer in (theirs, ours):
            layer.zero_grad()
            ys, state = layer(pack_padded_sequence(xs, torch.tensor(lengths), enforce_sorted=False))
            (ys.data.square().sum() + sum(part.cos().sum() for part in leaves(state))).backward()
            found.append([ys.data.detach(), *(part.detach() for part in leaves(state))])
            found[-1] += [parameter.grad for parameter in layer.parameters()]
        torch.testing.assert_close(found[1], found[0], rtol=2e-4, atol=2e-5)
    assert len(walks) == 7


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.slow
@pytest.mark.ci
def test_rows_with_lengths_end_where_they_end(reverse) -> None:
    rng = random.Random(1)
    cell = ostinato.cells.LSTMCell(3, 20).double()
    for batch in (2, 5):
        lengths = [rng.randint(0, 7) for _ in range(batch)]
        xs = torch.randn(7, batch, 3, dtype=torch.float64)
        real = (torch.arange(7)[:, None] < torch.tensor(lengths))[..., None]
        found = []
        for given in (xs, xs.masked_fill(~real, torch.nan)):
            given = given.clone().requires_grad_()
            cell.zero_grad()
            ys, (h, _) = ostinato.scan(cell, given, lengths=lengths, reverse=reverse)
            assert not ys.masked_select(~real).any()
            (ys.square().sum() + h.sum()).backward()
            assert not given.grad.masked_select(~real).any()
            found.append([ys.detach(), h.detach(), given.grad, *(each.grad for each in cell.parameters())])
        torch.testing.assert_close(found[0], found[1], rtol=0, atol=0)
        for row, length in enumerate(lengths):
            if length:
                alone, (h, _) = ostinato.scan(cell, xs[:length, row : row + 1], reverse=reverse)
                torch.testing.assert_close(found[0][0][:length, row], alone[:, 0], rtol=0, atol=0)
                torch.testing.assert_close(found[0][1][row], h[0], rtol=0, atol=0)


@pytest.mark.parametrize("kind", [ostinato.cells.LSTMCell, torch.nn.GRUCell, torch.nn.RNNCell])
def test_gradients_of_no_steps_at_all_are_zero(kind) -> None:
    cell = kind(3, 4)
    dirty = [torch.full((size,), torch.nan) for size in range(1, 200)]  # the memory that is free next
    del dirty
    for reverse in (False, True, False):
        xs = torch.randn(5, 2, 3, requires_grad=True)
        ys, last = ostinato.scan(cell, xs, lengths=[0, 0], reverse=reverse)
        found = torch.autograd.grad(ys.sum() + sum(part.sum() for part in leaves(last)), [xs, *cell.parameters()])
        assert not any(part.any() for part in found)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True}], ids=str)
def test_packed_sequences_give_to_the_bit_what_padded_ones_give(monkeypatch, kind, options) -> None:
    ours = getattr(ostinato.nn, kind.__name__)(3, 5, **options).double()
    walks = len(ours._all_weights)
    for lengths in ([4, 6, 1], [6, 6, 6], [5], [1, 1, 2, 6, 3]):
        xs = torch.randn(max(lengths), len(lengths), 3, dtype=torch.double, requires_grad=True)
        start = [torch.randn(walks, len(lengths), 5, dtype=torch.double, requires_grad=True) for _ in range(2)]
        start = tuple(start) if kind is nn.LSTM else start[0]
        for state in (None, start):

            def call():
                given = pack_padded_sequence(xs, torch.tensor(lengths), enforce_sorted=False)  # noqa: B023
                ys, last = ours(given, state)  # noqa: B023
                loss = ys.data.square().sum() + sum(part.cos().sum() for part in leaves(last))
                wanted = [xs, *([] if state is None else leaves(state)), *ours.parameters()]  # noqa: B023
                return [ys.data, *leaves(last), *torch.autograd.grad(loss, wanted)]

            call()
            found = call()
            with monkeypatch.context() as patch:
                patch.setattr(Known, "run", lambda *_, **__: None)  # padded, walk by walk, and packed again
                expected = call()
            assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


@pytest.mark.parametrize("options", [{}, {"num_layers": 2}, {"bidirectional": True}], ids=str)
def test_packed_sequences_have_gradients_of_gradients_batches_of_them_and_a_count_of_operations(options) -> None:
    theirs, ours = (layer.double() for layer in pair(nn.LSTM, 3, 5, **options))
    xs = torch.randn(6, 3, 3, dtype=torch.double, requires_grad=True)

    def outputs(layer):
        return layer(pack_padded_sequence(xs, torch.tensor([6, 4, 1])))

    for _ in range(2):
        found = []
        for layer in (theirs, ours):
            ys, (h, _) = outputs(layer)
            (first,) = torch.autograd.grad(ys.data.square().sum() + h.sum(), xs, create_graph=True)
            found.append([first, *torch.autograd.grad(first.square().sum(), [xs, *layer.parameters()])])
        torch.testing.assert_close(found[1], found[0])
    ys, (h, _) = outputs(ours)
    one_by_one = [torch.autograd.grad(ys.data[row, 0], xs, retain_graph=True)[0] for row in range(3)]
    rows = torch.eye(len(ys.data), dtype=torch.double)[:3]
    (at_once,) = torch.autograd.grad(ys.data[:, 0], xs, rows, is_grads_batched=True, retain_graph=True)
    torch.testing.assert_close(at_once, torch.stack(one_by_one))
    with FlopCounterMode(display=False) as counter:
        (watched,) = torch.autograd.grad(h.sum(), xs, retain_graph=True)
    assert counter.get_total_flops()
    torch.testing.assert_close(watched, torch.autograd.grad(h.sum(), xs)[0])


def test_packed_sequences_that_do_not_fit_a_known_layer_raise_what_torch_raises() -> None:
    theirs, ours = pair(nn.GRU, 3, 5)
    sizes = torch.tensor([3, 2, 1])
    for layer in (theirs, ours):
        for _ in range(2):
            layer(PackedSequence(torch.randn(6, 3), sizes))
    wrong = {
        "another width": PackedSequence(torch.randn(6, 4), sizes),
        "more rows later": PackedSequence(torch.randn(6, 3), torch.tensor([2, 3, 1])),
        "too many": PackedSequence(torch.randn(6, 3), torch.tensor([3, 3, 1])),
    }
    for name, given in wrong.items():
        raised = []
        for layer in (theirs, ours):
            with pytest.raises(Exception) as error:  # noqa: PT011 - whatever PyTorch's is
                layer(given)
            raised.append(error.type)
        assert raised[0] == raised[1], name
