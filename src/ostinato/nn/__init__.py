"""Layers made of cells, and drop-ins for those of `torch.nn`."""

from ostinato.nn.dropin import GRU, LSTM, RNN, GRUCell, LSTMCell, Report, RNNCell, accelerate, from_torch
from ostinato.nn.recurrent import LayerStates, Recurrent

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "GRUCell",
    "LSTMCell",
    "LayerStates",
    "RNNCell",
    "Recurrent",
    "Report",
    "accelerate",
    "from_torch",
]
