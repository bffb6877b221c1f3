"""Random layers, called again and again with random changes between: always values and gradients of `torch.nn`."""

import random
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from peers import LAYERS, pair
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence


def leaves(state) -> list[Tensor]:
    return list(state) if isinstance(state, tuple) else [state]


def random_layers(rng: random.Random, dtype: torch.dtype) -> tuple[nn.Module, nn.Module]:
    kind, units = rng.choice(sorted(LAYERS, key=str)), rng.choice([1, 4, 19])
    options: dict[str, Any] = {
        "num_layers": rng.choice([1, 1, 2, 3]),
        "bidirectional": rng.random() < 0.4,
        "bias": rng.random() < 0.8,
        "batch_first": rng.random() < 0.4,
    }
    if kind is nn.LSTM and units > 2 and rng.random() < 0.3:
        options["proj_size"] = 2
    theirs, ours = pair(kind, rng.choice([1, 3, 17]), units, **options)
    return theirs.to(dtype), ours.to(dtype)


def change(rng: random.Random, layers: tuple[nn.Module, nn.Module]) -> None:
    """Change both layers in the same way."""
    what, seed = rng.choice(["freeze", "free", "data", "turned", "in place", "first layer", "mode"]), rng.random()
    name = rng.choice([name for name, _ in layers[0].named_parameters()])
    for layer in layers:
        torch.manual_seed(int(seed * 1e9))
        parameter = layer.get_parameter(name)
        if what == "freeze":
            parameter.requires_grad_(False)
        elif what == "free":
            layer.requires_grad_()
        elif what == "first layer":
            for other, each in layer.named_parameters():
                each.requires_grad_("l0" not in other)
        elif what == "data":
            parameter.data = torch.randn_like(parameter) / 3
        elif what == "turned" and parameter.dim() == 2:
            parameter.data = (torch.randn(parameter.shape[::-1], dtype=parameter.dtype) / 3).t()
        elif what == "mode":
            layer.train(not layer.training)
        else:
            with torch.no_grad():
                parameter.mul_(0.9)


@dataclass
class Call:
    """What both layers are called with."""

    xs: Tensor
    parts: list[Tensor]
    lengths: Tensor | None
    grad: bool
    weights: tuple[float, float]

    def leaves(self, layer: nn.Module) -> list[Tensor]:
        found = [self.xs, *self.parts, *layer.parameters()]
        return [tensor for tensor in found if tensor.requires_grad and tensor.is_leaf]

    def run(self, layer: nn.Module) -> list[Tensor]:
        for tensor in self.leaves(layer):
            tensor.grad = None
        given: Any = self.xs
        if self.lengths is not None:
            given = pack_padded_sequence(self.xs, self.lengths, layer.batch_first, enforce_sorted=False)
        state: Any = (tuple(self.parts) if isinstance(layer, nn.LSTM) else self.parts[0]) if self.parts else None
        with torch.set_grad_enabled(self.grad):
            ys, last = layer(given, state)
        ys = ys if self.lengths is None else ys.data
        loss = self.weights[0] * ys.square().sum() + self.weights[1] * sum(part.cos().sum() for part in leaves(last))
        found = [ys.detach(), *(part.detach() for part in leaves(last))]
        if loss.requires_grad:
            loss.backward()
            found += [torch.zeros(()) if tensor.grad is None else tensor.grad for tensor in self.leaves(layer)]
        return found


def random_call(rng: random.Random, layer: nn.Module) -> Call:
    steps, batch = rng.choice([1, 2, 5, 9]), rng.choice([1, 2, 5])
    batched = rng.random() < 0.8
    axes = ((batch, steps) if layer.batch_first else (steps, batch)) if batched else (steps,)
    dtype = layer.weight_ih_l0.dtype
    xs = torch.randn(*axes, layer.input_size, dtype=dtype, requires_grad=rng.random() < 0.5)
    if batched and rng.random() < 0.2:
        xs = torch.randn(layer.input_size, *axes[::-1], dtype=dtype).permute(2, 1, 0)
    parts: list[Tensor] = []
    if rng.random() < 0.5:
        widths = (layer.proj_size or layer.hidden_size, layer.hidden_size)[: 1 + isinstance(layer, nn.LSTM)]
        rows = (len(layer._all_weights), batch) if batched else (len(layer._all_weights),)
        parts = [torch.randn(*rows, width, dtype=dtype, requires_grad=rng.random() < 0.5) for width in widths]
    packed = batched and rng.random() < 0.4
    lengths = torch.tensor([rng.randint(1, steps) for _ in range(batch)]) if packed else None
    return Call(xs, parts, lengths, rng.random() < 0.85, rng.choice([(1, 1), (1, 0), (0, 1)]))


def compare(seed: int) -> None:
    rng, dtype = random.Random(seed), torch.float64 if seed % 2 else torch.float32
    torch.manual_seed(seed)
    layers = random_layers(rng, dtype)
    error = 1e-8 if dtype is torch.float64 else 2e-4
    for _ in range(10):
        if rng.random() < 0.3:
            change(rng, layers)
        call = random_call(rng, layers[0])
        torch.testing.assert_close(call.run(layers[1]), call.run(layers[0]), rtol=error, atol=error / 8)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.slow
@pytest.mark.ci
def test_a_layer_gives_what_torch_gives_whatever_was_changed(seed) -> None:
    compare(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4, 60))
def test_many_layers_give_what_torch_gives_whatever_was_changed(seed) -> None:
    compare(seed)
