"""PyTorch's own sample inputs for its recurrent modules, run through `scan`."""

import pytest
import torch
from torch import nn
from torch.testing._internal.common_modules import module_db

import ostinato

LAYERS = {nn.RNN: nn.RNNCell, nn.GRU: nn.GRUCell, nn.LSTM: nn.LSTMCell}


def samples(kind):
    """Yield PyTorch's samples of a module: how it is made and what it is called with, each combination once."""
    seen = set()
    for info in (info for info in module_db if info.module_cls is kind):
        for sample in info.module_inputs_func(info, "cpu", torch.double, requires_grad=True, training=True):
            made, called = sample.constructor_input, sample.forward_input
            # the order of batch and time is for those with a batch, and PyTorch's samples have none
            options = {name: value for name, value in made.kwargs.items() if name != "batch_first"}
            key = (made.args, str(options), len(called.args))
            if key not in seen:
                seen.add(key)
                yield sample


def differences(ours, theirs, inputs):
    torch.testing.assert_close(ours, theirs)
    weights = [torch.randn_like(out) for out in theirs]
    grads = [
        torch.autograd.grad(sum((a * b).sum() for a, b in zip(run, weights, strict=True)), inputs, allow_unused=True)
        for run in (ours, theirs)
    ]
    for mine, other, of in zip(*grads, inputs, strict=True):
        zero = torch.zeros_like(of)
        torch.testing.assert_close(zero if mine is None else mine, zero if other is None else other)


def flat(result):
    return [result] if isinstance(result, torch.Tensor) else [part for item in result for part in flat(item)]


@pytest.mark.parametrize("kind", [nn.RNNCell, nn.GRUCell, nn.LSTMCell])
def test_one_step_of_every_sample_of_a_cell(kind) -> None:
    count = 0
    for sample in samples(kind):
        cell = kind(*sample.constructor_input.args, **sample.constructor_input.kwargs).double()
        x, *rest = sample.forward_input.args
        expected = flat(cell(x, *rest))
        # the samples have no batch; a scan does
        state = [part[None] for part in flat(rest)]
        given = None if not state else state[0] if len(state) == 1 else tuple(state)
        ys, last = ostinato.scan(cell, x[None, None], given)
        ours = [ys[0, 0], *(part[0] for part in flat(last))]
        differences(ours, [expected[0], *expected], [x, *cell.parameters()])
        count += 1
    assert count


def over_time(layer, x, states):
    """Run a layer of torch.nn through `scan`: each of its cells over time, in its direction."""
    last = []
    for depth in range(layer.num_layers):
        runs = []
        for way in range(1 + layer.bidirectional):
            suffix = f"_l{depth}" + "_reverse" * way
            chosen = {"nonlinearity": layer.nonlinearity} if isinstance(layer, nn.RNN) else {}
            cell = LAYERS[type(layer)](x.shape[-1], layer.hidden_size, bias=layer.bias, **chosen).double()
            weights = {name: getattr(layer, name + suffix) for name in dict(cell.named_parameters())}
            state = tuple(part[len(last)] for part in states) if states else None
            given = state[0] if state and len(state) == 1 else state
            bound = Bound(cell, weights)
            runs.append(ostinato.scan(bound, x, given, reverse=bool(way)))
            last.append(flat(runs[-1][1]))
        x = torch.cat([ys for ys, _ in runs], -1)
    return [x, *(torch.stack(parts) for parts in zip(*last, strict=True))]


class Bound(nn.Module):
    """A cell with the very weights of a layer, so that gradients reach them."""

    def __init__(self, cell, weights) -> None:
        super().__init__()
        self.cell, self.hidden_size = cell, cell.hidden_size
        for name, weight in weights.items():
            setattr(cell, name, weight)

    def forward(self, x, state):
        return self.cell(x, state)


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(LAYERS))
def test_every_sample_of_a_layer_without_projection(kind) -> None:
    count = 0
    for sample in samples(kind):
        layer = kind(*sample.constructor_input.args, **sample.constructor_input.kwargs).double()
        x, *rest = sample.forward_input.args
        if layer.proj_size:
            continue
        expected = flat(layer(x, *rest))
        ours = over_time(layer, x[:, None], [part[:, :, None].transpose(1, 2) for part in flat(rest)])
        ours = [ours[0][:, 0], *(part[:, 0] for part in ours[1:])]
        torch.testing.assert_close(ours, expected)
        differences(ours, expected, [x, *layer.parameters()])
        count += 1
    assert count
