"""Wrappers of any cell: zoneout, recurrent dropout, residual. A wrapped cell is a cell again.

The two that draw random numbers do so in training only, and there `ostinato.scan` walks zoneout in PyTorch, as it draws
at every step; in evaluation both are plain arithmetic.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

State: TypeAlias = "Tensor | tuple[State, ...]"


class Wrapper(nn.Module):
    """What all wrappers share: the cell inside, its sizes and its start."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell
        for name in ("input_size", "hidden_size"):
            if hasattr(cell, name):
                setattr(self, name, getattr(cell, name))

    def initial_state(self, x: Tensor) -> Any:
        """Return where the cell inside starts: its own start, or zeros."""
        return _start_of(self.cell, x)


class Zoneout(Wrapper):
    """Zoneout: at each step, each unit of the state keeps its old value with a given probability.

        s' = old where a coin of probability `rate` says so, else new      (training)
        s' = rate * old + (1 - rate) * new                                 (evaluation)

    Shapes: those of the cell inside.

    Args:
        cell: any cell.
        rate: the probability, from 0 to 1: one number for all tensors of the state, or one for each in order. Give 0
            to what must stay in step with the rest (`c`, `n` and `m` of an sLSTM, what a GRU-D saw last).

    Raises:
        ValueError: a rate is not a probability, or there are not as many as tensors (found at the first step).

    Use it against overfitting where the state should still carry far: it never sets a unit to zero.

    Source: D. Krueger et al., "Zoneout: regularizing RNNs by randomly preserving hidden activations", ICLR 2017; for an
    LSTM's `(h, c)` it advises 0.05 and 0.5.

    >>> import torch
    >>> from ostinato.cells import LSTMCell
    >>> cell = Zoneout(LSTMCell(3, 5), rate=(0.05, 0.5))
    >>> y, (h, c) = cell(torch.zeros(2, 3), (torch.zeros(2, 5), torch.zeros(2, 5)))
    >>> tuple(y.shape)
    (2, 5)
    """

    def __init__(self, cell: nn.Module, rate: float | tuple[float, ...] = 0.1) -> None:
        super().__init__(cell)
        for value in rate if isinstance(rate, tuple) else (rate,):
            _check_rate(value)
        self.rate = rate

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Advance one step; where the cell's output is a tensor of its state, so is the output here."""
        y, new_state = _advance(self.cell, x, state)
        old, new = _leaves(state), _leaves(new_state)
        rates = self.rate if isinstance(self.rate, tuple) else (self.rate,) * len(new)
        if len(rates) != len(new):
            raise ValueError(f"rate has {len(rates)} numbers; expected one, or {len(new)} as the state has tensors")
        kept = [self._keep(*both) for both in zip(old, new, rates, strict=True)]
        for before, after in zip(new, kept, strict=True):
            if y is before:
                y = after
        return y, _like(new_state, kept)

    def _keep(self, old: Tensor, new: Tensor, rate: float) -> Tensor:
        if rate == 0:
            return new
        if not self.training:
            return rate * old + (1 - rate) * new
        return torch.where(torch.rand_like(new) < rate, old, new)


class RecurrentDropout(Wrapper):
    """Recurrent (variational) dropout: the cell reads a hidden state with the same units missing at every step.

        y, s' = cell(x, (d * h, rest of s))
        d     = 0 with probability `rate`, else 1 / (1 - rate); drawn once a sequence      (training)
        d     = 1                                                                          (evaluation)

    `h` is the first tensor of the state. `d` is part of the state: a sequence walked in pieces keeps its mask.

    Shapes: `state` is `(state of the cell, d)`, `d` shaped as `h`; the rest is as in the cell.

    Args:
        cell: any cell; if it has no `initial_state`, it starts from zeros of width `hidden_size`.
        rate: the probability that a unit is missing, from 0 to 1 (1 excluded).

    Raises:
        ValueError: the rate is not a probability, or the cell's start cannot be found.

    Use it against overfitting in cells that keep their memory apart from `h`, such as an LSTM. In a cell whose whole
    memory is `h` (a GRU), the missing units forget at every step: prefer zoneout there.

    Source: Y. Gal and Z. Ghahramani, "A theoretically grounded application of dropout in recurrent neural networks",
    NeurIPS 2016.

    >>> import torch
    >>> from ostinato.cells import LSTMCell
    >>> cell = RecurrentDropout(LSTMCell(3, 5), rate=0.25)
    >>> y, (inner, d) = cell(torch.zeros(2, 3), cell.initial_state(torch.zeros(2, 3)))
    >>> tuple(y.shape), tuple(d.shape)
    ((2, 5), (2, 5))
    """

    def __init__(self, cell: nn.Module, rate: float = 0.25) -> None:
        super().__init__(cell)
        _check_rate(rate)
        if rate == 1:
            raise ValueError("rate is 1; expected less, as nothing would be left")
        self.rate = rate

    def initial_state(self, x: Tensor) -> tuple[State, Tensor]:
        """Return the cell's start and a mask: drawn again in training, ones in evaluation."""
        inner = _start_of(self.cell, x)
        ones = torch.ones_like(_leaves(inner)[0])
        return inner, nn.functional.dropout(ones, self.rate, self.training)

    def forward(self, x: Tensor, state: tuple[State, Tensor]) -> tuple[Tensor, tuple[State, Tensor]]:
        """Advance one step; return the cell's output, its new state and the same mask."""
        inner, mask = state
        if self.training:
            hidden, *rest = _leaves(inner)
            y, inner = _advance(self.cell, x, _like(inner, [hidden * mask, *rest]))
        else:
            y, inner = _advance(self.cell, x, inner)
        return y, (inner, mask)


