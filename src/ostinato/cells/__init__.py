"""The catalogue of cells: one family a file, each cell its equations in PyTorch and nothing else of the project.

A cell is an `nn.Module` whose `forward(x, state)` returns `(output, new_state)`; see `ostinato.scan`.
"""

from ostinato.cells.activations import ACTIVATIONS
from ostinato.cells.gru import GRUCell
from ostinato.cells.lstm import LSTMCell
from ostinato.cells.rnn import RNNCell

CATALOGUE: dict[str, type[RNNCell] | type[LSTMCell] | type[GRUCell]] = {
    "rnn": RNNCell,
    "lstm": LSTMCell,
    "gru": GRUCell,
}

__all__ = ["ACTIVATIONS", "CATALOGUE", "GRUCell", "LSTMCell", "RNNCell"]
