"""`keras.layers`, its recurrent ones replaced by those that run on the engine."""

from __future__ import annotations

from functools import wraps
from typing import Any

from ostinato.keras.convolutional import ConvLSTM1D, ConvLSTM2D, ConvLSTM3D
from ostinato.keras.naming import keras, swap
from ostinato.keras.recurrent import GRU, LSTM, RNN, SimpleRNN
from ostinato.keras.wrappers import Bidirectional, StackedRNNCells, TimeDistributed

SimpleRNNCell, LSTMCell, GRUCell = keras.layers.SimpleRNNCell, keras.layers.LSTMCell, keras.layers.GRUCell
"""Keras's own: the engine runs them inside a layer; a single step is not worth it."""


@wraps(keras.layers.deserialize)
def deserialize(*args: Any, **kwargs: Any) -> Any:
    """Return the layer that a configuration describes, ours where there is one."""
    return swap(keras.layers.deserialize(*args, **kwargs))


_OURS = (
    "GRU", "LSTM", "RNN", "Bidirectional", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D", "GRUCell", "LSTMCell", "SimpleRNN",
    "SimpleRNNCell", "StackedRNNCells", "TimeDistributed", "deserialize",
)  # fmt: skip
__all__ = sorted({*_OURS, *(name for name in dir(keras.layers) if not name.startswith("_"))})  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    return getattr(keras.layers, name)


def __dir__() -> list[str]:
    return __all__
