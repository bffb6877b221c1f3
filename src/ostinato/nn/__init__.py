"""Layers made of cells, and drop-ins for those of `torch.nn`."""

from ostinato.nn.batch_norm_lstm import BatchNormLSTM
from ostinato.nn.dropin import GRU, LSTM, RNN, GRUCell, LSTMCell, Report, RNNCell, accelerate, from_torch
from ostinato.nn.dropout import VariationalDropout
from ostinato.nn.norms import SequenceBatchNorm
from ostinato.nn.recurrent import LayerStates, Recurrent

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "BatchNormLSTM",
    "GRUCell",
    "LSTMCell",
    "LayerStates",
    "RNNCell",
    "Recurrent",
    "Report",
    "SequenceBatchNorm",
    "VariationalDropout",
    "accelerate",
    "from_torch",
]
