"""A scan in pieces whose inner values are forgotten and computed again when the backward pass comes to them.

What is kept is the state at the start of each piece, so that memory grows with the number of pieces and with the steps
of one, not with all steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint as run_again

from ostinato.engine.front.state import State, leaves, map_state
from ostinato.engine.run.compiled import Request
from ostinato.errors import UsageError

Checkpoint: TypeAlias = "int | Literal['auto'] | None"
"""Steps of a piece."""


def piece_length(checkpoint: Checkpoint, steps: int, *, resets: bool) -> int:
    """Return how many steps are run together; 0 for all of them.

    Raises:
        UsageError: `checkpoint` is no number of steps, or stands with resets.
    """
    if checkpoint is None:
        return 0
    whole = isinstance(checkpoint, int) and not isinstance(checkpoint, bool) and checkpoint > 0
    if checkpoint != "auto" and not whole:
        raise UsageError(f'checkpoint is {checkpoint!r}; expected a number of steps, "auto" or None')
    if resets:
        # a marked row returns to where the whole scan started, not to where its piece did
        raise UsageError("checkpoint and resets were given together; leave one of them out")
    length = math.isqrt(max(steps, 1) - 1) + 1 if checkpoint == "auto" else int(checkpoint)
    return 0 if length >= steps else length


def scan_pieces(
    run: Callable[[Request], tuple[Tensor, State]], request: Request, length: int, *, draws: bool
) -> tuple[Tensor, State]:
    """Run a scan piece by piece.

    Args:
        run: runs a request.
        request: all steps.
        length: steps of a piece.
        draws: whether weights of the cell are drawn for each call.

    Raises:
        UsageError: weights are drawn, which would be others for each piece.
    """
    if draws:
        raise UsageError(
            "checkpoint was given for a cell whose weights are drawn at random for each call; leave it out"
        )
    steps, state = request.xs.shape[0], request.state
    starts = range(0, steps, length)
    pieces: list[Tensor] = []
    for start in reversed(starts) if request.reverse else starts:
        stop = min(start + length, steps)
        part = request._replace(xs=request.xs[start:stop], lengths=_within(request.lengths, start, stop))
        ys, state = _again(run, part, state)
        pieces.append(ys)
    return torch.cat(pieces[::-1] if request.reverse else pieces), state


def _again(run: Callable[[Request], tuple[Tensor, State]], part: Request, state: State) -> tuple[Tensor, State]:
    """Run a piece so that its inner values are computed again."""

    def piece(xs: Tensor, *flat: Tensor) -> tuple[Tensor, ...]:
        rest = iter(flat)
        ys, last = run(part._replace(xs=xs, state=map_state(lambda _: next(rest), state)))
        return ys, *leaves(last)

    ys, *flat = run_again(piece, part.xs, *leaves(state), use_reentrant=False)
    rest = iter(flat)
    return ys, map_state(lambda _: next(rest), state)


def _within(lengths: Tensor | None, start: int, stop: int) -> Tensor | None:
    """Return how many of the steps from `start` to `stop` each row has."""
    return None if lengths is None else (lengths - start).clamp(0, stop - start)
