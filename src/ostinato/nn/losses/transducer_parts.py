"""The parts of a recurrent transducer beside its encoder: the predictor, which reads labels, and the joint network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ostinato.nn.losses.masking import check_classes, check_steps, checked_lengths, fill_padding, real_steps
from ostinato.nn.rebuild import CellFactory
from ostinato.nn.recurrent import LayerStates, Recurrent


class TransducerJoint(nn.Module):
    """What is said at each step after each number of labels: `W tanh(W_e e + W_p p + b) + c`.

    Args:
        encoder_size: features of the encoder's outputs.
        predictor_size: features of the predictor's outputs.
        hidden_size: features of the sum.
        classes: labels and the blank.

    Source: A. Graves, A. Mohamed and G. Hinton, "Speech recognition with deep recurrent neural networks", 2013,
    section 3.2 (the 2012 paper adds the two outputs with no layer between).

    >>> import torch
    >>> joint = TransducerJoint(4, 3, 8, classes=5)
    >>> tuple(joint(torch.randn(7, 2, 4), torch.randn(3, 2, 3)).shape)
    (7, 3, 2, 5)
    """

    def __init__(self, encoder_size: int, predictor_size: int, hidden_size: int, classes: int) -> None:
        super().__init__()
        self.encoder = nn.Linear(encoder_size, hidden_size)
        self.predictor = nn.Linear(predictor_size, hidden_size, bias=False)
        self.output = nn.Linear(hidden_size, classes)

    def forward(self, encoded: Tensor, predicted: Tensor) -> Tensor:
        """Return logits `(time, labels + 1, batch, classes)` of all pairs.

        `encoded` is `(time, batch, encoder features)`, `predicted` is `(labels + 1, batch, predictor features)`.
        """
        return self._say(self.encoder(encoded)[:, None] + self.predictor(predicted))

    def step(self, encoded: Tensor, predicted: Tensor) -> Tensor:
        """Return logits `(batch, classes)` of one pair a row, each `(batch, features)`."""
        return self._say(self.encoder(encoded) + self.predictor(predicted))

    def _say(self, mixed: Tensor) -> Tensor:
        logits: Tensor = self.output(torch.tanh(mixed))
        return logits


class TransducerPredictor(nn.Module):
    """Reads the labels written so far: an embedding and a stack of any cell; before the first label it reads zeros.

    Args:
        classes: labels and the blank, whose embedding is never read.
        embedding_size: features of a label.
        cell: a function `input_size -> cell`.
        num_layers: how many layers.

    Source: Graves, 2012, section 2.2.

    >>> import torch
    >>> from ostinato.cells import LSTMCell
    >>> predictor = TransducerPredictor(5, 4, lambda size: LSTMCell(size, 3))
    >>> tuple(predictor(torch.tensor([[1, 2], [4, 4]])).shape)
    (3, 2, 3)
    """

    def __init__(self, classes: int, embedding_size: int, cell: CellFactory, num_layers: int = 1) -> None:
        super().__init__()
        self.embedding = nn.Embedding(classes, embedding_size)
        self.layers = Recurrent(cell, num_layers, input_size=embedding_size)

    def forward(self, targets: Tensor, target_lengths: Tensor | None = None) -> Tensor:
        """Return the outputs after 0, 1, ... labels, `(labels + 1, batch, features)`.

        Args:
            targets: `(batch, labels)`, as in `transducer_loss`.
            target_lengths: `(batch,)`; `None` if all are real.

        Raises:
            ShapeError: shapes do not fit each other.
            UsageError: a real label is no class.
        """
        check_steps(targets, 2, "(batch, labels)", "targets")
        batch, count = targets.shape
        lengths = checked_lengths(target_lengths, count, batch, targets.device, "target_lengths")
        real = real_steps(lengths, count)
        check_classes(targets.T, real, self.embedding.num_embeddings, "targets")
        embedded = self.embedding(fill_padding(targets.T, real).long())
        outputs: Tensor = self.layers(torch.cat([self._nothing(batch)[None], embedded]), lengths=lengths + 1)[0]
        return outputs

    def start(self, batch: int) -> tuple[Tensor, LayerStates]:
        """Return the output, `(batch, features)`, and the state before any label."""
        nothing = self._nothing(batch)
        return self.layers.step(nothing, self.layers.initial_state(nothing))

    def step(self, labels: Tensor, state: LayerStates) -> tuple[Tensor, LayerStates]:
        """Return the output, `(batch, features)`, and the state after one more label a row, `(batch,)`."""
        return self.layers.step(self.embedding(labels), state)

    def _nothing(self, batch: int) -> Tensor:
        weight = self.embedding.weight
        return weight.new_zeros((batch, weight.shape[1]))
