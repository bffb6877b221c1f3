"""Listening to training from outside: to whoever fits whatever, without the estimator between them knowing of it.

Tuning reports each epoch and stops a run that is not worth its time; comparing counts weights before a run begins. Both
stand around an estimator's `fit`, which calls `train` somewhere inside; `listening` connects the two for as long as its
block lasts, in this thread only (see docs/decisions/0004-listening-to-training.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from torch import nn

from ostinato.training.budget import Expected
from ostinato.training.history import EpochRow, History

_LISTENERS: ContextVar[tuple[Listener, ...]] = ContextVar("listeners of training", default=())


class Listener:
    """What hears of each training run; an exception that it raises ends the run and comes out of `fit`."""

    def begin(self, module: nn.Module) -> None:
        """Take note that a module is about to be trained."""

    def expect(self, expected: Expected) -> None:
        """Take note of how long it is going to take, which is known once the first steps are measured."""

    def epoch(self, row: EpochRow) -> None:
        """Take note of an epoch."""

    def end(self, history: History) -> None:
        """Take note that training has ended; the module holds its best weights."""


@contextmanager
def listening(listener: Listener) -> Iterator[Listener]:
    """Let a listener hear every training run that begins within the block.

    >>> from ostinato import Forecaster
    >>> import math
    >>> class Count(Listener):
    ...     epochs = 0
    ...     def epoch(self, row):
    ...         self.epochs += 1
    >>> with listening(Count()) as heard:
    ...     wave = [math.sin(i / 8) for i in range(300)]
    ...     model = Forecaster(4, hidden_size=4, epochs=2, progress=False).fit({"y": wave})
    >>> heard.epochs
    2
    """
    token = _LISTENERS.set((*_LISTENERS.get(), listener))
    try:
        yield listener
    finally:
        _LISTENERS.reset(token)


def tell_begin(module: nn.Module) -> None:
    """Tell all listeners that a module is about to be trained."""
    for listener in _LISTENERS.get():
        listener.begin(module)


def tell_expected(expected: Expected) -> None:
    """Tell all listeners how long a run is going to take."""
    for listener in _LISTENERS.get():
        listener.expect(expected)


def tell_epoch(row: EpochRow) -> None:
    """Tell all listeners of an epoch."""
    for listener in _LISTENERS.get():
        listener.epoch(row)


def tell_end(history: History) -> None:
    """Tell all listeners that training has ended."""
    for listener in _LISTENERS.get():
        listener.end(history)
