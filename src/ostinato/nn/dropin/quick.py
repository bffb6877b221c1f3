"""Calls of a layer that is as it was: its plans are known, and what they depend on is compared object by object.

What is looked at each time: the layer's class, settings, mode and parameters (the objects themselves, their shapes,
types, places in memory and whether they want gradients), the sequences and the state, and whatever of PyTorch's
watches, traces or transforms a call. Weights are read where they lie at every call, so changing them in place needs no
watching. Anything else than before takes the longer way, which tells what is new.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import is_, itemgetter
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

from ostinato.engine.plan.linear import is_wanted
from ostinato.engine.run.compiled import Ready, find
from ostinato.engine.run.plain import plain_uncompiled, saving_is_watched
from ostinato.engine.run.quick import Calls, Ragged, calls_of, run_calls
from ostinato.engine.run.quick import Walk as Direction
from ostinato.engine.run.unchanged import checker
from ostinato.nn.dropin import choice
from ostinato.nn.dropin.sequences import Batch, open_batch
from ostinato.nn.dropin.steps import Walk

_SETTINGS = (
    "mode", "input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional", "proj_size",
)  # fmt: skip
_settings = itemgetter(*_SETTINGS)
_PLAIN = (Tensor, nn.Parameter)
_MOST_PLANS = 16
_MOST_SHAPES = 256

LEFT_TO_TORCH = object()
"""Instead of a result: PyTorch runs this call faster."""


class _Plan(NamedTuple):
    """Of one layer in one direction."""

    ready: Ready
    order: list[int]
    """Which of all parameters the plan takes, in its own order."""


class _Arranged(NamedTuple):
    """A call of one shape, looked up once."""

    check: Callable[..., bool]
    """Tells whether sequences, parameters and states are of the kind, shape, layout and type that they were."""
    steps: Sequence[Calls]
    """One for all walks, or one for each walk; none where PyTorch is faster."""
    picks: Sequence[Callable[[Any], Sequence[Tensor]]]
    """Which parameters each takes."""


class Known:
    """What is known of a layer: how it was, and its plans."""

    def __init__(self, layer: nn.RNNBase) -> None:
        self.kind = type(layer)
        self.settings = _settings(layer.__dict__)
        self.names = [name for walk in layer._all_weights for name in walk]
        self._pick = itemgetter(*self.names)
        self.parameters: tuple[Tensor, ...] = self._pick(layer._parameters)
        self.shapes = [parameter.shape for parameter in self.parameters]
        self.dtype = self.parameters[0].dtype
        self.each = len(layer._all_weights[0])
        self.ways = 2 if layer.bidirectional else 1
        self.parts = 2 if layer.mode == "LSTM" else 1
        """Tensors of a state."""
        self.plans: dict[Any, list[_Plan]] = {}
        self.arranged: dict[Any, _Arranged] = {}
        self.judge: Any = None

    def run(self, layer: nn.RNNBase, given: Any, hx: Any, *, mixed: bool = False) -> Any:
        """Run a call; none if anything is not as it was, `LEFT_TO_TORCH` if PyTorch is faster.

        Products may be of bfloat16 in a call that is `mixed`. No compiler of PyTorch's may be at work.
        """
        kept = layer.__dict__
        if type(layer) is not self.kind or _settings(kept) != self.settings or not plain_uncompiled():
            return None
        if torch.is_grad_enabled() and saving_is_watched():
            return None
        if not self.still_has(kept):
            return None
        starts: Any = () if hx is None else hx if self.parts > 1 else (hx,)
        if hx is not None and not _is_state(starts, self.parts):
            return None
        if type(given) is PackedSequence:
            return self._run_packed(layer, given, starts, mixed)
        if type(given) not in _PLAIN:
            return None
        found = self._looked_up(layer, given, starts, given.shape, None, mixed)
        if found is None:
            return None
        if not found.steps:
            return LEFT_TO_TORCH
        return self._walk(layer, found, given, starts)

    def _looked_up(
        self, layer: nn.RNNBase, given: Tensor, starts: Sequence[Tensor], shape: Any, extent: tuple[int, int] | None,
        mixed: bool,
    ) -> _Arranged | None:  # fmt: skip
        """Return what calls of a shape need, arranged now if they never were or if a tensor is not as it was."""
        if self.judge is not choice.pays:
            self.judge = choice.pays
            self.arranged.clear()
        grad = torch.is_grad_enabled()
        key = (
            shape, given.requires_grad, len(starts), grad, layer.training, is_wanted(), torch.get_num_threads(),
            torch._C._get_mkldnn_enabled(), mixed,
        )  # fmt: skip
        found = self.arranged.get(key)
        if found is None or not found.check(given, *self.parameters, *starts):
            found = self._arrange(layer, given, starts, grad, extent, mixed)
            if found is not None:
                if len(self.arranged) >= _MOST_SHAPES:
                    self.arranged.clear()
                self.arranged[key] = found
        return found

    def _run_packed(self, layer: nn.RNNBase, given: PackedSequence, starts: Sequence[Tensor], mixed: bool) -> Any:
        data, sizes = given.data, given.batch_sizes
        steps, batch = len(sizes), int(sizes[0])
        level = len(data) == steps * batch
        if type(data) not in _PLAIN or data.dim() != 2 or (batch == 1 and not level):
            return None
        if not choice.pays(layer, data.dtype, steps, len(data) / steps, not level):
            return LEFT_TO_TORCH
        opened = open_batch(given, False)
        read = opened.xs if level else data
        found = self._looked_up(layer, read, starts, (steps, batch, "packed", level), (steps, batch), mixed)
        if found is None or not found.steps:
            return None
        ragged = None
        if opened.lengths is not None:
            rows = self.plans_rows(opened.lengths, steps)
            if rows is None:
                return None
            ragged = Ragged(opened.lengths, rows)
        xs, begin = opened.xs, [opened.start(start).contiguous() for start in starts]
        if len(found.steps) == 1:
            ys, *state = run_calls(found.steps[0], xs, found.picks[0](self.parameters), begin, ragged=ragged)
        else:
            ys, state = self._one_by_one(layer, found, xs, begin, ragged, opened)
        parts = [opened.last(part) for part in state]
        return opened.outputs(ys), (parts[0] if self.parts == 1 else tuple(parts))

    def plans_rows(self, lengths: Tensor, steps: int) -> Any:
        """Return lengths as the plans read them; none if they cannot."""
        plans = next(iter(self.plans.values()))
        return plans[0].ready.executable.quick_rows(lengths, steps)

    def still_has(self, kept: dict[str, Any]) -> bool:
        """Tell whether the parameters of a layer, given its attributes, are those that were known."""
        table = kept["_parameters"]
        if len(table) != len(self.names) or kept["_modules"]:
            return False
        try:
            return all(map(is_, self._pick(table), self.parameters))
        except KeyError:
            return False

    def is_as(self, layer: nn.RNNBase) -> bool:
        """Tell whether a layer has the settings and parameters that were known."""
        kept = layer.__dict__
        return _settings(kept) == self.settings and self.still_has(kept) and self.readable()

    def readable(self) -> bool:
        """Tell whether the parameters can be read where they lie."""
        return all(
            parameter.shape == shape
            and parameter.dtype is self.dtype
            and parameter.is_cpu
            and parameter.layout is torch.strided
            and parameter.is_contiguous()
            and not parameter.is_neg()
            for parameter, shape in zip(self.parameters, self.shapes, strict=True)
        )

    def learn(
        self, layer: nn.RNNBase, walks: Sequence[Walk], xs: Tensor, starts: Sequence[Tensor], mixed: bool
    ) -> None:
        """Keep the plans of a call that went the longer way, `(time, batch, features)`, from a state if it had one."""
        key = self._wishes(torch.is_grad_enabled(), xs, starts)
        if (key, mixed) in self.plans or len(self.plans) >= _MOST_PLANS:
            return
        batch, plans = xs.shape[1], []
        widths = (layer.proj_size or layer.hidden_size, layer.hidden_size)[: self.parts]
        for place, walk in enumerate(walks):
            sequences = xs
            if place >= self.ways:  # of a layer above the first: the outputs of the one below
                sequences = xs.new_zeros((1, batch, self.ways * widths[0])).requires_grad_(any(key[:-1]))
            state = tuple(xs.new_zeros((batch, width)).requires_grad_(key[1]) for width in widths)
            step = walk.ready()
            ready = find(step, step, sequences, state, mixed=mixed)
            if not isinstance(ready, Ready):
                return
            names = [name.partition("_l")[0] for name in layer._all_weights[place]]
            order = [place * self.each + names.index(name) for name in ready.executable.plan.signature.parameters]
            plans.append(_Plan(ready, order))
        self.plans[key, mixed] = plans

    def _wishes(self, grad: bool, xs: Tensor, starts: Sequence[Tensor]) -> tuple[bool, ...]:
        """Return what a plan depends on beside the layer: of which tensors gradients are wanted; pieces."""
        if not grad:
            return (False, False, is_wanted())
        state = any(start.requires_grad for start in starts)
        return (xs.requires_grad, state, *[parameter.requires_grad for parameter in self.parameters], is_wanted())

    def _arrange(
        self, layer: nn.RNNBase, given: Tensor, starts: Sequence[Tensor], grad: bool, extent: tuple[int, int] | None,
        mixed: bool,
    ) -> _Arranged | None:  # fmt: skip
        """Look up a call's plans, if it fits the layer and they are known; packed rows have an `extent`."""
        if not self.readable() or not self._reads(given):
            return None
        ragged, batched = extent is not None and given.dim() == 2, extent is not None or given.dim() == 3
        steps, batch = extent or (given.shape[:2] if batched else (given.shape[0], 1))
        if batched and layer.batch_first and extent is None:
            batch, steps = steps, batch
        if not self._fits(layer, starts, batch, batched):
            return None
        check = checker(self.parameters, [given], starts, free=ragged)
        if not ragged and not choice.pays(layer, given.dtype, steps, batch, False):
            return _Arranged(check, (), ())
        plans = self.plans.get((self._wishes(grad, given, starts), mixed))
        if plans is None:
            return None
        walks = [
            Direction(ready.executable, ready.number, place % self.ways == 1) for place, (ready, _) in enumerate(plans)
        ]
        layers = [walks[place : place + self.ways] for place in range(0, len(walks), self.ways)]
        save = grad and any(walk.executable.plan.backward is not None for walk in walks)
        dropped = layer.training and layer.dropout and len(layers) > 1
        whole = None if dropped else calls_of(layers, steps, batch, save=save, ragged=ragged)
        if whole is not None:
            return _Arranged(check, [whole], [itemgetter(*[index for plan in plans for index in plan.order])])
        each = [
            calls_of([[walk]], steps, batch, save=grad and walk.executable.plan.backward is not None, ragged=ragged)
            for walk in walks
        ]
        return _Arranged(check, each, [itemgetter(*plan.order) for plan in plans]) if all(each) else None  # type: ignore[arg-type]

    def _reads(self, given: Tensor) -> bool:
        """Tell whether sequences are plain, and of the layer's width."""
        shape = given.shape
        return (
            2 <= len(shape) <= 3
            and shape[-1] == self.settings[1]
            and given.dtype is self.dtype
            and given.is_cpu
            and given.layout is torch.strided
            and 0 not in shape
            and not given.is_neg()
        )

    def _fits(self, layer: nn.RNNBase, starts: Sequence[Tensor], batch: int, batched: bool) -> bool:
        """Tell whether the tensors of a state, `(walks, batch, width)` each, are plain and fit."""
        walks = len(self.names) // self.each
        widths = (layer.proj_size or layer.hidden_size, layer.hidden_size)
        return all(
            start.shape == ((walks, batch, width) if batched else (walks, width))
            and start.dtype is self.dtype
            and start.is_cpu
            and start.layout is torch.strided
            and not start.is_neg()
            for start, width in zip(starts, widths, strict=False)
        )

    def _walk(self, layer: nn.RNNBase, found: _Arranged, given: Tensor, starts: Sequence[Tensor]) -> Any:
        batched, turned, xs = given.dim() == 3, False, given
        if not batched:
            xs, starts = given.unsqueeze(1), [start.unsqueeze(1) for start in starts]
        elif layer.batch_first:
            xs, turned = given.transpose(0, 1), True
        if starts:
            starts = [start if start.is_contiguous() else start.contiguous() for start in starts]
        if len(found.steps) == 1:
            ys, *state = run_calls(found.steps[0], xs, found.picks[0](self.parameters), starts)
        else:
            ys, state = self._one_by_one(layer, found, xs, starts, None, None)
        if not batched:
            ys, state = ys.squeeze(1), [part.squeeze(1) for part in state]
        elif turned:
            ys = ys.transpose(0, 1)
        return ys, (state[0] if self.parts == 1 else tuple(state))

    def _one_by_one(
        self, layer: nn.RNNBase, found: _Arranged, xs: Tensor, starts: Sequence[Tensor], ragged: Ragged | None,
        opened: Batch | None,
    ) -> tuple[Tensor, list[Tensor]]:  # fmt: skip
        """Run a call walk by walk: outputs between layers are dropped, or the walks do not go together."""
        lasts: list[Sequence[Tensor]] = []
        outputs: list[Tensor] = []
        for place, (calls, pick) in enumerate(zip(found.steps, found.picks, strict=True)):
            if place and not place % self.ways:
                xs, outputs = torch.cat(outputs, -1), []
                if layer.training and layer.dropout:
                    drop = functional.dropout if opened is None else opened.dropout
                    xs = drop(xs, layer.dropout)
            begin = [start[place : place + 1] for start in starts]
            y, *last = run_calls(calls, xs, pick(self.parameters), begin, ragged=ragged)
            outputs.append(y)
            lasts.append(last)
        return torch.cat(outputs, -1), [torch.cat(parts) for parts in zip(*lasts, strict=True)]


def _is_state(parts: Any, count: int) -> bool:
    return type(parts) in (tuple, list) and len(parts) == count and all(type(part) is Tensor for part in parts)
