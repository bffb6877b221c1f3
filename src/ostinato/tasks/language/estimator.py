"""`LanguageModel`: the next character, word or subword of a text."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ostinato.errors import UsageError
from ostinato.tasks.base.estimator import Estimator
from ostinato.tasks.base.evaluating import better_of
from ostinato.tasks.base.judging import MODEL, Scores, decisive, stand, verdict_sentences
from ostinato.tasks.language.adapting import DynamicEvaluation
from ostinato.tasks.language.cache import NeuralCache
from ostinato.tasks.language.generation import Sampling, generate_tokens
from ostinato.tasks.language.parameters import LanguageParameters
from ostinato.tasks.language.reading import loss_units, measures, token_losses
from ostinato.tasks.language.task import LanguageTask
from ostinato.tasks.language.tokens_as_text import beginning, named, never_drawn, say_unknown, spelled, until


class LanguageModel(Estimator[LanguageTask], LanguageParameters):
    """A recurrent language model of characters, words or subwords.

    It is trained by truncated backpropagation through time over a text that is read in rows side by side; the state is
    carried from piece to piece. Losses that are reported are over all tokens, whichever `output` it has.

    `fit` takes a path of a text, plain or `.gz`, or a list of texts. Its parameters are those of `LanguageParameters`.

    Sources: T. Mikolov et al., "Recurrent neural network based language model", Interspeech 2010; W. Zaremba,
    I. Sutskever and O. Vinyals, 2014; dropout and penalties of S. Merity, N. Keskar and R. Socher, ICLR 2018; tied
    weights of H. Inan, K. Khosravi and R. Socher, ICLR 2017.

    >>> from ostinato import LanguageModel
    >>> model = LanguageModel(hidden_size=16, epochs=2, steps=8, batch_size=2, progress=False)
    >>> model = model.fit(["the cat sat on the mat and the dog sat on the cat " * 8])
    >>> len(model.generate("the ", length=5))
    5
    """

    task = LanguageTask()

    @property
    def classes_(self) -> tuple[str, ...]:
        """The tokens, in the order of their numbers."""
        encoder = self._checked().model.encoder
        return named(range(len(encoder.vocabulary)), encoder.vocabulary, encoder.level)

    def predict(self, texts: Iterable[str]) -> list[str]:
        """Return the most probable token after each text."""
        return [self.classes_[row.argmax()] for row in self.predict_proba(texts)]

    def predict_proba(self, texts: Iterable[str]) -> NDArray[np.float64]:
        """Return the probability of each token after each text, `(texts, tokens)`, in the order of `classes_`."""
        if isinstance(texts, str):
            raise UsageError(f"texts is the text {texts[:40]!r}; expected several, such as a list")
        model, rows = self._model(), []
        with torch.inference_mode():
            for text in texts:
                tokens = beginning(text, model.encoder.vocabulary, model.encoder.level)
                features, _, _ = model.network.read(torch.tensor(tokens)[:, None])
                scores = model.network.scores(features[-1:, 0])[0]
                mixture = model.encoder.mixture
                mixed = scores.double().log_softmax(-1) if mixture is None else mixture.logs(scores, tokens)
                rows.append(mixed.exp().numpy())
        return np.array(rows).reshape(-1, len(self.classes_))

    def evaluate(
        self,
        data: Any,
        labels: Any = None,
        *,
        dynamic: DynamicEvaluation | bool | float = False,
        cache: NeuralCache | bool | int = False,
        **changes: Any,
    ) -> Scores:
        """Return how well the model predicts a text, read as one stream, beside n-gram models.

        Args:
            data: a path, or a list of texts.
            labels: there are none.
            dynamic: learn from what has been scored (dynamic evaluation), perhaps with a learning rate; the model is
                left as it is.
            cache: mix in the tokens that came recently (a neural cache), perhaps so many. With either, the scores of
                the model alone stand beside.
            changes: parameters that are to be other than the model's.

        Raises:
            DataError: the text cannot be read, or has fewer than two tokens.
        """
        scores = super().evaluate(data, labels, **changes)
        learning, holding = _dynamic(dynamic), _cache(cache)
        if learning is None and holding is None:
            return scores
        model = self._changed(changes)
        tokens = self.task.encode(model, self.task.read(model.parameters, data)).numbers
        how = [name for name, value in (("dynamic evaluation", learning), ("a cache", holding)) if value]
        losses = token_losses(model.network, tokens, learning, holding, model.encoder.mixture)
        values = {
            MODEL: measures(losses),
            "model as trained": scores.model,
        }
        values |= {name: value for name, value in scores.values.items() if name != MODEL}
        better = better_of(self.task, values)
        units = {MODEL: loss_units(losses), "model as trained": scores.units[MODEL]}
        units |= {name: unit for name, unit in scores.units.items() if name != MODEL}
        against = stand(values, better, units)
        said = " ".join(verdict_sentences(values, decisive(values, self.task.decides), better, against))
        protocol = f"{scores.protocol}, with {' and '.join(how)}"
        return replace(
            scores, values=values, protocol=protocol, better=better, verdict=said, against=against, units=units
        )

    def write(
        self,
        prompt: str = "",
        *,
        length: int | None = None,
        stop: str | Sequence[str] = (),
        seed: int = 0,
        cache: NeuralCache | bool | int = False,
        **sampling: Any,
    ) -> Iterator[str]:
        """Return an iterator over the text after a prompt, token by token.

        Args:
            prompt: what to continue; if empty, the beginning of a line.
            length: tokens at most; `None`: without end.
            stop: texts that end it where they come; they are left out.
            seed: the same seed writes the same text.
            cache: mix in the tokens that came recently (a neural cache).
            sampling: `temperature`, `top_k`, `top_p`, `repetition_penalty`, `memory`; see `Sampling` in
                `ostinato.tasks.language.generation`.

        Raises:
            UsageError: a number is out of range.
        """
        model, chosen = self._model(), _sampling(sampling)
        if length is not None and length < 0:
            raise UsageError(f"length is {length}; expected 0 or more tokens")
        vocabulary, level = model.encoder.vocabulary, model.encoder.level
        say_unknown(prompt, vocabulary, level)
        tokens = generate_tokens(
            model.network, beginning(prompt, vocabulary, level), chosen, never=never_drawn(vocabulary, level),
            seed=seed, cache=_cache(cache), mixture=model.encoder.mixture,
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


def _dynamic(given: DynamicEvaluation | bool | float) -> DynamicEvaluation | None:
    if isinstance(given, bool):
        return DynamicEvaluation() if given else None
    return DynamicEvaluation(learning_rate=given) if isinstance(given, (int, float)) else given


def _cache(given: NeuralCache | bool | int) -> NeuralCache | None:
    if isinstance(given, bool):
        return NeuralCache() if given else None
    return NeuralCache(window=given) if isinstance(given, int) else given


def _sampling(given: dict[str, Any]) -> Sampling:
    try:
        return Sampling(**given)
    except TypeError as error:
        known = ", ".join(inspect.signature(Sampling).parameters)
        raise UsageError(f"sampling takes {known}, not {', '.join(given)}") from error
