"""Batches of gradients, transforms of functions and PyTorch's modes: what torch.nn gives, and what the loop gives."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import ostinato
from ostinato.engine.run.reference import scan_eagerly
from ostinato.nn.dropin import choice


@pytest.fixture(autouse=True)
def _always_through_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "pays", lambda *_: True)


def _pair(kind: str = "GRU", **options) -> tuple[nn.Module, nn.Module]:
    theirs, ours = (getattr(module, kind)(3, 5, **options).double() for module in (torch.nn, ostinato.nn))
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


KINDS = pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])


@KINDS
def test_a_batch_of_gradients_is_each_of_them(kind: str) -> None:
    theirs, ours = _pair(kind, num_layers=2, bidirectional=True)
    xs = torch.randn(6, 2, 3, dtype=torch.double, requires_grad=True)
    dys = torch.randn(4, 6, 2, 10, dtype=torch.double)
    found = []
    for layer in (theirs, ours):
        ys = layer(xs)[0]
        given = [xs, *layer.parameters()]
        batched = torch.autograd.grad(ys, given, dys, is_grads_batched=True, retain_graph=True)
        each = [torch.autograd.grad(ys, given, dy, retain_graph=True) for dy in dys]
        torch.testing.assert_close(batched, tuple(torch.stack(parts) for parts in zip(*each, strict=True)))
        found.append(batched)
    torch.testing.assert_close(found[1], found[0])


def test_a_batch_of_gradients_of_the_last_state_alone() -> None:
    cell, xs = nn.LSTMCell(3, 5).double(), torch.randn(6, 2, 3, dtype=torch.double, requires_grad=True)
    _, (h, _) = ostinato.scan(cell, xs, lengths=torch.tensor([6, 4]))
    dhs = torch.randn(4, 2, 5, dtype=torch.double)
    (batched,) = torch.autograd.grad(h, xs, dhs, is_grads_batched=True, retain_graph=True)
    each = [torch.autograd.grad(h, xs, dh, retain_graph=True)[0] for dh in dhs]
    torch.testing.assert_close(batched, torch.stack(each))


@KINDS
def test_jacobians_and_hessians_are_those_of_torch(kind: str) -> None:
    theirs, ours = _pair(kind)
    xs = torch.randn(4, 2, 3, dtype=torch.double)
    functional = torch.autograd.functional
    for vectorize in (False, True):
        expected = functional.jacobian(lambda xs: theirs(xs)[0], xs, vectorize=vectorize)
        torch.testing.assert_close(functional.jacobian(lambda xs: ours(xs)[0], xs, vectorize=vectorize), expected)
        expected = functional.hessian(lambda xs: theirs(xs)[0].square().sum(), xs, vectorize=vectorize)
        found = functional.hessian(lambda xs: ours(xs)[0].square().sum(), xs, vectorize=vectorize)
        torch.testing.assert_close(found, expected)


def test_gradients_pass_pytorchs_check_in_batches_too() -> None:
    _, ours = _pair("GRU", num_layers=2)
    xs = torch.randn(3, 2, 3, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda xs: ours(xs)[0], xs, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(lambda xs: ours(xs)[0], xs, check_batched_grad=True)


def test_vmap_over_the_gradients_of_an_output_that_is_there() -> None:
    cell, xs = nn.GRUCell(3, 5).double(), torch.randn(6, 2, 3, dtype=torch.double, requires_grad=True)
    ys, _ = ostinato.scan(cell, xs)
    dys = torch.randn(4, *ys.shape, dtype=torch.double)
    found = torch.func.vmap(lambda dy: torch.autograd.grad(ys, xs, dy, retain_graph=True)[0])(dys)
    torch.testing.assert_close(
        found, torch.stack([torch.autograd.grad(ys, xs, dy, retain_graph=True)[0] for dy in dys])
    )
    twice = torch.func.vmap(torch.func.vmap(lambda dy: torch.autograd.grad(ys, xs, dy, retain_graph=True)[0]))(
        dys[None]
    )
    torch.testing.assert_close(twice[0], found)


@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True, "batch_first": True}], ids=str)
@KINDS
def test_transforms_of_functions_over_layers(kind: str, options: dict) -> None:
    """Where `torch.nn` has no rule, as for `vmap`, what it gives one by one."""
    theirs, ours = _pair(kind, **options)
    many = torch.randn(4, 6, 2, 3, dtype=torch.double)
    weights = {name: weight.detach() for name, weight in ours.named_parameters()}

    def output(layer: nn.Module, weights: dict, xs: Tensor) -> Tensor:
        return torch.func.functional_call(layer, weights, (xs,))[0]

    def loss(layer: nn.Module, weights: dict, xs: Tensor) -> Tensor:
        return output(layer, weights, xs).square().sum()

    func, close = torch.func, torch.testing.assert_close
    mine, other = partial(output, ours), partial(output, theirs)
    slopes, expected = (func.grad(partial(loss, layer)) for layer in (ours, theirs))
    jacobian = torch.autograd.functional.jacobian(lambda xs: other(weights, xs), many[0])
    close(mine(weights, many[0]), other(weights, many[0]))
    close(func.vmap(mine, (None, 0))(weights, many), torch.stack([other(weights, xs) for xs in many]))
    close(slopes(weights, many[0]), expected(weights, many[0]))
    each = [expected(weights, xs) for xs in many]
    found = func.vmap(slopes, (None, 0))(weights, many)
    close(found, {name: torch.stack([part[name] for part in each]) for name in weights})
    close(func.jacrev(mine, 1)(weights, many[0]), jacobian)
    close(func.jacfwd(mine, 1)(weights, many[0]), jacobian)
    # an ensemble: weights with a batch of their own
    several = {name: torch.stack([weight, weight * 2]) for name, weight in weights.items()}
    one_by_one = [other({name: weight[index] for name, weight in several.items()}, many[0]) for index in range(2)]
    close(func.vmap(mine, (0, None))(several, many[0]), torch.stack(one_by_one))


def test_transforms_of_functions_over_scan() -> None:
    cell = ostinato.cells.GRUCell(3, 5).double()
    many = torch.randn(4, 6, 2, 3, dtype=torch.double)

    def fast(xs: Tensor) -> Tensor:
        return ostinato.scan(cell, xs, xs.new_zeros(2, 5))[0]

    def slow(xs: Tensor) -> Tensor:
        return scan_eagerly(cell, xs, xs.new_zeros(2, 5), None, False)[0]

    functions = torch.func
    torch.testing.assert_close(functions.vmap(fast)(many), torch.stack([slow(xs) for xs in many]))
    expected = torch.autograd.functional.jacobian(slow, many[0])
    torch.testing.assert_close(functions.jacrev(fast)(many[0]), expected)
    torch.testing.assert_close(functions.jacfwd(fast)(many[0]), expected)
    _, tangent = functions.jvp(fast, (many[0],), (many[1],))
    torch.testing.assert_close(tangent, functions.jvp(slow, (many[0],), (many[1],))[1])


def _flops(run) -> tuple[int, int]:
    run().sum().backward()  # what is made at the first call is not counted here
    with FlopCounterMode(display=False) as forward:
        ys = run()
    with FlopCounterMode(display=False) as backward:
        ys.sum().backward()
    return forward.get_total_flops(), backward.get_total_flops()


@pytest.mark.parametrize("cell", [nn.GRUCell(3, 5), nn.LSTMCell(3, 5), ostinato.cells.LSTMCell(3, 5)], ids=repr)
def test_floating_point_operations_are_those_of_the_loop(cell: nn.Module) -> None:
    xs = torch.randn(7, 4, 3, requires_grad=True)
    state = ostinato.engine.initial_state(cell, xs[0])
    state = ostinato.engine.map_state(lambda leaf: leaf.requires_grad_(), state)
    ostinato.scan(cell, xs, state)  # with a plan at hand, it is the plan's operations that are counted
    ours = _flops(lambda: ostinato.scan(cell, xs, state)[0])
    assert ours == _flops(lambda: scan_eagerly(cell, xs, state, None, False)[0])
    assert ours[0] == 2 * 7 * 4 * sum(weight.numel() for weight in cell.parameters() if weight.dim() == 2)
    lengths = torch.tensor([7, 0, 3, 4])
    short = _flops(lambda: ostinato.scan(cell, xs, state, lengths=lengths)[0])
    assert [2 * part for part in short] == list(ours)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("grad", [False, True])
def test_a_trace_of_torch_jit_has_the_steps(grad) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = nn.GRUCell(3, 4)

        def forward(self, xs):
            return ostinato.scan(self.cell, xs)[0]

    model, xs, other = Model(), torch.randn(5, 2, 3), torch.randn(5, 2, 3)
    with torch.set_grad_enabled(grad):
        model(xs)
        traced = torch.jit.trace(model, xs, check_trace=False)
        torch.testing.assert_close(traced(other), model(other))
