"""What the engine does not run, and what is wrong, goes to torch.nn: same numbers, same errors."""

import warnings

import pytest
import torch
from peers import BOTH, LAYERS, pair
from torch import fx, nn
from torch.nn.utils.rnn import pack_sequence
from torch.testing._internal import common_modules

import ostinato

MODULES = {info.module_cls: info for info in common_modules.module_db if info.module_cls in BOTH}
H = nn.LSTM, nn.GRU, nn.RNN


def _raised(call):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            call()
        except Exception as error:  # noqa: BLE001 - whatever torch.nn raises
            return type(error), str(error)
    return None


@pytest.mark.parametrize("kind", BOTH, ids=lambda kind: kind.__name__)
def test_pytorchs_own_bad_inputs_raise_the_same_errors(kind) -> None:
    info = MODULES[kind]
    for sample in info.module_error_inputs_func(info, "cpu", torch.float32, False, False):
        given = sample.module_error_input
        expected = _raised(lambda given=given: _made_and_called(kind, given))
        assert expected is not None
        assert _raised(lambda given=given: _made_and_called(BOTH[kind], given)) == expected


def _made_and_called(kind, given) -> None:
    module = kind(*given.constructor_input.args, **given.constructor_input.kwargs)
    if given.forward_input is not None:
        module(*given.forward_input.args)


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((), {}),
        ((3,), {}),
        ((3, "five"), {}),
        ((3.0, 5), {}),
        ((3, 5, -1), {}),
        ((3, 5), {"bias": 1}),
        ((3, 5), {"batch_first": "yes"}),
        ((3, 5), {"dropout": 1.5}),
        ((3, 5), {"dropout": True}),
        ((3, 5), {"proj_size": 5}),
        ((3, 5), {"proj_size": -1}),
        ((3, 5), {"nonlinearity": "sigmoid"}),
        ((3, 5), {"device": "nowhere"}),
        ((3, 5), {"colour": "red"}),
    ],
)
@pytest.mark.parametrize("kind", H, ids=lambda kind: kind.__name__)
def test_bad_arguments_raise_the_same_errors(kind, args, kwargs) -> None:
    expected = _raised(lambda: kind(*args, **kwargs))
    assert expected is not None or (kind is nn.RNN and "nonlinearity" not in kwargs)
    assert _raised(lambda: LAYERS[kind](*args, **kwargs)) == expected


def _bad_calls(lstm: bool):
    xs = torch.randn(4, 2, 3)
    h = torch.zeros(1, 2, 5)

    def state(h, c=None):
        return (h, h if c is None else c) if lstm else h

    packed = pack_sequence([torch.randn(3, 3), torch.randn(2, 3)])
    return {
        "one dimension": (torch.randn(3),),
        "four dimensions": (torch.randn(1, 4, 2, 3),),
        "features": (torch.randn(4, 2, 7),),
        "features of one sequence": (torch.randn(4, 7),),
        "no steps": (torch.randn(0, 2, 3),),
        "type of numbers": (xs.double(),),
        "whole numbers": (xs.long(),),
        "not a tensor": ([[1.0]],),
        "None": (None,),
        "hidden size": (xs, state(torch.zeros(1, 2, 4))),
        "batch of the state": (xs, state(torch.zeros(1, 3, 5))),
        "layers of the state": (xs, state(torch.zeros(2, 2, 5))),
        "dimensions of the state": (xs, state(torch.zeros(2, 5))),
        "state of one sequence": (xs[:, 0], state(h)),
        "type of the state": (xs, state(h.double())),
        "one for two": (xs, h if lstm else (h, h)),
        "state is no tensor": (xs, state("h")),
        "packed features": (packed._replace(data=torch.randn(5, 7)),),
        "packed dimensions": (packed._replace(data=torch.randn(5, 1, 3)),),
        "packed state": (packed, state(torch.zeros(1, 3, 5))),
        "packed type": (packed._replace(data=packed.data.double()),),
        "too many": (xs, state(h), 3),
    }


@pytest.mark.parametrize("case", _bad_calls(True))
@pytest.mark.parametrize("kind", H, ids=lambda kind: kind.__name__)
def test_bad_calls_raise_the_same_errors(kind, case, scans) -> None:
    theirs, ours = pair(kind, 3, 5)
    args = _bad_calls(kind is nn.LSTM)[case]
    expected = _raised(lambda: theirs(*args))
    assert expected is not None
    if case != "too many":  # there Python names the class whose method it is
        assert _raised(lambda: ours(*args)) == expected
    else:
        assert _raised(lambda: ours(*args))[0] is expected[0]
    assert scans.total() == 0


