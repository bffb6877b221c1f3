"""What a translator has to beat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ostinato.tasks.translate.corpus import Encoded
from ostinato.tasks.translate.dictionary import by_dictionary, learn_dictionary
from ostinato.tasks.translate.pairs import Pair


@dataclass(frozen=True)
class Translated:
    """Translations of the sources of pairs; `loss` is that of a token of the references, if it is known."""

    texts: list[str]
    loss: float | None = None


@dataclass(frozen=True)
class WordForWord:
    """Each word by the one that it is translated by most probably; see `learn_dictionary`."""

    dictionary: Mapping[str, str]

    @classmethod
    def fit(cls, pairs: Sequence[Pair]) -> WordForWord:
        """Learn a dictionary."""
        return cls(learn_dictionary(pairs))

    def predict(self, pairs: Encoded) -> Translated:
        """Return translations word for word."""
        return Translated([by_dictionary(source, self.dictionary) for source, _ in pairs.pairs])


@dataclass(frozen=True)
class Untranslated:
    """The source as it is."""

    def predict(self, pairs: Encoded) -> Translated:
        """Return the sources."""
        return Translated([source for source, _ in pairs.pairs])
