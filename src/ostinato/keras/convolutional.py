"""Keras's ConvLSTM layers with a loop of our own: one convolution over all steps' inputs, one a step for the state.

Convolutions are PyTorch's, so there is no fused loop to make of them. But Keras calls eight of them a step, lays
kernels and frames out for each, and convolves the inputs inside the loop, which does not need the state.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ostinato.engine.run.compiled import engine_is_on
from ostinato.keras.loop import function_of
from ostinato.keras.naming import keras, stands_in_for

_CONVOLUTIONS = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}


class ConvolutionalLoop:
    """What the three layers share."""

    def inner_loop(self, sequences: Any, initial_state: Any, mask: Any, training: Any = False) -> Any:
        """Run the loop over time; see `keras.layers.RNN`."""
        layer: Any = self
        if _takes(layer.cell, sequences, initial_state, mask):
            return _walk(layer, sequences, initial_state, mask, bool(training))
        return super().inner_loop(sequences, initial_state, mask, training=training)  # type: ignore[misc]


def _takes(cell: Any, sequences: Any, states: Any, mask: Any) -> bool:
    """Tell whether all is as a plain call of the layer has it; else Keras runs it, or says what is wrong."""
    tensors = [sequences, *states]
    rates = (cell.dropout, cell.recurrent_dropout)
    return (
        engine_is_on()
        and len(states) == 2
        and all(isinstance(each, Tensor) and each.device.type in ("cpu", "cuda") for each in tensors)
        and all(each.dtype is cell.kernel.value.dtype for each in tensors)
        and sequences.dim() == cell.rank + 3
        and sequences.shape[1] > 0
        and (mask is None or isinstance(mask, Tensor))
        and all(rate < 1 for rate in rates)
        and _axes_are_alike(cell)
        and not torch._C._is_tracing()
        and not torch.compiler.is_compiling()
    )


def _axes_are_alike(cell: Any) -> bool:
    """Tell whether channels, which come first here, may stand elsewhere: not where a softmax, say, is along an axis."""
    activations = (cell.activation, cell.recurrent_activation)
    return cell.data_format == "channels_first" or all(function_of(each) is not None for each in activations)


def _walk(layer: Any, sequences: Tensor, initial_state: Any, mask: Any, training: bool) -> tuple[Tensor, Tensor, Any]:
    cell = layer.cell
    last_axis = cell.data_format == "channels_last"
    given = _inputs(cell, sequences, training)
    h, c = (_channels_first(part.clone() if layer.stateful else part, last_axis) for part in initial_state)
    recurrent = _Recurrent(cell, h, training)
    real = None if mask is None else mask.bool().reshape(*mask.shape[:2], *[1] * (h.dim() - 1)).unbind(1)
    outputs: list[Tensor] = []
    steps = range(len(given))
    zero = torch.zeros_like(h)
    output = zero
    for t in reversed(steps) if layer.go_backwards else steps:
        i, f, g, o = (given[t] + recurrent(h)).chunk(4, 1)
        new_c = cell.recurrent_activation(f) * c + cell.recurrent_activation(i) * cell.activation(g)
        new_h = cell.recurrent_activation(o) * cell.activation(new_c)
        if real is None:
            h, c, output = new_h, new_c, new_h
        else:
            output = torch.where(real[t], new_h, zero if layer.zero_output_for_mask else output)
            h, c = torch.where(real[t], new_h, h), torch.where(real[t], new_c, c)
        if layer.return_sequences:
            outputs.append(output)
    ys = torch.stack(outputs or [output], 1)
    final, ended = _as_given(output, last_axis), [_as_given(part, last_axis) for part in (h, c)]
    return final, ys.movedim(2, -1) if last_axis else ys, ended


def _inputs(cell: Any, sequences: Tensor, training: bool) -> tuple[Tensor, ...]:
    """Return the convolved inputs of all four gates, for each step `(batch, 4 * filters, ...)`."""
    batch, steps = sequences.shape[:2]
    axis = -1 if cell.data_format == "channels_last" else 1
    bias = cell.bias.value if cell.use_bias else None

    def convolved(xs: Tensor, kernel: Tensor) -> Tensor:
        found: Tensor = cell.input_conv(xs.flatten(0, 1), kernel, None, padding=cell.padding)
        return found.movedim(axis, 1)

    if training and cell.dropout:
        masks = cell.get_dropout_mask(sequences[:, 0])
        kernels = cell.kernel.value.chunk(4, -1)
        found = torch.cat([convolved(sequences * m[:, None], k) for m, k in zip(masks, kernels, strict=True)], 1)
    else:
        found = convolved(sequences, cell.kernel.value)
    if bias is not None:
        found = found + bias.reshape(-1, *[1] * cell.rank)
    return found.reshape(batch, steps, *found.shape[1:]).unbind(1)


class _Recurrent:
    """The convolution of the state, its kernel laid out once a call.

    Args:
        cell: Keras's.
        h: a state, channels first.
        training: whether the state is dropped out.
    """

    def __init__(self, cell: Any, h: Tensor, training: bool) -> None:
        kernel = cell.recurrent_kernel.value
        self.kernel = kernel.movedim((-1, -2), (0, 1)).contiguous()
        self.convolve = _CONVOLUTIONS[cell.rank]
        self.masks: Tensor | None = None
        if training and cell.recurrent_dropout:
            last_axis = cell.data_format == "channels_last"
            masks = cell.get_recurrent_dropout_mask(_as_given(h, last_axis))
            self.masks = torch.cat([_channels_first(mask, last_axis) for mask in masks], 1)
        sizes = kernel.shape[: cell.rank]
        even = any(size % 2 == 0 for size in sizes)
        self.padding = 0 if even else [size // 2 for size in sizes]
        around = [side for size in reversed(sizes) for side in ((size - 1) // 2, size - 1 - (size - 1) // 2)]
        self.around = around if even else None

    def __call__(self, h: Tensor) -> Tensor:
        groups = 1
        if self.masks is not None:
            h, groups = h.repeat(1, 4, *[1] * (h.dim() - 2)) * self.masks, 4
        if self.around is not None:
            h = functional.pad(h, self.around)
        found: Tensor = self.convolve(h, self.kernel, padding=self.padding, groups=groups)
        return found


def _channels_first(frame: Tensor, last_axis: bool) -> Tensor:
    return frame.movedim(-1, 1) if last_axis else frame


def _as_given(frame: Tensor, last_axis: bool) -> Tensor:
    return frame.movedim(1, -1) if last_axis else frame


@stands_in_for("ConvLSTM1D")
class ConvLSTM1D(ConvolutionalLoop, keras.layers.ConvLSTM1D):  # type: ignore[misc]
    """`keras.layers.ConvLSTM1D`, arguments and all."""


@stands_in_for("ConvLSTM2D")
class ConvLSTM2D(ConvolutionalLoop, keras.layers.ConvLSTM2D):  # type: ignore[misc]
    """`keras.layers.ConvLSTM2D`, arguments and all."""


@stands_in_for("ConvLSTM3D")
class ConvLSTM3D(ConvolutionalLoop, keras.layers.ConvLSTM3D):  # type: ignore[misc]
    """`keras.layers.ConvLSTM3D`, arguments and all."""
