"""The libraries that read and resample sound, imported where they are used."""

from __future__ import annotations

import importlib
from typing import Any

from ostinato.errors import MissingExtra

_PACKAGES = {"soundfile": "soundfile", "soxr": "soxr", "kaldi_native_fbank": "kaldi-native-fbank"}


def library(name: str) -> Any:
    """Return a module by its name.

    Raises:
        MissingExtra: it is not installed, or cannot be loaded.
    """
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:  # soundfile raises OSError where libsndfile is not there
        raise MissingExtra(
            f"reading sound needs {_PACKAGES[name]}; install it: pip install 'ostinato[speech]'"
        ) from error
