"""Tracers and tools of PyTorch that know recurrent layers find them; an input may be changed after the call."""

import copy
from collections import Counter
from contextlib import nullcontext
from itertools import product

import pytest
import torch
from peers import BOTH, CELLS, LAYERS, pair
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

import ostinato
from ostinato.errors import EngineWarning

KINDS = pytest.mark.parametrize("kind", LAYERS, ids=lambda kind: kind.__name__)


@KINDS
def test_strict_export_finds_the_operations_of_torch(kind) -> None:
    theirs, ours = pair(kind, 3, 5, num_layers=2, bidirectional=True)
    xs = torch.randn(6, 2, 3)
    program = torch.export.export(ours, (xs,), strict=True)
    torch.testing.assert_close(program.module()(xs), theirs(xs))


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@KINDS
def test_torch_compile_that_may_enter_recurrent_layers_makes_one_graph(kind, backend) -> None:
    torch._dynamo.reset()
    theirs, ours = pair(kind, 3, 5, batch_first=True)
    xs = torch.randn(6, 2, 3)
    given = torch.no_grad() if (kind, backend) == (nn.LSTM, "aot_eager") else nullcontext()
    with torch._dynamo.config.patch(allow_rnn=True), given:
        found, expected = torch.compile(ours, fullgraph=True, backend=backend)(xs), theirs(xs)
    torch.testing.assert_close(found, expected)
    if (kind, backend) == (nn.LSTM, "aot_eager"):
        return  # its gradient fails in PyTorch
    found[0].sum().backward()
    expected[0].sum().backward()
    torch.testing.assert_close(ours.weight_hh_l0.grad, theirs.weight_hh_l0.grad)


QUANTISED = [kind for kind in BOTH if kind is not nn.RNN]  # of which torch has none


def _quantised(model: nn.Module, spec) -> nn.Module:
    return torch.ao.quantization.quantize_dynamic(model, spec)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*torch.ao.quantization is deprecated.*")
@pytest.mark.parametrize("kind", QUANTISED, ids=lambda kind: kind.__name__)
def test_quantisation_asked_for_by_our_class_or_by_name_is_that_of_torch(kind) -> None:
    theirs, ours = pair(kind, 3, 5)
    xs = torch.randn(2, 3) if kind in CELLS else torch.randn(6, 2, 3)
    expected = _quantised(nn.Sequential(theirs), {kind})
    by_name = {"0": torch.ao.quantization.default_dynamic_qconfig}
    for spec in ({BOTH[kind]}, by_name):
        found = _quantised(nn.Sequential(ours), spec)
        assert type(found[0]) is type(expected[0]) is not kind
        torch.testing.assert_close(found(xs), expected(xs), rtol=0, atol=0)
    assert type(ours) is BOTH[kind]  # it was a copy that was quantised


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*torch.ao.quantization is deprecated.*")
@pytest.mark.parametrize("kind", QUANTISED, ids=lambda kind: kind.__name__)
def test_quantisation_that_does_not_see_a_drop_in_says_so_and_sees_it_restored(kind) -> None:
    model = nn.Sequential(kind(3, 5))
    expected = type(_quantised(model, {kind})[0])
    ostinato.accelerate(model)
    with pytest.warns(EngineWarning, match=r"ostinato\.nn\.restore\(model\)"):
        assert type(_quantised(model, {kind})[0]) is BOTH[kind]
    assert type(_quantised(ostinato.nn.restore(model), {kind})[0]) is expected


@pytest.mark.parametrize("kind", BOTH, ids=lambda kind: kind.__name__)
def test_restoring_undoes_accelerate(kind) -> None:
    class Own(BOTH[kind]):
        pass

    module = kind(3, 5)
    weights = dict(module.named_parameters())
    nn.utils.parametrizations.weight_norm(module, next(iter(weights)).replace("weight_ih", "weight_hh"))
    model, before = nn.ModuleList([module, kind(3, 5), Own(3, 5)]), type(module)
    ostinato.accelerate(model)
    assert isinstance(model[0], BOTH[kind])
    assert ostinato.nn.restore(model) is model
    assert type(model[0]).__mro__[1:] == before.__mro__[1:]
    assert type(model[1]) is kind
    assert type(model[2]) is Own
    if kind in LAYERS:
        model[0](torch.randn(4, 2, 3))


# --- inputs changed in place after the call ----------------------------------------------------------------------


