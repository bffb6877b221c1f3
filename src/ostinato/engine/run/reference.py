"""The eager reference: a cell walked over time in plain PyTorch, one step after the other.

It is the oracle that every other way of running a cell must equal, and what runs when no other can.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ostinato.engine.front.state import State, call_cell, map_state


def scan_eagerly(
    cell: nn.Module,
    xs: Tensor,
    state: State,
    lengths: Tensor | None,
    reverse: bool,
    resets: Tensor | None = None,
) -> tuple[Tensor, State]:
    """Walk a cell over `xs`, `(time, batch, features)`, from `state`; return all outputs and the last state.

    With `lengths`, `(batch,)`, a row's state moves only at its own steps, whichever way it is walked, and its outputs
    elsewhere are zero. With `resets`, boolean `(time, batch)`, a marked row is back in `state` before that step.
    """
    start, steps = state, range(xs.shape[0])
    # a cell may change in place what it is given: that must not be the caller's
    state = map_state(torch.clone, state)
    if resets is not None:
        resets = resets.clone()  # the caller's may be changed until the backward pass
    outputs: list[Tensor] = []
    if lengths is not None:
        # a NaN in the padding must not reach the gradient of a real step
        real = torch.arange(xs.shape[0], device=xs.device)[:, None] < lengths
        xs = xs.masked_fill(~real.reshape(*real.shape, *[1] * (xs.dim() - 2)), 0)
    else:
        xs = xs.clone()
    rows = xs.unbind(0)  # taken apart once: an index at every step costs a full-size gradient each
    for t in reversed(steps) if reverse else steps:
        if resets is not None:
            marked = resets[t] if lengths is None else resets[t] & real[t]
            state = map_state(lambda old, first: torch.where(_as_column(marked, old), first, old), state, start)  # noqa: B023
        output, new_state = call_cell(cell, rows[t], state)
        if lengths is None:
            state = new_state
        else:
            active = real[t]
            output = torch.where(_as_column(active, output), output, 0)
            state = map_state(lambda new, old: torch.where(_as_column(active, new), new, old), new_state, state)  # noqa: B023
        outputs.append(output)
    if reverse:
        outputs.reverse()
    return _stack(cell, outputs, xs, state), state if outputs else start


def _stack(cell: nn.Module, outputs: list[Tensor], xs: Tensor, state: State) -> Tensor:
    if outputs:
        return torch.stack(outputs)
    output, _ = call_cell(cell, xs.new_zeros(xs.shape[1:]), state)
    return output.new_zeros((0, *output.shape))


def _as_column(mask: Tensor, like: Tensor) -> Tensor:
    return mask.reshape(-1, *[1] * (like.dim() - 1))
