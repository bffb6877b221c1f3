"""Ctrl-C and SIGTERM while training: held back until a step is whole, so that the run can resume from its very end.

A signal that arrives in the middle of native code, a finaliser or a callback may be lost there, as Python can only
print an exception that is raised in one. Here it is written down, and raised by the loop itself.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class HeldBack:
    """Signals held back within a `with` block until `check`; the second one is not held back.

    Only those are taken that have a handler in Python, as `KeyboardInterrupt` has; what it does is done by `check`. In
    another thread than the main one nothing is held back: Python gives signals to the main thread alone.
    """

    def __init__(self) -> None:
        self.pending: int | None = None
        self._before: dict[int, Callable[[int, FrameType | None], Any]] = {}

    def __enter__(self) -> HeldBack:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                before = signal.getsignal(number)
                if callable(before) and not isinstance(before, signal.Handlers):
                    self._before[number] = before
                    signal.signal(number, self._take)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        if kind is None:
            self.check()

    def check(self) -> None:
        """Do what the signal that came is for, if one came: raise `KeyboardInterrupt`, as a rule."""
        number, self.pending = self.pending, None
        if number is not None:
            self._before[number](number, None)

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self.pending is None:
            self.pending = number
        else:
            self._before[number](number, frame)
