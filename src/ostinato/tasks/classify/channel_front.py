"""What stands before the recurrent stack of a classifier of numeric sequences: channels with what is missing marked."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ostinato.nn import ConvolutionalFront
from ostinato.tasks.classify.channels import ChannelEncoder
from ostinato.tasks.classify.parameters import SequenceParameters


class ChannelFront(nn.Module):
    """Standardised channels, marks of what is missing, time gaps; then perhaps convolutions over time.

    A step's features are its values, zero where missing; with `masked` as many marks, one where missing; with `timed`
    the gap since the step before.

    Args:
        channels: how many.
        masked: whether marks are there.
        timed: whether the gap is there.
        value_dropout: the probability that a value is hidden in training, marked as missing.
        convolutions: channels after each; none: no convolutions.
        width, stride, causal: of them, see `ConvolutionalFront`.
    """

    def __init__(
        self,
        channels: int,
        *,
        masked: bool,
        timed: bool,
        value_dropout: float,
        convolutions: tuple[int, ...],
        width: int,
        stride: int,
        causal: bool,
    ) -> None:
        super().__init__()
        self.channels, self.value_dropout = channels, value_dropout
        self.output_size = channels * (1 + masked) + timed
        self.convolutions: ConvolutionalFront | None = None
        if convolutions:
            self.convolutions = ConvolutionalFront(
                self.output_size, convolutions, width=width, stride=stride, causal=causal
            )
            self.output_size = convolutions[-1]

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return features `(time, batch, output_size)` and the lengths, shorter after convolutions with a stride."""
        if self.training and self.value_dropout:
            features = self._hidden(features)
        if self.convolutions is None:
            return features, lengths
        shorter, counts = self.convolutions(features, lengths)
        return shorter, lengths if counts is None else counts

    def _hidden(self, features: Tensor) -> Tensor:
        count = self.channels
        lost = torch.rand(features[..., :count].shape, device=features.device) < self.value_dropout
        values = features[..., :count].masked_fill(lost, 0.0)
        marks = features[..., count : 2 * count].masked_fill(lost, 1.0)
        return torch.cat([values, marks, features[..., 2 * count :]], -1)


def sequence_front(parameters: SequenceParameters, encoder: ChannelEncoder) -> ChannelFront:
    """Return channels with what is missing marked, perhaps with convolutions."""
    return ChannelFront(
        len(encoder.channels), masked=encoder.masked, timed=encoder.gap is not None,
        value_dropout=parameters.value_dropout, convolutions=tuple(parameters.convolutions), width=parameters.width,
        stride=parameters.stride, causal=not parameters.bidirectional,
    )  # fmt: skip
