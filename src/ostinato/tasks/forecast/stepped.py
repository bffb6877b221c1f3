"""A network for one window at a time: its stack and its last layers are one compiled step, as of any stream.

The context of a window is normalised by the window, so that its steps differ from row to row and are gone through
again; that is as many compiled steps as the context has segments, whatever came before it.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any

import torch
from torch import Tensor, nn

from ostinato.engine import State, leaves, map_state
from ostinato.engine.run.snapshot import snapshot
from ostinato.engine.run.stepping import StepKernel, step_kernel
from ostinato.nn import Recurrent
from ostinato.tasks.forecast.inputs import Inputs
from ostinato.tasks.forecast.network import DirectNetwork, RecursiveNetwork


class SteppedNetwork:
    """A copy of a direct network, called as it is, with windows of one series; see `stepped`."""

    def __init__(self, network: DirectNetwork) -> None:
        self.copy: Any = snapshot(network)
        self.head, self.settings = network.head, network.settings
        self._lock = threading.Lock()
        self._rows = self.settings.targets
        x = torch.zeros(self._rows * self.settings.future_segments, self.settings.hidden_size)
        self._kernel, self._start = _made(_Segment(self.copy), x)
        _alive.add(self)

    def __call__(self, inputs: Inputs) -> Tensor:
        """Return the head's numbers for each target, `(rows, horizon, head size)`."""
        if self._kernel is None or len(inputs.history) != self._rows:
            found: Tensor = self.copy(inputs)
            return found
        settings, network = self.settings, self.copy
        context, queries = network.context_steps(inputs), network.queries(inputs)
        with self._lock:
            after = self._walked(self._kernel, context, queries.flatten(0, 1))
        after = after.reshape(self._rows, settings.future_segments, -1)
        size = network.output.out_features
        numbers, amplitudes = after[..., :size], after[..., size:]
        numbers = numbers.reshape(self._rows, -1, self.head.size)[:, : settings.horizon]
        if network.profile is not None:
            numbers = network.add_waves(numbers, amplitudes, inputs, settings.context)
        shifted: Tensor = network.add_highway(numbers, inputs)
        return shifted

    def _walked(self, kernel: StepKernel, context: Tensor, queries: Tensor) -> Tensor:
        """Return what the last layers say to each query, `(rows * segments, numbers)`, after the context."""
        count = self._rows
        kernel.set_state(self._start)
        kernel.set_count(count)
        for step in context.numpy():
            kernel.x[:count] = step
            kernel.advance()
        # each segment of the horizon is one more row, starting from its window's state
        segments = self.settings.future_segments
        if segments > 1:
            kernel.set_state([layer[:count].repeat_interleave(segments, 0) for layer in kernel.state()])
            kernel.set_count(count * segments)
        kernel.x[: count * segments] = queries.numpy()
        kernel.advance()
        return torch.from_numpy(kernel.y[: count * segments].copy())

    def __reduce__(self) -> tuple[type[SteppedNetwork], tuple[Any]]:
        """Return what is copied or pickled: not the compiled step, which the copy makes for itself."""
        return SteppedNetwork, (self.copy,)

    def is_up_to_date(self, network: nn.Module) -> bool:
        """Tell whether a network has the weights that were copied."""
        mine, theirs = self.copy.state_dict(), network.state_dict()
        return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


class _Segment(nn.Module):
    """The stack with the last layers behind it, as one cell."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.recurrent, self.output, self.profile = network.recurrent, network.output, network.profile

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Advance one segment, and say what the last layers make of it."""
        features, new = self.recurrent.step(x, state)
        numbers = self.output(features)
        return (numbers if self.profile is None else torch.cat([numbers, self.profile(features)], -1)), new

    def initial_state(self, x: Tensor) -> State:
        """Return where the stack starts."""
        found: State = self.recurrent.initial_state(x)
        return found


def _made(cell: _Segment, x: Tensor) -> tuple[StepKernel | None, list[Tensor]]:
    """Return the compiled step and where it starts, with memory for the rows of `x`; none that the engine refuses."""
    with torch.inference_mode(False), torch.no_grad():
        start = map_state(lambda leaf: leaf.detach().clone(), cell.initial_state(x))
        return step_kernel(cell.eval(), x, start), leaves(start)


_made_for: weakref.WeakKeyDictionary[nn.Module, SteppedNetwork] = weakref.WeakKeyDictionary()
_alive: weakref.WeakSet[SteppedNetwork] = weakref.WeakSet()


def _after_fork() -> None:
    # another thread may have been in a step, whose lock would stay held for ever
    for stepped in _alive:
        stepped._lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def stepped(
    network: DirectNetwork | RecursiveNetwork | SteppedNetwork,
) -> DirectNetwork | RecursiveNetwork | SteppedNetwork:
    """Return what forecasts as a network does, compiled where it can be; all streams of a network share it.

    Networks that decode recursively, and stacks whose state grows, stay as they are.
    """
    if not isinstance(network, DirectNetwork) or not isinstance(network.recurrent, Recurrent):
        return network
    found = _made_for.get(network)
    if found is None or not found.is_up_to_date(network):
        found = _made_for[network] = SteppedNetwork(network)
    return found
