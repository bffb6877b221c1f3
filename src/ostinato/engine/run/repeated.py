"""Scans of a cell that is as it was: what a call of one shape needs was found before, and is only compared.

What is looked at each time: all that `watch` compares of the cell and its code, the kind, shape, layout and type of its
tensors, of the sequences and of the state, and whatever of PyTorch's watches, traces or transforms a call. Weights are
read where they lie at every call. Anything else than before takes the longer way, which tells what is new.
"""

from __future__ import annotations

import weakref
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
    """Tells whether sequences, the cell's tensors and states are of the kind, shape, layout and type that they were."""
    calls: weakref.ref[Calls]
    """Kept by the executable as long as it is among those that were used last."""
    values: Sequence[Tensor]
    """The tensors of the cell."""
    random: bool
    """Whether a step draws random numbers."""
    form: Any
    """Of the state, see `structure`."""


class Wanted(NamedTuple):
    """A scan that is asked for, of arguments that fit."""

    xs: Tensor
    """`(time, batch, ...)`."""
    form: Any
    """Of the state, see `structure`; `zeros` where none was given and the cell starts from zeros."""
    starts: list[Tensor]
    """The tensors of the state; none of zeros."""
    lengths: Tensor | None
    resets: Tensor | None
    reverse: bool

    def key(self) -> tuple[Any, ...]:
        """Return what calls of a cell differ by, beside the kinds of their tensors."""
        return (
            self.xs.shape, self.xs.requires_grad, self.form, self.lengths is None, self.resets is None,
            self.reverse, torch.is_grad_enabled(), is_wanted(), torch.get_num_threads(), torch.get_default_dtype(),
        )  # fmt: skip


def wanted_of(
    xs: Tensor, state: State | None, lengths: Tensor | None, resets: Tensor | None, reverse: bool
) -> Wanted:  # fmt: skip
    """Return a scan that is asked for; without a state it starts from zeros."""
    if state is None:
        return Wanted(xs, "zeros", [], lengths, resets, reverse)
    if type(state) is tuple and all(type(leaf) is Tensor for leaf in state):  # as most are
        return Wanted(xs, (None,) * len(state), list(state), lengths, resets, reverse)  # type: ignore[arg-type]
    return Wanted(xs, structure(state), leaves(state), lengths, resets, reverse)


def run_again(seen: Look, wanted: Wanted) -> tuple[Tensor, State] | None:
    """Run a scan as one before of the same shapes: outputs and last state; none if anything is not as it was.

    `seen` is what the cell is now.
    """
    found: Arranged | None = seen.arranged.get(wanted.key())
    if found is None or not plain_now() or watched_by_all_modules(names_alone=False):
        return None
    calls = found.calls()
    if calls is None:
        return None
    xs, _, starts, lengths, resets, _ = wanted
    if not found.check(xs, *found.values, *starts):
        return None
    ragged = None
    if lengths is not None or resets is not None:
        ragged = ragged_of(calls.walks[0].executable, lengths, len(xs), resets)
        if ragged is None:
            return None
    seed = int(torch.randint(2**62, ())) if found.random else 0  # drawn as on the longer way
    starts = [start if start.is_contiguous() else start.contiguous() for start in starts]
    ys, *last = run_calls(calls, xs, found.values, starts, seed, ragged)
    return ys, built(found.form, iter(last))


def remember(seen: Look, calls: Calls, wanted: Wanted, *, form: Any, random: bool) -> None:
    """Keep what a scan by the longer way has found; `form` is that of its state, see `structure`."""
    values, xs = list(seen.tensors.values()), wanted.xs
    if type(xs) not in _PLAIN or not plain_now() or not all(value.is_contiguous() for value in values):
        return
    if len(seen.arranged) >= _MOST_SHAPES:
        seen.arranged.clear()
    check = checker(values, [xs], wanted.starts)
    seen.arranged[wanted.key()] = Arranged(check, weakref.ref(calls), values, random, form)
