"""A network from its settings and weights, built only when the weights say that the settings are true."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

M = TypeVar("M", bound=nn.Module)
_SMALL = 1 << 16  # a size that costs nothing, whatever the weights
_COUNTS = ("num_layers", "layers", "depth", "members")


def restored(
    make: Callable[[], M],
    settings: Mapping[str, Any],
    weights: Mapping[str, NDArray[Any]],
    *,
    buffers: bool = True,
) -> M:
    """Return a network with its weights, in evaluation mode.

    Nothing is allocated on the word of a setting: sizes are first held against the weights' file, then the network is
    made without memory and its shapes compared with those of the weights.

    Args:
        make: makes the network.
        settings: what it is made of, as plain data.
        weights: by name; of weights that are tied, one name is enough.
        buffers: whether the network's buffers are among the weights, rather than what it makes them.

    Raises:
        ValueError: the settings do not fit the weights.
    """
    check_sizes(settings, weights)
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        model = make()
    found = _with_tied(model, weights)
    expected = (
        model.state_dict() if buffers else {name: value for name, value in model.state_dict().items() if name in found}
    )
    expected |= dict(model.named_parameters())
    _compare(
        {name: tuple(value.shape) for name, value in expected.items()},
        {name: value.shape for name, value in found.items()},
    )
    with torch.random.fork_rng(devices=[]):
        network = make()
    network.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in found.items()}, strict=buffers)
    return network.eval()


def _with_tied(model: nn.Module, weights: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return weights under each of the names that they have in a model."""
    there = model.state_dict(keep_vars=True)
    holder = {id(value): name for name, value in there.items() if name in weights}
    tied = {name: weights[holder[id(value)]] for name, value in there.items() if id(value) in holder}
    return {**weights, **tied}


def check_sizes(settings: Mapping[str, Any], weights: Mapping[str, NDArray[Any]]) -> None:
    """Refuse settings that the weights cannot be of, without making anything.

    Raises:
        ValueError: a size is negative, or larger than all weights together; or there are more layers than weights.
    """
    most = max(_SMALL, sum(array.size for array in weights.values()))
    for name, value in _numbers("", settings):
        limit = len(weights) if name.rpartition(".")[2] in _COUNTS else most
        if not 0 <= value <= limit:
            raise ValueError(f"its {name} is {str(value)[:40]}, but its weights are of at most {limit:,}")


def _numbers(name: str, value: Any) -> list[tuple[str, float]]:
    """Return the whole numbers of settings with their names."""
    if isinstance(value, Mapping):
        return [each for key, inner in value.items() for each in _numbers(f"{name}.{key}".lstrip("."), inner)]
    if isinstance(value, (list, tuple)):
        return [each for inner in value for each in _numbers(name, inner)]
    return [(name, value)] if isinstance(value, int) and not isinstance(value, bool) else []


def _compare(expected: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]]) -> None:
    lacking = sorted(set(expected) - set(found))
    if lacking:
        raise ValueError(f'the weights "{lacking[0]}" are not there')
    surplus = sorted(set(found) - set(expected))
    if surplus:
        raise ValueError(f'its settings know no weights "{surplus[0]}"')
    wrong = next((name for name in expected if expected[name] != found[name]), None)
    if wrong is not None:
        raise ValueError(f'the weights "{wrong}" have the shape {found[wrong]}; its settings ask for {expected[wrong]}')
