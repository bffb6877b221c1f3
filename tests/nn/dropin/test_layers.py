"""The drop-in layers and cells against torch.nn's own, on PyTorch's sample inputs and on random ones."""

import copy
import inspect
import pickle

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from peers import BOTH, CELLS, LAYERS, assert_same_call, pair
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pack_sequence
from torch.testing._internal import common_modules

import ostinato

MODULES = {info.module_cls: info for info in common_modules.module_db if info.module_cls in BOTH}


@pytest.mark.parametrize("kind", BOTH, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(
    ("dtype", "training"),
    [
        (torch.float32, True),
        pytest.param(torch.float64, True, marks=pytest.mark.slow),
        pytest.param(torch.float32, False, marks=pytest.mark.slow),
        pytest.param(torch.float64, False, marks=pytest.mark.slow),
    ],
)
def test_pytorchs_own_sample_inputs_give_equal_results_and_gradients(kind, dtype, training, scans) -> None:
    info = MODULES[kind]
    more = {"with_packed_sequence": True} if kind in (nn.RNN, nn.GRU) else {}
    samples = info.module_inputs_func(info, "cpu", dtype, True, training, **more)
    assert len(samples) >= 2
    for sample in samples:
        theirs, ours = pair(kind, *sample.constructor_input.args, dtype=dtype, **sample.constructor_input.kwargs)
        assert_same_call(theirs.train(training), ours.train(training), *sample.forward_input.args)
    assert scans.total() >= (len(samples) if kind in LAYERS else 0)


# the counter may continue counting from one example to the next
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), kind=st.sampled_from(list(LAYERS)))
@pytest.mark.slow
@pytest.mark.ci
def test_every_combination_of_settings_gives_what_torch_gives(data, kind, scans) -> None:
    layers, both, hidden = data.draw(st.integers(1, 3)), data.draw(st.booleans()), data.draw(st.sampled_from([2, 5]))
    options = {"bias": data.draw(st.booleans()), "batch_first": data.draw(st.booleans()), "bidirectional": both}
    if kind is nn.LSTM:
        options["proj_size"] = data.draw(st.sampled_from([0, 1, hidden - 1]))
    if kind is nn.RNN:
        options["nonlinearity"] = data.draw(st.sampled_from(["tanh", "relu"]))
    if layers > 1:
        options["dropout"] = data.draw(st.sampled_from([0.0, 0.4, 1.0]))
    theirs, ours = pair(kind, 3, hidden, layers, **options)
    form = data.draw(st.sampled_from(["batch", "one", "sorted", "unsorted"]))
    time, batch = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 4))
    lengths = data.draw(st.lists(st.integers(1, time), min_size=batch, max_size=batch))
    xs = {
        "batch": lambda: torch.randn(*((batch, time) if options["batch_first"] else (time, batch)), 3),
        "one": lambda: torch.randn(time, 3),
        "sorted": lambda: pack_sequence([torch.randn(length, 3) for length in sorted(lengths, reverse=True)]),
        "unsorted": lambda: pack_sequence([torch.randn(length, 3) for length in lengths], enforce_sorted=False),
    }[form]()
    rows = [] if form == "one" else [batch]
    start = (
        torch.randn(layers * (1 + both), *rows, options.get("proj_size") or hidden),
        torch.randn(layers * (1 + both), *rows, hidden),
    )
    hx = [(start if kind is nn.LSTM else start[0])] if data.draw(st.booleans()) else []
    before = scans.total()
    assert_same_call(theirs, ours, xs, *hx)
    assert scans.total() == before + layers * (1 + both)


@pytest.mark.parametrize("kind", BOTH, ids=lambda kind: kind.__name__)
def test_signatures_names_and_print_are_those_of_torch(kind) -> None:
    theirs, ours = pair(kind, 3, 5)
    assert isinstance(ours, kind)
    assert inspect.signature(type(ours)) == inspect.signature(kind)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert [name for name, _ in ours.named_parameters()] == [name for name, _ in theirs.named_parameters()]
    assert list(ours.named_modules())[1:] == []


@pytest.mark.parametrize("kind", LAYERS, ids=lambda kind: kind.__name__)
def test_the_same_seed_starts_with_the_same_weights(kind) -> None:
    torch.manual_seed(5)
    theirs = kind(3, 5, 2, bidirectional=True)
    torch.manual_seed(5)
    ours = LAYERS[kind](3, 5, 2, bidirectional=True)
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("kind", LAYERS, ids=lambda kind: kind.__name__)
def test_a_state_dict_goes_both_ways(kind) -> None:
    theirs, ours = kind(3, 5, 2), LAYERS[kind](3, 5, 2)
    xs = torch.randn(6, 2, 3)
    theirs.load_state_dict(ours.state_dict())
    torch.testing.assert_close(theirs(xs), ours(xs))
    again = kind(3, 5, 2)
    ours.load_state_dict(again.state_dict())
    torch.testing.assert_close(ours(xs), again(xs))


