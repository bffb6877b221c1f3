"""What suits pairs of some number and a budget of some seconds, where nobody says."""

from __future__ import annotations

import math

from ostinato.tasks.translate.parameters import TranslationParameters

_LINKS_A_SECOND = 600_000
"""Pairs of words that are aligned, and made phrases of, in a second, or nearly so many."""
_LINKS = 8_000_000
_SHARE = 0.3
_TOKENS_A_SECOND = 2_500_000
"""Target tokens that a core trains on in a second, times the units of the network, about."""
_NARROW, _WIDE, _FEW_PAIRS, _FEW_SECONDS = 128, 256, 3_000, 150.0
_MANY_PAIRS, _SMALL_BATCH, _LARGE_BATCH = 10_000, 512, 1024
_PASSES, _STRONG, _WEAK = 6.0, 0.3, 0.1
_SUBWORDS = ((60.0, 1500), (_FEW_SECONDS, 3000))
_JUDGED, _FEWEST_JUDGED, _JUDGED_A_SECOND = 200, 30, 4


def phrase_links(seconds: float | None) -> int:
    """Return how many pairs of words are looked at for phrases: in a budget of time, for less than a third of it."""
    if seconds is None:
        return _LINKS
    return min(max(int(_SHARE * seconds * _LINKS_A_SECOND), 1), _LINKS)


def phrase_seconds(links: int, seconds: float) -> float:
    """Return how much of a budget goes to phrases, where pairs have so many pairs of words."""
    return min(links, phrase_links(seconds)) / _LINKS_A_SECOND


def judged_pairs(seconds: float | None) -> int:
    """Return on how many held-out pairs the weights of phrases, and of the network beside them, are chosen."""
    if seconds is None:
        return _JUDGED
    return min(max(int(_JUDGED_A_SECOND * seconds), _FEWEST_JUDGED), _JUDGED)


def suited_width(pairs: int, seconds: float | None) -> int:
    """Return the units of a network: few of few pairs, or where there is time for few steps."""
    short = seconds is not None and seconds < _FEW_SECONDS
    return _NARROW if short or pairs < _FEW_PAIRS else _WIDE


def suited_dropout(words: int, width: int, seconds: float | None) -> float:
    """Return the dropout: less where the time is for few passes, in which nothing is learned by heart.

    Args:
        words: of the training targets.
        width: units of the network.
        seconds: the budget, `None` for none.

    >>> suited_dropout(50_000, 128, 30.0), suited_dropout(350_000, 128, 30.0), suited_dropout(350_000, 256, None)
    (0.3, 0.1, 0.3)
    """
    passes = math.inf if seconds is None else seconds * _TOKENS_A_SECOND / max(width, 1) / max(words, 1)
    return _STRONG if passes >= _PASSES else _WEAK


def most_subwords(seconds: float | None) -> int | None:
    """Return how many subwords are enough for a budget of time; `None`: any."""
    return None if seconds is None else next((most for limit, most in _SUBWORDS if seconds < limit), None)


def batch_tokens_of(parameters: TranslationParameters, pairs: int) -> int:
    """Return the size of a batch: small ones of a small corpus, which else had few steps."""
    return parameters.batch_tokens or (_SMALL_BATCH if pairs <= _MANY_PAIRS else _LARGE_BATCH)
