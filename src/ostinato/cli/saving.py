"""Fitting into a folder: a model or a checkpoint is left there, or nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ostinato.errors import NonFiniteLoss, OstinatoError


def fit_into(out: Path, fit: Callable[[], Any], save: Callable[[Path], Any]) -> NonFiniteLoss | None:
    """Fit and save; leave nothing behind if it fails before there is a model or a checkpoint.

    Returns the error that broke training off, if there were good weights to keep before it.
    """
    from ostinato.training import checkpoint_path, remove_checkpoint

    was_there = out.exists()
    failure = None
    try:
        try:
            fit()
        except NonFiniteLoss as error:
            if not error.history.rows:
                raise
            failure = error
        save(out)
        remove_checkpoint(out)
    except OstinatoError:
        if not was_there and not checkpoint_path(out).exists() and not (out / "model.json").exists():
            shutil.rmtree(out, ignore_errors=True)
        raise
    return failure
