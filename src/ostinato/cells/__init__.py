"""The catalogue of cells: one family a file, each cell its equations in PyTorch and nothing else of the project.

A cell is an `nn.Module` whose `forward(x, state)` returns `(output, new_state)`; see `ostinato.scan`.
"""

from torch import nn

from ostinato.cells.activations import ACTIVATIONS
from ostinato.cells.antisymmetric import AntisymmetricRNNCell
from ostinato.cells.cfc import CfCCell
from ostinato.cells.convolutional import ConvGRUCell, ConvLSTMCell
from ostinato.cells.griffin import RGLRUCell
from ostinato.cells.gru import GRUCell
from ostinato.cells.gru_variants import GRUResetBeforeCell, LayerNormGRUCell, MGUCell
from ostinato.cells.indrnn import IndRNNCell
from ostinato.cells.initialisation import RECURRENT_INITS
from ostinato.cells.irregular import GRUDCell, TLSTMCell
from ostinato.cells.janet import JANETCell
from ostinato.cells.lem import LEMCell
from ostinato.cells.lru import LRUCell
from ostinato.cells.lstm import LSTMCell
from ostinato.cells.lstm_variants import CoupledLSTMCell, LayerNormLSTMCell, PeepholeLSTMCell, ProjectedLSTMCell
from ostinato.cells.minimal import MinGRUCell, MinLSTMCell
from ostinato.cells.multiplicative import MultiplicativeLSTMCell
from ostinato.cells.oscillators import CoRNNCell, UnICORNNCell
from ostinato.cells.qrnn import QRNNCell
from ostinato.cells.reservoir import EchoStateCell
from ostinato.cells.rnn import IRNNCell, RNNCell
from ostinato.cells.segments import SegmentGRUCell
from ostinato.cells.sru import SRUCell
from ostinato.cells.wrappers import RecurrentDropout, Residual, Zoneout
from ostinato.cells.xlstm import MLSTMCell, SLSTMCell

CATALOGUE: dict[str, type[nn.Module]] = {
    "rnn": RNNCell,
    "lstm": LSTMCell,
    "gru": GRUCell,
    "irnn": IRNNCell,
    "indrnn": IndRNNCell,
    "lstm-peephole": PeepholeLSTMCell,
    "lstm-coupled": CoupledLSTMCell,
    "lstm-projected": ProjectedLSTMCell,
    "lstm-layernorm": LayerNormLSTMCell,
    "lstm-multiplicative": MultiplicativeLSTMCell,
    "janet": JANETCell,
    "gru-reset-before": GRUResetBeforeCell,
    "gru-layernorm": LayerNormGRUCell,
    "mgu": MGUCell,
    "mingru": MinGRUCell,
    "minlstm": MinLSTMCell,
    "qrnn": QRNNCell,
    "sru": SRUCell,
    "lru": LRUCell,
    "rglru": RGLRUCell,
    "slstm": SLSTMCell,
    "mlstm": MLSTMCell,
    "antisymmetric": AntisymmetricRNNCell,
    "cornn": CoRNNCell,
    "unicornn": UnICORNNCell,
    "lem": LEMCell,
    "cfc": CfCCell,
    "gru-d": GRUDCell,
    "t-lstm": TLSTMCell,
    "conv-lstm": ConvLSTMCell,
    "conv-gru": ConvGRUCell,
    "echo-state": EchoStateCell,
    "segment-gru": SegmentGRUCell,
}
"""Every cell by name; each is made by `cell(input_size, hidden_size)`."""

PLAIN: tuple[str, ...] = tuple(
    name for name in CATALOGUE if name not in {"lstm-projected", "cfc", "gru-d", "t-lstm", "conv-lstm", "conv-gru"}
)
"""The cells that read any vector and give one of `hidden_size`: no time gaps, masks, frames, projection."""

WRAPPERS: dict[str, type[nn.Module]] = {
    "zoneout": Zoneout,
    "recurrent-dropout": RecurrentDropout,
    "residual": Residual,
}
"""Every wrapper by name; each is made by `wrapper(cell)`."""

__all__ = [
    "ACTIVATIONS",
    "CATALOGUE",
    "PLAIN",
    "RECURRENT_INITS",
    "WRAPPERS",
    "AntisymmetricRNNCell",
    "CfCCell",
    "CoRNNCell",
    "ConvGRUCell",
    "ConvLSTMCell",
    "CoupledLSTMCell",
    "EchoStateCell",
    "GRUCell",
    "GRUDCell",
    "GRUResetBeforeCell",
    "IRNNCell",
    "IndRNNCell",
    "JANETCell",
    "LEMCell",
    "LRUCell",
    "LSTMCell",
    "LayerNormGRUCell",
    "LayerNormLSTMCell",
    "MGUCell",
    "MLSTMCell",
    "MinGRUCell",
    "MinLSTMCell",
    "MultiplicativeLSTMCell",
    "PeepholeLSTMCell",
    "ProjectedLSTMCell",
    "QRNNCell",
    "RGLRUCell",
    "RNNCell",
    "RecurrentDropout",
    "Residual",
    "SLSTMCell",
    "SRUCell",
    "SegmentGRUCell",
    "TLSTMCell",
    "UnICORNNCell",
    "Zoneout",
]
