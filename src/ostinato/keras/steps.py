"""One step of each of Keras's recurrent cells, as cells for `scan`, reading weights that belong to Keras's cell.

The equations, the order of gates and the places of dropout are Keras's (3.15), so that the numbers are its numbers.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from ostinato.engine.beside import Beside
from ostinato.nn.dropin.steps import Step

Function: TypeAlias = Callable[[Tensor], Tensor]


def _linear(x: Tensor) -> Tensor:
    return x


def _leaky_relu(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, 0.2)


FUNCTIONS: dict[str, Function] = {
    "elu": functional.elu,
    "exponential": torch.exp,
    "hard_sigmoid": functional.hardsigmoid,
    "leaky_relu": _leaky_relu,
    "linear": _linear,
    "relu": torch.relu,
    "relu6": functional.relu6,
    "selu": functional.selu,
    "sigmoid": torch.sigmoid,
    "silu": functional.silu,
    "softplus": functional.softplus,
    "softsign": functional.softsign,
    "tanh": torch.tanh,
}
"""Activations of Keras, by name, that fused loops are made of; a cell with another runs in Keras's own loop."""


@dataclass(frozen=True)
class Form:
    """What distinguishes one step from another of the same kind."""

    activation: Function
    gate: Function = torch.sigmoid
    bias: bool = True
    reset_after: bool = True
    input_masks: int = 0
    """How many dropout masks there are for the input: none, or one for each gate."""
    state_masks: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """What the tensors are called that a step reads, in order."""
        bias = ("bias",) if self.bias else ()
        inputs = tuple(f"input_mask_{place}" for place in range(self.input_masks))
        return ("kernel", "recurrent_kernel", *bias, *inputs, *(f"state_mask_{k}" for k in range(self.state_masks)))


class KerasStep(Step):
    """What the steps share: products of Keras's kernels, which multiply from the right.

    Args:
        form: see there.
    """

    gates: int

    def __init__(self, form: Form) -> None:
        super().__init__(form.names)
        self.form = form
        self.rows_of_batch = tuple(name for name in form.names if "_mask_" in name)
        """For the engine: a weight that was cast to another precision may have as many rows as the batch too."""

    def _inputs(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """Return `x W + b` of all gates."""
        kernel = self._weight("kernel")
        if self.form.input_masks:
            parts = enumerate(kernel.chunk(self.gates, 1))
            given = torch.cat([x * self._weight(f"input_mask_{place}") @ part for place, part in parts], -1)
        else:
            given = x @ kernel
        return given if bias is None else given + bias

    def _recurrent(self, h: Tensor, gates: int) -> Tensor:
        """Return `h U` of the first gates."""
        kernel = self._weight("recurrent_kernel")
        if not self.form.state_masks:
            return h @ (kernel if gates == self.gates else kernel[:, : gates * h.shape[-1]])
        parts = enumerate(kernel.chunk(self.gates, 1)[:gates])
        return torch.cat([self._masked(h, place) @ part for place, part in parts], -1)

    def _masked(self, h: Tensor, place: int) -> Tensor:
        return h * self._weight(f"state_mask_{place}") if self.form.state_masks else h

    def _bias(self) -> Tensor | None:
        return self._weight("bias") if self.form.bias else None


class SimpleStep(KerasStep):
    """`h' = f(W x + b + U h)`; the output is the state."""

    gates = 1

    def forward(self, x: Tensor, state: tuple[Tensor]) -> tuple[Tensor, tuple[Tensor]]:
        """Advance one step."""
        h = self.form.activation(self._inputs(x, self._bias()) + self._recurrent(state[0], 1))
        return h, (h,)


class LSTMStep(KerasStep):
    """Keras's LSTM: gates i, f, c, o."""

    gates = 4

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Advance one step."""
        h, c = state
        i, f, g, o = (self._inputs(x, self._bias()) + self._recurrent(h, 4)).chunk(4, -1)
        gate, activation = self.form.gate, self.form.activation
        c = gate(f) * c + gate(i) * activation(g)
        h = gate(o) * activation(c)
        return h, (h, c)


class GRUStep(KerasStep):
    """Keras's GRU: gates z, r, h; its reset gate after the recurrent product, or before it."""

    gates = 3

    def forward(self, x: Tensor, state: tuple[Tensor]) -> tuple[Tensor, tuple[Tensor]]:
        """Advance one step."""
        (h,) = state
        gate, activation, bias = self.form.gate, self.form.activation, self._bias()
        if self.form.reset_after:
            before, after = (None, None) if bias is None else bias.flatten().chunk(2)
            x_z, x_r, x_h = self._inputs(x, before).chunk(3, -1)
            carried = self._recurrent(h, 3)
            h_z, h_r, h_h = (carried if after is None else carried + after).chunk(3, -1)
            z, r = gate(x_z + h_z), gate(x_r + h_r)
            candidate = activation(x_h + r * h_h)
        else:
            x_z, x_r, x_h = self._inputs(x, bias).chunk(3, -1)
            h_z, h_r = self._recurrent(h, 2).chunk(2, -1)
            z, r = gate(x_z + h_z), gate(x_r + h_r)
            kernel = self._weight("recurrent_kernel")
            candidate = activation(x_h + (r * self._masked(h, 2)) @ kernel[:, 2 * h.shape[-1] :])
        h = candidate + z * (h - candidate)
        return h, (h,)


STEPS: dict[str, type[KerasStep]] = {"SimpleRNNCell": SimpleStep, "LSTMCell": LSTMStep, "GRUCell": GRUStep}


class _Pool(threading.local):
    """The steps of each of Keras's cells, by form; a thread has its own, because it sets what they read."""

    def __init__(self) -> None:
        self.steps: Beside[dict[Form, KerasStep]] = Beside()


_pool = _Pool()


def step_of(cell: nn.Module, kind: str, form: Form, tensors: Sequence[Tensor]) -> nn.Module:
    """Return the step of a cell of Keras's, reading these tensors.

    It is kept with the cell, because the engine keeps compiled plans with each step.

    Args:
        cell: Keras's.
        kind: the name of its class.
        form: see there.
        tensors: what `form.names` are the names of.
    """
    known = _pool.steps.setdefault(cell, {})
    step = known.get(form)
    if step is None:
        step = known[form] = STEPS[kind](form)
    step.read(tensors)
    return step
