"""Settings in the environment that calls ask for: a name that is missing, as most are, is found missing at once."""

from __future__ import annotations

import os
from typing import Any

_environment: Any = os.environ
_entries: Any = getattr(_environment, "_data", None)
"""What `os.environ` keeps, under names as the system has them: to ask for one that is missing costs there more than all
else that is looked at before a short call."""


_NAMES = ("OSTINATO_ENGINE", "OSTINATO_BF16", "OSTINATO_TARGET")
_encoded: dict[str, Any] = {} if _entries is None else {name: _environment.encodekey(name) for name in _NAMES}


def switch(name: str, default: str) -> str:
    """Return a setting in the environment, as it is now."""
    if os.environ is _environment and name in _encoded and _encoded[name] not in _entries:
        return default
    return os.environ.get(name, default)
