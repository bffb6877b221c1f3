"""Calls of a layer that is known already: after each change of the layer or of what surrounds it, as a fresh one's."""

import copy

import pytest
import torch
import torch.utils.checkpoint
from peers import LAYERS, pair
from torch import nn
from torch.nn.utils import parametrizations
from torch.utils.flop_counter import FlopCounterMode

import ostinato

KINDS = pytest.mark.parametrize("kind", LAYERS, ids=lambda kind: kind.__name__)


def known(kind, *args, **kwargs):
    """Return a layer of torch and ours, which has run twice, forward and backward."""
    theirs, ours = pair(kind, *args, **kwargs)
    for _ in range(2):
        step(ours, torch.randn(5, 2, ours.input_size, dtype=ours.weight_ih_l0.dtype))
    return theirs, ours


def step(layer, xs, hx=None):
    """Return outputs, states and gradients of a call."""
    layer.zero_grad()
    ys, state = layer(xs, hx)
    states = list(state) if isinstance(state, tuple) else [state]
    if ys.requires_grad:
        (ys.square().sum() + sum(part.cos().sum() for part in states)).backward()
    return [ys.detach(), *(part.detach() for part in states), *(parameter.grad for parameter in layer.parameters())]


def assert_equal(theirs, ours, xs, hx=None) -> None:
    expected, found = step(theirs, xs, hx), step(ours, xs, hx)
    torch.testing.assert_close(found, expected, rtol=2e-4, atol=2e-5)


def both(layers, change):
    for layer in layers:
        torch.manual_seed(3)
        change(layer)


@KINDS
def test_the_second_call_is_quick(kind, scans) -> None:
    theirs, ours = known(kind, 3, 4)
    before = scans["quickly"]
    assert_equal(theirs, ours, torch.randn(5, 2, 3))
    assert_equal(theirs, ours, torch.randn(7, 1, 3))
    assert scans["quickly"] == before + 2


def _in_place(layer) -> None:
    with torch.no_grad():
        layer.weight_hh_l0.mul_(0.5)


def _data_in_place(layer) -> None:
    layer.weight_ih_l0.data.mul_(-1)


def _other_data(layer) -> None:
    layer.bias_hh_l0.data = torch.randn_like(layer.bias_hh_l0)


def _transposed_data(layer) -> None:
    layer.weight_hh_l0.data = torch.randn(layer.weight_hh_l0.shape[::-1]).t()


def _other_parameter(layer) -> None:
    layer.weight_hh_l0 = nn.Parameter(torch.randn_like(layer.weight_hh_l0))


def _frozen(layer) -> None:
    layer.weight_hh_l0.requires_grad_(False)


def _all_frozen(layer) -> None:
    layer.requires_grad_(False)


def _parameter_hook(layer) -> None:
    layer.weight_hh_l0.register_hook(lambda grad: 2 * grad)


def _layer_hook(layer) -> None:
    layer.register_forward_hook(lambda _, __, results: (results[0] * 3, results[1]))


def _parametrised(layer) -> None:
    parametrizations.weight_norm(layer, "weight_hh_l0")


def _computed(layer) -> None:
    raw = layer.weight_hh_l0.detach()
    del layer._parameters["weight_hh_l0"]
    layer.weight_hh_l0 = raw * 2


def _tied(layer) -> None:
    layer.bias_hh_l0 = layer.bias_ih_l0


