"""`LanguageModel`: fit, evaluate, generate, score, save, in the scikit-learn manner."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Self

from numpy.typing import NDArray

from ostinato.artifact import Artifact
from ostinato.errors import UsageError
from ostinato.nn.softmax import Proposal
from ostinato.tasks.estimator import SavedEstimator
from ostinato.tasks.language.adapting import DynamicEvaluation
from ostinato.tasks.language.cache import NeuralCache
from ostinato.tasks.language.corpus import Level, Texts, encode
from ostinato.tasks.language.evaluation import LanguageScores, corpus_loss
from ostinato.tasks.language.fitting import Outcome, fit_language
from ostinato.tasks.language.generation import Sampling, generate_tokens
from ostinato.tasks.language.network import Output
from ostinato.tasks.language.reading import LanguageStream, answers
from ostinato.tasks.language.saving import pack, unpack
from ostinato.tasks.language.spelling import beginning, never_drawn, spelled, until
from ostinato.tasks.language.updating import new_text
from ostinato.tasks.base.summary import Summary
from ostinato.tasks.updating import NewRows
from ostinato.training import History
from ostinato.training.config import Averaged, Optimizer, Schedule


class LanguageModel(SavedEstimator[Outcome]):
    """A recurrent language model of characters, words or subwords.

    It is trained by truncated backpropagation through time over a corpus that is read in rows side by side; the state
    is carried from piece to piece.

    Args:
        level: what a token is: `"character"`, `"word"` (split at white space) or `"subword"` (byte-level BPE; needs
            `ostinato[text]`).
        vocabulary_size: tokens at most; the rest is unknown. `None`: all for characters and words, 8,000 subwords.
        min_count: how often a character or word must occur to be known.
        lower: make texts lower-case.
        cell: a name from `ostinato.cells.PLAIN`, or `"transformer"` (causal, over the last `steps` tokens).
        embedding_size: features of a token; `None`: as `hidden_size`.
        hidden_size, num_layers: of the stack.
        tie_weights: whether the scores' matrix is the embedding (H. Inan, K. Khosravi and R. Socher, ICLR 2017).
        output: `"softmax"` over all tokens; for large vocabularies `"adaptive"`, narrower for rare tokens, or
            `"sampled"`, whose training loss is over the target and some tokens drawn: see `ostinato.nn.softmax`. Losses
            that are reported are over all tokens, whichever it is.
        samples: how many tokens `"sampled"` draws for a batch; proposal: by what, `"unigram"` or `"log_uniform"`.
        dropout: of layers' outputs, with one mask for each piece; input_dropout: of embeddings likewise;
            embedding_dropout: of whole words; weight_drop: of recurrent weights. All of S. Merity et al., ICLR 2018.
        activation_penalty, slowness_penalty: weights of penalties on outputs and on their changes (Merity et al.).
        steps: of a piece; jitter: whether pieces differ in length.
        batch_size: rows.
        validation, test: the shares of the corpus's end that are held out, where `fit` is not given texts for them.
        epochs, optimizer, learning_rate, momentum, schedule, warmup_steps, weight_decay, gradient_clip, averaging,
        averaging_start, averaging_decay, averaging_patience, patience, max_seconds, seed, device, precision, progress,
        tensorboard: see `ostinato.training.TrainingConfig`.

    After `fit`, `history_` has the epochs, `scores_` how the model foretells the test part, beside baselines, and
    `summary_` all that a report shows.

    Sources: T. Mikolov et al., "Recurrent neural network based language model", Interspeech 2010; W. Zaremba,
    I. Sutskever and O. Vinyals, 2014; S. Merity, N. Keskar and R. Socher, ICLR 2018.

    >>> from ostinato import LanguageModel
    >>> model = LanguageModel(hidden_size=16, epochs=2, steps=8, batch_size=2, progress=False)
    >>> model = model.fit(["the cat sat on the mat and the dog sat on the cat " * 8])
    >>> len(model.generate("the ", length=5))
    5
    """

    KIND = "language model"

    def __init__(
        self,
        *,
        level: Level = "character",
        vocabulary_size: int | None = None,
        min_count: int = 1,
        lower: bool = False,
        cell: str = "lstm",
        embedding_size: int | None = None,
        hidden_size: int = 256,
        num_layers: int = 1,
        tie_weights: bool = False,
        output: Output = "softmax",
        samples: int = 1024,
        proposal: Proposal = "unigram",
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        embedding_dropout: float = 0.0,
        weight_drop: float = 0.0,
        activation_penalty: float = 0.0,
        slowness_penalty: float = 0.0,
        steps: int = 64,
        jitter: bool = False,
        batch_size: int = 32,
        validation: float = 0.05,
        test: float = 0.05,
        epochs: int = 20,
        optimizer: Optimizer = "adamw",
        learning_rate: float = 2e-3,
        momentum: float = 0.0,
        schedule: Schedule = "one_cycle",
        warmup_steps: int = 0,
        weight_decay: float = 0.0,
        gradient_clip: float | None = 1.0,
        averaging: Averaged | None = None,
        averaging_start: int = 0,
        averaging_decay: float = 0.999,
        averaging_patience: int = 5,
        patience: int | None = 3,
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
        data: Texts,
        *,
        validation: Texts | None = None,
        test: Texts | None = None,
        directory: str | Path | None = None,
        resume: bool = False,
    ) -> Self:
        """Train on texts.

        Args:
            data: a path of a text, plain or `.gz`, or a list of texts. Words and subwords are read line by line, with a
                mark at each end; characters as they stand.
            validation: a text that decides which epoch is best and when to stop; `None`: a share of the end of `data`.
            test: a text for `scores_`; likewise.
            directory: where the history and the checkpoint of the run are kept; `None`: nowhere.
            resume: go on from the directory's checkpoint if there is one.

        Raises:
            DataError: something in a text is wrong, or there is too little of it.
            UsageError: a parameter is out of range.
            NonFiniteLoss: training broke off; with an epoch done before, the model is fitted with its weights.
        """
        folder = None if directory is None else Path(directory)
        self._keep(fit_language(self.get_params(), data, validation, test, folder, resume))
        if self.fitted_.failure is not None:
            raise self.fitted_.failure
        return self

    def evaluate(
        self, data: Texts, *, dynamic: DynamicEvaluation | bool = False, cache: NeuralCache | bool = False
    ) -> LanguageScores:
        """Return how well the model foretells a text, read as one stream.

        Args:
            data: a path, or a list of texts.
            dynamic: go on learning from what has been scored (dynamic evaluation); the model is left as it is.
            cache: mix in the tokens that came lately (a neural cache). With either, the scores of the model alone
                stand beside.

        Raises:
            DataError: the text cannot be read, or has fewer than two tokens.
        """
        fitted = self._checked()
        tokens = encode(data, fitted.vocabulary, self._level())
        learning = DynamicEvaluation() if dynamic is True else dynamic or None
        holding = NeuralCache() if cache is True else cache or None
        losses = {"model": corpus_loss(fitted.network, tokens, learning, holding)}
        protocol = "other text, read as one stream"
        if learning or holding:
            how = [name for name, own in (("dynamic evaluation", learning), ("a cache", holding)) if own]
            protocol = f"{protocol}, with {' and '.join(how)}"
            losses["model as trained"] = corpus_loss(fitted.network, tokens)
        unknown = float((tokens[1:] == fitted.vocabulary.specials.unk).mean())
        return LanguageScores(protocol, len(tokens) - 1, unknown, losses)

    def score(self, data: Texts) -> float:
        """Return the mean log-likelihood of a token, in nats: higher is better, as scikit-learn has it."""
        return -self.evaluate(data).losses["model"]

    def stream(self) -> LanguageStream:
        r"""Return what reads line after line, remembers those before, and says how well each was foretold.

        >>> from ostinato import LanguageModel
        >>> model = LanguageModel(hidden_size=8, epochs=1, steps=8, batch_size=2, progress=False)
        >>> answer = model.fit(["the cat sat on the mat\n" * 9]).stream().push("the cat")
        >>> list(answer), answer["tokens"]
        (['perplexity', 'bits', 'tokens', 'surprisal'], 8)
        """
        fitted = self._checked()
        return LanguageStream(fitted.network, fitted.vocabulary, self._level())

    def answers(self, source: str | Path | Iterable[str]) -> Iterator[dict[str, Any]]:
        """Yield how well each line of a file, or of lines, was foretold, each read by itself; see `stream`.

        Raises:
            DataError: the file cannot be read.
        """
        return answers(self.stream(), source)

    def write(
        self,
        prompt: str = "",
        *,
        length: int | None = None,
        stop: str | Sequence[str] = (),
        seed: int = 0,
        cache: NeuralCache | bool = False,
        **sampling: Any,
    ) -> Iterator[str]:
        """Return an iterator over the text after a prompt, token by token.

        Args:
            prompt: what to go on from; if empty, the beginning of a line.
            length: tokens at most; `None`: without end.
            stop: texts that end it where they come; they are left out.
            seed: the same seed writes the same text.
            cache: mix in the tokens that came lately (a neural cache).
            sampling: `temperature`, `top_k`, `top_p`, `repetition_penalty`, `memory`; see `Sampling` in
                `ostinato.tasks.language.generation`.

        Raises:
            UsageError: a number is out of range.
        """
        fitted, level, chosen = self._checked(), self._level(), _sampling(sampling)
        if length is not None and length < 0:
            raise UsageError(f"length is {length}; expected 0 or more tokens")
        vocabulary = fitted.vocabulary
        tokens = generate_tokens(
            fitted.network, beginning(prompt, vocabulary, level), chosen,
            never=never_drawn(vocabulary, level), seed=seed, cache=NeuralCache() if cache is True else cache or None,
        )  # fmt: skip
        stops = [mark for mark in ([stop] if isinstance(stop, str) else stop) if mark]
        return until(spelled(islice(tokens, length), vocabulary, level), stops)

    def generate(self, prompt: str = "", *, length: int = 200, **options: Any) -> str:
        """Return what the model writes after a prompt; `options` are those of `write`."""
        return "".join(self.write(prompt, length=length, **options))

    def one_answer(self) -> tuple[str, Callable[[], object]]:
        """Return the writing of one token."""
        written = self.write()
        return "one token written", lambda: next(written)

    def _new_rows(self, data: Any) -> NewRows[Outcome]:
        return new_text(self.get_params(), self._checked(), data)

    @classmethod
    def _pack(cls, fitted: Outcome) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        return pack(fitted)

    @classmethod
    def _unpack(cls, artifact: Artifact) -> Outcome:
        return unpack(artifact)

    def _level(self) -> Level:
        level: Level = self.get_params()["level"]
        return level

    def _keep(self, fitted: Outcome) -> None:
        super()._keep(fitted)
        self.history_: History = fitted.history
        self.scores_: LanguageScores | None = fitted.scores
        self.summary_: Summary = fitted.summary


def _sampling(given: dict[str, Any]) -> Sampling:
    try:
        return Sampling(**given)
    except TypeError as error:
        known = ", ".join(inspect.signature(Sampling).parameters)
        raise UsageError(f"sampling takes {known}, not {', '.join(given)}") from error
