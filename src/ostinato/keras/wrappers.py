"""Keras's wrappers around layers: `Bidirectional` of our layers, and `TimeDistributed` all steps at once."""

from __future__ import annotations

from typing import Any

from ostinato.engine.run.compiled import engine_is_on
from ostinato.keras.naming import keras, stands_in_for, swap


@stands_in_for("StackedRNNCells")
class StackedRNNCells(keras.layers.StackedRNNCells):  # type: ignore[misc]
    """`keras.layers.StackedRNNCells`; a layer of ours walks one of its cells after the other over all steps."""


@stands_in_for("Bidirectional")
class Bidirectional(keras.layers.Bidirectional):  # type: ignore[misc]
    """`keras.layers.Bidirectional`, arguments and all: the layers that it makes of what it is given are ours."""

    def __init__(self, layer: Any, merge_mode: Any = "concat", weights: Any = None, backward_layer: Any = None,
                 **kwargs: Any) -> None:  # fmt: skip
        super().__init__(layer, merge_mode=merge_mode, weights=weights, backward_layer=backward_layer, **kwargs)
        swap(self.forward_layer)
        if backward_layer is None:
            swap(self.backward_layer)

    @classmethod
    def from_config(cls, config: Any, custom_objects: Any = None) -> Any:
        """Return the layer that `get_config` describes."""
        return swap(super().from_config(config, custom_objects=custom_objects))


_BY_STEP_NAMES = """
    Dense EinsumDense Embedding Activation ReLU LeakyReLU ELU Softmax Rescaling Flatten Reshape Permute RepeatVector
    Conv1D Conv2D Conv3D SeparableConv1D SeparableConv2D DepthwiseConv1D DepthwiseConv2D
    Conv1DTranspose Conv2DTranspose Conv3DTranspose ZeroPadding1D ZeroPadding2D ZeroPadding3D
    Cropping1D Cropping2D Cropping3D UpSampling1D UpSampling2D UpSampling3D
    MaxPooling1D MaxPooling2D MaxPooling3D AveragePooling1D AveragePooling2D AveragePooling3D
    GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D
    GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D
    LayerNormalization UnitNormalization GroupNormalization
""".split()  # noqa: SIM905 - a list of words
_BY_STEP = frozenset(getattr(keras.layers, name) for name in _BY_STEP_NAMES if hasattr(keras.layers, name))
"""Layers that make of each row of a batch what they would make of it alone, and draw no random numbers."""
_RECURRENT_NAMES = ("RNN", "SimpleRNN", "LSTM", "GRU", "ConvLSTM1D", "ConvLSTM2D")
_RECURRENT: Any = tuple(getattr(keras.layers, name) for name in _RECURRENT_NAMES)


@stands_in_for("TimeDistributed")
class TimeDistributed(keras.layers.TimeDistributed):  # type: ignore[misc]
    """`keras.layers.TimeDistributed`, arguments and all.

    Where the layer inside makes of each row what it would make of it alone, the steps of all rows are one batch, and
    the layer is called once. Where rows meet (batch normalisation) or random numbers are drawn (dropout), Keras calls
    it for each step.
    """

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        """Apply the layer to every step of `(batch, time, ...)`."""
        if not (_plain(inputs) and engine_is_on() and _row_by_row(self.layer) and _mask_is_known(mask, inputs)):
            return super().call(inputs, training=training, mask=mask)
        batch, steps = inputs.shape[:2]
        options = {}
        if mask is not None and self.layer._call_has_mask_arg:
            options["mask"] = mask.reshape(batch * steps, *mask.shape[2:])
        if self.layer._call_has_training_arg:
            options["training"] = training
        outputs = self.layer.call(inputs.reshape(batch * steps, *inputs.shape[2:]), **options)
        if not _plain(outputs, 1):
            return super().call(inputs, training=training, mask=mask)
        return outputs.reshape(batch, steps, *outputs.shape[1:])

    @classmethod
    def from_config(cls, config: Any, custom_objects: Any = None) -> Any:
        """Return the layer that `get_config` describes."""
        return swap(super().from_config(config, custom_objects=custom_objects))


def _mask_is_known(mask: Any, inputs: Any) -> bool:
    return mask is None or (_plain(mask) and mask.shape[:2] == inputs.shape[:2])


def _plain(value: Any, dimensions: int = 2) -> bool:
    """Tell whether a value is a tensor with numbers in it."""
    import torch

    return isinstance(value, torch.Tensor) and not value.is_meta and value.dim() >= dimensions and value.numel() > 0


def _row_by_row(layer: Any) -> bool:
    """Tell whether a layer makes of each row what it would make of it alone, the same each time."""
    if "call" in layer.__dict__ or getattr(layer, "activity_regularizer", None) is not None:
        return False
    kind = type(layer)
    if kind in (keras.Sequential, keras.Model) or kind.__name__ == "Functional":
        return kind.__module__.startswith("keras.") and all(_row_by_row(each) for each in layer.layers)
    if isinstance(layer, _RECURRENT):
        cells = getattr(layer.cell, "cells", [layer.cell])
        still = all(not getattr(cell, "dropout", 0) and not getattr(cell, "recurrent_dropout", 0) for cell in cells)
        return kind.__module__.startswith(("keras.", "ostinato.keras.")) and not layer.stateful and still
    if kind is keras.layers.InputLayer:
        return True
    return kind in _BY_STEP
