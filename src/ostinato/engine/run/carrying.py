"""A cell whose outputs carry its states along, for scans that give back the states of all steps."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from ostinato.engine.front.shell import probe_of
from ostinato.engine.front.state import State, call_cell, leaves, map_state
from ostinato.engine.front.watch import Look


class Carrying(nn.Module):
    """A cell whose output carries its new state along."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Advance one step; the output is flat, the cell's own first."""
        output, new_state = call_cell(self.cell, x, state)
        return torch.cat([_flat(part) for part in (output, *leaves(new_state))], -1), new_state


def unpacked(cell: nn.Module, packed: Tensor, xs: Tensor, state: State, seen: Look) -> tuple[Tensor, State]:
    """Take apart what outputs of `Carrying` have put together: outputs and states of all steps.

    Args:
        cell: the cell itself.
        packed: `(time, batch, numbers)`.
        xs: the sequences.
        state: where they started, or zeros without data like it.
        seen: what the cell is now.
    """
    flat = leaves(state)
    sizes = [leaf.shape[1] if leaf.dim() == 2 else math.prod(leaf.shape[1:]) for leaf in flat]
    own, *parts = torch.split(packed, [packed.shape[-1] - sum(sizes), *sizes], -1)
    outputs = _shaped(own, _output_shape(cell, xs, state, seen))
    rest = iter([_shaped(part, leaf.shape[1:]) for part, leaf in zip(parts, flat, strict=True)])
    return outputs, map_state(lambda _: next(rest), state)


def _flat(part: Tensor) -> Tensor:
    # of some parts a row is one number
    return part.flatten(1) if part.dim() > 1 else part.unsqueeze(1)


def _shaped(part: Tensor, shape: torch.Size) -> Tensor:
    return part if len(shape) == 1 else part.reshape(*part.shape[:2], *shape)


def _row_of(leaf: Tensor, xs: Tensor) -> Tensor:
    return torch.zeros_like(leaf[:1], device=xs.device) if leaf.is_meta else leaf[:1].detach().clone()


def _output_shape(cell: nn.Module, xs: Tensor, state: State, seen: Look) -> torch.Size:
    """Return the shape of what a cell gives for a row at a step: it is asked once for each kind of call."""
    known: dict[Any, torch.Size] = seen.outputs
    key = xs.shape[2:], *(leaf.shape[1:] for leaf in leaves(state))
    found = known.get(key)
    if found is None:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            start = map_state(lambda leaf: _row_of(leaf, xs), state)
            found = call_cell(probe_of(cell), xs.new_zeros((1, *xs.shape[2:])), start)[0].shape[1:]
        known[key] = found
    return found
