"""Layers as cells: what is stepped is one module with `forward(x, state) -> (y, state)`, and so one compiled step.

A stack is one cell whose state holds those of its layers; so is a layer of `torch.nn`, or its drop-in, of any number of
layers; and so is either with a head behind it, so that the answer to a step comes from the same compiled call.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ostinato.engine import State, initial_state
from ostinato.errors import UsageError
from ostinato.nn import BatchNormLSTM, Recurrent, TransformerStack
from ostinato.nn.dropin.steps import Step, step_of

_STACKS = (Recurrent, TransformerStack)


class Headed(nn.Module):
    """A layer, stack or cell with what reads its outputs behind it, to be stepped as one.

    Args:
        layer: what is stepped.
        head: from the layer's output `(batch, features)` to `(batch, answers)`, each row for itself.
        beside: modules that are copied with them, such as the embedding of what is read.
    """

    def __init__(self, layer: nn.Module, head: nn.Module, **beside: nn.Module) -> None:
        super().__init__()
        self.layer, self.head, self.beside = layer, head, nn.ModuleDict(beside)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Advance one step."""
        raise NotImplementedError("it is stepped by a stepper")


class _StackCell(nn.Module):
    def __init__(self, stack: Recurrent | TransformerStack) -> None:
        super().__init__()
        self.stack = stack

    def forward(self, x: Tensor, state: Any) -> tuple[Tensor, tuple[State, ...]]:
        """Advance every layer one step."""
        return self.stack.step(x, state)

    def initial_state(self, x: Tensor) -> tuple[State, ...]:
        """Return the states that the layers start from."""
        return self.stack.initial_state(x)


class _LayersCell(nn.Module):
    """The layers of a `torch.nn.LSTM`, `GRU` or `RNN`, one on the other; the state has a part for each layer."""

    def __init__(self, layer: nn.RNNBase) -> None:
        super().__init__()
        self.input_size, self.is_lstm = layer.input_size, layer.mode == "LSTM"
        self.widths = (layer.proj_size or layer.hidden_size, layer.hidden_size)
        # weights of their own: those of the layer may come out of a parametrisation
        self.steps = nn.ModuleList(_own_step(layer, place) for place in range(layer.num_layers))

    def forward(self, x: Tensor, state: tuple[State, ...]) -> tuple[Tensor, tuple[State, ...]]:
        """Advance every layer one step."""
        new: list[State] = []
        for step, value in zip(self.steps, state, strict=True):
            x, last = step(x, value if self.is_lstm else (value,))
            new.append(last if self.is_lstm else last[0])
        return x, tuple(new)

    def initial_state(self, x: Tensor) -> tuple[State, ...]:
        """Return zeros, `(batch, hidden size)` for each layer; of an LSTM two of them."""
        h, c = (x.new_zeros((x.shape[0], width)) for width in self.widths)
        return tuple((h, c) if self.is_lstm else h for _ in self.steps)


def _own_step(layer: nn.RNNBase, place: int) -> Step:
    names = layer._all_weights[place]
    step = step_of(layer, names)
    step.read([nn.Parameter(getattr(layer, name).detach().clone(), requires_grad=False) for name in names])
    return step


class _LayerCell(nn.Module):
    """A layer that has no step of its own, over sequences of one step."""

    def __init__(self, layer: BatchNormLSTM) -> None:
        super().__init__()
        self.layer = layer
        self.input_size = layer.input_size

    def forward(self, x: Tensor, state: Any) -> tuple[Tensor, State]:
        """Advance one step."""
        ys, last = self.layer(x[:, None] if self.layer.batch_first else x[None], state)
        return ys.flatten(0, 1), last

    def initial_state(self, x: Tensor) -> State:
        """Return the layer's start."""
        return self.layer.initial_state(x)


class _HeadedCell(nn.Module):
    def __init__(self, cell: nn.Module, head: Any) -> None:
        super().__init__()
        self.cell, self.head = cell, head

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Advance one step, and answer it."""
        y, new = self.cell(x, state)
        return self.head(y), new

    def initial_state(self, x: Tensor) -> State:
        """Return the start of what is stepped."""
        return initial_state(self.cell, x)


def cell_of(module: nn.Module) -> nn.Module:
    """Return a module in evaluation mode as one cell."""
    if isinstance(module, Headed):
        return _HeadedCell(cell_of(module.layer), module.head).eval()
    if isinstance(module, _STACKS):
        return _StackCell(module).eval()
    if isinstance(module, nn.RNNBase):
        with torch.no_grad():
            return _LayersCell(module).eval()
    return _LayerCell(module).eval() if isinstance(module, BatchNormLSTM) else module


def inner(module: nn.Module) -> nn.Module:
    """Return what is stepped, without a head."""
    return module.layer if isinstance(module, Headed) else module


def is_layer(module: nn.Module) -> bool:
    """Tell whether a module is a layer, whose start is known, rather than a cell."""
    return isinstance(inner(module), (*_STACKS, nn.RNNBase, BatchNormLSTM))


def grows(module: nn.Module) -> bool:
    """Tell whether the state grows from step to step, as the memory of a Transformer does."""
    return isinstance(inner(module), TransformerStack)


def width_of(module: nn.Module) -> int | None:
    """Return the features of a step, if a module says so."""
    layer = inner(module)
    size = getattr(layer.cells[0] if isinstance(layer, Recurrent) else layer, "input_size", None)
    return size if isinstance(size, int) else None


def check_module(module: Any) -> None:
    """Refuse what cannot run step by step.

    Raises:
        UsageError: it is no module, or needs the end of a sequence.
    """
    if not isinstance(module, nn.Module):
        raise UsageError(
            f"a {type(module).__name__} cannot run step by step; expected a layer or a cell, a torch.nn.Module"
        )
    layer = inner(module)
    if isinstance(layer, (*_STACKS, nn.RNNBase)) and layer.bidirectional:
        what = "Transformer that is not causal" if isinstance(layer, TransformerStack) else "bidirectional layer"
        raise UsageError(f"a {what} cannot run step by step: its outputs need the end of the sequence")
