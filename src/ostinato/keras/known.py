"""Calls of a Keras layer that is as it was: what a call of this kind needs is known, and looked at object by object.

A plain layer (one cell of Keras's, no state carried from call to call or given) goes straight to its program. What is
looked at each time: classes, settings and precision of layer and cell, weights and sequences (their shapes, types,
places in memory and whether they want gradients), and whatever of PyTorch's watches, traces or transforms a call.
Anything else than before takes the longer way, `loop`, which tells what is new.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ostinato.engine.beside import Beside
from ostinato.engine.plan.linear import is_wanted
from ostinato.engine.run.plain import plain_now, saving_is_watched
from ostinato.engine.run.quick import Calls, Ragged, Walk, calls_alone, ragged_of, run_calls, walked
from ostinato.engine.run.unchanged import checker
from ostinato.keras import quick
from ostinato.keras.loop import KINDS, dropout_of, form_of, mask_of, outputs, weights_of
from ostinato.keras.masks import steps_of

_PLAIN = (Tensor, nn.Parameter)
_MOST_SHAPES = 64
_NAMES = {torch.float32: "float32", torch.float64: "float64", torch.bfloat16: "bfloat16"}
_OVERRIDES = ("call", "inner_loop", "get_initial_state")
_of_layer = itemgetter("return_sequences", "return_state", "stateful", "go_backwards", "zero_output_for_mask")


class _Arranged(NamedTuple):
    """A call of one kind, looked up once."""

    check: Callable[..., bool]
    """Tells whether sequences and tensors of the step are of the kind, shape, layout and type that they were."""
    walk: Walk
    calls: Calls
    pick: Callable[[Any], tuple[Tensor, ...]]
    """Which tensors the plan takes, in its own order."""


class Known:
    """What is known of a layer.

    Args:
        layer: a layer of ours, of no class of a user's.
    """

    def __init__(self, layer: Any) -> None:
        self.kind, self.cell, self.cell_kind = type(layer), layer.cell, type(layer.cell)
        self.name = KINDS[self.cell_kind]
        self.arranged: dict[Any, _Arranged] = {}

    def run(self, layer: Any, given: Any, mask: Any, training: bool) -> Any:
        """Run a call from zeros, `(batch, time, features)`; none for the longer way."""
        kept, cell = layer.__dict__, layer.cell
        if (
            cell is not self.cell
            or type(cell) is not self.cell_kind
            or type(layer) is not self.kind
            or any(name in kept or name in cell.__dict__ for name in _OVERRIDES)
            or type(given) not in _PLAIN
            or given.dim() != 3
            or not given.is_cpu
            or 0 in given.shape
            or not plain_now()
            or saving_is_watched()
        ):
            return None
        sequences, states, stateful, reverse, zero = _of_layer(kept)
        if stateful or not layer.compute_dtype == cell.compute_dtype == _NAMES.get(given.dtype):
            return None
        return self._run(layer, given, mask, training, (sequences, states, bool(reverse), bool(zero)))

    def _run(self, layer: Any, given: Tensor, mask: Any, training: bool, options: tuple[bool, ...]) -> Any:
        sequences, states, reverse, zero = options
        cell, xs = self.cell, given.transpose(0, 1)
        real = None
        if mask is not None:
            mask = mask_of(mask, given)
            if mask is False:
                return None
            real = steps_of(mask)
            if real is not None:
                xs = real.walked(xs)
        masks: tuple[list[Tensor], list[Tensor]] | None = ([], [])
        drawn = cell.dropout or cell.recurrent_dropout
        if drawn:
            # drawn when predicting too, as Keras does: its generators count how often they are asked
            first, start = given[:, 0], given.new_zeros(len(given), cell.units)
            cell.get_dropout_mask(first)
            cell.get_recurrent_dropout_mask(start)
            masks = dropout_of(cell, xs, [start], training)
        form = None if masks is None else form_of(cell, len(masks[0]), len(masks[1]))
        if masks is None or form is None:
            return None
        inputs, carried = masks
        if inputs and not form.input_masks:
            xs, inputs = xs * inputs[0], []
        tensors = [*weights_of(cell), *inputs, *carried]
        tensors = [each if each.is_contiguous() else each.contiguous() for each in tensors]
        found = self._found(form, xs, tensors, reverse, walked(None if real is None else real.lengths))
        if found is None:
            return None
        ragged: Ragged | None = None
        if real is not None:
            ragged = ragged_of(found.walk.executable, real.lengths, len(xs))
            if ragged is None:
                return None
        ys, *last = run_calls(found.calls, xs, found.pick(tensors), (), ragged=ragged)
        if drawn:
            cell.reset_dropout_mask()
            cell.reset_recurrent_dropout_mask()
        final, every = outputs(layer, ys, real, reverse, zero)
        result = every if sequences else final
        return (result, *last) if states else result

    def _found(
        self, form: Any, xs: Tensor, tensors: list[Tensor], reverse: bool, steps: int | None
    ) -> _Arranged | None:  # fmt: skip
        """Return what calls of this kind need, arranged now if they never were or if a tensor is not as it was."""
        key = (
            form, xs.shape, xs.requires_grad, torch.is_grad_enabled(), is_wanted(), torch.get_num_threads(), reverse,
            steps, torch.get_default_dtype(),
        )  # fmt: skip
        found = self.arranged.get(key)
        if found is None or not found.check(xs, *tensors):
            states = 2 if self.name == "LSTMCell" else 1
            found = _arrange(quick.Loop(self.name, form, tensors, xs, [xs.new_zeros(1)] * states), reverse, steps)
            if found is not None:
                if len(self.arranged) >= _MOST_SHAPES:
                    self.arranged.clear()
                self.arranged[key] = found
        return found


def _arrange(loop: quick.Loop, reverse: bool, steps: int | None) -> _Arranged | None:
    """Look up the plan of a loop from zeros, if it is known and the quick way takes it."""
    dtype = loop.xs.dtype
    if not all(type(each) in _PLAIN and each.is_cpu and each.dtype is dtype for each in loop.tensors):
        return None
    known = quick.plan_of(loop)
    if known is None:
        return None
    executable = known.ready.executable
    walk = Walk(executable, known.ready.number, reverse)
    save = torch.is_grad_enabled() and executable.plan.backward is not None
    calls = calls_alone(walk, loop.xs.shape[0], loop.xs.shape[1], save=save, walked=steps)
    if calls is None:
        return None
    pick: Any = itemgetter(*known.order) if len(known.order) > 1 else lambda tensors: (tensors[known.order[0]],)
    return _Arranged(checker(loop.tensors, [loop.xs], ()), walk, calls, pick)


_known: Beside[Known] = Beside()
"""Beside the layers, not in them: files, copies and weights stay those of Keras."""


def known_of(layer: Any) -> Known | None:
    """Return what is known of a layer; none if its cell is not one that the engine runs."""
    known = _known.get(layer)
    if known is not None and known.cell is layer.cell:
        return known
    if type(layer.cell) not in KINDS or not type(layer).__module__.startswith("ostinato.keras."):
        return None
    known = _known[layer] = Known(layer)
    return known
