"""n-grams of any symbols with the estimate of I. Witten and T. Bell (1991), which backs off to another distribution."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any

from ostinato.tasks.base.allowance import deadline

_CHECKED = 50_000  # symbols between two looks at the clock


class Grams:
    """What followed the few symbols before: `p_n = (count + kinds p_{n-1}) / (all + kinds)`.

    Args:
        sequences: of symbols.
        order: symbols of a gram, at most; one more than are looked back on.
    """

    def __init__(self, sequences: Sequence[Sequence[Hashable]], order: int) -> None:
        self.order = order
        self.counts: list[dict[tuple[Any, ...], Counter[Any]]] = [{} for _ in range(order)]
        self.sums: list[dict[tuple[Any, ...], int]] = []
        done = 0
        for sequence in sequences:
            for place, symbol in enumerate(sequence):
                done += 1
                if done % _CHECKED == 0:
                    deadline().check()
                for back in range(min(order - 1, place) + 1):
                    context = tuple(sequence[place - back : place])
                    self.counts[back].setdefault(context, Counter())[symbol] += 1
        self.sums = [{context: value.total() for context, value in level.items()} for level in self.counts]

    def chance(self, before: Sequence[Hashable], symbol: Hashable, base: float) -> float:
        """Return the chance of a symbol after others; `base` is that by the distribution behind all of them."""
        found = base
        for back in range(min(self.order - 1, len(before)) + 1):
            context = tuple(before[len(before) - back :])
            held = self.counts[back].get(context)
            if held is None:
                break
            found = (held[symbol] + len(held) * found) / (self.sums[back][context] + len(held))
        return found

    def best(self, before: Sequence[Hashable]) -> Any:
        """Return what followed most often after the longest context that is known; `None` if nothing was counted."""
        found = None
        for back in range(min(self.order - 1, len(before)) + 1):
            held = self.counts[back].get(tuple(before[len(before) - back :]))
            if held is None:
                break
            found = held.most_common(1)[0][0]
        return found
