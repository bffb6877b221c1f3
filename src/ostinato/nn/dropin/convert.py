"""`from_torch`: trained layers and cells of `torch.nn` as cells of the catalogue, to be stacked, stepped, changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn

from ostinato.cells import GRUCell, LSTMCell, ProjectedLSTMCell, RNNCell
from ostinato.errors import UsageError
from ostinato.nn.recurrent import Recurrent

Cell: TypeAlias = RNNCell | LSTMCell | ProjectedLSTMCell | GRUCell


def from_torch(module: nn.Module) -> nn.Module:
    """Return the equal of a trained recurrent layer or cell, made of `ostinato.cells`, with its weights copied.

    A layer becomes a `Recurrent`, with its layers, directions, dropout and order of dimensions; a cell becomes a cell.
    The outputs are the same; the states are given as `Recurrent` gives them, one for each layer and direction. What
    `torch.nn` keeps as two biases that are only ever added is one bias here, their sum; a layer without biases gets
    biases of zero, which training then moves.

    Args:
        module: a `torch.nn.RNN`, `LSTM`, `GRU`, `RNNCell`, `LSTMCell` or `GRUCell`, or a drop-in of `ostinato.nn`.

    Raises:
        UsageError: the module is another one.

    >>> import torch, ostinato
    >>> layer = torch.nn.LSTM(3, 5, num_layers=2, batch_first=True)
    >>> ours = ostinato.nn.from_torch(layer)
    >>> xs = torch.randn(2, 7, 3)
    >>> torch.allclose(ours(xs)[0], layer(xs)[0], atol=1e-6)
    True
    >>> step = ostinato.stepper(ours)  # and so it runs as a stream
    """
    if isinstance(module, (nn.RNN, nn.LSTM, nn.GRU)):
        return _from_layer(module)
    if isinstance(module, (nn.RNNCell, nn.LSTMCell, nn.GRUCell)):
        return _filled(_empty_cell(module, module.input_size), module, "")
    raise UsageError(
        f"from_torch was given {type(module).__name__}; expected an RNN, LSTM or GRU of torch.nn, or a cell of these"
    )


def _from_layer(layer: nn.RNNBase) -> Recurrent:
    ways = ["", "_reverse"] if layer.bidirectional else [""]
    stack = Recurrent(
        lambda input_size: _empty_cell(layer, input_size),
        layer.num_layers,
        input_size=layer.input_size,
        bidirectional=layer.bidirectional,
        dropout=layer.dropout,
        batch_first=layer.batch_first,
    )
    suffixes = [f"_l{index}{way}" for index in range(layer.num_layers) for way in ways]
    for cell, suffix in zip(stack.cells, suffixes, strict=True):
        _filled(cell, layer, suffix)
    return stack.train(layer.training)


def _empty_cell(module: nn.Module, input_size: int) -> nn.Module:
    """Return a cell of the module's equations, sizes, device and precision."""
    hidden_size = int(module.hidden_size)  # type: ignore[arg-type]
    cell: nn.Module
    if isinstance(module, (nn.GRU, nn.GRUCell)):
        cell = GRUCell(input_size, hidden_size)
    elif isinstance(module, (nn.RNN, nn.RNNCell)):
        cell = RNNCell(input_size, hidden_size, activation=module.nonlinearity)
    elif isinstance(module, nn.LSTM) and module.proj_size:
        cell = ProjectedLSTMCell(input_size, hidden_size, module.proj_size)
    else:
        cell = LSTMCell(input_size, hidden_size)
    weight = next(module.parameters())
    return cell.to(device=weight.device, dtype=weight.dtype).train(module.training)


def _filled(cell: nn.Module, module: nn.Module, suffix: str) -> nn.Module:
    """Copy the weights whose names end in `suffix` into a cell and return it."""

    def found(name: str) -> list[Tensor]:
        weight = getattr(module, name + suffix, None)
        return [] if weight is None else [weight]

    biases = found("bias_ih"), found("bias_hh")
    sources = {"input.weight": found("weight_ih"), "recurrent.weight": found("weight_hh")}
    if isinstance(cell, GRUCell):
        # the recurrent bias stands inside the reset gate, so it stays on its own
        sources |= {"input.bias": biases[0], "recurrent.bias": biases[1]}
    else:
        sources |= {"input.bias": [*biases[0], *biases[1]]}
    if isinstance(cell, ProjectedLSTMCell):
        sources["projection.weight"] = found("weight_hr")
    for name, parts in sources.items():
        _copy(cell.get_parameter(name), parts)
    return cell


def _copy(target: nn.Parameter, parts: Sequence[Tensor]) -> None:
    """Set a parameter to the sum of some tensors; it is frozen if all of them are."""
    with torch.no_grad():
        target.zero_()
        for part in parts:
            target.add_(part)
    if parts:
        target.requires_grad_(any(part.requires_grad for part in parts))
