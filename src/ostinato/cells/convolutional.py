"""Convolutional cells for video and maps: ConvLSTM (Shi et al., 2015) and ConvGRU (Ballas et al., 2016).

Their products are convolutions, so that each step runs in PyTorch's own kernels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

PairState = tuple[Tensor, Tensor]


class ConvLSTMCell(nn.Module):
    """One step of a ConvLSTM: an LSTM whose products are convolutions (`@`), without peepholes.

        i  = sigmoid(W_i @ x + U_i @ h + b_i)
        f  = sigmoid(W_f @ x + U_f @ h + b_f)
        g  = tanh(W_g @ x + U_g @ h + b_g)
        o  = sigmoid(W_o @ x + U_o @ h + b_o)
        c' = f * c + i * g
        h' = o * tanh(c')

    Shapes: `x` is `(batch, input_size, height, width)`; `state` is `(h, c)`, each `(batch, hidden_size, height,
    width)`; the output is `h'`.

    Args:
        input_size: number of channels of a frame.
        hidden_size: number of channels of the state.
        kernel_size: height and width of the kernels, odd; zeros are put around the frame.

    Raises:
        ValueError: the kernel's size is even.

    Use it for radar, video and other sequences of maps. `ostinato.scan` walks it in PyTorch, step by step: convolutions
    are not among the operations that fused loops are made of.

    Source: X. Shi et al., "Convolutional LSTM network: a machine learning approach for precipitation nowcasting",
    NeurIPS 2015, equation 3, less the peepholes, which would fix the height and width. The forget bias starts at one.

    >>> import torch
    >>> cell = ConvLSTMCell(1, 4)
    >>> x = torch.zeros(2, 1, 8, 8)
    >>> y, state = cell(x, cell.initial_state(x))
    >>> tuple(y.shape)
    (2, 4, 8, 8)
    """

    def __init__(self, input_size: int, hidden_size: int, kernel_size: int = 3) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.kernel_size = input_size, hidden_size, kernel_size
        self.input = _convolution(input_size, 4 * hidden_size, kernel_size, bias=True)
        self.recurrent = _convolution(hidden_size, 4 * hidden_size, kernel_size, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise: Glorot input kernels, orthogonal recurrent kernels, forget bias one."""
        _start(self.input, 4)
        _start(self.recurrent, 4, orthogonal=True)
        _bias(self.input).chunk(4)[1].fill_(1.0)

    def initial_state(self, x: Tensor) -> PairState:
        """Return zeros for `(h, c)`, as high and wide as the frame."""
        zeros = _zeros(x, self.hidden_size)
        return zeros, zeros

    def forward(self, x: Tensor, state: PairState) -> tuple[Tensor, PairState]:
        """Advance one step; return the output and the new `(h, c)`."""
        h, c = state
        i, f, g, o = (self.input(x) + self.recurrent(h)).chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        return h, (h, c)


class ConvGRUCell(nn.Module):
    """One step of a ConvGRU: a GRU (reset before the product) whose products are convolutions (`@`).

        r  = sigmoid(W_r @ x + U_r @ h + b_r)
        z  = sigmoid(W_z @ x + U_z @ h + b_z)
        n  = tanh(W_n @ x + U_n @ (r * h) + b_n)
        h' = (1 - z) * h + z * n

    Shapes: `x` is `(batch, input_size, height, width)`; `state` and the output are `(batch, hidden_size, height,
    width)`.

    Args:
        input_size: number of channels of a frame.
        hidden_size: number of channels of the state.
        kernel_size: height and width of the kernels, odd; zeros are put around the frame.

    Raises:
        ValueError: the kernel's size is even.

    Use it as a ConvLSTM with half the memory of a sequence. `ostinato.scan` walks it in PyTorch, step by step:
    convolutions are not among the operations that fused loops are made of.

    Source: N. Ballas, L. Yao, C. Pal and A. Courville, "Delving deeper into convolutional networks for learning video
    representations", ICLR 2016.

    >>> import torch
    >>> cell = ConvGRUCell(1, 4)
    >>> x = torch.zeros(2, 1, 8, 8)
    >>> y, h = cell(x, cell.initial_state(x))
    >>> tuple(y.shape)
    (2, 4, 8, 8)
    """

    def __init__(self, input_size: int, hidden_size: int, kernel_size: int = 3) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.kernel_size = input_size, hidden_size, kernel_size
        self.input = _convolution(input_size, 3 * hidden_size, kernel_size, bias=True)
        self.recurrent = _convolution(hidden_size, 2 * hidden_size, kernel_size, bias=False)
        self.candidate = _convolution(hidden_size, hidden_size, kernel_size, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise: Glorot input kernels, orthogonal recurrent kernels, zero bias."""
        _start(self.input, 3)
        _start(self.recurrent, 2, orthogonal=True)
        _start(self.candidate, 1, orthogonal=True)

    def initial_state(self, x: Tensor) -> Tensor:
        """Return zeros, as high and wide as the frame."""
        return _zeros(x, self.hidden_size)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Advance one step; return the output and the new hidden state, which are the same tensor."""
        x_r, x_z, x_n = self.input(x).chunk(3, 1)
        h_r, h_z = self.recurrent(state).chunk(2, 1)
        r = (x_r + h_r).sigmoid()
        z = (x_z + h_z).sigmoid()
        n = (x_n + self.candidate(r * state)).tanh()
        h = (1 - z) * state + z * n
        return h, h


def _convolution(channels: int, out_channels: int, kernel_size: int, bias: bool) -> nn.Conv2d:
    if kernel_size % 2 == 0:
        raise ValueError(f"kernel_size is {kernel_size}; expected an odd number, so that frames keep their size")
    return nn.Conv2d(channels, out_channels, kernel_size, padding=kernel_size // 2, bias=bias)


def _start(convolution: nn.Conv2d, blocks: int, orthogonal: bool = False) -> None:
    fill = nn.init.orthogonal_ if orthogonal else nn.init.xavier_uniform_
    for block in convolution.weight.detach().chunk(blocks):
        fill(block)
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)


def _bias(convolution: nn.Conv2d) -> Tensor:
    assert convolution.bias is not None
    return convolution.bias.detach()


def _zeros(x: Tensor, channels: int) -> Tensor:
    return x.new_zeros(torch.Size([x.shape[0], channels, *x.shape[2:]]))
