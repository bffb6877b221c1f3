"""One step of each of PyTorch's recurrent layers, as cells for `scan`, reading weights that belong to the layer.

A step module is kept as long as its layer, because the engine keeps a compiled plan with each cell; it serves all
layers and directions of one shape. Which tensors it reads is said before every walk, because a layer's weights may
be other tensors each time: parametrised, pruned, dropped out, or put in by `torch.func.functional_call`.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from ostinato.engine.beside import Beside

Shapes: TypeAlias = "tuple[tuple[int, ...], ...]"

_PLAIN = (Tensor, nn.Parameter, nn.Buffer)


class Step(nn.Module):
    """A cell without weights of its own.

    Args:
        names: what the weights are called, in the order in which `read` is given them.
    """

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self._names = tuple(names)

    def read(self, weights: Sequence[Tensor]) -> None:
        """Use these tensors from now on: parameters as parameters, results of a computation as buffers."""
        for name, weight in zip(self._names, weights, strict=True):
            table, other = self._parameters, self._buffers
            if not isinstance(weight, nn.Parameter):
                table, other = other, table  # type: ignore[assignment]
            if table.get(name) is not weight:
                table[name] = weight  # type: ignore[assignment]
                other.pop(name, None)

    def _product(self, x: Tensor, kind: str) -> Tensor:
        """Return `W x + b` with the layer's input weights (`ih`) or recurrent weights (`hh`)."""
        bias = self._weight(f"bias_{kind}") if f"bias_{kind}" in self._names else None
        return functional.linear(x, self._weight(f"weight_{kind}"), bias)

    def _weight(self, name: str) -> Tensor:
        weight: Tensor = getattr(self, name)
        return weight


class RNNStep(Step):
    """`h' = f(W x + b + U h + u)`, `f` being tanh or the rectifier."""

    def __init__(self, names: Sequence[str], mode: str) -> None:
        super().__init__(names)
        self.activation = torch.tanh if mode == "RNN_TANH" else torch.relu

    def forward(self, x: Tensor, state: tuple[Tensor]) -> tuple[Tensor, tuple[Tensor]]:
        """Advance one step."""
        h = self.activation(self._product(x, "ih") + self._product(state[0], "hh"))
        return h, (h,)


class LSTMStep(Step):
    """The LSTM of `torch.nn`, its output projected if the layer says so (`weight_hr`)."""

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Advance one step."""
        h, c = state
        i, f, g, o = (self._product(x, "ih") + self._product(h, "hh")).chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        if "weight_hr" in self._names:
            h = functional.linear(h, self._weight("weight_hr"))
        return h, (h, c)


class GRUStep(Step):
    """The GRU of `torch.nn`, its reset gate after the recurrent product."""

    def forward(self, x: Tensor, state: tuple[Tensor]) -> tuple[Tensor, tuple[Tensor]]:
        """Advance one step."""
        (h,) = state
        x_r, x_z, x_n = self._product(x, "ih").chunk(3, -1)
        h_r, h_z, h_n = self._product(h, "hh").chunk(3, -1)
        r = (x_r + h_r).sigmoid()
        z = (x_z + h_z).sigmoid()
        n = (x_n + r * h_n).tanh()
        h = n + z * (h - n)
        return h, (h,)


@dataclass(frozen=True)
class Walk:
    """One layer in one direction: a cell, and the weights that it reads on this walk."""

    step: Step
    weights: Sequence[Tensor]

    def ready(self) -> Step:
        """Return the cell, reading its weights."""
        self.step.read(self.weights)
        return self.step


class _Pool(threading.local):
    """The cells of each layer, by the shapes of their weights; a thread has its own, because it sets what they read.

    They stand beside the layers, not in them: state_dict, pickles, copies and replicas stay those of torch.nn.
    """

    def __init__(self) -> None:
        self.steps: Beside[dict[Shapes, Step]] = Beside()


_pool = _Pool()


def walks_of(layer: nn.RNNBase, like: Tensor) -> list[Walk] | None:
    """Return how a layer is walked with its present weights: layer 0 forward, layer 0 backward, layer 1 forward, ...

    `None` if a weight is not what the engine can read beside `like`, or not of the shape that the layer's sizes ask
    for: then PyTorch has to run the layer, or to say what is wrong with it.
    """
    flat, names = layer._flat_weights, layer._all_weights
    width = len(names[0])
    known = _pool.steps.setdefault(layer, {})
    walks: list[Walk] = []
    for place, name in enumerate(names):
        weights = flat[place * width : (place + 1) * width]
        shapes = _shapes(layer, place)
        if not _readable(weights, shapes, like):
            return None
        if shapes not in known:
            known[shapes] = step_of(layer, name)
        walks.append(Walk(known[shapes], weights))  # type: ignore[arg-type]
    return walks


def step_of(layer: nn.RNNBase, names: Sequence[str]) -> Step:
    """Return a step of one layer and direction, given the names of its weights; it has none to read yet."""
    roots = [name.partition("_l")[0] for name in names]
    if layer.mode == "LSTM":
        return LSTMStep(roots)
    return GRUStep(roots) if layer.mode == "GRU" else RNNStep(roots, layer.mode)


def _shapes(layer: nn.RNNBase, place: int) -> Shapes:
    """Return the shapes that the weights must have, by the layer's sizes."""
    rows = {"LSTM": 4, "GRU": 3}.get(layer.mode, 1) * layer.hidden_size
    ways = 2 if layer.bidirectional else 1
    output = layer.proj_size or layer.hidden_size
    products = ((rows, layer.input_size if place < ways else ways * output), (rows, output))
    biases = ((rows,), (rows,)) if layer.bias else ()
    projection = ((layer.proj_size, layer.hidden_size),) if layer.proj_size else ()
    return (*products, *biases, *projection)


def _readable(weights: Sequence[Tensor | None], shapes: Shapes, like: Tensor) -> bool:
    return len(weights) == len(shapes) and all(
        type(weight) in _PLAIN
        and weight.shape == shape  # type: ignore[union-attr]
        and weight.dtype is like.dtype  # type: ignore[union-attr]
        and weight.device == like.device  # type: ignore[union-attr]
        and weight.layout is torch.strided  # type: ignore[union-attr]
        for weight, shape in zip(weights, shapes, strict=True)
    )
