"""A drop-in turned back into the layer of `torch.nn` that it stands for, when PyTorch prepares it for quantisation."""

from __future__ import annotations

import types
import warnings
from typing import Any

from torch import nn
from torch.nn.utils import parametrize

from ostinato.errors import EngineWarning

TORCH: dict[str, type[nn.Module]] = {
    kind.__name__: kind for kind in (nn.RNN, nn.LSTM, nn.GRU, nn.RNNCell, nn.LSTMCell, nn.GRUCell)
}


class Restored(nn.Module):
    """What all drop-ins share: a `qconfig` makes them layers of `torch.nn` again.

    PyTorch's quantisation replaces layers whose exact class is in its tables. It first writes a `qconfig` to every
    layer: how it is to be quantised, or `None` if it was not asked for.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; see above."""
        if name == "qconfig" and value is None:
            _warn(self)
        elif name == "qconfig":
            to_torch(self)
            if not isinstance(self, Restored):
                setattr(self, name, value)
                return
        super().__setattr__(name, value)


def restore(model: nn.Module) -> nn.Module:
    """Turn the drop-ins inside a model back into the layers and cells of `torch.nn`, in place: undo `accelerate`.

    The modules stay the same objects, and so do their parameters. It is for tools that know layers by their exact
    class, such as `torch.ao.quantization.quantize_dynamic` with `{torch.nn.LSTM}`.

    Returns:
        The model.

    >>> import torch, ostinato
    >>> model = torch.nn.Sequential(ostinato.nn.GRU(3, 5))
    >>> type(ostinato.nn.restore(model)[0]) is torch.nn.GRU
    True
    """
    for module in model.modules():
        if isinstance(module, Restored):
            to_torch(module)
    return model


def to_torch(module: nn.Module) -> None:
    """Change the class of a drop-in to that of its namesake; a user's own subclass of a drop-in stays."""
    kind = parametrize.type_before_parametrizations(module)
    if not kind.__module__.startswith(__package__):
        return
    namesake = TORCH[kind.__name__]
    parametrised = parametrize.is_parametrized(module)
    module.__class__ = with_properties_of(type(module), namesake) if parametrised else namesake


def with_properties_of(parametrised: type[nn.Module], base: type[nn.Module]) -> type[nn.Module]:
    """Return the class of a parametrised module, which has a property for each weight, over another base."""
    kept = {name: value for name, value in vars(parametrised).items() if name not in ("__dict__", "__weakref__")}
    return types.new_class(parametrised.__name__, (base,), exec_body=lambda namespace: namespace.update(kept))


def _warn(module: nn.Module) -> None:
    name = parametrize.type_before_parametrizations(module).__name__
    warnings.warn(
        f"quantisation leaves this {name} as it is: PyTorch looks layers up by their exact class, which is "
        f"ostinato.nn.{name}; to quantise it, name that class, or call ostinato.nn.restore(model) first",
        EngineWarning,
        stacklevel=3,
    )
