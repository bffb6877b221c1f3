"""Which layers are known: what their first calls by the longer way have found is kept for the next ones."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ostinato.engine.beside import Beside
from ostinato.engine.run.plain import plain_now
from ostinato.nn.dropin.quick import Known
from ostinato.nn.dropin.steps import Walk

_known: Beside[Known] = Beside()
"""Beside the layers, not in them: state_dict, pickles, copies and replicas stay those of torch.nn."""


def known_of(layer: nn.RNNBase) -> Known | None:
    """Return what is known of a layer."""
    return _known.get(layer)


def meet(layer: nn.RNNBase) -> None:
    """Know a plain layer whose call was left to PyTorch, so that the next one is with less looked at."""
    if known_of(layer) is None and plain_now() and _is_plain(layer):
        _known[layer] = Known(layer)


def learn(
    layer: nn.RNNBase, walks: Sequence[Walk], xs: Tensor, starts: Sequence[Tensor], *, mixed: bool = False
) -> None:
    """Keep what a call by the longer way has found, if the layer is plain.

    Args:
        layer: that was called.
        walks: its layers and directions.
        xs: `(time, batch, features)`.
        starts: the state that it was given; none for zeros.
        mixed: whether products of matrices are made in bfloat16.
    """
    known = known_of(layer)
    if known is None or not known.is_as(layer):
        if not _is_plain(layer) or not plain_now():
            _known.pop(layer)
            return
        known = _known[layer] = Known(layer)
    if plain_now():
        known.learn(layer, walks, xs, starts, mixed=mixed)


def _is_plain(layer: nn.RNNBase) -> bool:
    """Tell whether a layer has its own parameters, each once, and nothing else."""
    table = layer._parameters
    names = [name for walk in layer._all_weights for name in walk]
    tied = len({id(table.get(name)) for name in names}) < len(names)
    plain = all(type(table.get(name)) is nn.Parameter for name in names)
    return plain and not tied and len(names) == len(table) and not layer._modules
