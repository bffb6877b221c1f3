"""`RNN`, `LSTM` and `GRU` of `torch.nn` with the loop over time run by the engine.

Each is its namesake in `torch.nn` by inheritance: constructor, parameters, state_dict, hooks, copies, pickles. A call
that the engine takes and gains by (`choice`) goes through `scan`; any other (another device or precision, a few steps,
tracing, transforms of functions, arguments that do not fit) goes to PyTorch's own `forward`, which then also raises
PyTorch's own errors.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, fx, nn

from ostinato.engine import State, leaves
from ostinato.engine.run.compiled import suits
from ostinato.engine.run.scan import scan_checked
from ostinato.nn.dropin import choice, half, known
from ostinato.nn.dropin.quick import LEFT_TO_TORCH
from ostinato.nn.dropin.restored import Restored
from ostinato.nn.dropin.sequences import Batch, Given, extent_of, open_batch, values_of
from ostinato.nn.dropin.steps import Walk, walks_of

_TORCH = {"LSTM": nn.LSTM, "GRU": nn.GRU, "RNN_TANH": nn.RNN, "RNN_RELU": nn.RNN}


class _EngineLoop(Restored, nn.RNNBase):
    """What the three layers share: `forward` through the engine, or else as in `torch.nn`."""

    def forward(self, input: Given, hx: Any = None) -> Any:  # noqa: A002 - the name in torch.nn
        """Run the layer; arguments, results and errors are those of the layer's namesake in `torch.nn`."""
        if torch.compiler.is_compiling():
            # where PyTorch's tracers enter a recurrent layer at all, they are to find its operations
            return super().forward(input, hx)
        before = known.known_of(self)
        if before is not None:
            result = before.run(self, input, hx)
            if result is LEFT_TO_TORCH:
                return super().forward(input, hx)
            if result is not None:
                return result
        if isinstance(input, fx.Proxy):
            return self._stay_whole(input, hx)
        if half.wanted(self, input):
            return self._in_halves(input, hx)
        if not self._takes(input, hx):
            return super().forward(input, hx)
        if not self._gains(input):
            known.meet(self)  # the next call is left to PyTorch sooner
            return super().forward(input, hx)
        # as in torch.nn, and as often: a parametrisation may count how many times it is computed
        self._update_flat_weights()
        walks = walks_of(self, input if isinstance(input, Tensor) else input.data)
        if walks is None:
            return super().forward(input, hx)
        batch = open_batch(input, self.batch_first)
        result = self._run(walks, batch, hx)
        known.learn(self, walks, batch.xs, self._state(hx) or ())
        return result

    def _in_halves(self, given: Given, hx: Any) -> Any:
        """Run the layer under autocast to bfloat16: products of that, all else in float32, as the weights are.

        Outputs and states have the types that those of torch.nn have there.
        """
        wide, start = half.widened(given), half.widened(hx)
        before = known.known_of(self)
        if before is not None:
            results = before.run(self, wide, start, mixed=True)
            if results is LEFT_TO_TORCH:
                return super().forward(given, hx)
            if results is not None:
                return half.in_types_of_torch(results, self, given, hx)
        if not (self._takes(wide, start, half=True) and self._gains(wide)):
            return super().forward(given, hx)
        self._update_flat_weights()
        walks = walks_of(self, wide if isinstance(wide, Tensor) else wide.data)
        if walks is None:
            return super().forward(given, hx)
        batch = open_batch(wide, self.batch_first)
        results = self._run(walks, batch, start)
        with torch.autocast("cpu", enabled=False):
            known.learn(self, walks, batch.xs, self._state(start) or (), mixed=True)
        return half.in_types_of_torch(results, self, given, hx)

    def _takes(self, given: Given, hx: Any, *, half: bool = False) -> bool:
        """Tell whether a call is well formed, and one that the engine takes; by products of a `half`."""
        xs, state = values_of(given), self._state(hx)
        if xs is None or state is None or torch._C._is_tracing():
            return False
        if _under_vmap():
            return self._fits(given, state)  # in the eager loop: torch.nn has no rule for `vmap`
        if xs.device.type != "cpu":
            return False  # cuDNN has these layers
        if not suits(xs, state) or xs.dtype is torch.bfloat16:
            return False
        if torch.is_autocast_enabled(xs.device.type) and not half:
            return False  # PyTorch multiplies in bfloat16, the engine widens first
        return self._fits(given, state)

    def _gains(self, given: Given) -> bool:
        """Tell whether the engine is expected to be faster."""
        extent, xs = extent_of(given, self.batch_first), values_of(given)
        assert extent is not None
        assert xs is not None
        return _under_vmap() or choice.pays(self, xs.dtype, extent.steps, extent.rows, extent.ragged)

    def _fits(self, given: Given, state: tuple[Tensor, ...]) -> bool:
        """Tell whether sequences and state have the layer's sizes."""
        extent, xs = extent_of(given, self.batch_first), values_of(given)
        if extent is None or xs is None or xs.shape[-1] != self.input_size:
            return False
        rows = (len(self._all_weights), *extent.batch)
        return all(part.shape == (*rows, width) for part, width in zip(state, self._widths(), strict=False))

    def _state(self, hx: Any) -> tuple[Tensor, ...] | None:
        """Return the tensors of a given state, none of them if it is left out; `None` if it is not one."""
        if hx is None:
            return ()
        parts = hx if self.mode == "LSTM" else (hx,)
        if not isinstance(parts, (tuple, list)) or len(parts) != len(self._widths()):
            return None
        return tuple(parts) if all(isinstance(part, Tensor) for part in parts) else None

    def _widths(self) -> tuple[int, ...]:
        """Return how wide the tensors of the state are."""
        output = self.proj_size or self.hidden_size
        return (output, self.hidden_size) if self.mode == "LSTM" else (output,)

    def _run(self, walks: list[Walk], batch: Batch, hx: Any) -> tuple[Given, Any]:
        """Walk layer by layer, each in one direction or both."""
        xs, ways = batch.xs, 2 if self.bidirectional else 1
        starts = self._starts(batch, hx)
        lasts: list[State] = []
        for place in range(0, len(walks), ways):
            if place and self.training and self.dropout:
                xs = batch.dropout(xs, self.dropout)
            # what a user is given may be changed in place, as the outputs of torch.nn on the CPU may
            apart = ways == 1 and place + 1 == len(walks)
            runs = [
                scan_checked(
                    walks[place + way].ready(),
                    xs,
                    starts[place + way],
                    lengths=batch.lengths,
                    reverse=way == 1,
                    apart=apart,
                )
                for way in range(ways)
            ]
            xs = runs[0][0] if ways == 1 else torch.cat([ys for ys, _ in runs], -1)
            lasts += [last for _, last in runs]
        stacked = (torch.stack(parts) for parts in zip(*map(leaves, lasts), strict=True))
        state = tuple(batch.last(part) for part in stacked)
        return batch.outputs(xs), state if self.mode == "LSTM" else state[0]

    def _starts(self, batch: Batch, hx: Any) -> list[State]:
        parts = self._state(hx)
        if not parts:
            zeros = tuple(batch.xs.new_zeros((batch.xs.shape[1], width)) for width in self._widths())
            return [zeros] * len(self._all_weights)
        return list(zip(*(batch.start(part).unbind(0) for part in parts), strict=True))

    def _stay_whole(self, given: fx.Proxy, hx: Any) -> Any:
        """Be one node of a graph that `torch.fx` traces, as the layers of torch.nn are."""
        tracer: Any = given.tracer
        return tracer.create_proxy(
            "call_module", tracer.path_of_module(self), (given,) if hx is None else (given, hx), {}
        )

    def __prepare_scriptable__(self) -> nn.RNNBase:
        """Let `torch.jit.script` see the layer of torch.nn, with the very same parameters.

        It also puts what it is shown in the place of the drop-in; `accelerate` turns that back.
        """
        twin = copy.copy(self)
        twin.__class__ = _TORCH[self.mode]
        return twin


