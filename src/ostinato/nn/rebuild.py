"""Making more cells like a given one: the other layers and the other direction of a stack."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any, TypeAlias

from torch import nn
from torch.nn.utils import parametrize

from ostinato.errors import UsageError

CellFactory: TypeAlias = "Callable[[int], nn.Module]"


def factory_of(cell: nn.Module) -> CellFactory:
    """Return a function `input_size -> cell` that makes new cells of the same kind and settings as `cell`.

    The settings are read off the cell: every argument of its constructor must be kept in an attribute of the same
    name, as `torch.nn` cells and those of `ostinato.cells` do. A wrapper's cell is made again as well.
    """

    def make(input_size: int) -> nn.Module:
        arguments = {name: _argument(cell, name, parameter) for name, parameter in _constructor(cell).items()}
        # a wrapper is made again around a new cell inside
        inside: dict[str, Any] = {
            name: factory_of(value)(input_size) for name, value in arguments.items() if _is_cell(value)
        }
        if "input_size" in arguments:
            inside["input_size"] = input_size
        if not inside:
            raise _cannot(cell, "its constructor has no argument input_size")
        reference = next(cell.parameters(), None)
        twin: nn.Module = parametrize.type_before_parametrizations(cell)(**{**arguments, **inside})
        if reference is not None:
            twin.to(device=reference.device, dtype=reference.dtype)
        _parametrize_alike(cell, twin)
        return twin

    return make


def _parametrize_alike(cell: nn.Module, twin: nn.Module) -> None:
    """Put the parametrisations of a cell's weights, such as weight drop or weight norm, onto those of its twin."""
    for path, part in cell.named_modules():
        if not parametrize.is_parametrized(part):
            continue
        inner = twin.get_submodule(path)
        for name, maps in part.parametrizations.items():
            if parametrize.is_parametrized(inner, name):
                continue  # a wrapper's cell, which was made again with its own
            for kind in maps:
                if next(kind.parameters(), None) is not None or next(kind.buffers(), None) is not None:
                    raise _cannot(
                        cell, f'its weight "{path}.{name}" has a {type(kind).__name__} with numbers of its own'
                    )
                parametrize.register_parametrization(inner, name, copy.deepcopy(kind), unsafe=True)


def _is_cell(value: object) -> bool:
    return isinstance(value, nn.Module) and "input_size" in {*_constructor(value), *vars(value)}


def _constructor(cell: nn.Module) -> dict[str, inspect.Parameter]:
    # the signature is the one of calling the class; a parametrised weight changes a cell's class
    parameters = inspect.signature(parametrize.type_before_parametrizations(cell)).parameters.values()
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    skipped = {"self", "device", "dtype"}
    return {p.name: p for p in parameters if p.name not in skipped and p.kind not in variadic}


def _argument(cell: nn.Module, name: str, parameter: inspect.Parameter) -> Any:
    value = getattr(cell, name, parameter.default)
    if name == "bias" and not isinstance(value, bool):
        value = value is not None
    if value is inspect.Parameter.empty:
        raise _cannot(cell, f'it does not keep its argument "{name}" in an attribute of that name')
    return value


def _cannot(cell: nn.Module, why: str) -> UsageError:
    name = parametrize.type_before_parametrizations(cell).__name__
    return UsageError(
        f"more cells like this {name} are needed (num_layers or bidirectional), but {why}; "
        f"pass a function instead: Recurrent(lambda input_size: {name}(input_size, ...), input_size=...)"
    )
