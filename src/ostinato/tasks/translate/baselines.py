"""What a translator has to beat, and how translations are measured: BLEU, chrF, the likelihood of references."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.errors import MissingExtra
from ostinato.tasks.base.units import Parts, Sums
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


def metrics(tokenize: str, lower: bool) -> tuple[Any, Any] | None:
    """Return what counts BLEU and chrF; `None` if sacrebleu is not installed.

    Args:
        tokenize: how words are split for BLEU.
        lower: whether letter case does not count.

    Sources: K. Papineni et al., "BLEU", ACL 2002; M. Popović, "chrF", WMT 2015; M. Post, "A call for clarity in
    reporting BLEU scores", WMT 2018.
    """
    try:
        found = import_metrics()
    except MissingExtra:
        return None
    # forced: no advice on stderr
    return found.BLEU(lowercase=lower, tokenize=tokenize, force=True), found.CHRF(lowercase=lower)


def corpus_parts(counters: tuple[Any, Any], texts: Sequence[str], pairs: Sequence[Pair]) -> dict[str, Parts]:
    """Return what each sentence adds to BLEU and chrF: n-grams that match, that there are, and lengths."""
    references = [[reference for _, reference in pairs]]
    return {name: _parts(counter, texts, references) for name, counter in zip(("BLEU", "chrF"), counters, strict=True)}


def _parts(counter: Any, texts: Sequence[str], references: list[list[str]]) -> Sums:
    # as sacrebleu's own test of significance does it
    counts = np.asarray(counter._extract_corpus_statistics(texts, references), np.float64)

    def of(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.array(
            [float(counter._compute_score_from_stats(row.round().astype(int).tolist()).score) for row in sums]
        )

    return Sums(counts, of)


def import_metrics() -> Any:
    """Return `sacrebleu.metrics`.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        from sacrebleu import metrics as found
    except ImportError as error:
        raise MissingExtra("BLEU and chrF need the extra translate: pip install 'ostinato[translate]'") from error
    return found
