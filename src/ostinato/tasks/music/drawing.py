"""How notes are drawn from scores."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real

import torch
from torch import Tensor

from ostinato.errors import UsageError

_COLDEST, _HOTTEST = 1e-3, 1e30


@dataclass(frozen=True)
class Sampling:
    """How notes are drawn.

    Args:
        temperature: scores are divided by it; 0, or less than a thousandth, takes the best.
        top_p: draw from the fewest best choices that have this share of the likelihood (A. Holtzman et al., ICLR 2020);
            of notes that are drawn each by itself, one is left out, or taken, where that is at least so likely.

    Raises:
        UsageError: a number is out of range.
    """

    temperature: float = 1.0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if not _is_number(self.temperature) or not 0 <= self.temperature < _HOTTEST:
            raise UsageError(
                f"temperature is {self.temperature!r:.40}; expected a number of 0 or more, below {_HOTTEST:g}"
            )
        if self.temperature < _COLDEST:
            # what is drawn is the best in any case, and scores divided by it would be beyond their type
            object.__setattr__(self, "temperature", 0.0)
        if not _is_number(self.top_p) or not 0 < self.top_p <= 1:
            raise UsageError(f"top_p is {self.top_p}; expected more than 0, up to 1")


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


BEST = Sampling(temperature=0.0)


def draw_choice(scores: Tensor, sampling: Sampling, generator: torch.Generator) -> Tensor:
    """Return one choice of each row, `(rows,)`, by scores, `(rows, choices)`."""
    if sampling.temperature == 0:
        return scores.argmax(-1)
    # the best has a score of 0, so that a temperature near 0 gives no infinities
    probabilities = ((scores - scores.amax(-1, keepdim=True)) / sampling.temperature).softmax(-1)
    if sampling.top_p < 1:
        ordered, places = probabilities.sort(descending=True, stable=True)
        beyond = ordered.cumsum(-1) - ordered >= sampling.top_p  # what comes before them is enough
        probabilities = probabilities.masked_fill(torch.zeros_like(beyond).scatter(-1, places, beyond), 0.0)
    return torch.multinomial(probabilities, 1, generator=generator)[:, 0]


def draw_bits(scores: Tensor, sampling: Sampling, generator: torch.Generator) -> Tensor:
    """Return which notes are drawn, of the shape of the scores, each by itself."""
    if sampling.temperature == 0:
        return scores > 0
    probabilities = torch.sigmoid(scores / sampling.temperature)
    if sampling.top_p < 1:
        probabilities = torch.where(probabilities <= 1 - sampling.top_p, torch.zeros_like(probabilities), probabilities)
        probabilities = torch.where(probabilities >= sampling.top_p, torch.ones_like(probabilities), probabilities)
    return torch.rand(probabilities.shape, generator=generator) < probabilities
