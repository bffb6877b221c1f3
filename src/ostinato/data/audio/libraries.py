"""The libraries that read and resample sound."""

from __future__ import annotations

from typing import Any

from ostinato.data.libraries import optional

_PACKAGES = {"kaldi_native_fbank": "kaldi-native-fbank"}


def library(name: str) -> Any:
    """Return a module by its name.

    Raises:
        MissingExtra: it is not installed, or cannot be loaded.
    """
    return optional(name, package=_PACKAGES.get(name, name), doing="reading sound", extra="speech")