def _trained(layer: nn.Module, changed: str, arrangement: str, wanted: bool) -> list[Tensor] | None:
    """Return the gradients where an input was changed before the backward pass; `None` if PyTorch refuses it."""
    torch.manual_seed(3)
    layer = copy.deepcopy(layer)
    lstm, batch_first = layer.mode == "LSTM", layer.batch_first
    leaves = [torch.randn(3, 4, 3) if batch_first else torch.randn(4, 3, 3)]
    leaves += [torch.randn(1, 3, 5) for _ in range(1 + lstm)]
    for leaf in leaves:
        leaf.requires_grad_(wanted)
    xs, *state = (leaf * 1 for leaf in leaves)
    given = xs
    lengths = torch.tensor([4, 3, 1])
    if arrangement == "packed":
        given = pack_padded_sequence(xs, lengths, batch_first=batch_first)
    result, last = layer(given, tuple(state) if lstm else state[0])
    ys = result.data if arrangement == "packed" else result
    lasts = last if lstm else (last,)
    loss = sum((part * (1 + torch.arange(part.numel()).reshape(part.shape) % 5)).sum() for part in (ys, *lasts))
    targets = {
        "xs": xs, "packed": given.data if arrangement == "packed" else None, "lengths": lengths, "h": state[0],
        "c": state[-1], "output": ys, "last": lasts[0], "weight": layer.weight_hh_l0, "bias": layer.bias_hh_l0,
    }  # fmt: skip
    with torch.no_grad():
        if targets.get(changed) is not None:
            targets[changed].mul_(3)
    try:
        loss.backward()
    except RuntimeError as error:
        if "inplace operation" not in str(error):
            raise
        return None
    return [weight.grad for weight in layer.parameters()] + [leaf.grad for leaf in leaves if wanted]


CHANGED = ["xs", "packed", "lengths", "h", "c", "output", "last", "weight", "bias"]


@pytest.mark.parametrize("batch_first", [False, True])
@KINDS
def test_an_input_changed_in_place_gives_what_torch_gives(kind, batch_first, scans: Counter) -> None:
    theirs, ours = pair(kind, 3, 5, batch_first=batch_first)
    refused = 0
    for changed, arrangement, wanted in product(CHANGED, ("padded", "packed"), (False, True)):
        undisturbed = _trained(theirs, "nothing", arrangement, wanted)
        expected = _trained(theirs, changed, arrangement, wanted)
        found = _trained(ours, changed, arrangement, wanted)
        case = f"{changed} {arrangement} {wanted}"
        if found is None:
            assert expected is None, case
            refused += 1
        else:
            torch.testing.assert_close(found, undisturbed, msg=lambda text, case=case: f"{case}: {text}")
    assert refused  # weights, at least
    assert scans.total()


def test_lengths_and_resets_changed_after_a_scan_do_not_matter() -> None:
    cell, xs = nn.GRUCell(3, 5), torch.randn(6, 2, 3)
    lengths, resets = torch.tensor([6, 4]), torch.rand(6, 2) < 0.3
    found = []
    for change in (False, True):
        ys, _ = ostinato.scan(cell, xs, lengths=lengths, resets=resets)
        if change:
            lengths.fill_(1)
            resets.logical_not_()
        cell.zero_grad()
        ys.square().sum().backward()
        found.append([weight.grad.clone() for weight in cell.parameters()])
    torch.testing.assert_close(found[1], found[0])


@pytest.mark.slow
@pytest.mark.ci
def test_a_frozen_cell_lets_its_input_change() -> None:
    """As PyTorch's own products: the input is read for the gradients of weights alone."""
    cell = nn.GRUCell(3, 5).requires_grad_(False)
    leaf = torch.randn(6, 2, 3, requires_grad=True)
    found = []
    for change in (False, True):
        xs = leaf * 1
        ys, _ = ostinato.scan(cell, xs)
        if change:
            with torch.no_grad():
                xs.mul_(3)
        found.append(torch.autograd.grad(ys.sum(), leaf)[0])
    torch.testing.assert_close(found[1], found[0])


def test_gradients_of_gradients_refuse_a_bias_that_was_changed() -> None:
    cell, xs = nn.GRUCell(3, 5), torch.randn(6, 2, 3, requires_grad=True)
    ys, _ = ostinato.scan(cell, xs)
    with torch.no_grad():
        cell.bias_hh.mul_(3)
    with pytest.raises(RuntimeError, match="inplace operation"):
        torch.autograd.grad(ys.sum(), xs, create_graph=True)