CHANGES = [
    _in_place, _data_in_place, _other_data, _transposed_data, _other_parameter, _frozen, _all_frozen, _parameter_hook,
    _layer_hook, _parametrised, _computed, _tied,
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_a_changed_layer_runs_as_it_is_now(kind, change) -> None:
    layers = known(kind, 3, 4)
    both(layers, change)
    for _ in range(3):
        assert_equal(*layers, torch.randn(5, 2, 3))


@KINDS
def test_a_parametrisation_that_comes_and_goes_leaves_weights_in_their_places(kind, scans) -> None:
    theirs, ours = known(kind, 3, 4)
    for layer in (theirs, ours):
        parametrizations.weight_norm(layer, "weight_ih_l0")
        layer(torch.ones(5, 2, 3))
        nn.utils.parametrize.remove_parametrizations(layer, "weight_ih_l0")
    for _ in range(2):
        assert_equal(theirs, ours, torch.randn(5, 2, 3))


@KINDS
def test_other_numbers_and_back_again(kind) -> None:
    theirs, ours = known(kind, 3, 4)
    for dtype in (torch.float64, torch.float32):
        both((theirs, ours), lambda layer, dtype=dtype: layer.to(dtype))
        for _ in range(2):
            assert_equal(theirs, ours, torch.randn(5, 2, 3, dtype=dtype))


@pytest.mark.parametrize(
    "setting", [{"batch_first": True}, {"training": False}, {"dropout": 0.0}, {"batch_first": False}]
)
def test_settings_are_looked_at(setting) -> None:
    theirs, ours = known(nn.GRU, 3, 4, 2, dropout=0.5, batch_first=False)
    both((theirs, ours), lambda layer: layer.eval())
    assert_equal(theirs, ours, torch.randn(5, 2, 3))
    both((theirs, ours), lambda layer: [setattr(layer, *item) for item in setting.items()])
    assert_equal(theirs, ours, torch.randn(5, 2, 3))


def test_dropout_between_layers_comes_and_goes_with_the_mode() -> None:
    _, ours = known(nn.LSTM, 3, 4, 2, dropout=0.5)
    xs = torch.randn(5, 2, 3)
    assert not torch.equal(ours(xs)[0], ours(xs)[0])
    ours.eval()
    assert torch.equal(ours(xs)[0], ours(xs)[0])


@pytest.mark.parametrize("options", [{}, {"bidirectional": True}, {"num_layers": 2}, {"bias": False}])
@KINDS
def test_states_are_taken_and_their_gradients_given(kind, options, scans) -> None:
    theirs, ours = known(kind, 3, 4, **options)
    walks = len(ours._all_weights)
    for frozen in (False, True):
        both((theirs, ours), lambda layer, frozen=frozen: layer.requires_grad_(not frozen))
        for batched in (True, False):
            shape = (walks, 2, 4) if batched else (walks, 4)
            for _ in range(2):
                parts = [torch.randn(shape, requires_grad=True) for _ in range(1 + (kind is nn.LSTM))]
                xs = torch.randn(5, 2, 3) if batched else torch.randn(5, 3)
                found = []
                for layer in (theirs, ours):
                    for part in parts:
                        part.grad = None
                    found.append([*step(layer, xs, tuple(parts) if kind is nn.LSTM else parts[0])])
                    found[-1] += [part.grad for part in parts]
                torch.testing.assert_close(found[1], found[0], rtol=2e-4, atol=2e-5)
    assert scans["quickly"]


def test_tensors_that_do_not_fit_raise_what_torch_raises() -> None:
    theirs, ours = known(nn.GRU, 3, 4)
    for layer in (theirs, ours):
        layer.weight_hh_l0.data = torch.randn(3, 4)
    with pytest.raises(RuntimeError) as expected:
        theirs(torch.randn(5, 2, 3))
    with pytest.raises(RuntimeError) as found:
        ours(torch.randn(5, 2, 3))
    assert str(found.value) == str(expected.value)


def test_surroundings_are_looked_at(monkeypatch, scans) -> None:
    theirs, ours = known(nn.GRU, 3, 4)
    xs, before = torch.randn(5, 2, 3), scans["quickly"]
    with torch.autocast("cpu", torch.bfloat16):
        assert ours(xs)[0].dtype is theirs(xs)[0].dtype
    weights = {name: weight.detach() * 2 for name, weight in ours.named_parameters()}
    torch.testing.assert_close(
        torch.func.functional_call(ours, weights, (xs,)), torch.func.functional_call(theirs, weights, (xs,))
    )
    rows = torch.randn(3, 5, 2, 3)
    torch.testing.assert_close(torch.func.vmap(lambda row: ours(row)[0])(rows)[1], theirs(rows[1])[0])
    with FlopCounterMode(display=False) as counter:
        ours(xs)
    assert counter.get_total_flops()
    monkeypatch.setenv("OSTINATO_ENGINE", "off")
    torch.testing.assert_close(ours(xs), theirs(xs), rtol=0, atol=0)
    assert scans["quickly"] == before


def test_hooks_on_saved_tensors_and_checkpointing_see_what_is_saved(scans) -> None:
    theirs, ours = known(nn.GRU, 3, 4)
    xs, packed = torch.randn(5, 2, 3), []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: packed.append(tensor) or len(packed), lambda number: packed[number - 1].clone()
    ):
        assert_equal(theirs, ours, xs)
    assert packed
    for fresh in (ours, ostinato.nn.GRU(3, 4)):
        fresh.load_state_dict(theirs.state_dict())
        torch.testing.assert_close(_gradients(fresh, xs), step(theirs, xs)[2:], rtol=2e-4, atol=2e-5)


