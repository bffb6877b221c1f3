"""Scans of a cell that is as it was: what a call of one shape needs was found before, and is only compared.

What is looked at each time: all that `watch` compares of the cell and its code, the kind, shape, layout and type of its
tensors, of the sequences and of the state, and whatever of PyTorch's watches, traces or transforms a call. Weights are
read where they lie at every call. Anything else than before takes the longer way, which tells what is new.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ostinato.engine.front.state import State, built, leaves, structure
from ostinato.engine.front.watch import Look, watched_by_all_modules
from ostinato.engine.plan.linear import is_wanted
from ostinato.engine.run.plain import plain_but_for_autocast, plain_now
from ostinato.engine.run.quick import Calls, ragged_of, run_calls, walked
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


class Wanted(NamedTuple):
    """A scan that is asked for, of arguments that fit."""

    xs: Tensor
    """`(time, batch, ...)`."""
    form: Any
    """Of the state, see `structure`."""
    starts: list[Tensor]
    """The tensors of the state."""
    lengths: Tensor | None
    resets: Tensor | None
    reverse: bool
    mixed: bool | None = None
    """Under autocast, whether products of matrices are made in bfloat16; none elsewhere."""
    states: bool = False
    """Whether the outputs carry the states along."""

    def from_zeros(self) -> Wanted:
        """Return the same from zeros, which the program has itself."""
        return self._replace(starts=[])

    def key(self) -> tuple[Any, ...]:
        """Return what calls of a cell differ by, beside the kinds of their tensors."""
        return (
            self.xs.shape, self.xs.requires_grad, self.form, not self.starts, walked(self.lengths), self.resets is None,
            self.reverse, self.mixed, self.states, torch.is_grad_enabled(), is_wanted(), torch.get_num_threads(),
            torch.get_default_dtype(),
        )  # fmt: skip


def wanted_of(
    xs: Tensor, state: State, lengths: Tensor | None, resets: Tensor | None, reverse: bool, *,
    mixed: bool | None = None, states: bool = False,
) -> Wanted:  # fmt: skip
    """Return a scan that is asked for."""
    if type(state) is tuple and all(type(leaf) is Tensor for leaf in state):  # as most are
        form: Any = (None,) * len(state)
        return Wanted(xs, form, list(state), lengths, resets, reverse, mixed, states)  # type: ignore[arg-type]
    return Wanted(xs, structure(state), leaves(state), lengths, resets, reverse, mixed, states)


def run_again(seen: Look, wanted: Wanted) -> tuple[Tensor, State] | None:
    """Run a scan as one before of the same shapes: outputs and last state; none if anything is not as it was.

    `seen` is what the cell is now.
    """
    found: Arranged | None = seen.arranged.get(wanted.key())
    if found is None or not plain_but_for_autocast() or watched_by_all_modules(names_alone=False):
        return None
    calls = found.calls()
    if calls is None:
        return None
    xs, form, starts, lengths, resets, *_ = wanted
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
    return ys, built(form, iter(last))


def remember(seen: Look, calls: Calls, wanted: Wanted, values: Sequence[Tensor], *, random: bool) -> None:
    """Keep what a scan by the longer way has found, of a cell that has these tensors."""
    xs = wanted.xs
    if type(xs) not in _PLAIN or not plain_now() or not all(value.is_contiguous() for value in values):
        return
    if len(seen.arranged) >= _MOST_SHAPES:
        seen.arranged.clear()
    # off by now if it was on; what is compared tells the one from the other
    with nullcontext() if wanted.mixed is None else torch.autocast("cpu", torch.bfloat16):
        for each in (wanted, wanted.from_zeros()):
            check = checker(values, [xs], each.starts)
            seen.arranged[each.key()] = Arranged(check, weakref.ref(calls), values, random)
