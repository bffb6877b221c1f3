"""How many passes over the data suit its size."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Suited:
    """How many passes suit a set of some size, where nobody says: as many as make so many steps, within limits.

    Args:
        steps: to be made in all.
        least: passes, however large the set.
        most: passes, however small.
    """

    steps: int = 1750
    least: int = 8
    most: int = 100

    def epochs(self, steps_an_epoch: int) -> int:
        """Return the passes that suit a set of which one pass takes so many steps.

        >>> Suited(1750, 8, 100).epochs(50), Suited(1750, 8, 100).epochs(3), Suited(1750, 8, 100).epochs(10_000)
        (35, 100, 8)
        """
        return min(max(round(self.steps / max(steps_an_epoch, 1)), self.least), self.most)

    def __str__(self) -> str:
        return f"as many as make {self.steps:,} steps, {self.least} to {self.most}"
