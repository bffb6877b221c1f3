"""The network of a tagger: words and their spelling, a stack that reads the sentence, scores of tags, perhaps a CRF."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ostinato.data.text import Specials
from ostinato.errors import UsageError
from ostinato.nn import TokenEmbedding, VariationalDropout
from ostinato.nn.by_name import TRANSFORMER, stack_of
from ostinato.nn.losses import LinearChainCRF, cross_entropy, tag_constraints
from ostinato.tasks.tag.characters import character_reader

OUTPUTS = ("softmax", "crf")


@dataclass(frozen=True)
class NetworkSettings:
    """What the network is built from; see `SequenceTagger`. `scheme`: of the CRF's constraints, "" for none."""

    words: int
    letters: int
    tags: tuple[str, ...]
    output: str
    scheme: str
    cell: str
    bidirectional: bool
    embedding_size: int
    characters: str
    character_size: int
    hidden_size: int
    num_layers: int
    context: int
    dropout: float
    input_dropout: float
    word_dropout: float
    freeze_vectors: bool


class Sentences(NamedTuple):
    """Padded sentences.

    Shapes: `words (time, batch)`, `lengths (batch,)`; `letters (characters, different words)`, `letter_lengths
    (different words,)`, and `spellings (time, batch)`, which of these each token is spelled as.
    """

    words: Tensor
    lengths: Tensor
    letters: Tensor
    letter_lengths: Tensor
    spellings: Tensor


class TagNetwork(nn.Module):
    """Scores of the tags of each token.

    Args:
        settings: see `NetworkSettings`.
        vectors: `(words, embedding_size)` to start from.

    Raises:
        UsageError: the settings do not go together.
    """

    def __init__(self, settings: NetworkSettings, vectors: NDArray[Any] | None = None) -> None:
        super().__init__()
        self.settings = settings
        self.embedding = TokenEmbedding(
            settings.words, settings.embedding_size, Specials().pad, vectors=vectors, frozen=settings.freeze_vectors
        )
        self.letters = character_reader(settings.characters, settings.letters, 32, settings.character_size)
        width = settings.embedding_size + (0 if self.letters is None else settings.character_size)
        self.input_dropout = nn.Dropout(settings.input_dropout)
        options: dict[str, Any] = {"variational": True}
        if settings.cell == TRANSFORMER:
            options = {"context": None if settings.bidirectional else settings.context}
        self.stack: Any = stack_of(
            settings.cell, width, settings.hidden_size, settings.num_layers,
            dropout=settings.dropout, bidirectional=settings.bidirectional, **options,
        )  # fmt: skip
        self.dropout = VariationalDropout(settings.dropout)
        self.scores = nn.Linear(settings.hidden_size * (2 if settings.bidirectional else 1), len(settings.tags))
        self.crf = None
        if settings.output == "crf":
            allowed = tag_constraints(settings.tags, settings.scheme) if settings.scheme else None  # type: ignore[arg-type]
            self.crf = LinearChainCRF(len(settings.tags), allowed)

    def forward(self, sentences: Sentences) -> Tensor:
        """Return the scores of tags, `(time, batch, tags)`; what stands in padding means nothing."""
        words = sentences.words
        if self.training and self.settings.word_dropout:
            missing = torch.rand(words.shape, device=words.device) < self.settings.word_dropout
            words = words.masked_fill(missing & (words != Specials().pad), Specials().unk)
        read = self.input_dropout(self.read(sentences._replace(words=words)))
        ys, _ = self.stack(read, lengths=sentences.lengths)
        scores: Tensor = self.scores(self.dropout(ys))
        return scores

    def read(self, sentences: Sentences) -> Tensor:
        """Return what the stack reads of each token, `(time, batch, features)`."""
        vectors: Tensor = self.embedding(sentences.words)
        if self.letters is None:
            return vectors
        spelled = self.letters(sentences.letters, sentences.letter_lengths)
        return torch.cat([vectors, spelled[sentences.spellings]], -1)

    def loss(self, scores: Tensor, tags: Tensor, lengths: Tensor, weight: Tensor | None) -> Tensor:
        """Return the mean loss of a token.

        Args:
            scores: `(time, batch, tags)`.
            tags: `(time, batch)`; of the softmax, -100 counts nowhere.
            lengths: `(batch,)`.
            weight: `(tags,)`, of the softmax, or `None`.
        """
        if self.crf is None:
            return cross_entropy(scores, tags, lengths, weight=weight)
        summed: Tensor = self.crf(scores, tags, lengths, reduction="sum")
        return summed / lengths.sum()

    def decode(self, scores: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return the tags, `(time, batch)`, and the probability of each at each token, `(time, batch, tags)`.

        Of a CRF the tags are those of the best sequence, and the probabilities are marginal.
        """
        if self.crf is None:
            return scores.argmax(-1), scores.double().softmax(-1)
        return self.crf.decode(scores, lengths)[0], self.crf.marginals(scores.double(), lengths)


def check_settings(settings: NetworkSettings) -> None:
    """Refuse what cannot be meant.

    Raises:
        UsageError: a number is out of range, or a name is not known.
    """
    if settings.output not in OUTPUTS:
        raise UsageError(f'output is "{settings.output}"; expected one of {", ".join(OUTPUTS)}')
    for name in ("embedding_size", "character_size", "hidden_size", "num_layers", "context"):
        if getattr(settings, name) < 1:
            raise UsageError(f"{name} is {getattr(settings, name)}; expected one or more")
    for name in ("dropout", "input_dropout", "word_dropout"):
        if not 0.0 <= getattr(settings, name) < 1.0:
            raise UsageError(f"{name} is {getattr(settings, name)}; expected a probability from 0 to 1, 1 excluded")
