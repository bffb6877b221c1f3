"""Keras's recurrent layers with their loop over time run by the engine: each is its namesake by inheritance."""

from __future__ import annotations

from typing import Any

import torch
from torch._compile import _disable_dynamo

from ostinato.keras.known import known_of
from ostinato.keras.loop import walk
from ostinato.keras.naming import keras, stands_in_for

_walk_untraced = _disable_dynamo(walk)
"""As `torch.compiler.disable`: a compiled model breaks its graph around a loop of the engine."""


class EngineLoop:
    """What the layers share: the loop through the engine, or else as Keras runs it."""

    def call(self, sequences: Any, initial_state: Any = None, mask: Any = None, training: Any = False) -> Any:
        """Run the layer; see `keras.layers.RNN`."""
        layer: Any = self
        if initial_state is None and not torch.compiler.is_compiling() and not _needs_cudnn(layer, mask):
            known = known_of(layer)
            done = None if known is None else known.run(layer, sequences, mask, bool(training))
            if done is not None:
                return done
        return super().call(  # type: ignore[misc]
            sequences, initial_state=initial_state, mask=mask, training=training
        )

    def inner_loop(self, sequences: Any, initial_state: Any, mask: Any, training: Any = False) -> Any:
        """Run the loop over time; see `keras.layers.RNN`."""
        layer: Any = self
        if not _needs_cudnn(layer, mask):
            run = _walk_untraced if torch.compiler.is_compiling() else walk
            done = run(layer, sequences, initial_state, mask, training)
            if done is not None:
                return done
        return super().inner_loop(sequences, initial_state, mask, training=training)  # type: ignore[misc]


def _needs_cudnn(layer: Any, mask: Any) -> bool:
    """Tell whether a layer insists on cuDNN where Keras refuses that, and has to say so."""
    if getattr(layer, "use_cudnn", "auto") is not True:
        return False
    return mask is not None or bool(layer.recurrent_dropout) or not getattr(layer.cell, "reset_after", True)


@stands_in_for("RNN")
class RNN(EngineLoop, keras.layers.RNN):  # type: ignore[misc]
    """`keras.layers.RNN`, arguments and all: any cell, the cells of Keras and stacks of them through the engine."""


@stands_in_for("SimpleRNN")
class SimpleRNN(EngineLoop, keras.layers.SimpleRNN):  # type: ignore[misc]
    """`keras.layers.SimpleRNN`, arguments and all, through the engine."""


@stands_in_for("LSTM")
class LSTM(EngineLoop, keras.layers.LSTM):  # type: ignore[misc]
    """`keras.layers.LSTM`, arguments and all, through the engine."""


@stands_in_for("GRU")
class GRU(EngineLoop, keras.layers.GRU):  # type: ignore[misc]
    """`keras.layers.GRU`, arguments and all, through the engine."""
