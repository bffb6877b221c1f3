"""Calls of a layer that is as it was: its plans are known, and what they depend on is compared object by object.

What is looked at each time: the layer's class, settings, mode and parameters (the objects themselves, their shapes,
types, places in memory and whether they want gradients), the sequences and the state, and whatever of PyTorch's
watches, traces or transforms a call. Weights are read where they lie at every call, so changing them in place needs no
watching. Anything else than before takes the longer way, which tells what is new.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn import functional

from ostinato.engine.plan.linear import is_wanted
from ostinato.engine.run.compiled import Ready, engine_is_on, find
from ostinato.engine.run.quick import scan_quickly
from ostinato.nn.dropin import choice
from ostinato.nn.dropin.steps import Walk

_SETTINGS = (
    "mode", "input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional", "proj_size",
    "training",
)  # fmt: skip
_settings = itemgetter(*_SETTINGS)
_MOST_PLANS = 16
_MOST_SHAPES = 256

LEFT_TO_TORCH = object()
"""Instead of a result: PyTorch runs this call faster."""


def plain_now() -> bool:
    """Tell whether nothing of PyTorch's watches, traces or transforms what is called now."""
    return not (
        torch._C._len_torch_dispatch_stack()
        or torch._C._len_torch_function_stack()
        or torch._C._functorch.peek_interpreter_stack() is not None
        or forward_ad._current_level >= 0
        or torch._C._is_tracing()
        or torch.compiler.is_compiling()
        or torch.is_autocast_enabled("cpu")
        or not engine_is_on()
    )


class _Weight:
    """One parameter as it was."""

    __slots__ = ("name", "parameter", "shape")

    def __init__(self, name: str, parameter: Tensor) -> None:
        self.name, self.parameter, self.shape = name, parameter, parameter.shape


class _Plan(NamedTuple):
    """Of one layer in one direction."""

    ready: Ready
    order: list[int]
    """Which of all parameters the plan takes, in its own order."""


