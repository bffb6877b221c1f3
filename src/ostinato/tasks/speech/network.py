"""The acoustic model: convolutions over a spectrogram, recurrent layers, and the head of CTC or of a transducer."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ostinato.nn import Recurrent, SpectrogramFront
from ostinato.nn.by_name import TRANSFORMER, stack_of
from ostinato.nn.losses.ctc import ctc_loss, needed_steps
from ostinato.nn.losses.transducer_joint import transducer_joint_loss
from ostinato.nn.losses.transducer_parts import TransducerJoint, TransducerPredictor
from ostinato.nn.pyramid import Pyramid
from ostinato.options import Cell
from ostinato.tasks.speech.augmenting import FrameAugmentation
from ostinato.tasks.speech.choices import Choices
from ostinato.tasks.speech.flat import flat_loss, flat_share
from ostinato.tasks.speech.parameters import SpeechParameters


class SpeechBatch(NamedTuple):
    """Frames `(time, batch, bands)`, their `lengths (batch,)`, `targets (batch, units)`, `target_lengths (batch,)`."""

    frames: Tensor
    lengths: Tensor
    targets: Tensor
    target_lengths: Tensor


class SpeechNetwork(nn.Module):
    """From standardised frames to what CTC or a transducer reads.

    Args:
        parameters: of the recogniser.
        choices: what was decided where they leave it open.
        bands: of a frame.
        classes: units and the blank.
    """

    learned: Tensor

    def __init__(self, parameters: SpeechParameters, choices: Choices, bands: int, classes: int) -> None:
        super().__init__()
        size = parameters.hidden_size
        self.classes, self.ctc_weight = classes, parameters.ctc_weight
        self.augmentation = FrameAugmentation(choices.augmentation)
        self.front = SpectrogramFront(
            bands, [parameters.channels] * 2, time_strides=strides_of(choices.subsampling), causal=choices.causal
        )
        self.read = nn.Sequential(nn.Linear(self.front.output_size, size), _norm(parameters.layer_norm, size))
        self.dropout = nn.Dropout(parameters.dropout)
        width = 2 * size if choices.bidirectional else size
        self.encoder = Pyramid(
            lambda features, number: _stage(parameters, choices, features, number),
            size,
            reductions=parameters.pyramid,
            width=width,
        )
        self.normal = _norm(parameters.layer_norm, width)
        self.scores = nn.Linear(width, classes) if choices.loss != "transducer" else None
        self.register_buffer("learned", torch.zeros((), dtype=torch.long))  # training steps so far
        self.predictor, self.joint = None, None
        if choices.loss != "ctc":
            self.predictor = TransducerPredictor(classes, size, lambda features: _cell(parameters.cell, features, size))
            self.joint = TransducerJoint(width, size, size, classes)

    @property
    def reduction(self) -> int:
        """How many frames a step of the output stands for."""
        return self.front.reduction * self.encoder.reduction

    @property
    def head(self) -> nn.Module:
        """What is made of an output of the last layer for decoding: logarithms of CTC's classes, or what is joined."""
        if self.joint is not None or self.scores is None:
            return self.normal
        return nn.Sequential(self.normal, self.scores, nn.LogSoftmax(-1))

    def encode(self, frames: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return `(steps, batch, width)` and the steps of each row, `(batch,)`."""
        read, counts = self.front(frames, lengths)
        assert counts is not None
        ys, counts = self.encoder(self.dropout(self.read(read)), counts)
        normal: Tensor = self.normal(ys)
        return normal, counts

    def outputs(self, frames: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is decoded, `(steps, batch, classes or width)`, and the steps of each row."""
        encoded, counts = self.encode(frames, lengths)
        if self.joint is not None or self.scores is None:
            return encoded, counts
        return self.scores(encoded).log_softmax(-1), counts

    def forward(self, batch: SpeechBatch) -> Tensor:
        """Return the negative log-likelihood of a batch's transcripts, summed, in nats; with both losses their mix."""
        needed = needed_steps(batch.targets, batch.target_lengths) * self.reduction
        frames, lengths = self.augmentation(batch.frames, batch.lengths, needed)
        encoded, counts = self.encode(frames, lengths)
        encoded = self.dropout(encoded)
        loss = self.loss(encoded, counts, batch.targets, batch.target_lengths)
        return self._begun(loss, encoded, frames, counts, batch) if self.training else loss

    def _begun(self, loss: Tensor, encoded: Tensor, frames: Tensor, counts: Tensor, batch: SpeechBatch) -> Tensor:
        """Return the loss of a training step; of the first ones with that of an even alignment in it."""
        share = flat_share(int(self.learned))
        if self.scores is None or not share:
            return loss
        self.learned += 1
        loud = frames[:: self.reduction].mean(-1)[: len(encoded)]
        flat = flat_loss(self.scores(encoded), loud, counts, batch.targets, batch.target_lengths)
        return (1 - share) * loss + share * flat

    def loss(self, encoded: Tensor, counts: Tensor, targets: Tensor, target_lengths: Tensor) -> Tensor:
        """Return the loss of encoded utterances; see `forward`."""
        total = encoded.new_zeros(())
        share = 1.0 if self.joint is None else self.ctc_weight
        if self.scores is not None:
            total = share * ctc_loss(
                self.scores(encoded), targets, counts, target_lengths, zero_infinity=True, reduction="sum"
            )
        if self.joint is not None and self.predictor is not None:
            predicted = self.predictor(targets, target_lengths)
            loss = transducer_joint_loss(
                self.joint, encoded, predicted, targets, counts, target_lengths, reduction="sum"
            )
            total = total + loss * (1.0 if self.scores is None else 1.0 - share)
        return total


class _Stage(nn.Module):
    """Layers of one rate; what is read is normalised where it is that of a stage before."""

    def __init__(self, stack: nn.Module, norm: nn.Module, dropout: float) -> None:
        super().__init__()
        self.stack, self.norm, self.dropout = stack, norm, nn.Dropout(dropout)

    def forward(self, xs: Tensor, *, lengths: Tensor) -> tuple[Tensor, object]:
        """Read `(time, batch, features)`."""
        ys, last = self.stack(self.dropout(self.norm(xs)), lengths=lengths)
        return ys, last


def _stage(parameters: SpeechParameters, choices: Choices, features: int, number: int) -> nn.Module:
    layers = 1 if number else max(1, parameters.num_layers - parameters.pyramid)
    options: dict[str, object] = (
        {} if parameters.cell == TRANSFORMER or not parameters.layer_norm else {"norm": "layer"}
    )
    stack = stack_of(
        parameters.cell,
        features,
        parameters.hidden_size,
        layers,
        dropout=parameters.dropout,
        bidirectional=choices.bidirectional,
        **options,
    )
    return _Stage(
        stack,
        _norm(parameters.layer_norm, features) if number else nn.Identity(),
        parameters.dropout if number else 0.0,
    )


def _cell(cell: Cell, features: int, size: int) -> nn.Module:
    """Return a cell of the prediction network; a Transformer's is a GRU."""
    stack = stack_of("gru" if cell == TRANSFORMER else cell, features, size)
    assert isinstance(stack, Recurrent)
    return stack.cells[0]


def _norm(wanted: bool, size: int) -> nn.Module:
    return nn.LayerNorm(size) if wanted else nn.Identity()


def strides_of(subsampling: int) -> tuple[int, int]:
    """Return the strides of two convolutions that together make so many frames one.

    >>> [strides_of(count) for count in (1, 2, 3, 4, 6, 8)]
    [(1, 1), (2, 1), (3, 1), (2, 2), (3, 2), (4, 2)]
    """
    second = 2 if subsampling % 2 == 0 and subsampling > 2 else 1
    return subsampling // second, second


def evaluated(network: SpeechNetwork, frames: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Return what is decoded, without gradients."""
    with torch.inference_mode():
        return network.outputs(frames, lengths)
