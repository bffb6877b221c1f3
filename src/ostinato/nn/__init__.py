"""Layers made of cells, and drop-ins for those of `torch.nn`."""

from ostinato.nn import losses
from ostinato.nn.batch_norm_lstm import BatchNormLSTM
from ostinato.nn.bridge import Bridge
from ostinato.nn.convolutional import ConvolutionalFront, SpectrogramFront
from ostinato.nn.decoder import DecoderState, RecurrentDecoder
from ostinato.nn.dropin import GRU, LSTM, RNN, GRUCell, LSTMCell, Report, RNNCell, accelerate, from_torch, restore
from ostinato.nn.dropout import VariationalDropout
from ostinato.nn.embeddings import TokenEmbedding
from ostinato.nn.norms import SequenceBatchNorm
from ostinato.nn.recurrent import LayerStates, Recurrent
from ostinato.nn.rows import Rows
from ostinato.nn.seq2seq import EncoderDecoder
from ostinato.nn.softmax import AdaptiveSoftmax, FullSoftmax, SampledSoftmax
from ostinato.nn.transformer import TransformerEncoderDecoder, TransformerStack
from ostinato.nn.weight_drop import weight_drop

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "AdaptiveSoftmax",
    "BatchNormLSTM",
    "Bridge",
    "ConvolutionalFront",
    "DecoderState",
    "EncoderDecoder",
    "FullSoftmax",
    "GRUCell",
    "LSTMCell",
    "LayerStates",
    "RNNCell",
    "Recurrent",
    "RecurrentDecoder",
    "Report",
    "Rows",
    "SampledSoftmax",
    "SequenceBatchNorm",
    "SpectrogramFront",
    "TokenEmbedding",
    "TransformerEncoderDecoder",
    "TransformerStack",
    "VariationalDropout",
    "accelerate",
    "from_torch",
    "losses",
    "restore",
    "weight_drop",
]
