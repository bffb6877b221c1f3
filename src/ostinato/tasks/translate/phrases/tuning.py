"""The weights of what a translation is judged by, chosen on held-out pairs by BLEU."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ostinato.tasks.translate.numbers import Numbers
from ostinato.tasks.translate.phrases.decoder import decode
from ostinato.tasks.translate.phrases.search import FEATURES, WEIGHTS
from ostinato.tasks.translate.phrases.table import PhraseTable
from ostinato.tasks.translate.phrases.words import GAP, words_of

Floats = NDArray[np.float64]
_ORDERS = 4
_ROUNDS, _TRIES, _BEST, _STEP = 2, 400, 20, 0.35
_PRIOR = 100.0
"""Sentences that the weights one begins with are worth."""


def bleu_parts(text: str, reference: str, how: str) -> Floats:
    """Return what a text adds to BLEU, `(10,)`: n-grams that match and that there are, of 1 to 4 words, and lengths."""
    ours, theirs = ([word.removeprefix(GAP) for word in words_of(each, how)] for each in (text, reference))
    found = []
    for order in range(1, _ORDERS + 1):
        a, b = (Counter(zip(*(row[i:] for i in range(order)), strict=False)) for row in (ours, theirs))
        found += [float((a & b).total()), float(a.total())]
    return np.array([*found, len(ours), len(theirs)])


def bleu(parts: Floats) -> float:
    """Return BLEU of summed parts, longer n-grams counted once more, so that few sentences have some too.

    Sources: K. Papineni et al., ACL 2002; C.-Y. Lin and F. Och, COLING 2004, section 4.
    """
    matches, whole = parts[0 : 2 * _ORDERS : 2], parts[1 : 2 * _ORDERS : 2]
    more = np.array([0.0, *[1.0] * (_ORDERS - 1)])
    if matches[0] <= 0:
        return 0.0
    logs = np.log((matches + more) / np.maximum(whole + more, 1.0)).mean()
    brevity = min(0.0, 1.0 - parts[-1] / max(parts[-2], 1.0))
    return 100.0 * math.exp(float(logs) + brevity)


def some_of(pairs: Sequence[tuple[str, str]], most: int) -> list[tuple[str, str]]:
    """Return pairs at even distances, up to so many."""
    fine = [pair for pair in pairs if pair[0].strip() and pair[1].strip()]
    return fine[:: max(1, -(-len(fine) // max(most, 1)))]


def tuned_weights(
    table: PhraseTable, pairs: Sequence[tuple[str, str]], numbers: Numbers | None = None
) -> tuple[float, ...]:
    """Return the weights with which phrases translate held-out pairs best; of few pairs, near those that mostly do.

    Steps are drawn at random, and taken where BLEU of the best of some translations is higher. What the new weights
    would find beside these is then searched for, and all goes once more.

    Args:
        table: of phrases, which has not seen the pairs.
        pairs: held out.
        numbers: those that translations keep; `None`: it does not matter.
    """
    weights = np.array(WEIGHTS)
    if not pairs:
        return WEIGHTS
    sources = [source for source, _ in pairs]
    pools: list[dict[str, tuple[Floats, Floats]]] = [{} for _ in pairs]
    for number in range(_ROUNDS):
        for pool, (_, reference), candidates in zip(
            pools, pairs, decode(table, sources, weights.tolist(), _BEST, numbers), strict=True
        ):
            for each in candidates:
                pool.setdefault(each.text, (each.features, bleu_parts(each.text, reference, table.how)))
        weights = _climbed(pools, weights, np.random.default_rng(number))
    share = len(pairs) / (len(pairs) + _PRIOR)
    mixed = share * weights + (1.0 - share) * np.array(WEIGHTS)
    return tuple(mixed.tolist())


def _climbed(pools: Sequence[dict[str, tuple[Floats, Floats]]], weights: Floats, rng: np.random.Generator) -> Floats:
    widest = max(map(len, pools), default=0)
    features = np.zeros((len(pools), widest, len(FEATURES)))
    parts, none = np.zeros((len(pools), widest, 2 * _ORDERS + 2)), np.full((len(pools), widest), -np.inf)
    for row, pool in enumerate(pools):
        for column, (own, added) in enumerate(pool.values()):
            features[row, column], parts[row, column], none[row, column] = own, added, 0.0
    every = np.arange(len(pools))

    def value(tried: Floats) -> float:
        return bleu(parts[every, (features @ tried + none).argmax(1)].sum(0)) if widest else 0.0

    best = value(weights)
    for _ in range(_TRIES):
        chosen = rng.random(len(FEATURES)) < 2.5 / len(FEATURES)
        tried = weights + np.where(chosen, rng.normal(0.0, _STEP, len(FEATURES)) * np.abs(WEIGHTS), 0.0)
        tried[:5] = np.maximum(tried[:5], 0.0)
        tried[-1] = max(tried[-1], 0.01)
        if (found := value(tried)) > best:
            best, weights = found, tried
    return weights
