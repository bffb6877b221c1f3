"""What a beam search returns, and sums of probabilities kept as logarithms."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol


class LanguageModel(Protocol):
    """A function that says how probable the next label is, asked once for each prefix a search tries to extend."""

    def __call__(self, labels: tuple[int, ...], label: int | None, /) -> float:
        """Return the logarithm of the probability of `label` (`None`: the end) after `labels`."""


@dataclass(frozen=True)
class Hypothesis:
    """One answer of a beam search: its labels, and its score, the logarithm of a probability (larger is better)."""

    labels: tuple[int, ...]
    score: float


def log_add(a: float, b: float) -> float:
    """Return `log(exp(a) + exp(b))`.

    >>> round(log_add(math.log(2.0), math.log(3.0)), 6) == round(math.log(5.0), 6)
    True
    """
    if a < b:
        a, b = b, a
    return a if b == -math.inf else a + math.log1p(math.exp(b - a))
