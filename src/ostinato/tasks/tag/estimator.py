"""`SequenceTagger`: fit, evaluate, tag, stream, save, in the scikit-learn manner."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from ostinato.artifact import Artifact
from ostinato.data.text import read_lines
from ostinato.errors import UsageError
from ostinato.tasks.estimator import SavedEstimator
from ostinato.tasks.scores import Scores
from ostinato.tasks.base.summary import Summary
from ostinato.tasks.tag.characters import CharacterReader
from ostinato.tasks.tag.corpus import Tagged, read_sentences
from ostinato.tasks.tag.evaluation import Judge, score_tags
from ostinato.tasks.tag.fitting import Outcome, fit_tagger
from ostinato.tasks.tag.saving import pack, unpack
from ostinato.tasks.tag.stream import Answer, SentenceStream, TokenStream, answer_of, tokens_of
from ostinato.tasks.tag.updating import new_sentences
from ostinato.tasks.updating import NewRows
from ostinato.training import History
from ostinato.training.config import Optimizer, Schedule


def _tokens(sentences: Sequence[Sequence[str]]) -> list[list[str]]:
    if isinstance(sentences, str):
        raise UsageError(f"sentences is the text {sentences[:40]!r}; expected a list of sentences, such as [text]")
    return [tokens_of(tokens) for tokens in sentences]


class SequenceTagger(SavedEstimator[Outcome]):
    """A recurrent tagger: a tag for each token of a sentence, such as parts of speech, or names by BIO tags.

    A token is read as a whole word and, unless told not to, by its characters; a stack reads the sentence both ways; a
    softmax judges each tag for itself, or a linear-chain CRF the tags of a sentence together.

    Args:
        token, tag: the columns of a tagged file, from 0, or from the last: -1. Of CoNLL-U (`.conllu`), `tag` is the
            name of a column, `"upos"` if it is left out.
        lower: make words, not their characters, lower-case.
        min_count: how often a word must occur to be known as a whole.
        validation, test: the shares of the last sentences that are held out, where `fit` is not given files for them.
        vectors: a file of pretrained vectors, whose width is then `embedding_size`; freeze_vectors: keep them as they
            are; vector_words: how many of the file's first words are known although training has them not.
        embedding_size: features of a word.
        characters: how they are read: `"cnn"`, `"rnn"` or `"none"`; character_size: features that gives;
            longest_word: characters of a word that are read at most, its first and its last ones.
        cell: a name from `ostinato.cells.PLAIN`, or `"transformer"`; bidirectional: whether it reads both ways;
            hidden_size: units of each; num_layers: of the stack; context: tokens that a Transformer looks back on if it
            reads one way.
        output: `"softmax"` or `"crf"`; constraints: hold a CRF to BIO or IOBES if the training tags keep to it.
        class_weights: of the softmax: `"none"`, `"balanced"`, `"square_root"` or `"effective"`.
        dropout: of layers' outputs, one mask for each sentence; input_dropout: of what the stack reads; word_dropout:
            the share of words that training takes for unknown ones.
        batch_size: sentences.
        epochs, optimizer, learning_rate, momentum, schedule, warmup_steps, weight_decay, gradient_clip, patience,
        max_seconds, seed, device, precision, progress, tensorboard: see `ostinato.training.TrainingConfig`.

    After `fit`, `history_` has the epochs, `scores_` how held-out sentences are tagged, beside baselines, `summary_`
    what a report shows, and `classes_` the tags.

    Sources: Z. Huang, W. Xu and K. Yu, "Bidirectional LSTM-CRF models for sequence tagging", 2015; G. Lample et al.,
    NAACL 2016; X. Ma and E. Hovy, ACL 2016.

    >>> from ostinato import SequenceTagger
    >>> sentences = [("the dog sees a cat".split(), "DET NOUN VERB DET NOUN".split()),
    ...              ("a bird sings".split(), "DET NOUN VERB".split())] * 20
    >>> model = SequenceTagger(hidden_size=16, epochs=10, learning_rate=0.01, progress=False).fit(sentences)
    >>> model.predict(["the bird sees a dog".split()])
    [['DET', 'NOUN', 'VERB', 'DET', 'NOUN']]
    """

    KIND = "sequence tagger"

    def __init__(
        self,
        *,
        token: int = 0,
        tag: int | str | None = None,
        lower: bool = False,
        min_count: int = 1,
        validation: float = 0.1,
        test: float = 0.1,
        vectors: str | None = None,
        freeze_vectors: bool = False,
        vector_words: int = 20_000,
        embedding_size: int = 64,
        characters: CharacterReader = "cnn",
        character_size: int = 32,
        longest_word: int = 32,
        cell: str = "lstm",
        bidirectional: bool = True,
        hidden_size: int = 96,
        num_layers: int = 1,
        context: int = 64,
        output: Literal["softmax", "crf"] = "softmax",
        constraints: bool = True,
        class_weights: Literal["none", "balanced", "square_root", "effective"] = "none",
        dropout: float = 0.3,
        input_dropout: float = 0.2,
        word_dropout: float = 0.05,
        batch_size: int = 32,
        epochs: int = 20,
        optimizer: Optimizer = "adamw",
        learning_rate: float = 3e-3,
        momentum: float = 0.0,
        schedule: Schedule = "one_cycle",
        warmup_steps: int = 0,
        weight_decay: float = 0.0,
        gradient_clip: float | None = 1.0,
        patience: int | None = 5,
        max_seconds: float | None = None,
        seed: int = 0,
        device: str = "cpu",
        precision: str = "32-true",
        progress: bool | Literal["auto"] = "auto",
        tensorboard: bool = False,
    ) -> None:
        values = dict(locals())
        for name in self._names():
            setattr(self, name, values[name])

    def fit(
        self,
        data: Tagged,
        *,
        validation: Tagged | None = None,
        test: Tagged | None = None,
        directory: str | Path | None = None,
        resume: bool = False,
    ) -> Self:
        """Train on tagged sentences.

        Args:
            data: a path of a tagged file (see `ostinato.data.text.read_tagged` and `read_conllu`), or pairs of tokens
                and tags.
            validation: sentences that decide which epoch is best; `None`: a share of the last ones of `data`.
            test: sentences for `scores_`; likewise.
            directory: where the history and the checkpoint of the run are kept; `None`: nowhere.
            resume: go on from the directory's checkpoint if there is one.

        Raises:
            DataError: something in a file is wrong, or there is too little of it.
            UsageError: a parameter is out of range.
            NonFiniteLoss: training broke off; with an epoch done before, the model is fitted with its weights.
        """
        folder = None if directory is None else Path(directory)
        self._keep(fit_tagger(self.get_params(), data, validation, test, folder, resume))
        if self.fitted_.run.failure is not None:
            raise self.fitted_.run.failure
        return self

    def predict(self, sentences: Sequence[Sequence[str]]) -> list[list[str]]:
        """Return the tags of sentences, each a list of tokens or a text with spaces; an empty one has none.

        Raises:
            UsageError: it is one text, not a list of sentences.
        """
        tagger = self._checked().tagger
        return [tagger.named(tags) for tags in tagger.read(_tokens(sentences))]

    def probabilities(self, sentences: Sequence[Sequence[str]]) -> list[NDArray[np.float64]]:
        """Return the probability of each tag at each token, `(tokens, tags)` a sentence; of a CRF, marginal.

        The tags are in the order of `classes_`.
        """
        return [own.chances for own in self._checked().tagger.read(_tokens(sentences))]

    def evaluate(self, data: Tagged) -> Scores:
        """Return how well other sentences are tagged.

        Raises:
            DataError: they cannot be read, or there are none.
        """
        tagger = self._checked().tagger
        sentences = read_sentences(self.get_params(), data)
        judge = Judge(sentences, tagger.names, tagger.words)
        return score_tags(judge, tagger.read([own.tokens for own in sentences]), split="other sentences")

    def score(self, data: Tagged) -> float:
        """Return the share of tokens that are tagged right: higher is better, as scikit-learn has it."""
        return self.evaluate(data).values["model"]["accuracy"]

    def answers(self, source: str | Path | Iterable[str]) -> Iterator[Answer]:
        """Yield the tags of each line.

        Args:
            source: a path of a text, or lines: tokens with spaces between.

        Yields:
            `tags` in one text; `tokens`, and the `probabilities` of their tags. A blank line has none, but its answer.

        Raises:
            DataError: the file cannot be read.
        """
        tagger = self._checked().tagger
        for line in read_lines(source, keep_blank=True) if isinstance(source, (str, Path)) else source:
            tokens = tokens_of(line)
            yield answer_of(tagger, tokens, tagger.read([tokens])[0])

    def stream(self) -> SentenceStream:
        """Return a stream that tags sentence after sentence."""
        return SentenceStream(self._checked().tagger)

    def token_stream(self) -> TokenStream:
        """Return a stream that tags token after token, with constant memory, as the model tags whole sentences.

        Raises:
            UsageError: the model reads both ways or has a CRF, so that it needs the whole sentence.
        """
        return TokenStream(self._checked().tagger)

    def _new_rows(self, data: Any) -> NewRows[Outcome]:
        return new_sentences(self.get_params(), self._checked(), data)

    @classmethod
    def _pack(cls, fitted: Outcome) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        return pack(fitted)

    @classmethod
    def _unpack(cls, artifact: Artifact) -> Outcome:
        return unpack(artifact)

    def _keep(self, fitted: Outcome) -> None:
        super()._keep(fitted)
        self.classes_: tuple[str, ...] = fitted.tagger.names
        self.history_: History = fitted.run.history
        self.scores_: Scores | None = fitted.scores
        self.summary_: Summary = fitted.summary