def _gradients(layer, xs):
    layer.zero_grad()
    ys, state = torch.utils.checkpoint.checkpoint(layer, xs, use_reentrant=False)
    (ys.square().sum() + state.cos().sum()).backward()
    return [parameter.grad for parameter in layer.parameters()]


def test_gradients_are_off_where_they_are_off() -> None:
    _, ours = known(nn.LSTM, 3, 4)
    xs = torch.randn(5, 2, 3)
    expected = ours(xs)[0]
    for mode in (torch.no_grad(), torch.inference_mode()):
        for _ in range(2):
            with mode:
                found = ours(xs)[0]
            assert not found.requires_grad
            assert torch.equal(found, expected)
        assert found.is_inference() == isinstance(mode, torch.inference_mode)


@KINDS
@pytest.mark.slow
@pytest.mark.ci
def test_gradients_of_gradients_and_batches_of_gradients(kind) -> None:
    theirs, ours = known(kind, 3, 4)
    ours, theirs = ours.double(), theirs.double()
    xs = torch.randn(5, 2, 3, dtype=torch.float64, requires_grad=True)
    ours(xs)[0].sum().backward()
    found = []
    for layer in (theirs, ours):
        with torch.backends.mkldnn.flags(enabled=False):
            ys = layer(xs)[0]
        (first,) = torch.autograd.grad(ys.square().sum(), xs, create_graph=True)
        second = torch.autograd.grad(first.square().sum(), [xs, layer.weight_hh_l0])
        found.append([first.detach(), *second])
    torch.testing.assert_close(found[1], found[0])
    ys = ours(xs)[0]
    batch = torch.randn(3, *ys.shape, dtype=torch.float64)
    (together,) = torch.autograd.grad(ys, xs, batch, is_grads_batched=True, retain_graph=True)
    for row, grad in zip(together, batch, strict=True):
        torch.testing.assert_close(row, torch.autograd.grad(ys, xs, grad, retain_graph=True)[0])


def test_a_graph_is_walked_back_as_often_as_is_asked_and_no_more() -> None:
    _, ours = known(nn.GRU, 3, 4)
    ys = ours(torch.randn(5, 2, 3))[0].sum()
    ours.zero_grad()
    ys.backward(retain_graph=True)
    once = ours.weight_hh_l0.grad.clone()
    ys.backward()
    torch.testing.assert_close(ours.weight_hh_l0.grad, 2 * once)
    with pytest.raises(RuntimeError, match="second time"):
        ys.backward()


def test_what_was_given_may_be_changed_before_the_backward_pass_where_it_is_not_read() -> None:
    theirs, ours = known(nn.GRU, 3, 4)
    xs = torch.randn(5, 2, 3)
    ys = ours(xs)[0]
    with torch.no_grad():
        ours.bias_ih_l0.add_(1)
    ys.sum().backward()
    ys = ours(xs)[0]
    xs.add_(1)
    with pytest.raises(RuntimeError, match="inplace"):
        ys.sum().backward()
    ys = ours(xs)[0]
    ys.mul_(2)
    ys.sum().backward()
    del theirs


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_weights_that_another_layout_or_type_has_before_the_backward_pass_are_read_as_they_are(kind) -> None:
    _, ours = known(kind, 3, 4)
    xs = torch.randn(5, 2, 3)
    expected = step(ours, xs)[-len(ours._parameters) :]
    ours.zero_grad()
    ys, state = ours(xs)
    states = state if isinstance(state, tuple) else (state,)
    ours.weight_hh_l0.data = ours.weight_hh_l0.data.t().contiguous().t()
    (ys.square().sum() + sum(part.cos().sum() for part in states)).backward()
    torch.testing.assert_close([parameter.grad for parameter in ours.parameters()], expected)


