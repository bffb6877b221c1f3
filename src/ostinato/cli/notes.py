"""What a user should know while a command works, in one line on stderr: what was decided, how long it takes."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ostinato.errors import DataWarning

_WORTH_SAYING = 10.0  # seconds that a training must take


@contextmanager
def notes_on_stderr() -> Iterator[None]:
    """Print each `DataWarning` as a note, without the place in our code that Python adds to a warning."""
    usual = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *rest: Any, **options: Any) -> None:
        if issubclass(category, DataWarning):
            print(f"ostinato: note: {message}", file=sys.stderr)
        else:
            usual(message, category, *rest, **options)

    with warnings.catch_warnings():
        warnings.filterwarnings("default", category=DataWarning)
        warnings.showwarning = show
        yield


@contextmanager
def expectation_on_stderr() -> Iterator[None]:
    """Say how long training is going to take, once its first steps are measured, and what ends it."""
    from tqdm import tqdm

    from ostinato.training import Expected, Listener, listening

    class Said(Listener):
        def expect(self, expected: Expected) -> None:
            if expected.seconds >= _WORTH_SAYING:
                tqdm.write(f"ostinato: {expected}", file=sys.stderr)  # above the bar, where there is one

    with listening(Said()):
        yield
