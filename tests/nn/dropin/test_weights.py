"""Weights that are not plain parameters, hooks, and what else reaches into a layer of torch.nn."""

import threading
import warnings

import pytest
import torch
from peers import LAYERS, assert_same_call, pair
from torch import nn
from torch.nn.utils import parametrizations, prune, remove_weight_norm, weight_norm

import ostinato


def _weight_norm(layer):
    return parametrizations.weight_norm(layer, "weight_hh_l0")


def _spectral_norm(layer):
    torch.manual_seed(2)
    return parametrizations.spectral_norm(layer, "weight_ih_l1")


def _orthogonal(layer):
    torch.manual_seed(2)
    layer = parametrizations.orthogonal(layer, "weight_hh_l0")
    return parametrizations.weight_norm(layer, "weight_hh_l1_reverse")


def _pruned(layer):
    torch.manual_seed(2)
    return prune.random_unstructured(layer, "weight_hh_l0", amount=0.5)


def _old_weight_norm(layer):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return weight_norm(layer, "weight_ih_l0")


@pytest.mark.filterwarnings("ignore:The .*weight_norm.* is deprecated:FutureWarning")
@pytest.mark.parametrize("change", [_weight_norm, _spectral_norm, _orthogonal, _pruned, _old_weight_norm])
@pytest.mark.parametrize("kind", LAYERS, ids=lambda kind: kind.__name__)
@pytest.mark.slow
@pytest.mark.ci
def test_parametrised_weights_give_equal_results_and_reach_their_originals(kind, change, scans) -> None:
    theirs, ours = pair(kind, 3, 4, 2, bidirectional=True)
    theirs, ours = change(theirs), change(ours)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for _ in range(3):  # spectral norm continues with its power iteration from call to call
        assert_same_call(theirs, ours, torch.randn(6, 2, 3))
    assert scans.total() == 12
    assert_same_call(theirs.eval(), ours.eval(), torch.randn(6, 2, 3))
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict())


def test_a_norm_taken_off_again_leaves_a_plain_layer() -> None:
    theirs, ours = pair(nn.GRU, 3, 4)
    for module in (theirs, ours):
        _weight_norm(module)
        module(torch.ones(4, 2, 3))
        nn.utils.parametrize.remove_parametrizations(module, "weight_hh_l0")
    assert type(ours) is ostinato.nn.GRU
    assert_same_call(theirs, ours, torch.randn(5, 2, 3))
    for module in (theirs, ours):
        _old_weight_norm(module)(torch.ones(4, 2, 3))
        remove_weight_norm(module, "weight_ih_l0")
    assert_same_call(theirs, ours, torch.randn(5, 2, 3))


class WeightDrop(nn.Module):
    """Dropout on the recurrent weights, as Merity et al. (2018) put it around torch.nn.LSTM."""

    def __init__(self, layer: nn.LSTM, share: float) -> None:
        super().__init__()
        self.layer, self.share = layer, share
        raw = layer.weight_hh_l0
        del layer._parameters["weight_hh_l0"]
        layer.register_parameter("weight_hh_l0_raw", nn.Parameter(raw.data))

    def forward(self, xs):
        self.layer.weight_hh_l0 = nn.functional.dropout(self.layer.weight_hh_l0_raw, self.share, self.training)
        return self.layer(xs)


def test_weight_drop_by_assignment_gives_equal_results_and_gradients(scans) -> None:
    theirs, ours = (WeightDrop(layer, 0.5) for layer in pair(nn.LSTM, 3, 4, 2))
    for _ in range(3):
        assert_same_call(theirs, ours, torch.randn(6, 2, 3))
    assert scans.total() == 6
    assert ours.layer.weight_hh_l0_raw.grad.abs().sum() > 0


def test_a_parameter_put_in_the_place_of_another_is_seen() -> None:
    theirs, ours = pair(nn.LSTM, 3, 4)
    new = nn.Parameter(torch.randn(16, 4))
    for module in (theirs, ours):
        module(torch.ones(4, 2, 3))
        module.weight_hh_l0 = new
    assert_same_call(theirs, ours, torch.randn(5, 2, 3))


@pytest.mark.slow
@pytest.mark.ci
def test_tied_layers_share_their_gradient() -> None:
    theirs, ours = pair(nn.GRU, 4, 4, 2)
    for module in (theirs, ours):
        module.weight_hh_l1 = module.weight_ih_l1 = module.weight_hh_l0
        module.bias_ih_l1 = module.bias_hh_l1
    assert_same_call(theirs, ours, torch.randn(5, 2, 4))


@pytest.mark.parametrize("kind", LAYERS, ids=lambda kind: kind.__name__)
def test_functional_call_swaps_the_weights_and_gets_their_gradients(kind, scans) -> None:
    theirs, ours = pair(kind, 3, 4)
    xs = torch.randn(5, 2, 3)
    found = []
    for module in (theirs, ours):
        torch.manual_seed(4)
        weights = {name: torch.randn_like(weight).requires_grad_() for name, weight in module.named_parameters()}
        output = torch.func.functional_call(module, {name: 2 * value for name, value in weights.items()}, (xs,))[0]
        found.append([output, *torch.autograd.grad(output.square().sum(), list(weights.values()))])
    torch.testing.assert_close(found[1], found[0], atol=1e-4, rtol=1e-4)
    assert scans.total() == 1
    assert_same_call(theirs, ours, xs)


def test_hooks_run_as_often_and_see_the_same() -> None:
    theirs, ours = pair(nn.LSTM, 3, 4, 2)
    seen = []
    for module in (theirs, ours):
        log: list[torch.Tensor] = []
        module.register_forward_pre_hook(lambda _, args: (args[0] * 2,))
        module.register_forward_hook(lambda _, args, out, log=log: log.extend([args[0], out[0]]))
        module.register_full_backward_hook(lambda _, given, wanted, log=log: log.extend([given[0], wanted[0]]))
        module.weight_hh_l0.register_hook(lambda grad, log=log: log.append(grad))
        seen.append(log)
    assert_same_call(theirs, ours, torch.randn(5, 2, 3))
    assert len(seen[1]) == 5
    torch.testing.assert_close(seen[1], seen[0], atol=1e-4, rtol=1e-4)


def test_gradient_checkpointing_gives_equal_results_and_gradients() -> None:
    def recomputed(layer):
        module = nn.Module()
        module.layer = layer
        module.forward = lambda xs: torch.utils.checkpoint.checkpoint(layer, xs, use_reentrant=False)
        return module

    theirs, ours = (recomputed(layer) for layer in pair(nn.GRU, 3, 4, 2, dropout=0.3))
    assert_same_call(theirs, ours, torch.randn(5, 2, 3))


def test_threads_that_share_a_layer_do_not_mix_up_its_weights() -> None:
    layer = _weight_norm(ostinato.nn.LSTM(3, 4, 2))
    xs = [torch.randn(20, 2, 3) for _ in range(4)]
    expected = [layer(x)[0].detach() for x in xs]
    wrong: list[int] = []

    def work(index: int) -> None:
        for _ in range(10):
            output = layer(xs[index])[0]
            output.sum().backward()  # through this thread's own computation of the weights
            if not torch.allclose(output, expected[index], atol=1e-6):
                wrong.append(index)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(xs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