@pytest.mark.parametrize("name", ["weight_hh_l0", "bias_hh_l0"])
def test_a_tensor_that_has_another_size_before_the_backward_pass_is_refused(name) -> None:
    _, ours = known(nn.GRU, 3, 4)
    ys = ours(torch.randn(5, 2, 3))[0]
    ours.get_parameter(name).data = torch.zeros(1)
    with pytest.raises(RuntimeError, match="before the backward pass"):
        ys.sum().backward()
    cell = nn.GRUCell(3, 4)
    ys, _ = ostinato.scan(cell, torch.randn(5, 2, 3), lengths=[5, 4])
    cell.get_parameter(name.removesuffix("_l0")).data = torch.zeros(1)
    with pytest.raises(RuntimeError, match="before the backward pass"):
        ys.sum().backward()


def test_gradients_that_are_kept_with_their_sign_turned_are_read_with_it() -> None:
    theirs, ours = known(nn.GRU, 3, 4)
    xs, turned = torch.randn(5, 2, 3), torch.randn(5, 2, 4, dtype=torch.cfloat).conj().imag
    assert turned.is_neg()
    found = []
    for layer in (theirs, ours):
        layer.zero_grad()
        torch.autograd.backward(layer(xs), (turned, turned[:1]))
        found.append([parameter.grad for parameter in layer.parameters()])
    cell = nn.GRUCell(3, 4)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in ours.state_dict().items()})
    torch.autograd.backward(ostinato.scan(cell, xs, lengths=[5, 5]), (turned, turned[0]))
    found.append([parameter.grad for parameter in cell.parameters()])
    torch.testing.assert_close(found[1:], [found[0]] * 2)


def test_gradients_lie_apart() -> None:
    _, ours = known(nn.LSTM, 3, 4)
    ours.zero_grad()
    ours(torch.randn(5, 2, 3))[0].sum().backward()
    grads = [parameter.grad for parameter in ours.parameters()]
    assert len({grad.untyped_storage().data_ptr() for grad in grads}) == len(grads)
    torch.testing.assert_close(ours.bias_ih_l0.grad, ours.bias_hh_l0.grad)


def test_a_copy_and_a_layer_in_the_place_of_a_dead_one_are_layers_of_their_own() -> None:
    _, ours = known(nn.GRU, 3, 4)
    twin, xs = copy.deepcopy(ours), torch.randn(5, 2, 3)
    _in_place(twin)
    assert not torch.equal(twin(xs)[0], ours(xs)[0])
    for seed in range(4):
        torch.manual_seed(seed)
        layer = ostinato.nn.GRU(3, 4)
        one = layer(xs)[0]
        assert torch.equal(layer(xs)[0], one)
        del layer


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_make_no_difference(threads) -> None:
    _, ours = known(nn.LSTM, 64, 64)
    xs, number = torch.randn(40, 16, 64), torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        step(ours, xs)
        expected = step(ours, xs)
        torch.set_num_threads(threads)
        for _ in range(2):
            for one, other in zip(step(ours, xs), expected, strict=True):
                assert torch.equal(one, other)
    finally:
        torch.set_num_threads(number)


@KINDS
def test_checkpointing_finds_in_the_second_run_what_the_first_call_of_a_layer_kept(kind) -> None:
    theirs, ours = pair(kind, 4, 4, num_layers=2, bidirectional=True)
    xs = torch.randn(5, 3, 4)
    found = []
    for layer in (ours, theirs):
        for _ in range(3):
            layer.zero_grad()
            ys, state = torch.utils.checkpoint.checkpoint(layer, xs, use_reentrant=False)
            (ys.square().sum() + sum(part.cos().sum() for part in state)).backward()
        found.append([ys, *(parameter.grad for parameter in layer.parameters())])
    torch.testing.assert_close(*found, rtol=2e-4, atol=2e-5)


@KINDS
def test_sequences_and_states_kept_with_their_sign_turned_are_read_as_they_are(kind) -> None:
    theirs, ours = pair(kind, 3, 4)
    plain = torch.randn(5, 2, 3)
    turned = torch._neg_view(plain)
    for xs in (turned, plain, turned, turned[:, 0]):
        assert_equal(theirs, ours, xs)
    hx = torch._neg_view(torch.randn(1, 2, 4))
    for _ in range(2):
        assert_equal(theirs, ours, turned, (hx, hx) if kind is nn.LSTM else hx)
