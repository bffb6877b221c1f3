"""SegRNN's step (Lin et al., 2023): a whole segment of a series is one step of a GRU."""

from __future__ import annotations

from torch import Tensor, nn

from ostinato.cells.initialisation import glorot_blocks_, orthogonal_blocks_


class SegmentGRUCell(nn.Module):
    """One step of SegRNN's encoder: the values of a segment are embedded together, then read by a GRU.

        e  = relu(W_e x + b_e)
        r  = sigmoid(W_r e + U_r h + b_r)
        z  = sigmoid(W_z e + U_z h + b_z)
        n  = tanh(W_n e + b_n + r * (U_n h + b_u))
        h' = (1 - z) * n + z * h

    Shapes: `x` is `(batch, input_size)`, one segment of a series; `state` and the output are `(batch, hidden_size)`.
    For `ostinato.scan`, a series `(batch, time)` of whole segments is `series.unflatten(1, (-1, input_size))`, batch
    first.

    Args:
        input_size: number of values of a segment.
        hidden_size: number of units, and of the embedding.

    Use it to forecast long horizons from long contexts: with segments of 48 a context of 720 is 15 steps.

    Source: S. Lin, W. Lin, W. Wu, F. Zhao, R. Mo and H. Zhang, "SegRNN: segment recurrent neural network for long-term
    time series forecasting", arXiv 2308.11200, 2023, section 3.

    >>> import torch
    >>> cell = SegmentGRUCell(12, 5)
    >>> y, h = cell(torch.zeros(2, 12), torch.zeros(2, 5))
    >>> tuple(y.shape)
    (2, 5)
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.embed = nn.Linear(input_size, hidden_size)
        self.input = nn.Linear(hidden_size, 3 * hidden_size)
        self.recurrent = nn.Linear(hidden_size, 3 * hidden_size)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise: Glorot input weights, orthogonal recurrent weights, zero biases."""
        glorot_blocks_(self.embed, 1)
        glorot_blocks_(self.input, 3)
        orthogonal_blocks_(self.recurrent, 3)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Advance one step; return the output and the new hidden state, which are the same tensor."""
        x_r, x_z, x_n = self.input(self.embed(x).relu()).chunk(3, -1)
        h_r, h_z, h_n = self.recurrent(state).chunk(3, -1)
        r = (x_r + h_r).sigmoid()
        z = (x_z + h_z).sigmoid()
        n = (x_n + r * h_n).tanh()
        h = (1 - z) * n + z * state
        return h, h
