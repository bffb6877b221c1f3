"""Keras's loop over time, run by the engine: what a layer's `inner_loop` returns, or that Keras has to run it.

Keras's layer does all else, before and after: building, casting, drawing dropout masks, keeping states. What the engine
does not take (a cell that is not Keras's own, an activation of the user's, a device or a precision) is left to Keras's
own loop, which gives the same numbers.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ostinato.engine.run.compiled import engine_is_on, suits
from ostinato.engine.run.scan import scan_checked
from ostinato.errors import EngineWarning
from ostinato.keras import quick
from ostinato.keras.masks import Steps, steps_of
from ostinato.keras.naming import keras
from ostinato.keras.steps import FUNCTIONS, STEPS, Form, step_of

_tree: Any = keras.tree
KINDS: dict[type, str] = {getattr(keras.layers, name): name for name in STEPS}
_FUNCTIONS: dict[Any, Any] = {
    getattr(keras.activations, name): function
    for name, function in FUNCTIONS.items()
    if hasattr(keras.activations, name)
}
_PLAIN = (Tensor, nn.Parameter, nn.Buffer)


def walk(layer: Any, sequences: Any, initial_state: Any, mask: Any, training: Any) -> tuple[Tensor, Tensor, Any] | None:
    """Run the loop of a recurrent layer of Keras's through the engine.

    Args:
        layer: `keras.layers.RNN` or one of its subclasses, built.
        sequences: `(batch, time, features)`.
        initial_state: nested as the layer's.
        mask: boolean `(batch, time)`, or none.
        training: whether dropout is on.

    Returns:
        The last output, all outputs `(batch, time, features)` (or only the last, `(batch, 1, features)`, if the layer
        does not return sequences) and the last state, nested as it was; `None` if Keras has to run the loop.
    """
    cells = _cells_of(layer.cell)
    if cells is None:
        _say_left(layer)
    if cells is None or not _open(sequences):
        return None
    mask = mask_of(mask, sequences)
    if mask is False:
        return None
    states = _tree.flatten(initial_state)
    parts = _divided(cells, states)
    if parts is None:
        return None
    return _walked(layer, cells, sequences, (initial_state, parts), mask, bool(training))


def _open(sequences: Any) -> bool:
    """Tell whether the engine may try these sequences: plain tensors on the CPU, and nothing tracing."""
    return (
        engine_is_on()
        and type(sequences) in _PLAIN
        and sequences.dim() == 3
        and sequences.device.type == "cpu"
        and not torch._C._is_tracing()
        and not torch.compiler.is_exporting()
    )


def _cells_of(cell: Any) -> list[Any] | None:
    """Return the cells of a layer, from below, or `None` if one is not of a kind that the engine knows."""
    cells = list(cell.cells) if type(cell) is keras.layers.StackedRNNCells else [cell]
    known = all(type(each) in KINDS and "call" not in each.__dict__ for each in cells)
    return cells if known and cells else None


_said: set[type] = set()
"""The classes of cells of which it was said that Keras runs them."""


def _say_left(layer: Any) -> None:
    """Say once of each class of cells that the engine does not know that Keras's own loop runs it."""
    cells = list(getattr(layer.cell, "cells", [layer.cell]))
    new = next((type(cell) for cell in cells if type(cell) not in KINDS and type(cell) not in _said), None)
    if new is not None:
        _said.add(new)
        warnings.warn(
            f"{layer.name} runs in Keras's own loop, right but slower: the engine takes SimpleRNNCell, LSTMCell and "
            f"GRUCell of Keras's, and stacks of them, and {new.__name__} is another; a torch.nn.Module is fast in "
            "ostinato.scan",
            EngineWarning,
            stacklevel=2,
        )


def mask_of(mask: Any, sequences: Tensor) -> Any:
    """Return a boolean mask, `(batch, time)`, or `None`; `False` if it is another than the engine can read."""
    if mask is not None and _tree.is_nested(mask):
        mask = _tree.flatten(mask)[0]
    if mask is None:
        return None
    mask = keras.ops.convert_to_tensor(mask)
    if mask.dim() == 3 and mask.shape[2] == 1:
        mask = mask[..., 0]
    if tuple(mask.shape) != tuple(sequences.shape[:2]) or mask.device != sequences.device:
        return False
    return mask.bool()


def _divided(cells: Sequence[Any], states: Sequence[Any]) -> list[tuple[Tensor, ...]] | None:
    """Return the state of each cell, or `None` if there are not as many tensors as the cells have."""
    counts = [2 if KINDS[type(cell)] == "LSTMCell" else 1 for cell in cells]
    if sum(counts) != len(states) or not all(type(state) in _PLAIN for state in states):
        return None
    rest = iter(states)
    return [tuple(next(rest) for _ in range(count)) for count in counts]


def _walked(
    layer: Any, cells: Sequence[Any], sequences: Tensor, given: tuple[Any, Any], mask: Tensor | None, training: bool
) -> tuple[Tensor, Tensor, Any] | None:
    initial_state, parts = given
    reverse, zero = bool(layer.go_backwards), bool(layer.zero_output_for_mask)
    xs = sequences.transpose(0, 1)
    real = None if mask is None else steps_of(mask)
    if real is not None:
        xs = real.walked(xs)
    last: list[Tensor] = []
    for cell, state in zip(cells, parts, strict=True):
        if layer.stateful:
            # Keras writes the last state into these after the call
            state = tuple(part.clone() for part in state)
        done = _through(cell, xs, state, None if real is None else real.lengths, reverse, training)
        if done is None:
            return None
        xs, ended = done
        last += ended
    return *outputs(layer, xs, real, reverse, zero), _tree.pack_sequence_as(initial_state, last)


