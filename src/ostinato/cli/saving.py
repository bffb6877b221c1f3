"""Fitting into a folder: a model or a checkpoint is left there, or nothing."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ostinato.errors import Diverged, MissingExtra, NonFiniteLoss, UsageError
from ostinato.files import checkpoint_path


def fit_into(out: Path, fit: Callable[[], Any], save: Callable[[Path], Any], *, resume: bool) -> NonFiniteLoss | None:
    """Fit and save; leave nothing behind if it fails before there is a model or a checkpoint.

    Returns the error that broke training off, if there were good weights to keep before it.

    Raises:
        UsageError: a run is to be resumed where a finished model stands.
    """
    from ostinato.training import remove_checkpoint

    was_there, failure = out.exists(), None
    if resume:
        _check_unfinished(out)
    try:
        try:
            fit()
        except NonFiniteLoss as error:
            if not error.history.rows:
                raise
            failure = error
        except Diverged:
            remove_checkpoint(out)  # to resume from it leads nowhere
            raise
        save(out)
        remove_checkpoint(out)
    except BaseException:
        if not was_there and not checkpoint_path(out).exists() and not (out / "model.json").exists():
            shutil.rmtree(out, ignore_errors=True)
        raise
    return failure


def _check_unfinished(out: Path) -> None:
    if (out / "model.json").exists() and not checkpoint_path(out).exists():
        raise UsageError(
            f"{out} holds a finished model, and --resume replaces none: ostinato update {out} FILE trains it on new "
            "rows; leave --resume out to fit it from the beginning, or give another --out"
        )


def resume_hint(out: Path) -> Callable[[], str]:
    """Return what tells, once a fit is interrupted, what there is to resume from."""

    def hint() -> str:
        if checkpoint_path(out).exists():
            return "; the checkpoint is kept: the same command with --resume starts from it"
        return "; there is nothing to resume from yet: begin again with the same command"

    return hint


def write_or_say(what: str, write: Callable[[], Any]) -> None:
    """Write what a fit can do without; say on stderr what it needs where a library is missing."""
    try:
        write()
    except MissingExtra as error:
        print(f"ostinato: {what} is not written: {error}", file=sys.stderr)
