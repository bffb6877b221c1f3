"""Which backend Keras runs on: PyTorch's is selected where nothing has been, and asked for where another is."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

from ostinato.errors import MissingExtra, UsageError


def keras_on_torch() -> Any:
    """Return the module `keras`, running on its PyTorch backend.

    Where Keras has not been imported and no backend is selected (by `KERAS_BACKEND`, or by a `keras.json` with another
    than the one that Keras itself writes there), PyTorch's is.

    Raises:
        MissingExtra: Keras is not installed.
        UsageError: another backend is active or selected.
    """
    if "keras" not in sys.modules:
        if importlib.util.find_spec("keras") is None:
            raise MissingExtra("ostinato.keras needs Keras 3; install it: pip install 'ostinato[keras]'")
        os.environ.setdefault("KERAS_BACKEND", _of_the_file() or "torch")
        if os.environ["KERAS_BACKEND"] != "torch":
            raise UsageError(_another(os.environ["KERAS_BACKEND"], "selected"))
    import keras

    if not hasattr(keras, "ops"):
        raise MissingExtra(
            f"ostinato.keras needs Keras 3 and found {keras.__version__}; update it: pip install 'ostinato[keras]'"
        )
    if keras.backend.backend() != "torch":
        raise UsageError(_another(keras.backend.backend(), "active"))
    return keras


def _another(name: str, how: str) -> str:
    return (
        f"Keras's backend {name!r} is {how}, and ostinato.keras runs on PyTorch's alone; set KERAS_BACKEND=torch in "
        "the environment, or import ostinato.keras before keras"
    )


def _of_the_file() -> str | None:
    """Return the backend that a person has written into `keras.json`; Keras itself writes "tensorflow" there."""
    folder = os.environ.get("KERAS_HOME") or Path("~").expanduser() / ".keras"
    try:
        settings = json.loads((Path(folder) / "keras.json").read_text(encoding="utf-8"))
        name = settings.get("backend")
    except (OSError, ValueError, AttributeError):
        return None
    return name if isinstance(name, str) and name != "tensorflow" else None