def outputs(layer: Any, ys: Tensor, real: Steps | None, reverse: bool, zero: bool) -> tuple[Tensor, Tensor]:
    """Return the last output and all outputs, as Keras orders them: as they were walked."""
    if not layer.return_sequences:
        final = ys[0 if reverse else -1] if real is None else real.last(ys, reverse, zero)
        return final, final.unsqueeze(1)
    if real is not None:
        ys = real.outputs(ys, reverse, zero)
    if reverse:
        ys = ys.flip(0)
    return ys[-1], ys.transpose(0, 1)


def _through(
    cell: Any, xs: Tensor, state: tuple[Tensor, ...], lengths: Tensor | None, reverse: bool, training: bool
) -> tuple[Tensor, list[Tensor]] | None:
    """Walk one cell over `(time, batch, features)`."""
    weights = list(weights_of(cell))
    xs = _in_precision_of(weights[0], xs)
    if not _fits(cell, weights, xs, state) or not suits(xs, state):
        return None
    masks = dropout_of(cell, xs, state, training)
    if masks is None:
        return None
    inputs, states = masks
    form = form_of(cell, len(inputs), len(states))
    if form is None:
        return None
    if inputs and not form.input_masks:
        xs, inputs = xs * inputs[0], []
    loop = quick.Loop(KINDS[type(cell)], form, [*weights, *inputs, *states], xs, state)
    done = quick.run(loop, lengths, reverse=reverse)
    if done is not None:
        return done[0], list(done[1:])
    step = step_of(cell, loop.kind, form, loop.tensors)
    ys, ended = scan_checked(step, xs, state, lengths=lengths, reverse=reverse, apart=True)
    quick.learn(loop, step)
    return ys, list(ended)


def weights_of(cell: Any) -> Iterator[Tensor]:
    """Yield kernel, recurrent kernel and, if there is one, bias: in the precision that Keras computes in."""
    yield cell.kernel.value
    yield cell.recurrent_kernel.value
    if _has_bias(cell):
        yield cell.bias.value


def _has_bias(cell: Any) -> bool:
    """Tell whether there is a bias; `SimpleRNN` asks for the weight itself, the others of Keras for the setting."""
    return cell.bias is not None if KINDS[type(cell)] == "SimpleRNNCell" else bool(cell.use_bias)


def _bias_is_clear(cell: Any) -> bool:
    return KINDS[type(cell)] == "SimpleRNNCell" or bool(cell.use_bias) == (cell.bias is not None)


def _in_precision_of(weight: Tensor, xs: Tensor) -> Tensor:
    return xs if xs.dtype is weight.dtype or xs.is_floating_point() else xs.to(weight.dtype)


def _fits(cell: Any, weights: Sequence[Tensor], xs: Tensor, state: Sequence[Tensor]) -> bool:
    """Tell whether all has the sizes and the precision of the cell; else it is for Keras to say what is wrong."""
    rows = (xs.shape[1], cell.units)
    return (
        weights[0].shape[0] == xs.shape[2]
        and all(type(weight) in _PLAIN and weight.dtype is xs.dtype for weight in weights)
        and all(weight.device == xs.device for weight in weights)
        and all(tuple(part.shape) == rows for part in state)
    )


def form_of(cell: Any, inputs: int, states: int) -> Form | None:
    """Return the form of a cell's step, or `None` if it has an activation that the engine does not know.

    Also where a cell of gates has one mask for its states: it was made without recurrent dropout, and got some later;
    and where it has a bias that it is said not to use: what Keras makes of that depends on the way it takes.
    """
    if not _bias_is_clear(cell):
        return None
    activation = function_of(cell.activation)
    gate = function_of(getattr(cell, "recurrent_activation", None))
    if activation is None or gate is None:
        return None
    by_gate = getattr(cell, "dropout_mask_count", None) is not None
    if states and not by_gate and KINDS[type(cell)] != "SimpleRNNCell":
        return None
    after = bool(getattr(cell, "reset_after", True))
    return Form(activation, gate, _has_bias(cell), after, inputs if by_gate else 0, states)


def function_of(activation: Any) -> Any:
    """Return what stands for an activation of Keras's that treats each number alone; none for another."""
    return FUNCTIONS["linear"] if activation is None else _FUNCTIONS.get(activation)


def dropout_of(
    cell: Any, xs: Tensor, state: Sequence[Tensor], training: bool
) -> tuple[list[Tensor], list[Tensor]] | None:
    """Return Keras's dropout masks of this call, for inputs and for states, each `(batch, features)`.

    `None` if a rate is one: what Keras makes of that depends on the way it takes.
    """
    if not training or not (cell.dropout or cell.recurrent_dropout):
        return [], []
    if cell.dropout >= 1 or cell.recurrent_dropout >= 1:
        return None
    inputs = cell.get_dropout_mask(xs[0]) if cell.dropout else []
    states = cell.get_recurrent_dropout_mask(state[0]) if cell.recurrent_dropout else []
    return _as_list(inputs), _as_list(states)


def _as_list(masks: Any) -> list[Tensor]:
    return [masks] if isinstance(masks, Tensor) else list(masks)