class Known:
    """What is known of a layer: how it was, and its plans."""

    def __init__(self, layer: nn.RNNBase) -> None:
        self.kind = type(layer)
        self.settings = _settings(layer.__dict__)
        names = [name for walk in layer._all_weights for name in walk]
        self.weights = [_Weight(name, layer._parameters[name]) for name in names]  # type: ignore[arg-type]
        self.dtype = self.weights[0].parameter.dtype
        self.each = len(layer._all_weights[0])
        self.ways = 2 if layer.bidirectional else 1
        self.plans: dict[Any, list[_Plan]] = {}
        self.judge: Any = None
        self.pays: dict[Any, bool] = {}

    def run(self, layer: nn.RNNBase, given: Any, hx: Any) -> Any:
        """Run a call; none if anything is not as it was, `LEFT_TO_TORCH` if PyTorch is faster."""
        kept = layer.__dict__
        if type(layer) is not self.kind or _settings(kept) != self.settings or not plain_now():
            return None
        parameters = self._parameters(kept)
        if parameters is None or not self._reads(given):
            return None
        batched = given.dim() == 3
        xs = given if batched else given.unsqueeze(1)
        if batched and kept["batch_first"]:
            xs = xs.transpose(0, 1)
        starts = self._starts(kept, hx, xs.shape[1], batched)
        if starts is None:
            return None
        grad = torch.is_grad_enabled()
        if not self._gains(layer, xs, grad):
            return LEFT_TO_TORCH
        found = self.plans.get(_wishes(grad, given, parameters, starts))
        if found is None:
            return None
        return self._walk(layer, found, parameters, xs, starts, grad, batched)

    def learn(self, layer: nn.RNNBase, walks: Sequence[Walk], xs: Tensor, starts: Sequence[Tensor]) -> None:
        """Keep the plans of a call that went the longer way, `(time, batch, features)`, from a state if it had one."""
        key = _wishes(torch.is_grad_enabled(), xs, [weight.parameter for weight in self.weights], starts)
        if key in self.plans or len(self.plans) >= _MOST_PLANS:
            return
        batch, plans = xs.shape[1], []
        widths = (layer.proj_size or layer.hidden_size, layer.hidden_size)[: 2 if layer.mode == "LSTM" else 1]
        for place, walk in enumerate(walks):
            sequences = xs
            if place >= self.ways:  # of a layer above the first: the outputs of the one below
                sequences = xs.new_zeros((1, batch, self.ways * widths[0])).requires_grad_(any(key[:-1]))
            state = tuple(xs.new_zeros((batch, width)).requires_grad_(key[1]) for width in widths)
            step = walk.ready()
            ready = find(step, step, sequences, state)
            if not isinstance(ready, Ready):
                return
            names = [name.partition("_l")[0] for name in layer._all_weights[place]]
            order = [place * self.each + names.index(name) for name in ready.executable.plan.signature.parameters]
            plans.append(_Plan(ready, order))
        self.plans[key] = plans

    def _parameters(self, kept: dict[str, Any]) -> list[Tensor] | None:
        """Return the parameters, if they are those that were known."""
        table, dtype = kept["_parameters"], self.dtype
        if len(table) != len(self.weights) or kept["_modules"]:
            return None
        found = []
        for weight in self.weights:
            parameter = weight.parameter
            if (
                table.get(weight.name) is not parameter
                or parameter.shape != weight.shape
                or parameter.dtype is not dtype
                or not parameter.is_cpu
                or parameter.layout is not torch.strided
                or not parameter.is_contiguous()
                or parameter.is_neg()
            ):
                return None
            found.append(parameter)
        return found

    def _reads(self, given: Any) -> bool:
        """Tell whether sequences are plain, and of the layer's width."""
        if type(given) is not Tensor and type(given) is not nn.Parameter:
            return False
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

    def _starts(self, kept: dict[str, Any], hx: Any, batch: int, batched: bool) -> Sequence[Tensor] | None:
        """Return the tensors of a state, `(walks, batch, width)` each, none for zeros; `None` if it does not fit."""
        if hx is None:
            return ()
        lstm = kept["mode"] == "LSTM"
        parts = hx if lstm else (hx,)
        if type(parts) not in (tuple, list) or len(parts) != 1 + lstm:
            return None
        walks = len(self.weights) // self.each
        widths = (kept["proj_size"] or kept["hidden_size"], kept["hidden_size"])
        for part, width in zip(parts, widths, strict=False):
            if (
                type(part) is not Tensor
                or part.shape != ((walks, batch, width) if batched else (walks, width))
                or part.dtype is not self.dtype
                or not part.is_cpu
                or part.layout is not torch.strided
                or part.is_neg()
            ):
                return None
        return parts if batched else [part.unsqueeze(1) for part in parts]

    def _gains(self, layer: nn.RNNBase, xs: Tensor, grad: bool) -> bool:
        """Tell what `choice` says of calls of this shape."""
        if self.judge is not choice.pays:
            self.judge, self.pays = choice.pays, {}
        key = (*xs.shape[:2], grad, torch._C._get_mkldnn_enabled())
        known = self.pays.get(key)
        if known is None:
            if len(self.pays) >= _MOST_SHAPES:
                self.pays.clear()
            known = self.pays[key] = choice.pays(layer, xs.dtype, xs.shape[0], xs.shape[1], False)
        return known

    def _walk(
        self, layer: nn.RNNBase, plans: list[_Plan], parameters: list[Tensor], xs: Tensor, starts: Sequence[Tensor],
        grad: bool, batched: bool,
    ) -> Any:  # fmt: skip
        lasts: list[Sequence[Tensor]] = []
        only = len(plans) == 1
        given: list[Tensor] = []
        for place, (ready, order) in enumerate(plans):
            way = place % self.ways
            if not way:
                if place:
                    xs = given[0] if self.ways == 1 else torch.cat(given, -1)
                    if layer.training and layer.dropout:
                        xs = functional.dropout(xs, layer.dropout)
                given = []
            done = scan_quickly(
                ready.executable, ready.number, [parameters[index] for index in order], xs,
                starts if only else [start[place : place + 1] for start in starts], reverse=way == 1,
                save=grad and ready.executable.plan.backward is not None, stacked=True,
            )  # fmt: skip
            if done is None:
                return None
            given.append(done[0])
            lasts.append(done[1:])
        ys = given[0] if self.ways == 1 else torch.cat(given, -1)
        state = lasts[0] if only else [torch.cat(parts) for parts in zip(*lasts, strict=True)]
        if not batched:
            ys, state = ys.squeeze(1), [part.squeeze(1) for part in state]
        elif layer.batch_first:
            ys = ys.transpose(0, 1)
        return ys, (tuple(state) if len(state) == 2 else state[0])


def _wishes(grad: bool, xs: Tensor, parameters: Sequence[Tensor], starts: Sequence[Tensor]) -> tuple[bool, ...]:
    """Return what a plan depends on beside the layer: of which tensors gradients are wanted; pieces."""
    if not grad:
        return (False, False, is_wanted())
    state = any(start.requires_grad for start in starts)
    return (xs.requires_grad, state, *[parameter.requires_grad for parameter in parameters], is_wanted())


_known: dict[int, tuple[Any, Known]] = {}
"""By the `id` of a layer; beside it, not in it: state_dict, pickles, copies and replicas stay those of torch.nn."""


def known_of(layer: nn.RNNBase) -> Known | None:
    """Return what is known of a layer."""
    found = _known.get(id(layer))
    return found[1] if found is not None and found[0]() is layer else None


def learn(layer: nn.RNNBase, walks: Sequence[Walk], xs: Tensor, starts: Sequence[Tensor]) -> None:
    """Keep what a call by the longer way has found, if the layer is plain."""
    known = known_of(layer)
    if known is None or _settings(layer.__dict__) != known.settings or known._parameters(layer.__dict__) is None:
        table = layer._parameters
        names = [name for walk in layer._all_weights for name in walk]
        tied = len({id(table.get(name)) for name in names}) < len(names)
        plain = not tied and all(type(table.get(name)) is nn.Parameter for name in names) and len(names) == len(table)
        if not plain or layer._modules or not plain_now():
            _known.pop(id(layer), None)
            return
        number = id(layer)
        known = Known(layer)
        _known[number] = (weakref.ref(layer, lambda _: _known.pop(number, None)), known)
    if plain_now():
        known.learn(layer, walks, xs, starts)
