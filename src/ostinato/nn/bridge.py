"""From an encoder's end to a decoder's start."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ostinato.engine import leaves, map_state
from ostinato.errors import UsageError
from ostinato.nn.recurrent import LayerStates, Recurrent


class Bridge(nn.Module):
    """From what an encoder ended with to what a decoder starts from: `tanh(W h)` for each tensor of its state.

    `h` is the first tensor of the last states of the encoder's top layer, those of both directions side by side.

    Args:
        encoder: the encoder's stack.
        decoder: the decoder's stack.
        input_size: features of a decoder's step.

    Source: D. Bahdanau, K. Cho and Y. Bengio, ICLR 2015, appendix A.2.2.
    """

    def __init__(self, encoder: Recurrent, decoder: Recurrent, input_size: int) -> None:
        super().__init__()
        like = next(decoder.parameters(), torch.zeros(()))
        row = torch.zeros((1, input_size), device=like.device, dtype=like.dtype)
        self._like = [map_state(lambda leaf: leaf[0].clone(), each) for each in decoder.initial_state(row)]
        ways = 2 if encoder.bidirectional else 1
        reads = getattr(encoder.cells[0], "input_size", None)
        if not isinstance(reads, int):
            raise UsageError(f"the input size of {type(encoder.cells[0]).__name__} is not known; it has no input_size")
        starts = encoder.initial_state(torch.zeros((1, reads), device=like.device, dtype=like.dtype))
        width = sum(leaves(each)[0].numel() for each in starts[-ways:])
        sizes = [leaf.numel() for each in self._like for leaf in leaves(each)]
        self.maps = nn.ModuleList(nn.Linear(width, size) for size in sizes)
        self.ways = ways

    def forward(self, last: LayerStates) -> LayerStates:
        """Return the decoder's start."""
        ends = torch.cat([leaves(each)[0].flatten(1) for each in last[-self.ways :]], -1)
        maps = iter(self.maps)

        def start(leaf: Tensor) -> Tensor:
            made: Tensor = torch.tanh(next(maps)(ends))
            return made.reshape(-1, *leaf.shape)

        return tuple(map_state(start, each) for each in self._like)
