"""What was decided about a user's data, said on stderr in one line."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ostinato.errors import DataWarning


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
