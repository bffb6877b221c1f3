"""`keras.layers`, its recurrent ones replaced by those that run on the engine."""

from __future__ import annotations

from functools import wraps
from typing import Any

from ostinato.keras.convolutional import ConvLSTM1D as ConvLSTM1D
from ostinato.keras.convolutional import ConvLSTM2D as ConvLSTM2D
from ostinato.keras.convolutional import ConvLSTM3D as ConvLSTM3D
from ostinato.keras.naming import keras, swap
from ostinato.keras.recurrent import GRU as GRU
from ostinato.keras.recurrent import LSTM as LSTM
from ostinato.keras.recurrent import RNN as RNN
from ostinato.keras.recurrent import SimpleRNN as SimpleRNN
from ostinato.keras.wrappers import Bidirectional as Bidirectional
from ostinato.keras.wrappers import StackedRNNCells as StackedRNNCells
from ostinato.keras.wrappers import TimeDistributed as TimeDistributed

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
__all__ = sorted({*_OURS, *(name for name in dir(keras.layers) if not name.startswith("_"))})


def __getattr__(name: str) -> Any:
    return getattr(keras.layers, name)


def __dir__() -> list[str]:
    return __all__
