"""Any saved model, by what its folder says it is."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from ostinato.artifact import kind_of

_HOMES = {
    "forecaster": ("ostinato.tasks.forecast", "Forecaster"),
}
"""Where the estimator of each kind of model lives: a task is imported when one of its models is."""


def load(folder: str | Path) -> Any:
    """Read a model that `save` wrote, of whichever task; nothing in it is executed.

    Returns:
        An estimator of the task, fitted.

    Raises:
        ArtifactError: it is no model, is cut short or changed, or was written by a newer version.
    """
    kind = kind_of(Path(folder))
    if kind not in _HOMES:
        from ostinato.tasks.base.registry import load as load_base

        return load_base(folder)
    module, name = _HOMES[kind]
    return getattr(importlib.import_module(module), name).load(folder)
