"""One step of each of PyTorch's recurrent layers, as cells for `scan`, reading weights that belong to the layer.

A step module is kept as long as its layer, because the engine keeps a compiled plan with each cell; which tensors it
reads is said anew at every call, because a layer's weights may be other tensors each time: parametrised, pruned,
dropped out, or put in by `torch.func.functional_call`.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

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
        """Use these tensors from now on: parameters as parameters, results of a computation as buffers.

        Nothing is taken away before it is replaced, and nothing is touched that stays the same: threads that share a
        layer may run it while another one enters here.
        """
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


# beside the layers, not in them: their state_dict, pickles, copies and replicas stay those of torch.nn
_steps: weakref.WeakKeyDictionary[nn.RNNBase, list[Step]] = weakref.WeakKeyDictionary()


def steps_of(layer: nn.RNNBase, like: Tensor) -> list[Step] | None:
    """Return the cells of a layer, reading its present weights: layer 0 forward, layer 0 backward, layer 1 forward, ...

    `None` if a weight is not what the engine can read beside `like`, or not of the shape that the layer's sizes ask
    for: then PyTorch has to run the layer, or to say what is wrong with it.
    """
    flat = layer._flat_weights
    names = layer._all_weights
    width = len(names[0])
    if len(flat) != width * len(names):
        return None
    steps = _steps.get(layer)
    if steps is None:
        steps = _steps.setdefault(layer, [_make_step(layer, each) for each in names])
    for place, step in enumerate(steps):
        weights = flat[place * width : (place + 1) * width]
        if not _readable(layer, place, weights, like):
            return None
        step.read(weights)  # type: ignore[arg-type]
    return steps


def _make_step(layer: nn.RNNBase, names: Sequence[str]) -> Step:
    roots = [name.partition("_l")[0] for name in names]
    if layer.mode == "LSTM":
        return LSTMStep(roots)
    return GRUStep(roots) if layer.mode == "GRU" else RNNStep(roots, layer.mode)


def _readable(layer: nn.RNNBase, place: int, weights: Sequence[Tensor | None], like: Tensor) -> bool:
    rows = {"LSTM": 4, "GRU": 3}.get(layer.mode, 1) * layer.hidden_size
    ways = 2 if layer.bidirectional else 1
    output = layer.proj_size or layer.hidden_size
    shapes: list[tuple[int, ...]] = [(rows, layer.input_size if place < ways else ways * output), (rows, output)]
    shapes += [(rows,), (rows,)] if layer.bias else []
    shapes += [(layer.proj_size, layer.hidden_size)] if layer.proj_size else []
    return len(weights) == len(shapes) and all(
        type(weight) in _PLAIN
        and weight.shape == shape  # type: ignore[union-attr]
        and weight.dtype is like.dtype  # type: ignore[union-attr]
        and weight.device == like.device  # type: ignore[union-attr]
        and weight.layout is torch.strided  # type: ignore[union-attr]
        for weight, shape in zip(weights, shapes, strict=True)
    )
