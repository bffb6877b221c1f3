"""Batches of sentences of like length, and their loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from ostinato.errors import UsageError
from ostinato.tasks.base.batches import RowBatches
from ostinato.tasks.tag.corpus import NOTHING, Words
from ostinato.tasks.tag.network import Sentences, TagNetwork
from ostinato.training.objective import Carry, Step


class TagBatch(NamedTuple):
    """Padded sentences, see `Sentences`, and their tags, `(time, batch)`, -100 in padding."""

    words: Tensor
    lengths: Tensor
    letters: Tensor
    letter_lengths: Tensor
    spellings: Tensor
    tags: Tensor


def collate_words(words: Words, sentences: Sequence[Sequence[str]]) -> Sentences:
    """Return sentences of one or more tokens as one batch; a word that comes several times is spelled once."""
    places: dict[str, int] = {}
    spelled = [[places.setdefault(token, len(places)) for token in tokens] for tokens in sentences]
    letters = [torch.tensor(words.spelled(token)) for token in places]
    return Sentences(
        pad_sequence([torch.tensor(words.numbers(tokens)) for tokens in sentences]),
        torch.tensor([len(tokens) for tokens in sentences]),
        pad_sequence(letters),
        torch.tensor([len(own) for own in letters]),
        pad_sequence([torch.tensor(own) for own in spelled]),
    )


def tag_batches(
    words: Words,
    sentences: Sequence[Sequence[str]],
    tags: Sequence[NDArray[Any]],
    *,
    batch_size: int,
    shuffle: bool,
    seed: int,
) -> RowBatches[TagBatch]:
    """Return batches of so many sentences, of like length.

    Raises:
        UsageError: `batch_size` is not positive.
    """
    if batch_size < 1:
        raise UsageError(f"batch_size is {batch_size}; expected one or more")

    def collate(rows: list[int]) -> TagBatch:
        wanted = pad_sequence([torch.from_numpy(tags[row]) for row in rows], padding_value=NOTHING)
        return TagBatch(*collate_words(words, [sentences[row] for row in rows]), wanted)

    lengths = [len(tokens) for tokens in sentences]
    return RowBatches(lengths, collate, batch_size=batch_size, shuffle=shuffle, seed=seed)


class TagObjective:
    """The loss of the tags of sentences.

    Args:
        weight: `(tags,)`, how much each counts, or `None`.
    """

    def __init__(self, weight: Tensor | None = None) -> None:
        self.weight = weight

    def __call__(self, module: nn.Module, batch: Any, carry: Carry | None) -> Step:  # noqa: ARG002
        """Read a batch of sentences."""
        *sentences, tags = batch
        own = Sentences(*sentences)
        scores = module(own)
        network: TagNetwork = getattr(module, "module", module)  # type: ignore[arg-type]
        weight = None if self.weight is None else self.weight.to(scores)
        loss = network.loss(scores, tags, own.lengths, weight)
        return Step(loss, int((tags != NOTHING).sum()))
