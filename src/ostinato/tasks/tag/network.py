"""The network of a tagger: words and their spelling, a stack that reads the sentence, scores of tags, perhaps a CRF."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from ostinato.data.text import Specials
from ostinato.nn import TokenEmbedding, VariationalDropout
from ostinato.nn.by_name import TRANSFORMER, stack_of
from ostinato.nn.losses import LinearChainCRF, cross_entropy, tag_constraints
from ostinato.tasks.tag.characters import character_reader
from ostinato.tasks.tag.parameters import TagParameters
from ostinato.tasks.tag.sentences import NOTHING, TagEncoder
from ostinato.training.objective import Carry, Step


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


class TagBatch(NamedTuple):
    """Padded sentences, see `Sentences`, and their tags, `(time, batch)`, -100 in padding."""

    words: Tensor
    lengths: Tensor
    letters: Tensor
    letter_lengths: Tensor
    spellings: Tensor
    tags: Tensor


def collate_words(encoder: TagEncoder, sentences: Sequence[Sequence[str]]) -> Sentences:
    """Return sentences of one or more tokens as one batch; a word that comes several times is spelled once."""
    places: dict[str, int] = {}
    spelled = [[places.setdefault(token, len(places)) for token in tokens] for tokens in sentences]
    letters = [torch.tensor(encoder.spelled(token)) for token in places]
    return Sentences(
        pad_sequence([torch.tensor(encoder.numbers(tokens)) for tokens in sentences]),
        torch.tensor([len(tokens) for tokens in sentences]),
        pad_sequence(letters),
        torch.tensor([len(each) for each in letters]),
        pad_sequence([torch.tensor(each) for each in spelled]),
    )


class TagNetwork(nn.Module):
    """Scores of the tags of each token.

    Args:
        parameters: of the tagger.
        encoder: the words, characters and tags that it knows.
    """

    def __init__(self, parameters: TagParameters, encoder: TagEncoder) -> None:
        super().__init__()
        self.word_dropout = parameters.word_dropout
        self.embedding = TokenEmbedding(
            len(encoder.words), encoder.width, Specials().pad, frozen=parameters.freeze_vectors
        )
        self.letters = character_reader(parameters.characters, len(encoder.characters), 32, parameters.character_size)
        width = encoder.width + (0 if self.letters is None else parameters.character_size)
        self.input_dropout = nn.Dropout(parameters.input_dropout)
        options: dict[str, Any] = {"variational": True}
        if parameters.cell == TRANSFORMER:
            options = {"context": None if parameters.bidirectional else parameters.context}
        self.stack: Any = stack_of(
            parameters.cell, width, parameters.hidden_size, parameters.num_layers,
            dropout=parameters.dropout, bidirectional=parameters.bidirectional, **options,
        )  # fmt: skip
        self.dropout = VariationalDropout(parameters.dropout)
        self.scores = nn.Linear(parameters.hidden_size * (2 if parameters.bidirectional else 1), len(encoder.tags))
        self.crf = None
        if parameters.output == "crf":
            allowed = tag_constraints(encoder.tags, encoder.scheme) if encoder.scheme else None  # type: ignore[arg-type]
            self.crf = LinearChainCRF(len(encoder.tags), allowed)

    def forward(self, sentences: Sentences) -> Tensor:
        """Return the scores of tags, `(time, batch, tags)`; what stands in padding means nothing."""
        words = sentences.words
        if self.training and self.word_dropout:
            missing = torch.rand(words.shape, device=words.device) < self.word_dropout
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


class TagObjective:
    """The loss of the tags of sentences.

    Args:
        network: whose tags they are.
        weight: `(tags,)`, how much each counts, or `None`.
    """

    def __init__(self, network: TagNetwork, weight: Tensor | None = None) -> None:
        self.network, self.weight = network, weight

    def __call__(self, module: nn.Module, batch: Any, carry: Carry | None) -> Step:  # noqa: ARG002
        """Read a batch of sentences."""
        *sentences, tags = batch
        tokens = Sentences(*sentences)
        scores = module(tokens)
        weight = None if self.weight is None else self.weight.to(scores)
        return Step(self.network.loss(scores, tags, tokens.lengths, weight), int((tags != NOTHING).sum()))
