"""The networks of a composer: a recurrent stack over frames with a head of notes, or over events with their scores."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ostinato.nn import VariationalDropout
from ostinato.nn.by_name import TRANSFORMER, stack_of
from ostinato.tasks.music.batches import EventBatch, FrameBatch
from ostinato.tasks.music.encoding import MusicEncoder
from ostinato.tasks.music.heads import make_head
from ostinato.tasks.music.parameters import MusicParameters
from ostinato.training.objective import Carry, Step


def _stack(parameters: MusicParameters, width: int) -> Any:
    options: dict[str, Any] = {"variational": True}
    if parameters.cell == TRANSFORMER:
        options = {"context": parameters.steps, "positions": "rotary"}
    return stack_of(
        parameters.cell, width, parameters.hidden_size, parameters.num_layers, dropout=parameters.dropout, **options
    )


class FrameNetwork(nn.Module):
    """Reads frames one after the other; its head says what sounds next.

    Args:
        parameters: of the model.
        encoder: the notes and conditions there are, and, for a network that is not loaded, how often notes sound.
    """

    def __init__(self, parameters: MusicParameters, encoder: MusicEncoder) -> None:
        super().__init__()
        self.notes, self.stack_width = encoder.notes, parameters.hidden_size
        self.input_dropout = VariationalDropout(parameters.input_dropout)
        self.stack = _stack(parameters, encoder.notes + 1 + encoder.conditions)
        self.output_dropout = VariationalDropout(parameters.dropout)
        self.head: Any = make_head(
            parameters.head, parameters.hidden_size, encoder.notes, parameters.head_size, parameters.dropout
        )
        if encoder.shares is not None:
            start_from: Any = self.head.start_from
            start_from(torch.from_numpy(encoder.shares).float())

    def read(self, inputs: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Read steps, `(steps, batch, features)`; return what the head goes by, and the state."""
        ys, state = self.stack(self.input_dropout(inputs), state)
        return self.output_dropout(ys), state

    def losses(self, inputs: Tensor, frames: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Return the negative log-likelihood of each frame, `(steps, batch)`, and the state."""
        features, state = self.read(inputs, state)
        found = self.head.losses(features.flatten(0, 1), frames.flatten(0, 1))
        return found.view(frames.shape[:2]), state

    def loss(self, batch: FrameBatch, state: Any) -> Step:
        """Return the mean loss of the real steps."""
        losses, state = self.losses(batch.inputs, batch.frames, state)
        count = batch.real.sum()
        return Step((losses * batch.real).sum() / count.clamp(min=1), int(count), state)


class EventNetwork(nn.Module):
    """Reads events one after the other; scores say which comes next."""

    def __init__(self, parameters: MusicParameters, encoder: MusicEncoder) -> None:
        super().__init__()
        size, self.stack_width = encoder.code.size, parameters.hidden_size
        self.embedding = nn.Embedding(size + 1, parameters.hidden_size)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        self.input_dropout = VariationalDropout(parameters.input_dropout)
        self.stack = _stack(parameters, parameters.hidden_size)
        self.output_dropout = VariationalDropout(parameters.dropout)
        self.scores = nn.Linear(parameters.hidden_size, size)

    def read(self, tokens: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Read events, `(steps, batch)`; return scores of the next ones, `(steps, batch, events)`, and the state."""
        ys, state = self.stack(self.input_dropout(self.embedding(tokens)), state)
        return self.scores(self.output_dropout(ys)), state

    def loss(self, batch: EventBatch, state: Any) -> Step:
        """Return the mean loss of the real steps."""
        scores, state = self.read(batch.tokens, state)
        count = (batch.targets >= 0).sum()
        loss = functional.cross_entropy(scores.flatten(0, 1), batch.targets.flatten(), reduction="sum")
        return Step(loss / count.clamp(min=1), int(count), state)


def make_network(parameters: MusicParameters, encoder: MusicEncoder) -> FrameNetwork | EventNetwork:
    """Return the network of a kind of steps."""
    return (FrameNetwork if encoder.kind == "frames" else EventNetwork)(parameters, encoder)


def objective(module: nn.Module, batch: Any, carry: Carry | None) -> Step:
    """Return the loss of a batch."""
    found: Step = module.loss(batch, carry)  # type: ignore[operator]
    return found
