"""What the report says in words about what it shows."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping
from typing import Protocol

from ostinato.tasks.base.apart import overfitting
from ostinato.words import counted, rounded

_SEEN = {"\n": "↵", "\t": "⇥", "\r": "␍"}


class Trained(Protocol):
    """What a summary tells of the training."""

    @property
    def seconds(self) -> float:
        """Wall-clock time of the fit."""

    @property
    def history(self) -> tuple[Mapping[str, float], ...]:
        """One row an epoch."""

    @property
    def best_epoch(self) -> float:
        """Which one was kept, counted from 1."""

    @property
    def stopped(self) -> str:
        """Why training stopped, in words."""


def judge_training(record: Trained) -> str:
    """Say why training stopped and whether it overfitted."""
    rows = record.history
    done = rows[-1]["epoch"] if rows else 0  # of a long epoch there may be several rows
    text = (
        f"Training took {duration(record.seconds)} in all and ended after {counted(done, 'epochs')}: {record.stopped}."
    )
    if len(rows) < 3 or math.isnan(rows[-1]["validation_loss"]):
        return text
    if overfitting(rows) is not None:
        return (
            f"{text} After epoch {record.best_epoch:g} the validation loss rose while the training loss still fell, "
            "which is overfitting; the weights of that epoch are the ones kept."
        )
    return f"{text} The weights of epoch {record.best_epoch:g} are kept; the validation loss shows no overfitting."


def duration(seconds: float) -> str:
    """Return a time in the unit that suits it: `"0.4 ms"`, `"12 s"`, `"3 min"`, `"1.5 h"`."""
    if not math.isfinite(seconds):
        return "n/a"
    for size, unit in ((3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{rounded(seconds / size, 3)} {unit}"
    for size, unit in ((1.0, "s"), (1e-3, "ms")):
        if seconds >= size:
            return f"{rounded(seconds / size, 3)} {unit}"
    return f"{seconds * 1e6:.3g} µs" if seconds > 0 else "0 s"


def visible(text: str) -> str:
    """Return a token as it can be seen in a figure: line ends and tabs as signs, what cannot be printed as `�`."""
    return "".join(
        _SEEN.get(sign) or ("�" if unicodedata.category(sign) in ("Cc", "Cs", "Cn") else sign) for sign in text
    )
