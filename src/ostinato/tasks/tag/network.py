"""The network of a tagger: words and their spelling, a stack that reads the sentence, scores of tags, perhaps a CRF."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ostinato.data.text import Specials
from ostinato.nn import TokenEmbedding, VariationalDropout
from ostinato.nn.by_name import TRANSFORMER, stack_of
from ostinato.nn.losses import LinearChainCRF, cross_entropy, tag_constraints
from ostinato.tasks.base.mixing import Mix
from ostinato.tasks.tag.characters import character_reader
from ostinato.tasks.tag.parameters import TagParameters
from ostinato.tasks.tag.sentences import NOTHING, TagEncoder
from ostinato.training.objective import Carry, Step

_LEAST_DEEP = 0.05  # of the weight of a CRF's scores, by which that of the wide part is divided


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
    known = [encoder.known(token) for token in places]
    numbers = np.array([number for number, _ in known], np.int64)
    lengths = [len(tokens) for tokens in sentences]
    pad, spellings = Specials().pad, np.zeros((max(lengths), len(sentences)), np.int64)
    words = np.full(spellings.shape, pad, np.int64)
    for column, each in enumerate(spelled):
        spellings[: len(each), column] = each
        words[: len(each), column] = numbers[each]
    letter_lengths = [len(letters) for _, letters in known]
    letters = np.full((max(letter_lengths), len(known)), pad, np.int64)
    for column, (_, each_letter) in enumerate(known):
        letters[: len(each_letter), column] = each_letter
    return Sentences(*map(torch.from_numpy, (words, np.array(lengths), letters, np.array(letter_lengths), spellings)))


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
        if (parameters.output or encoder.output) == "crf":
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

    def log_probabilities(self, scores: Tensor, lengths: Tensor) -> Tensor:
        """Return the logarithm of each tag's probability at each token, `(time, batch, tags)`; of a CRF, marginal."""
        if self.crf is None:
            return scores.double().log_softmax(-1)
        return self.crf.marginals(scores.double(), lengths).clamp(min=1e-12).log()

    def mixed(self, scores: Tensor, wide: Tensor, mix: Mix) -> Tensor:
        """Return scores that take into account what a wide part says.

        Args:
            scores: `(time, batch, tags)`; those of a CRF stay on the scale of its transitions.
            wide: its log-probabilities, likewise.
            mix: how much each counts.
        """
        if self.crf is None:
            return mix.deep * scores.double().log_softmax(-1) + mix.wide * wide
        return scores + (mix.wide / max(mix.deep, _LEAST_DEEP) * wide).to(scores.dtype)

    def decode(self, scores: Tensor, lengths: Tensor, mix: Mix | None = None) -> tuple[Tensor, Tensor]:
        """Return the tags, `(time, batch)`, and the probability of each at each token, `(time, batch, tags)`.

        Of a CRF the tags are those of the best sequence, and the probabilities are marginal.

        Args:
            scores: `(time, batch, tags)`, perhaps from `mixed`.
            lengths: `(batch,)`.
            mix: that the scores were mixed by: a CRF is then as confident as the network's weight says.
        """
        if self.crf is None:
            return scores.argmax(-1), scores.double().softmax(-1)
        found = self.crf.decode(scores, lengths)[0]
        if mix is None:
            return found, self.crf.marginals(scores.double(), lengths)
        weight, softer = max(mix.deep, _LEAST_DEEP), copy.deepcopy(self.crf)
        with torch.no_grad():
            for parameter in softer.parameters():
                parameter.mul_(weight)
        return found, softer.marginals(weight * scores.double(), lengths)


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
