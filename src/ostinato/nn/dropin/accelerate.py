"""`accelerate`: the recurrent layers inside an existing model become drop-ins, in place."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.utils import parametrize

from ostinato.errors import UsageError
from ostinato.nn.dropin.cells import GRUCell, LSTMCell, RNNCell
from ostinato.nn.dropin.layers import GRU, LSTM, RNN
from ostinato.nn.dropin.restored import with_properties_of

_SWAPS: dict[type[nn.Module], type[nn.Module]] = {
    nn.RNN: RNN,
    nn.LSTM: LSTM,
    nn.GRU: GRU,
    nn.RNNCell: RNNCell,
    nn.LSTMCell: LSTMCell,
    nn.GRUCell: GRUCell,
}
_DROP_INS = tuple(_SWAPS.values())
_RECURRENT = (nn.RNNBase, nn.RNNCellBase)
_LIBRARIES = {"keras": "ostinato.keras.accelerating"}
"""Libraries whose layers are modules of PyTorch, each with the module that swaps them: its `accelerate` does as here.

It is imported when a model has such a layer in it."""


@dataclass(frozen=True)
class Swapped:
    """A layer that is now a drop-in."""

    name: str
    """Its path in the model; empty if it is the model itself."""
    kind: str
    note: str
    """What is to be known about its speed; often empty."""


@dataclass(frozen=True)
class Left:
    """A recurrent layer that stays as it was."""

    name: str
    kind: str
    reason: str


@dataclass(frozen=True)
class Report:
    """What `accelerate` has done; `print` it."""

    swapped: tuple[Swapped, ...]
    left: tuple[Left, ...]

    def __str__(self) -> str:
        lines = [f"swapped {len(self.swapped)}, left {len(self.left)}"]
        lines += [
            f"  swapped  {each.name or '(the model)'}: {each.kind}" + (f" ({each.note})" if each.note else "")
            for each in self.swapped
        ]
        lines += [f"  left     {each.name or '(the model)'}: {each.kind}, {each.reason}" for each in self.left]
        if not self.swapped and not self.left:
            lines[0] += ": no recurrent layer of torch.nn or Keras in it"
        return "\n".join(lines)


def accelerate(model: nn.Module) -> Report:
    """Turn the layers and cells of `torch.nn` inside a model into drop-ins of `ostinato.nn`, in place.

    The modules stay the same objects, and so do their parameters: optimisers, hooks, names in the state_dict, the
    training flag and every reference to them stay as before. A model that is itself such a layer is turned likewise.
    The recurrent layers of a Keras model on its PyTorch backend are turned into those of `ostinato.keras`.

    Args:
        model: any module; those inside it are found by `named_modules()`, and those of a Keras model as Keras does.

    Returns:
        What was swapped and what was left, and why.

    Raises:
        UsageError: `model` is not a module.

    >>> import torch, ostinato
    >>> model = torch.nn.ModuleDict({"encoder": torch.nn.GRU(3, 5), "head": torch.nn.Linear(5, 1)})
    >>> print(ostinato.accelerate(model))
    swapped 1, left 0
      swapped  encoder: GRU
    >>> type(model["encoder"]) is ostinato.nn.GRU
    True
    """
    if not isinstance(model, nn.Module):
        raise UsageError(f"accelerate was given {type(model).__name__}; expected a torch.nn.Module")
    swapped: list[Swapped] = []
    left: list[Left] = []
    for name, module in model.named_modules():
        if not _is_recurrent(module):
            continue
        kind, reason = _kind(module), _reason_to_leave(module)
        if reason is not None:
            left.append(Left(name, kind, reason))
        else:
            _swap(module)
            swapped.append(Swapped(name, kind, _note(module)))
    done = Report(tuple(swapped), tuple(left))
    for home in _libraries_in(model):
        more: Report = importlib.import_module(home).accelerate(model)
        done = Report(done.swapped + more.swapped, done.left + more.left)
    return done


def _libraries_in(model: nn.Module) -> list[str]:
    """Return who swaps the layers of other libraries that are in a model."""
    bases = {base for module in model.modules() for base in type(module).__mro__}
    roots = {base.__module__.partition(".")[0] for base in bases}
    return [home for library, home in _LIBRARIES.items() if library in roots]


def _is_recurrent(module: nn.Module) -> bool:
    return isinstance(module, _RECURRENT) or _script_name(module) in {kind.__name__ for kind in _SWAPS}


def _kind(module: nn.Module) -> str:
    if isinstance(module, torch.jit.ScriptModule):
        return _script_name(module)
    return parametrize.type_before_parametrizations(module).__name__


def _script_name(module: nn.Module) -> str:
    return str(getattr(module, "original_name", "")) if isinstance(module, torch.jit.ScriptModule) else ""


def _reason_to_leave(module: nn.Module) -> str | None:
    if isinstance(module, torch.jit.ScriptModule):
        return "compiled by TorchScript; accelerate the model before torch.jit.script"
    if isinstance(module, _DROP_INS):
        return "already a drop-in"
    if parametrize.type_before_parametrizations(module) not in _SWAPS:
        return "a class of its own, which may compute something else"
    if "forward" in module.__dict__:
        return "its forward has been replaced"
    return None


def _swap(module: nn.Module) -> None:
    """Change a module's class: everything that it holds, and everyone who holds it, stays."""
    drop_in = _SWAPS[parametrize.type_before_parametrizations(module)]
    if parametrize.is_parametrized(module):
        # a parametrised module has a class of its own, made of its first class and a property for each weight
        drop_in = with_properties_of(type(module), drop_in)
    module.__class__ = drop_in


def _note(module: nn.Module) -> str:
    if isinstance(module, nn.RNNCellBase):
        return "one step is as fast as before; ostinato.scan(cell, xs) runs the loop"
    weight = next(module.parameters(), None)
    if weight is None:
        return ""
    if weight.device.type == "cuda":
        return "on the GPU, runs through cuDNN as before"
    if weight.device.type != "cpu":
        return f"on {weight.device}, runs through PyTorch as before"
    if weight.dtype not in (torch.float32, torch.float64):
        return f"in {weight.dtype}, runs through PyTorch as before"
    return ""
