"""Updates of small models with little around them: the kernels that PyTorch calls, and their bits, called straight.

For each step PyTorch sorts parameters by device and type, and multiplies gradients by one where there is nothing to
clip. Of a model of an embedding, an LSTM of 128 units and an output layer, that was a third of a step on one row.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from operator import is_
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import optimizer as _hooks_of_all

from ostinato.engine.run.unchanged import checker


class _Group(NamedTuple):
    """What an update of the parameters that have a gradient needs, looked up once."""

    parameters: list[nn.Parameter]
    check: Callable[..., bool]
    """Tells whether parameters and gradients are of the kind, type and device that they were."""
    all_states: tuple[dict[str, Tensor], ...]
    """Of the optimiser."""
    states: list[dict[str, Tensor]]
    """Of these parameters."""
    tensors: list[Tensor]
    """Of their states: how often each was updated, first moments, second moments."""


class _Direct:
    """What both have in common: the fused update of one group of like parameters on the CPU."""

    _update: Any
    _peer: ClassVar[type[torch.optim.Optimizer]]
    _decoupled: ClassVar[bool]
    """Whether weights decay by themselves, not by their gradients."""
    _group: _Group | None = None

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters that have a gradient; see `torch.optim.Adam.step`."""
        if closure is None and not self._is_watched() and self._has_updated():
            return None
        update: Any = self._peer.step
        if not getattr(update, "hooked", False):  # PyTorch has it run hooks when the first of the class is made
            update = torch.optim.Optimizer.profile_hook_step(update)
        return update(self, closure)

    step.hooked = True  # type: ignore[attr-defined]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients; see `torch.optim.Optimizer.zero_grad`."""
        if not set_to_none:
            super().zero_grad(set_to_none)  # type: ignore[misc]
            return
        optimiser: Any = self
        for group in optimiser.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    def _is_watched(self) -> bool:
        """Tell whether hooks or a profiler want to see an update."""
        optimiser: Any = self
        return bool(
            optimiser._optimizer_step_pre_hooks
            or optimiser._optimizer_step_post_hooks
            or _hooks_of_all._global_optimizer_pre_hooks
            or _hooks_of_all._global_optimizer_post_hooks
            or torch._C._autograd._profiler_enabled()
            or torch.compiler.is_compiling()
        )

    def _has_updated(self) -> bool:
        """Update by one call of the kernel, if it takes the parameters."""
        optimiser: Any = self
        settings = optimiser.param_groups[0]
        if len(optimiser.param_groups) > 1 or not self._is_plain(settings):
            return False
        parameters = [parameter for parameter in settings["params"] if parameter.grad is not None]
        grads = [parameter.grad for parameter in parameters]
        known = self._group
        if known is None or not self._holds(known, parameters, grads):
            known = self._group = self._looked_up(parameters, grads)
            if known is None:
                return False
        count = len(grads)
        steps, moments, squares = (known.tensors[start : start + count] for start in (0, count, 2 * count))
        beta1, beta2 = settings["betas"]
        with torch.no_grad():
            torch._foreach_add_(steps, 1)
            type(self)._update(
                parameters, grads, moments, squares, [], steps, amsgrad=False, lr=settings["lr"], beta1=beta1,
                beta2=beta2, weight_decay=settings["weight_decay"], eps=settings["eps"], maximize=False,
            )  # fmt: skip
        return True

    def _is_plain(self, settings: dict[str, Any]) -> bool:
        """Tell whether settings are as `make_optimizer` has them, and no scaler of gradients has its hand in them."""
        asked = ("amsgrad", "maximize", "capturable", "differentiable")
        return (
            not any(map(settings.__getitem__, asked))
            and bool(settings["fused"])
            and isinstance(settings["lr"], float)
            and settings.get("decoupled_weight_decay", self._decoupled) is self._decoupled
            and self.__dict__.get("grad_scale") is None
            and self.__dict__.get("found_inf") is None
        )

    def _holds(self, known: _Group, parameters: list[nn.Parameter], grads: list[Tensor]) -> bool:
        """Tell whether parameters and states are those that were looked up, and gradients like them."""
        states = self.state.values()  # type: ignore[attr-defined]
        return (
            len(parameters) == len(known.parameters)
            and all(map(is_, parameters, known.parameters))
            and len(states) == len(known.all_states)
            and all(map(is_, states, known.all_states))
            and all(map(is_, _tensors_of(known.states), known.tensors))
            and known.check(*parameters, *grads)
        )

    def _looked_up(self, parameters: list[nn.Parameter], grads: list[Tensor]) -> _Group | None:
        """Return what an update needs, if each was updated before and one call takes them."""
        optimiser: Any = self
        found = {id(parameter): state for parameter, state in optimiser.state.items() if state}
        if not parameters or not all(id(one) in found for one in parameters):
            return None
        dtype = parameters[0].dtype
        alike = all(
            each.is_cpu and each.dtype is dtype and each.layout is torch.strided for each in (*parameters, *grads)
        )
        if not alike:
            return None
        states = [found[id(one)] for one in parameters]
        check = checker((), parameters, grads)
        return _Group(parameters, check, tuple(optimiser.state.values()), states, _tensors_of(states))


def _tensors_of(states: Sequence[dict[str, Tensor]]) -> list[Tensor]:
    return [state[name] for name in ("step", "exp_avg", "exp_avg_sq") for state in states]


class DirectAdam(_Direct, torch.optim.Adam):
    """`torch.optim.Adam`, fused."""

    _update = staticmethod(torch._fused_adam_)
    _peer = torch.optim.Adam
    _decoupled = False


class DirectAdamW(_Direct, torch.optim.AdamW):
    """`torch.optim.AdamW`, fused."""

    _update = staticmethod(torch._fused_adamw_)
    _peer = torch.optim.AdamW
    _decoupled = True


def clip_gradients(parameters: Sequence[nn.Parameter], limit: float) -> float:
    """Scale gradients down to a greatest norm, as `torch.nn.utils.clip_grad_norm_` does; return the norm before.

    Args:
        parameters: those without a gradient do not count.
        limit: the greatest L2 norm of all gradients together; infinite for none.
    """
    grads: list[Tensor] = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not grads or len({(grad.device, grad.dtype, grad.layout, type(grad)) for grad in grads}) > 1:
        return float(nn.utils.clip_grad_norm_(parameters, limit))
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads)))
    before = float(norm)
    if math.isfinite(limit):
        factor = limit / (norm + 1e-6)
        if float(factor) < 1:
            torch._foreach_mul_(grads, factor)
    return before
