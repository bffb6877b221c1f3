"""The network of a classifier: tokens or channels, a recurrent stack or a Transformer, pooling, scores of classes."""

from __future__ import annotations

from torch import Tensor, nn

from ostinato.nn import VariationalDropout
from ostinato.tasks.classify.chunks import Chunks, some_chunks
from ostinato.tasks.classify.fronts import TokenFront
from ostinato.tasks.classify.parameters import TextParameters
from ostinato.tasks.classify.recurrence import stack_and_pooling
from ostinato.tasks.classify.texts import TextEncoder


class ClassifierNetwork(nn.Module):
    """Scores of classes for each sequence.

    Args:
        parameters: of the classifier.
        front: what stands before the stack.
        classes: how many there are.

    Raises:
        UsageError: the parameters do not go together.
    """

    def __init__(self, parameters: TextParameters, front: TokenFront, classes: int) -> None:
        super().__init__()
        self.front = front
        self.chunk, self.train_chunks = parameters.chunk, parameters.train_chunks
        self.input_dropout = VariationalDropout(parameters.input_dropout)
        self.stack, self.pooling = stack_and_pooling(parameters, self.front.output_size)
        self.dropout = nn.Dropout(parameters.dropout)
        self.head = nn.Linear(self.pooling.output_size, classes)

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Return scores `(batch, classes)`.

        Args:
            inputs: tokens `(time, batch)`, or features `(time, batch, features)`.
            lengths: `(batch,)`, each one or more.
        """
        if self.training and self.chunk is not None:
            inputs, lengths = some_chunks(inputs, lengths, self.chunk, self.train_chunks)
        return self.scores(*self.front(inputs, lengths))

    def scores(self, xs: Tensor, lengths: Tensor) -> Tensor:
        """Return scores `(batch, classes)` of what the front gives."""
        scores: Tensor = self.head(self.dropout(self.pooled(xs, lengths)))
        return scores

    def pooled(self, xs: Tensor, lengths: Tensor) -> Tensor:
        """Return what is known of each whole sequence, `(batch, features)`, of what the front gives."""
        found: Tensor = self.pooling(self.outputs(xs, lengths), lengths)
        return found

    def attended(self, xs: Tensor, lengths: Tensor) -> Tensor | None:
        """Return the weight that attention pooling gives each step, `(time, batch)`; `None`: there is none."""
        attention = self.pooling.attention
        return None if attention is None else attention.weights(self.outputs(xs, lengths), lengths)

    def outputs(self, xs: Tensor, lengths: Tensor) -> Tensor:
        """Return the stack's outputs, `(time, batch, width)`, of what the front gives."""
        ys: Tensor
        xs = self.input_dropout(xs)
        if self.chunk is None or len(xs) <= self.chunk:
            ys, _ = self.stack(xs, lengths=lengths)
            return ys
        chunks = Chunks.of(lengths, self.chunk)
        ys, _ = self.stack(chunks.cut(xs), lengths=chunks.lengths)
        return chunks.joined(ys, len(xs))


def text_front(parameters: TextParameters, encoder: TextEncoder) -> TokenFront:
    """Return embeddings of tokens, from vectors where there are some."""
    return TokenFront(
        len(encoder.vocabulary), encoder.width, embedding_dropout=parameters.embedding_dropout,
        word_dropout=parameters.word_dropout, vectors=encoder.vectors, frozen=parameters.freeze_vectors,
    )  # fmt: skip