def _under_vmap() -> bool:
    """Tell whether `torch.func.vmap` runs this call, as it does for `jacfwd` and others."""
    if torch._C._functorch.peek_interpreter_stack() is None:
        return False
    levels = torch._C._functorch.get_interpreter_stack() or ()
    return any(level.key() == torch._C._functorch.TransformType.Vmap for level in levels)


class RNN(_EngineLoop, nn.RNN):
    """`torch.nn.RNN`, arguments and all, through the engine on the CPU.

    >>> import torch, ostinato
    >>> layer = ostinato.nn.RNN(3, 5, num_layers=2, nonlinearity="relu")
    >>> output, h = layer(torch.randn(7, 2, 3))
    >>> tuple(output.shape), tuple(h.shape)
    ((7, 2, 5), (2, 2, 5))
    """


class LSTM(_EngineLoop, nn.LSTM):
    """`torch.nn.LSTM`, arguments and all, through the engine on the CPU.

    >>> import torch, ostinato
    >>> layer = ostinato.nn.LSTM(3, 5, bidirectional=True, batch_first=True)
    >>> output, (h, c) = layer(torch.randn(2, 7, 3))
    >>> tuple(output.shape), tuple(h.shape), isinstance(layer, torch.nn.LSTM)
    ((2, 7, 10), (2, 2, 5), True)
    """


class GRU(_EngineLoop, nn.GRU):
    """`torch.nn.GRU`, arguments and all, through the engine on the CPU.

    >>> import torch, ostinato
    >>> layer = ostinato.nn.GRU(3, 5)
    >>> output, h = layer(torch.randn(7, 3))  # one sequence without a batch
    >>> tuple(output.shape), tuple(h.shape)
    ((7, 5), (1, 5))
    """
