"""A module as it is now: a copy in evaluation mode that no later change of the module reaches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ostinato.engine.front.shell import shell_of


def snapshot(module: nn.Module) -> nn.Module:
    """Return a copy of a module, in evaluation mode, with tensors of its own; what was one tensor stays one.

    What cannot be copied, such as a lock, is shared.
    """
    copies: dict[int, Any] = {}
    for each in module.modules():
        for table in (each._parameters, each._buffers, each.__dict__):
            for tensor in _tensors_in(list(table.values())):
                # `deepcopy` refuses tensors that come out of a computation, such as a normalised weight
                if id(tensor) not in copies and not is_lazy(tensor):
                    copies[id(tensor)] = _copied(tensor)
    return shell_of(module, copies, None).eval()


def _tensors_in(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif type(value) in (list, tuple):
        for part in value:
            yield from _tensors_in(part)
    elif type(value) is dict:
        yield from _tensors_in(list(value.values()))


def _copied(tensor: Tensor) -> Tensor:
    values = tensor.detach().clone()
    return nn.Parameter(values, tensor.requires_grad) if type(tensor) is nn.Parameter else values
