"""A recurrent network that predicts the next frame of a video, and reconstructs this one, through a narrow middle."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ostinato.cells import CATALOGUE
from ostinato.engine import State, map_state
from ostinato.engine.run.reference import scan_eagerly
from ostinato.errors import ShapeError
from ostinato.nn.by_name import stack_of
from ostinato.options import Cell

CONVOLUTIONAL = ("conv-lstm", "conv-gru")
STRIDE = 4
"""Pixels from one place of the recurrent state to the next."""


class FramePredictor(nn.Module):
    """Two convolutions that make a frame four times smaller, a recurrent cell over time, and the way back.

    With `"conv-lstm"` or `"conv-gru"` the recurrence sees a place's neighbours. Any other cell runs at each place by
    itself, compiled; its neighbours then come in by the convolutions alone.

    Args:
        channels: of a frame.
        hidden_size: channels of the state.
        cell: a cell by name, or what makes one of an input and a hidden size.
        targets: how many frames it gives: the next one, the one it sees.

    Raises:
        UsageError: the cell does not exist.

    Sources: X. Shi et al., "Convolutional LSTM network", NeurIPS 2015; W. Luo, W. Liu and S. Gao, "Remembering history
    with convolutional LSTM for anomaly detection", ICME 2017.

    >>> import torch
    >>> network = FramePredictor(3, 8)
    >>> ys, state = network(torch.zeros(5, 2, 3, 16, 24))
    >>> tuple(ys.shape)
    (5, 2, 2, 3, 16, 24)
    """

    def __init__(self, channels: int, hidden_size: int, cell: Cell = "conv-gru", targets: int = 2) -> None:
        super().__init__()
        self.channels, self.targets, self.hidden_size = channels, targets, hidden_size
        half = max(4, hidden_size // 2)
        self.first = nn.Conv2d(channels, half, 5, 2, 2)
        self.second = nn.Conv2d(half, hidden_size, 3, 2, 1)
        self.pictures = isinstance(cell, str) and cell in CONVOLUTIONAL
        self.cell: nn.Module
        if self.pictures:
            self.cell = CATALOGUE[str(cell)](hidden_size, hidden_size)
        else:
            self.cell = stack_of(cell, hidden_size, hidden_size)
        self.third = nn.Conv2d(hidden_size, 4 * half, 3, 1, 1)
        self.last = nn.Conv2d(half, 4 * targets * channels, 3, 1, 1)

    def forward(self, xs: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Return what it predicts after each frame, `(time, batch, targets, channels, height, width)`, and its state.

        Args:
            xs: `(time, batch, channels, height, width)`, height and width multiples of four.
            state: where to start; `None`: the beginning.

        Raises:
            ShapeError: `xs` has another shape.
        """
        if xs.dim() != 5 or xs.shape[2] != self.channels or xs.shape[3] % STRIDE or xs.shape[4] % STRIDE:
            raise ShapeError(
                f"xs has shape {tuple(xs.shape)}; expected (time, batch, {self.channels}, height, width), both "
                f"multiples of {STRIDE}"
            )
        steps, batch = xs.shape[:2]
        flat = torch.relu(self.second(torch.relu(self.first(xs.flatten(0, 1)))))
        code = flat.view(steps, batch, *flat.shape[1:])
        ys, state = self._over_time(code, state)
        wide = torch.relu(nn.functional.pixel_shuffle(self.third(ys.flatten(0, 1)), 2))
        predicted = nn.functional.pixel_shuffle(self.last(wide), 2)
        return predicted.view(steps, batch, self.targets, self.channels, *xs.shape[3:]), state

    def _over_time(self, code: Tensor, state: State | None) -> tuple[Tensor, State]:
        if self.pictures:
            start = self.cell.initial_state(code[0]) if state is None else state  # type: ignore[operator]
            # convolutions reach what the processor can do in PyTorch's own kernels: nothing is compiled for them
            return scan_eagerly(self.cell, code, start, None, False)
        steps, batch, _, high, wide = code.shape
        places = code.permute(0, 1, 3, 4, 2).reshape(steps, batch * high * wide, -1)
        flat = None if state is None else map_state(lambda leaf: leaf.flatten(0, 1), state)
        ys, last = self.cell(places, flat)
        pictures = ys.unflatten(1, (batch, high, wide)).permute(0, 1, 4, 2, 3)
        return pictures, map_state(lambda leaf: leaf.unflatten(0, (batch, high * wide)), last)
