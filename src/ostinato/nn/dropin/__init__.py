"""Drop-ins for `torch.nn`: the same recurrent layers and cells, their loop over time run by the engine."""

from ostinato.nn.dropin.accelerate import Left, Report, Swapped, accelerate
from ostinato.nn.dropin.cells import GRUCell, LSTMCell, RNNCell
from ostinato.nn.dropin.convert import from_torch
from ostinato.nn.dropin.layers import GRU, LSTM, RNN
from ostinato.nn.dropin.restored import restore

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "GRUCell",
    "LSTMCell",
    "Left",
    "RNNCell",
    "Report",
    "Swapped",
    "accelerate",
    "from_torch",
    "restore",
]
