"""Libraries of an extra, imported where they are used."""

from __future__ import annotations

import importlib
from typing import Any

from ostinato.errors import MissingExtra


def optional(name: str, *, package: str, doing: str, extra: str) -> Any:
    """Return a module of an extra.

    Args:
        name: of the module, perhaps one inside a package.
        package: what it is called where it is installed from.
        doing: what it is needed for, as a message begins: `"reading video"`.
        extra: of Ostinato, that installs it.

    Raises:
        MissingExtra: it is not installed, or a library that it loads is not there.
    """
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:  # soundfile raises OSError where libsndfile is not there
        raise MissingExtra(f"{doing} needs {package}; install it: pip install 'ostinato[{extra}]'") from error
