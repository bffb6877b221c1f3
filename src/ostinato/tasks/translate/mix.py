"""How translations of a network and of phrases are put in one order."""

from __future__ import annotations

import math
from dataclasses import dataclass

NEVER = 1e6
"""How far behind what is never said is."""
_LEARNED = 2.0


@dataclass(frozen=True)
class Mix:
    """How translations of a network and of phrases are put in one order.

        share * (log-probability by the network + length * tokens) + score by phrases

    Args:
        share: of the network; 0 and `behind` large: phrases alone.
        length: for each token of a translation, since a log-probability falls with each.
        behind: how much less than the best of the phrases' a translation has that phrases did not find.
        alone: the network alone, phrases left out.

    Raises:
        ValueError: a number is not finite.
    """

    share: float = 0.25
    length: float = 0.6
    behind: float = 1.0
    alone: bool = False

    def __post_init__(self) -> None:
        """Refuse what is no number."""
        if not all(map(math.isfinite, (self.share, self.length, self.behind))):
            raise ValueError("the shares of network and phrases are no numbers")

    @classmethod
    def by_loss(cls, loss: float) -> Mix:
        """Return what mostly does for a network with some loss a token on its training pairs, in nats."""
        return cls() if loss < _LEARNED else cls(0.06, 0.6, NEVER)

    @property
    def is_phrases(self) -> bool:
        """Whether the network has no say."""
        return not self.alone and self.share == 0 and self.behind >= NEVER

    def __str__(self) -> str:
        if self.alone:
            return "the network alone: phrases beside it were no better"
        if self.is_phrases:
            return "phrases alone: the network beside them was no better"
        return f"phrases and the network, whose log-probabilities count {self.share:g}"