class Residual(Wrapper):
    """Residual: the input is added to the cell's output.

        y, s' = cell(x, s)
        out   = x + y

    Shapes: those of the cell inside, whose outputs must be as wide as its inputs.

    Args:
        cell: any cell.

    Raises:
        ValueError: output and input differ in shape (found at the first step).

    Use it in stacks of three layers and more, so that the gradient passes each layer unhindered.

    Source: Y. Wu et al., "Google's neural machine translation system", arXiv 1609.08144, 2016, section 3.1.

    >>> import torch
    >>> from ostinato.cells import GRUCell
    >>> cell = Residual(GRUCell(5, 5))
    >>> y, h = cell(torch.ones(2, 5), torch.zeros(2, 5))
    >>> torch.equal(y, 1 + h)
    True
    """

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Advance one step; return `x` plus the cell's output, and its new state."""
        y, new_state = _advance(self.cell, x, state)
        if y.shape != x.shape:
            raise ValueError(
                f"the cell's output has shape {tuple(y.shape)} and its input {tuple(x.shape)}; "
                "a residual adds them, so they must be the same"
            )
        return x + y, new_state


def _check_rate(rate: float) -> None:
    if not 0 <= rate <= 1:
        raise ValueError(f"rate is {rate}; expected a probability from 0 to 1")


def _leaves(state: State) -> list[Tensor]:
    if isinstance(state, Tensor):
        return [state]
    return [leaf for part in state for leaf in _leaves(part)]


def _like(state: State, leaves: list[Tensor]) -> State:
    """Return a state nested as `state` with these tensors, in order."""
    rest = iter(leaves)

    def rebuild(part: State) -> State:
        return next(rest) if isinstance(part, Tensor) else tuple(rebuild(inner) for inner in part)

    return rebuild(state)


def _start_of(cell: nn.Module, x: Tensor) -> State:
    """Return where a cell starts: its own start, or the first of one to four tensors of zeros that it takes."""
    initial = getattr(cell, "initial_state", None)
    if callable(initial):
        start: State = initial(x)
        return start
    zeros = x.new_zeros(x.shape[0], getattr(cell, "hidden_size", x.shape[-1]))
    candidates: list[State] = [zeros, *((zeros,) * count for count in (2, 3, 4))]
    for candidate in candidates:
        if _takes(cell, x, candidate):
            return candidate
    raise ValueError(f"the start of {type(cell).__name__} could not be found; give it a method initial_state(x)")


def _takes(cell: nn.Module, x: Tensor, state: State) -> bool:
    try:
        with torch.no_grad():
            _, new_state = _advance(cell, x, state)
    except (RuntimeError, ValueError, TypeError, IndexError, AttributeError):
        return False
    return [leaf.shape for leaf in _leaves(new_state)] == [leaf.shape for leaf in _leaves(state)]


def _advance(cell: nn.Module, x: Tensor, state: State) -> tuple[Tensor, State]:
    """Return a cell's output and new state, also for one that returns only its state, as those of `torch.nn` do."""
    result = cell(x, state)
    if _nesting(result) == _nesting(state):
        return _leaves(result)[0], result
    y, new_state = result
    if _nesting(new_state) != _nesting(state):
        raise ValueError(f"{type(cell).__name__} gave back a state nested otherwise than the one it was given")
    return y, new_state


def _nesting(state: State) -> Any:
    return None if isinstance(state, Tensor) else tuple(_nesting(part) for part in state)
