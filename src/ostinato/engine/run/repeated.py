"""Scans of a cell that is as it was: what a call of one shape needs was found before, and is only compared.

What is looked at each time: all that `watch` compares of the cell and its code, the kind, shape, layout and type of its
tensors, of the sequences and of the state, and whatever of PyTorch's watches, traces or transforms a call. Weights are
read where they lie at every call. Anything else than before takes the longer way, which tells what is new.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ostinato.engine.front.state import State, built, leaves, structure
from ostinato.engine.front.watch import Look, watched_by_all_modules
from ostinato.engine.plan.linear import is_wanted
from ostinato.engine.run.plain import plain_now
from ostinato.engine.run.quick import Calls, ragged_of, run_calls
from ostinato.engine.run.unchanged import checker

_PLAIN = (Tensor, nn.Parameter)
_MOST_SHAPES = 256


class Arranged(NamedTuple):
    """A call of one shape, looked up once."""

    check: Callable[..., bool]
    """Tells whether sequences, tensors of the cell and states are of the kind, shape, layout and type that they were."""
    calls: Calls
    values: Sequence[Tensor]
    """The tensors of the cell."""
    random: bool
    """Whether a step draws random numbers."""


class Wanted(NamedTuple):
    """A scan that is asked for, of arguments that fit."""

    xs: Tensor
    """`(time, batch, ...)`."""
    state: State
    lengths: Tensor | None
    resets: Tensor | None
    reverse: bool

    def key(self) -> tuple[Any, ...]:
        """Return what calls of a cell differ by, beside the kinds of their tensors."""
        return (
            self.xs.shape, self.xs.requires_grad, structure(self.state), self.lengths is None, self.resets is None,
            self.reverse, torch.is_grad_enabled(), is_wanted(), torch.get_num_threads(), torch.get_default_dtype(),
        )  # fmt: skip


def found_again(seen: Look, wanted: Wanted) -> Arranged | None:
    """Return what a scan before of the same shapes has found, if the cell and its tensors are as they were.

    Whether something of PyTorch's watches is for the caller to look at.
    """
    found: Arranged | None = seen.arranged.get(wanted.key())
    if found is None or not found.check(wanted.xs, *found.values, *leaves(wanted.state)):
        return None
    return found


def run_again(seen: Look, wanted: Wanted) -> tuple[Tensor, State] | None:
    """Run a scan as one before of the same shapes: outputs and last state; none if anything is not as it was.

    `seen` is what the cell is now.
    """
    found = found_again(seen, wanted)
    if found is None or not plain_now() or watched_by_all_modules(names_alone=False):
        return None
    xs, state, lengths, resets, _ = wanted
    ragged = None
    if lengths is not None or resets is not None:
        ragged = ragged_of(found.calls.walks[0].executable, lengths, len(xs), resets)
        if ragged is None:
            return None
    seed = int(torch.randint(2**62, ())) if found.random else 0  # drawn as on the longer way
    flat = [leaf if leaf.is_contiguous() else leaf.contiguous() for leaf in leaves(state)]
    ys, *last = run_calls(found.calls, xs, found.values, flat, seed, ragged)
    return ys, built(structure(state), iter(last))


def remember(seen: Look, calls: Calls, wanted: Wanted, *, random: bool) -> None:
    """Keep what a scan by the longer way has found."""
    values, xs = list(seen.tensors.values()), wanted.xs
    if type(xs) not in _PLAIN or not plain_now() or not all(value.is_contiguous() for value in values):
        return
    if len(seen.arranged) >= _MOST_SHAPES:
        seen.arranged.clear()
    check = checker(values, [xs], leaves(wanted.state))
    seen.arranged[wanted.key()] = Arranged(check, calls, values, random)
