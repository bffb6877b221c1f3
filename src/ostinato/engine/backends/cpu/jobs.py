"""Jobs of a call collected, and written down once as words for `drive`: afterwards a call only sets addresses."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ostinato.engine.backends.cpu import launch
from ostinato.engine.backends.cpu.drive import CALL, JOB, TEAM
from ostinato.engine.backends.cpu.layout import round_up
from ostinato.engine.backends.cpu.memory import give_space, take_space

if TYPE_CHECKING:
    from ostinato.engine.backends.cpu.executable import CpuExecutable

LINE = 64
NOTHING = 0
_SELF, _SPACE, _FIRST = 1, 2, 3
"""Bases that every program has: zero, its own address, its scratch memory; then those of its tensors."""


class Ref(NamedTuple):
    """A word that differs from call to call: the value of a base, and so many bytes more."""

    base: int
    offset: int = 0

    def plus(self, size: int) -> Ref:
        """Return the place so many bytes further on."""
        return Ref(self.base, self.offset + size)


class Shape(NamedTuple):
    """What a program depends on."""

    steps: int
    batch: int
    threads: int
    ragged: bool = False
    """Whether rows have lengths of their own."""
    resets: bool = False
    """Whether rows return to their start before marked steps."""
    packed: bool = False
    """Whether sequences come and outputs go as packed ones: `(positions, ...)`, step after step, longer rows first."""


class Walk(NamedTuple):
    """One layer in one direction."""

    executable: CpuExecutable
    reverse: bool
    first: int
    """Number of its first parameter among those of all walks."""

    @property
    def parameters(self) -> range:
        """Return the numbers of its parameters."""
        return range(self.first, self.first + len(self.executable.plan.signature.parameters))


class Program:
    """Jobs as they are collected, and then as words.

    Args:
        drive: the compiled function that works them off.
        shape: of the calls.
    """

    def __init__(self, drive: Any, shape: Shape) -> None:
        self.drive, self.shape = drive, shape
        self.names: dict[Any, int] = {}
        self._jobs: list[list[int | Ref]] = []
        self._blocks: list[list[int | Ref]] = []
        self._alive: list[Any] = []
        self._space = 0
        self._teams: list[int] = []
        self.packed: dict[tuple[int, int], dict[int, Ref]] = {}
        """By the first parameter and the kernel's `id`, where the weights of its products lie."""
        self.constants: dict[int, Any] = {}
        """By the first parameter of a walk, where the constants of its plan lie."""
        self._idle: list[tuple[Any, int, Any, int]] = []
        """Copies that no call uses now: words, their address, bases, their address."""

    def base(self, name: Any) -> int:
        """Return the number of a base, one more if it is new; calls give their values in the order of `names`."""
        return self.names.setdefault(name, _FIRST + len(self.names))

    def ref(self, name: Any, offset: int = 0) -> Ref:
        """Return the place so many bytes after a base."""
        return Ref(self.base(name), offset)

    def room(self, size: int) -> Ref:
        """Return so many bytes of scratch memory."""
        place = self._space
        self._space += round_up(size, LINE)
        return Ref(_SPACE, place)

    def job(self, *words: int | Ref) -> None:
        """Add a job."""
        self._jobs.append([*words, *[0] * (JOB - len(words))])

    def block(self, words: list[int | Ref]) -> int:
        """Add a block of arguments and return its number for jobs, below zero: its place is known when all are."""
        self._blocks.append(words)
        return -len(self._blocks)

    def enter(self, function: Any, address: int, block: list[int | Ref], threads: int) -> None:
        """Add a call of a compiled function with a block of arguments."""
        self._alive.append(function)
        number = self.block(block)
        if threads == 1:
            self.job(CALL, address, number)
            return
        team = launch.openmp_team()
        assert team is not None
        self._teams.append(len(self._jobs))
        self.job(TEAM, address, number, threads, ctypes.cast(team, ctypes.c_void_p).value or 0)  # type: ignore[arg-type]

    def finish(self) -> None:
        """Write everything down."""
        first_block = len(self._jobs) * JOB
        starts, place = [], first_block
        for block in self._blocks:
            starts.append(place)
            place += len(block)
        body = [word for job in self._jobs for word in job] + [word for block in self._blocks for word in block]
        lead = 3 + 3 * sum(isinstance(word, Ref) or word < 0 for word in body)
        relocations: list[int] = []
        for index, word in enumerate(body):
            if isinstance(word, Ref):
                relocations += [lead + index, *word]
            elif word < 0:
                relocations += [lead + index, _SELF, 8 * (lead + starts[-word - 1])]
        self._teams = [lead + JOB * job for job in self._teams]
        words = [len(relocations) // 3, len(self._jobs), lead, *relocations]
        words += [0 if isinstance(word, Ref) or word < 0 else word for word in body]
        self._words = (ctypes.c_int64 * len(words))(*words)
        self._bases = ctypes.c_int64 * (_FIRST + len(self.names))
        # from the scratch memory on: what is before it stays
        self._set = struct.Struct(f"={1 + len(self.names)}q").pack_into
        self._jobs, self._blocks = [], []

    def run(self, values: Sequence[int]) -> None:
        """Run with these bases, in the order of `names`."""
        try:
            copy = self._idle.pop()
        except IndexError:
            copy = self._copied()
        words, address, bases, place = copy
        if self._teams and not launch.teams():
            # a graph made before a fork is walked back in the child, which has one thread: it takes on all shares
            for team in self._teams:
                words[team] = CALL
        space = take_space(self._space)
        self._set(bases, 8 * _SPACE, space[0], *values)
        self.drive(address, place)
        give_space(space)
        self._idle.append(copy)

    def _copied(self) -> tuple[Any, int, Any, int]:
        words = type(self._words).from_buffer_copy(self._words)
        address = ctypes.addressof(words)
        bases = self._bases(0, address)
        return words, address, bases, ctypes.addressof(bases)
