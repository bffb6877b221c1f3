"""BLEU and chrF of texts, by sacrebleu, and what each text adds to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.errors import MissingExtra
from ostinato.tasks.base.units import Parts, Sums

_NAMES = ("BLEU", "chrF")


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


def corpus_scores(
    counters: tuple[Any, Any], texts: Sequence[str], references: Sequence[Sequence[str]]
) -> dict[str, float]:
    """Return BLEU and chrF of texts, each with its references, one or more."""
    beside = side_by_side(references)
    scores = (counter.corpus_score(list(texts), beside).score for counter in counters)
    return dict(zip(_NAMES, map(float, scores), strict=True))


def corpus_parts(
    counters: tuple[Any, Any], texts: Sequence[str], references: Sequence[Sequence[str]]
) -> dict[str, Parts]:
    """Return what each text adds to BLEU and chrF: n-grams that match, that there are, and lengths."""
    beside = side_by_side(references)
    return {name: _parts(counter, texts, beside) for name, counter in zip(_NAMES, counters, strict=True)}


def signatures(counters: tuple[Any, Any], text: str, references: Sequence[str]) -> dict[str, str]:
    """Return what was counted and how, as sacrebleu writes it."""
    for counter in counters:  # the signature is known once something was counted
        counter.corpus_score([text], side_by_side([references]))
    return {name: str(counter.get_signature()) for name, counter in zip(_NAMES, counters, strict=True)}


def side_by_side(references: Sequence[Sequence[str]]) -> list[list[str | None]]:
    """Return the first references of all texts, then the second ones, ..., as sacrebleu takes them.

    >>> side_by_side([["a", "b"], ["c"]])
    [['a', 'c'], ['b', None]]
    """
    most = max(map(len, references), default=0)
    return [[each[place] if place < len(each) else None for each in references] for place in range(most)]


def _parts(counter: Any, texts: Sequence[str], references: list[list[str | None]]) -> Sums:
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
