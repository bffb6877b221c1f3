"""Run Keras's own tests of its recurrent layers (they ship in its wheel) with our layers in the place of its own.

python tests/keras/own_tests.py [pytest arguments]
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

import ostinato.keras  # noqa: F401 - selects the backend
from ostinato.keras.naming import SWAPS


def put_ours_in_place() -> None:
    """Let `keras.src.layers`, and the modules that define the layers, name ours."""
    layers = importlib.import_module("keras.src.layers")
    for theirs, ours in SWAPS.items():
        for module in (layers, importlib.import_module(theirs.__module__)):
            setattr(module, theirs.__name__, ours)


def main(arguments: list[str]) -> int:
    """Return pytest's exit status."""
    home = Path(importlib.import_module("keras.src.layers.rnn").__file__ or "").parent
    files = sorted(map(str, home.glob("*_test.py")))
    if not files:
        return 5
    put_ours_in_place()
    options = ["-q", "--no-header", "-p", "no:cacheprovider", "-W", "ignore", "-c", "/dev/null", "--rootdir", str(home)]
    return int(pytest.main([*options, *files, *arguments]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