@pytest.mark.parametrize("kind", H, ids=lambda kind: kind.__name__)
def test_a_weight_of_the_wrong_shape_or_type_is_left_to_torch(kind, scans) -> None:
    for spoilt in (torch.randn(7, 5), torch.randn(7, 5).double()):
        theirs, ours = pair(kind, 3, 5, dtype=torch.float64)
        for module in (theirs, ours):
            module.weight_hh_l0 = nn.Parameter(spoilt)
        xs = torch.randn(4, 2, 3, dtype=torch.float64)
        expected = _raised(lambda theirs=theirs, xs=xs: theirs(xs))
        assert expected is not None
        assert _raised(lambda ours=ours, xs=xs: ours(xs)) == expected
    assert scans.total() == 0


def test_an_empty_batch_gives_what_torch_gives() -> None:
    theirs, ours = pair(nn.GRU, 3, 5)
    torch.testing.assert_close(ours(torch.randn(4, 0, 3)), theirs(torch.randn(4, 0, 3)))


@pytest.mark.parametrize("kind", H, ids=lambda kind: kind.__name__)
def test_autocast_and_function_transforms_give_what_torch_gives(kind, scans, monkeypatch) -> None:
    monkeypatch.setenv("OSTINATO_BF16", "off")  # as on a processor without instructions for it
    theirs, ours = pair(kind, 3, 5)
    xs = torch.randn(4, 2, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed, expected = ours(xs)[0], theirs(xs)[0]
    assert mixed.dtype is expected.dtype
    torch.testing.assert_close(mixed, expected)
    assert scans.total() == 0

    def loss(module):
        return lambda weights: torch.func.functional_call(module, weights, (xs,))[0].square().sum()

    weights = {name: weight.detach() for name, weight in ours.named_parameters()}
    torch.testing.assert_close(torch.func.grad(loss(ours))(weights), torch.func.grad(loss(theirs))(weights))


def test_the_engine_switched_off_leaves_all_to_torch(monkeypatch, scans) -> None:
    monkeypatch.setenv("OSTINATO_ENGINE", "off")
    theirs, ours = pair(nn.LSTM, 3, 5)
    xs = torch.randn(4, 2, 3)
    torch.testing.assert_close(ours(xs), theirs(xs), rtol=0, atol=0)
    assert scans.total() == 0


class Tagger(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer, self.head = layer, nn.Linear(5, 2)

    def forward(self, xs: torch.Tensor) -> torch.Tensor:
        return self.head(self.layer(xs)[0])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", H, ids=lambda kind: kind.__name__)
def test_torchscript_and_fx_see_the_layer_of_torch(kind) -> None:
    model = Tagger(LAYERS[kind](3, 5)).eval()
    xs = torch.randn(6, 2, 3)
    expected = model(xs)
    scripted = torch.jit.script(model)
    torch.testing.assert_close(scripted(xs), expected)
    # torch.jit.script itself puts what it compiles, here torch's layer, in the model; its parameters are the same
    assert type(model.layer) is kind
    assert scripted.layer.weight_hh_l0.data_ptr() == model.layer.weight_hh_l0.data_ptr()
    ostinato.accelerate(model)
    assert type(model.layer) is LAYERS[kind]
    traced = torch.jit.trace(model, torch.randn(4, 1, 3))
    torch.testing.assert_close(traced(xs), expected)  # of another length than the one that was traced
    graph = fx.symbolic_trace(model)
    assert [node.target for node in graph.graph.nodes if node.op == "call_module"] == ["layer", "head"]
    torch.testing.assert_close(graph(xs), expected)


def test_export_keeps_pytorchs_operation() -> None:
    model = Tagger(ostinato.nn.LSTM(3, 5)).eval()
    xs = torch.randn(6, 2, 3)
    program = torch.export.export(model, (xs,))
    assert not any("ostinato" in str(node.target) for node in program.graph.nodes)
    torch.testing.assert_close(program.module()(xs), model(xs))


@pytest.mark.slow
@pytest.mark.ci
def test_torch_compile_runs_the_layer_through_the_engine(scans) -> None:
    theirs, ours = (Tagger(layer) for layer in pair(nn.GRU, 3, 5))
    ours.head.load_state_dict(theirs.head.state_dict())
    xs = torch.randn(6, 2, 3)
    compiled = torch.compile(ours, backend="eager")
    torch.testing.assert_close(compiled(xs), theirs(xs))
    compiled(xs).sum().backward()
    theirs(xs).sum().backward()
    torch.testing.assert_close(ours.layer.weight_hh_l0.grad, theirs.layer.weight_hh_l0.grad)
    assert scans.total() >= 1
