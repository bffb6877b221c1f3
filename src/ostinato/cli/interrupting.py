"""Ctrl-C and SIGTERM end a command, wherever it is: in Python, in native code, or in the middle of stopping."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

EXIT_CODE = 130
_PATIENCE = 5.0  # seconds that a second signal gives to saving a checkpoint


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Make both signals raise `KeyboardInterrupt`; a second one is given five seconds, a third none.

    Python runs a handler only when native code returns to it, which may take long; so that a second signal works even
    then, the system writes each to a pipe that a thread reads. While a model is trained, the first signal waits for the
    end of a step (`ostinato.training.interrupts`).
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number, value in before.items():
        if value is not signal.SIG_IGN:  # as nohup and the background jobs of a shell have it
            signal.signal(number, _raise)
    woken = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    ended = threading.Event()
    threading.Thread(target=_watch, args=(reading, ended), name="ostinato-signals", daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        signal.set_wakeup_fd(woken)
        os.close(writing)  # the thread reads the end of the pipe, and ends
        for number, value in before.items():
            signal.signal(number, value)


def _raise(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001
    raise KeyboardInterrupt


def _watch(pipe: int, ended: threading.Event) -> None:
    """Count signals; end the process if the second one has not ended it in time, or if a third one comes."""
    count = 0
    while read := os.read(pipe, 64):
        count += sum(one in (signal.SIGINT, signal.SIGTERM) for one in read)
        if count == 2:
            threading.Thread(target=_end_in_time, args=(ended,), daemon=True).start()
        elif count > 2:
            _end()
    os.close(pipe)


def _end_in_time(ended: threading.Event) -> None:
    if not ended.wait(_PATIENCE):
        _end()


def _end() -> NoReturn:
    # files are written aside and renamed: none is half-written however the process ends
    os.write(2, b"\nostinato: interrupted\n")
    os._exit(EXIT_CODE)
