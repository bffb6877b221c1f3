"""Updates of small models with little around them: the kernels that PyTorch calls, and their bits, called straight.

For each step PyTorch sorts parameters by device and type, and multiplies gradients by one where there is nothing to
clip. Of a model of an embedding, an LSTM of 128 units and an output layer, that was a third of a step on one row.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn


class _Direct:
    """What both have in common: the fused update of one group of like parameters on the CPU."""

    _update: Any

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters that have a gradient; see `torch.optim.Adam.step`."""
        optimiser: Any = self
        group = optimiser.param_groups[0]
        parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
        states = [optimiser.state.get(parameter) for parameter in parameters]
        if (
            closure is not None
            or len(optimiser.param_groups) > 1
            or not all(states)
            or not _is_plain(group, parameters)
        ):
            return super().step(closure)  # type: ignore[misc]
        torch._foreach_add_([state["step"] for state in states], 1)
        beta1, beta2 = group["betas"]
        type(self)._update(
            parameters, [parameter.grad for parameter in parameters], [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states], [], [state["step"] for state in states], amsgrad=False,
            lr=group["lr"], beta1=beta1, beta2=beta2, weight_decay=group["weight_decay"], eps=group["eps"],
            maximize=False,
        )  # fmt: skip
        return None


def _is_plain(group: dict[str, Any], parameters: Sequence[nn.Parameter]) -> bool:
    """Tell whether one call of the kernel takes a group: settings as `make_optimizer` has them, tensors alike."""
    dtype = parameters[0].dtype if parameters else None
    return (
        not (group["amsgrad"] or group["maximize"] or group["capturable"] or group["differentiable"])
        and bool(group["fused"])
        and isinstance(group["lr"], float)
        and bool(parameters)
        and all(
            each.is_cpu and each.dtype is dtype and each.grad.dtype is dtype and each.grad.layout is torch.strided
            for each in parameters if each.grad is not None
        )
    )  # fmt: skip


class DirectAdam(_Direct, torch.optim.Adam):
    """`torch.optim.Adam`, fused."""

    _update = staticmethod(torch._fused_adam_)


class DirectAdamW(_Direct, torch.optim.AdamW):
    """`torch.optim.AdamW`, fused."""

    _update = staticmethod(torch._fused_adamw_)


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
