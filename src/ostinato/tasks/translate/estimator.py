"""`Translator`: from texts to texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, overload

from ostinato.errors import UsageError
from ostinato.tasks.base.estimator import Estimator
from ostinato.tasks.base.searching.search import Search
from ostinato.tasks.base.summary import Matrix
from ostinato.tasks.translate.panels import attention_matrix
from ostinato.tasks.translate.parameters import TranslationParameters
from ostinato.tasks.translate.stream import TranslationStream
from ostinato.tasks.translate.task import TranslationTask, languages_of, search_of, together_of
from ostinato.tasks.translate.translating import Translation, say_strange


class Translator(Estimator[TranslationTask], TranslationParameters):
    """From texts to texts: an encoder reads a source, a decoder with attention writes what it means.

    `fit` takes a TSV, CSV or JSON-lines file of pairs; a tuple of two files, of sources and of their translations, one
    a line, plain or `.gz`; pairs in a list; or sources and translations apart. Its parameters are those of
    `TranslationParameters`.

    Sources: I. Sutskever, O. Vinyals and Q. Le, NeurIPS 2014; D. Bahdanau, K. Cho and Y. Bengio, ICLR 2015; M. Luong,
    H. Pham and C. Manning, EMNLP 2015; A. Vaswani et al., NeurIPS 2017.

    >>> from ostinato import Translator
    >>> pairs = [("ein Hund", "a dog"), ("eine Katze", "a cat"), ("ein Hund läuft", "a dog runs")] * 20
    >>> options = {"hidden_size": 32, "dropout": 0.0, "batch_tokens": 64, "learning_rate": 0.01, "progress": False}
    >>> model = Translator(level="word", **options)
    >>> model.fit(pairs).translate("ein Hund läuft")
    'a dog runs'
    """

    task = TranslationTask()

    @overload
    def translate(self, texts: str, **search: Any) -> str: ...
    @overload
    def translate(self, texts: Sequence[str], **search: Any) -> list[str]: ...
    def translate(self, texts: str | Sequence[str], **search: Any) -> str | list[str]:
        """Return the translation of a text, or of each of several.

        Args:
            texts: one, or several; they are searched in batches.
            search: options of `Search` that differ from the estimator's: `beam_size`, `min_length`, ...

        Raises:
            UsageError: an option is not known or out of range.
        """
        if isinstance(texts, str):
            return self.alternatives([texts], **search)[0][0].text
        return [found[0].text for found in self.alternatives(texts, **search)]

    predict = translate

    def alternatives(self, texts: Sequence[str], **search: Any) -> list[list[Translation]]:
        """Return the best translations of each text that the beam held, the best first, with their scores.

        Args:
            texts: several.
            search: see `translate`.
        """
        if isinstance(texts, str):
            raise UsageError("texts is one text; expected several, such as a list")
        together, wanted = together_of(self._model()), list(texts)
        say_strange(together.languages, wanted)
        return together.translate(wanted, self._search(search))

    def attend(self, text: str) -> Matrix:
        """Return where each token of the greedy translation looked, `values[token][source token]`.

        Raises:
            UsageError: the model has no attention.
        """
        languages = languages_of(self._model())
        if not languages.network.looks:
            raise UsageError('the model was fitted with attention="none"; there is nothing to look at')
        if len(languages.read(text)) == 1:
            raise UsageError("the text is empty; there is nothing to look at")
        return attention_matrix(languages, text, self.level)

    def answers(self, source: Any, **search: Any) -> Iterator[Mapping[str, Any]]:
        """Yield the translation of each line, with the others of the beam beside it.

        Args:
            source: a path of a text, whose lines are searched in batches, or texts, each answered as it comes.
            search: see `translate`.
        """
        model, how = self._model(), self._search(search)
        for records in self.task.pieces(model, source):
            yield from self.task.answers(model, records, how)

    @overload
    def stream(self, text: None = None, **search: Any) -> TranslationStream: ...
    @overload
    def stream(self, text: str, **search: Any) -> Iterator[str]: ...
    def stream(self, text: str | None = None, **search: Any) -> TranslationStream | Iterator[str]:
        """Yield the greedy translation of a text piece by piece, as it is written.

        Args:
            text: the source; without one, a stream whose `push(line)` answers line by line.
            search: `min_length`, `max_length` and `block_ngrams`; there is no beam.
        """
        if text is None:
            found: TranslationStream = super().stream(**search)
            return found
        together = together_of(self._model())
        say_strange(together.languages, [text])
        return together.pieces(text, self._search(search))

    def _search(self, options: dict[str, Any]) -> Search:
        return search_of(self).changed(options)
