"""How many random convolutions of a sequence classifier there is time for, over how many examples and steps."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

KERNELS = 4998
# kernels, then steps, then examples that are kept before there are fewer of any
_LEAST = ((1260, 500, 2000), (420, 250, 700), (84, 60, 100))
_GROUPS = 32  # of kernels that compete, of values and of changes each, beside so many kernels
_LEAST_GROUPS = 1
_STEPS = 2000  # of a sequence, that kernels read
_EXAMPLES = 20_000  # that are solved for, at most
_HELD = 3e7  # numbers that are held at once: a quarter of a gigabyte in double precision
LONGER = 8  # than the usual sequence, that one with zeros behind it is, at most
_LESS = 0.7  # at a time
# seconds, of one core: of a feature of a step; of a cubed number of directions; of a product
_FEATURE, _COMPETING, _CUBE, _PRODUCT = 6e-10, 5e-10, 2.5e-10, 1e-10
_CALL, _STATISTICS, _DRAWN = 2e-5, 1e-4, 1.5e-5  # of a call; of the statistics of a sequence; of a step's thresholds
_PENALTIES, _TRIALS = 17, 24  # that are tried; of how much two kinds of features count, twice as many for each other
CHOSEN_ON = 300  # examples, at most, on which that is tried


@dataclass(frozen=True)
class WidePlan:
    """What is decided of the branch of a classifier that is solved.

    Args:
        count: of the training sequences; lengths: of the shortest, the usual and the longest; channels: features of a
            step; classes: how many there are.
        kernels: features of each kind of random convolutions; 0: there is no such branch.
        groups: of kernels that compete, of each kind.
        coarser: steps that are read as one.
        examples: that are solved for, at most.
        shaped: whether sequences are read without their level and spread too.
    """

    count: int
    lengths: tuple[int, int, int]
    channels: int
    classes: int
    kernels: int = KERNELS
    groups: int = _GROUPS
    coarser: int = 1
    examples: int = _EXAMPLES
    shaped: bool = False

    @classmethod
    def within(
        cls,
        count: int,
        lengths: tuple[int, int, int],
        channels: int,
        classes: int,
        *,
        kernels: int | None,
        seconds: float,
        answer: float,
        shaped: bool = False,
    ) -> WidePlan:
        """Return the largest plan that takes no longer: fewer kernels, coarser steps, at last fewer examples.

        Args:
            count: of the training sequences.
            lengths: of the shortest, the usual and the longest.
            channels: features of a step.
            classes: how many there are.
            kernels: asked for; `None`: by the time.
            seconds: for features of the training sequences and the solution, about.
            answer: for the features of one sequence.
            shaped: whether sequences are read without their level and spread too.
        """
        found = cls(count, lengths, channels, classes, coarser=max(1, math.ceil(lengths[1] / _STEPS)), shaped=shaped)
        if kernels is not None:
            return replace(found, kernels=kernels, groups=_groups(kernels) if kernels else 0)._held()
        for least, steps, examples in _LEAST:
            while found._is_long(seconds, answer) and found.kernels > least:
                fewer = max(int(found.kernels * _LESS) // 84 * 84, least)
                found = replace(found, kernels=fewer, groups=_groups(fewer))
            while found._is_long(seconds, answer) and lengths[1] / found.coarser > steps:
                found = replace(found, coarser=found.coarser + 1)
            while found._is_long(seconds, math.inf) and found.solved > max(examples, 3 * classes):
                found = replace(found, examples=max(int(found.solved * _LESS), examples, 3 * classes))
        return found._held()

    def _held(self) -> WidePlan:
        """Return it with as many examples as memory is meant to hold the features of."""
        return replace(self, examples=max(min(self.examples, int(_HELD / self.features)), 2))

    def _is_long(self, seconds: float, answer: float) -> bool:
        return self.seconds > seconds or self.answer_seconds > answer

    @property
    def solved(self) -> int:
        """How many examples are solved for."""
        return min(self.count, self.examples)

    @property
    def competing(self) -> int:
        """Kernels of each kind that compete, at each dilation."""
        return 8 * self.groups

    @property
    def kinds(self) -> int:
        """Kinds of kernels: over values, over their changes, over ends and shapes, where there are any."""
        return 2 + self.ended + self.shaped

    @property
    def ended(self) -> bool:
        """Whether lengths differ."""
        return self.lengths[0] < self.lengths[2]

    @property
    def features(self) -> int:
        """How many features there are, about."""
        return max(self.kinds * self.kernels + 2 * 16 * self.groups * self._dilations() + 12 * self.channels, 1)

    @property
    def answer_seconds(self) -> float:
        """How long the features of one sequence take, about."""
        if not self.kernels:
            return 0.0
        usual = self.lengths[1] / self.coarser
        ends = min(self.lengths[2] / self.coarser, LONGER * usual) if self.ended else 0.0
        read = self.kernels * _FEATURE * ((2 + self.shaped) * usual + ends)
        wide = 1 + 0.05 * min(self.channels, 8)
        competing = 2 * 16 * self.groups * self._dilations() * _COMPETING * usual
        # sequences of one length are read together; else each takes the calls of all thresholds and dilations
        calls = 2 * (self.kernels / 84 + 8 * self._dilations()) if self.ended else 0.0
        return wide * (read + competing) + _CALL * calls + _STATISTICS

    @property
    def seconds(self) -> float:
        """How long features and solution take, about."""
        if not self.kernels:
            return 0.0
        directions = min(self.solved, self.features)
        solved = _CUBE * directions**3 + _PRODUCT * self.solved * directions * self.features
        tried = 2 * _PRODUCT * _PENALTIES * self.solved * directions * self.classes
        chosen = 2 * (_TRIALS << (self.kinds - 2)) * _CUBE * min(self.solved, CHOSEN_ON) ** 3
        drawn = self.kinds * _DRAWN * min(self.lengths[1] / self.coarser, 1024)
        return self.solved * self.answer_seconds + drawn + solved + tried + chosen

    @property
    def smaller(self) -> list[str]:
        """What is smaller than it would be with more time, in words."""
        if not self.kernels:
            return []
        said = []
        if self.kernels < KERNELS:
            said.append(f"{self.kernels:,} random convolutions of a kind in place of {KERNELS:,}")
        if self.coarser > math.ceil(self.lengths[1] / _STEPS):
            said.append(f"sequences read {self.coarser} steps at a time by them")
        if self.solved < self.count:
            said.append(f"these fitted to {self.solved:,} of {self.count:,} examples")
        return said

    def _dilations(self) -> int:
        return int(math.log2(max(self.lengths[1] / self.coarser - 1, 8) / 8)) + 1


def _groups(kernels: int) -> int:
    return max(_LEAST_GROUPS, round(_GROUPS * min(kernels / KERNELS, 1.0)))
