"""What the parts of a tagger say of sentences: the network alone, and with the wide part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.utils.rnn import pad_sequence

from ostinato.nn.losses import class_weights
from ostinato.tasks.base.batches import read_in_batches
from ostinato.tasks.base.task import Model
from ostinato.tasks.tag.network import collate_words
from ostinato.tasks.tag.parameters import TagParameters
from ostinato.tasks.tag.sentences import TagEncoder

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
_SENTENCES = 64


def mixed_tags(model: Model[Any, TagEncoder], sentences: Sequence[Sequence[str]]) -> list[tuple[Floats, Integers]]:
    """Return the probabilities, `(tokens, tags)`, and the tags of sentences of one or more tokens."""
    encoder, network = model.encoder, model.network

    def read(rows: list[int]) -> Iterator[tuple[Floats, Integers]]:
        chosen = [sentences[row] for row in rows]
        batch = collate_words(encoder, chosen)
        scores, mix = network(batch), encoder.mix
        if encoder.wide is not None and mix is not None:
            cuts = np.cumsum([len(sentence) for sentence in chosen])[:-1]
            said = [torch.from_numpy(each) for each in np.split(encoder.wide.log_probabilities(chosen), cuts)]
            scores = network.mixed(scores, pad_sequence(said), mix)
        tags, probabilities = network.decode(scores, batch.lengths, mix)
        for column, length in enumerate(batch.lengths.tolist()):
            yield probabilities[:length, column].numpy(), tags[:length, column].numpy()

    return read_in_batches([len(sentence) for sentence in sentences], read, rows=_SENTENCES)


def deep_logs(model: Model[Any, TagEncoder], sentences: Sequence[Sequence[str]]) -> list[Floats]:
    """Return the network's log-probabilities of tags alone, `(tokens, tags)` a sentence."""

    def read(rows: list[int]) -> Iterator[Floats]:
        batch = collate_words(model.encoder, [sentences[row] for row in rows])
        logs = model.network.log_probabilities(model.network(batch), batch.lengths)
        for column, length in enumerate(batch.lengths.tolist()):
            yield logs[:length, column].numpy()

    return read_in_batches([len(sentence) for sentence in sentences], read, rows=_SENTENCES)


def tag_weights(parameters: TagParameters, encoder: TagEncoder, targets: Sequence[Integers]) -> Floats:
    """Return how much each tag counts in training, `(tags,)`."""
    tags = len(encoder.tags)
    if parameters.class_weights == "none":
        return np.ones(tags)
    truth = np.concatenate(list(targets))
    counts = np.bincount(truth[truth < tags], minlength=tags)
    return class_weights(torch.from_numpy(counts), parameters.class_weights).double().numpy()