@pytest.mark.parametrize("make", [copy.deepcopy, copy.copy, lambda layer: pickle.loads(pickle.dumps(layer))])  # noqa: S301
@pytest.mark.parametrize("kind", LAYERS, ids=lambda kind: kind.__name__)
def test_copies_and_pickles_of_a_used_layer_give_the_same_and_stand_alone(kind, make) -> None:
    layer, xs = LAYERS[kind](3, 5, 2), torch.randn(6, 2, 3)
    expected = layer(xs)
    twin = make(layer)
    assert type(twin) is type(layer)
    torch.testing.assert_close(twin(xs), expected, rtol=0, atol=0)
    if make is not copy.copy:
        with torch.no_grad():
            twin.weight_hh_l0.add_(1)
        torch.testing.assert_close(layer(xs), expected, rtol=0, atol=0)
        assert not torch.allclose(twin(xs)[0], expected[0])


@pytest.mark.parametrize("kind", LAYERS, ids=lambda kind: kind.__name__)
def test_device_dtype_and_conversion_are_as_in_torch(kind, scans) -> None:
    layer = LAYERS[kind](3, 5, dtype=torch.float64, device="cpu")
    assert layer(torch.randn(4, 2, 3, dtype=torch.float64))[0].dtype is torch.float64
    assert layer.float()(torch.randn(4, 2, 3))[0].dtype is torch.float32
    assert scans.total() == 2
    # what the engine does not compute in, PyTorch does
    assert layer.bfloat16()(torch.randn(4, 2, 3, dtype=torch.bfloat16))[0].dtype is torch.bfloat16
    assert LAYERS[kind](3, 5, device="meta")(torch.randn(4, 2, 3, device="meta"))[0].shape == (4, 2, 5)
    assert scans.total() == 2


@pytest.mark.parametrize("kind", LAYERS, ids=lambda kind: kind.__name__)
def test_weights_that_an_optimiser_moves_in_place_are_seen(kind) -> None:
    theirs, ours = pair(kind, 3, 5, 2)
    xs = torch.randn(6, 2, 3)
    for module in (theirs, ours):
        optimiser = torch.optim.Adam(module.parameters(), 0.05)
        for _ in range(5):
            optimiser.zero_grad()
            module(xs)[0].square().mean().backward()
            optimiser.step()
    torch.testing.assert_close(ours(xs), theirs(xs), atol=1e-4, rtol=1e-4)


def test_second_derivatives_equal_those_of_torch() -> None:
    theirs, ours = pair(nn.GRU, 3, 4, dtype=torch.float64)
    xs = torch.randn(5, 2, 3, dtype=torch.float64, requires_grad=True)
    found = []
    for module in (theirs, ours):
        first = torch.autograd.grad(module(xs)[0].square().sum(), xs, create_graph=True)[0]
        found.append(torch.autograd.grad(first.square().sum(), [xs, *module.parameters()]))
    torch.testing.assert_close(found[1], found[0])


def test_only_what_wants_a_gradient_gets_one() -> None:
    theirs, ours = pair(nn.LSTM, 3, 4, 2)
    for module in (theirs, ours):
        module.weight_hh_l0.requires_grad_(False)
        module(torch.ones(5, 2, 3))[0].sum().backward()
    assert ours.weight_hh_l0.grad is None
    torch.testing.assert_close(ours.weight_ih_l0.grad, theirs.weight_ih_l0.grad)
    with torch.no_grad():
        assert not ours(torch.ones(5, 2, 3))[0].requires_grad
    assert not ours.requires_grad_(False)(torch.ones(5, 2, 3))[0].requires_grad


def test_packed_outputs_keep_the_order_of_the_users_sequences() -> None:
    layer = ostinato.nn.GRU(3, 4, bidirectional=True)
    sequences = [torch.randn(length, 3) for length in (2, 6, 1, 4)]
    packed, last = layer(pack_sequence(sequences, enforce_sorted=False))
    assert isinstance(packed, PackedSequence)
    for row, sequence in enumerate(sequences):
        alone, alone_last = layer(sequence)
        torch.testing.assert_close(nn.utils.rnn.unpack_sequence(packed)[row], alone)
        torch.testing.assert_close(last[:, row], alone_last)


@pytest.mark.parametrize("kind", CELLS, ids=lambda kind: kind.__name__)
def test_scan_runs_a_drop_in_cell_over_time(kind) -> None:
    cell, xs = CELLS[kind](3, 5), torch.randn(4, 2, 3)
    state, ys = None, []
    for x in xs:
        state = cell(x, state)
        ys.append(state[0] if isinstance(state, tuple) else state)
    torch.testing.assert_close(ostinato.scan(cell, xs)[0], torch.stack(ys))


def test_a_batch_that_is_packed_at_equal_lengths_is_one_without_padding() -> None:
    theirs, ours = pair(nn.LSTM, 3, 4, 2, bidirectional=True)
    assert_same_call(theirs, ours, pack_padded_sequence(torch.randn(5, 3, 3), torch.tensor([5, 5, 5])))


@pytest.mark.parametrize("kind", [nn.GRU, nn.RNN], ids=lambda kind: kind.__name__)
def test_outputs_may_be_changed_in_place_before_the_backward_pass(kind, scans) -> None:
    theirs, ours = pair(kind, 3, 64)
    xs = torch.randn(80, 16, 3)
    found = []
    for module in (theirs, ours):
        ys, _ = module(xs)
        ys.mul_(2)
        ys[0] = 0
        ys.square().mean().backward()
        found.append([parameter.grad for parameter in module.parameters()])
    assert scans.total() == 1
    torch.testing.assert_close(found[1], found[0], atol=1e-4, rtol=1e-4)
