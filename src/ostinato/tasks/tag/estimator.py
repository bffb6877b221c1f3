"""`SequenceTagger`: a tag for each token of a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.errors import UsageError
from ostinato.tasks.base.estimator import Estimator
from ostinato.tasks.tag.baselines import Tags
from ostinato.tasks.tag.parameters import TagParameters
from ostinato.tasks.tag.stream import TokenStream, tokens_of
from ostinato.tasks.tag.task import TagTask


class SequenceTagger(Estimator[TagTask], TagParameters):
    """A recurrent tagger: a tag for each token of a sentence, such as parts of speech, or names by BIO tags.

    A token is read as a whole word and, unless switched off, by its characters; a stack reads the sentence both ways; a
    softmax judges each tag for itself, or a linear-chain CRF the tags of a sentence together. Beside this network
    stands a linear layer on words, their spelling and their neighbours (`wide`), weighed on the validation sentences.

    `fit` takes a path of a tagged file (see `ostinato.data.text.read_tagged` and `read_conllu`), pairs of tokens and
    tags, or both apart. Its parameters are those of `TagParameters`; after it, `classes_` has the tags.

    Sources: Z. Huang, W. Xu and K. Yu, "Bidirectional LSTM-CRF models for sequence tagging", 2015; G. Lample et al.,
    NAACL 2016; X. Ma and E. Hovy, ACL 2016.

    >>> from ostinato import SequenceTagger
    >>> sentences = [("the dog sees a cat".split(), "DET NOUN VERB DET NOUN".split()),
    ...              ("a bird sings".split(), "DET NOUN VERB".split())] * 20
    >>> model = SequenceTagger(hidden_size=16, epochs=10, learning_rate=0.01, progress=False).fit(sentences)
    >>> model.predict(["the bird sees a dog".split()])
    [['DET', 'NOUN', 'VERB', 'DET', 'NOUN']]
    """

    task = TagTask()

    @property
    def classes_(self) -> tuple[str, ...]:
        """The tags, in the order of their classes."""
        tags: tuple[str, ...] = self._checked().model.encoder.tags
        return tags

    def predict(self, sentences: Sequence[Sequence[str]]) -> list[list[str]]:
        """Return the tags of sentences, each a list of tokens or a text with spaces; an empty one has none.

        Raises:
            UsageError: it is one text, not a list of sentences.
        """
        return [[self.classes_[number] for number in tag.found] for tag in self._tags(sentences)]

    def predict_proba(self, sentences: Sequence[Sequence[str]]) -> list[NDArray[np.float64]]:
        """Return the probability of each tag at each token, `(tokens, tags)` a sentence; of a CRF, marginal.

        The tags are in the order of `classes_`.
        """
        return [tag.probabilities for tag in self._tags(sentences) if tag.probabilities is not None]

    def token_stream(self) -> TokenStream:
        """Return a stream that tags token after token, with constant memory, as the model tags whole sentences.

        Raises:
            UsageError: the model reads both ways or has a CRF, so that it needs the whole sentence.
        """
        stream: TokenStream = self.stream(tokens=True)
        return stream

    def _tags(self, sentences: Any) -> list[Tags]:
        if isinstance(sentences, str):
            raise UsageError(f"sentences is the text {sentences[:40]!r}; expected a list of sentences, such as [text]")
        found: list[Tags] = self.task.tags(self._model(), [tokens_of(tokens) for tokens in sentences])
        return found
