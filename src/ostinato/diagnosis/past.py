"""The history of a fit, from wherever it comes, and whether training and validation went apart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any

from ostinato.errors import UsageError
from ostinato.tasks.base.apart import Overfitting, overfitting

_NAMES = {
    "loss": ("loss", "train_loss", "training_loss"),
    "validation_loss": ("validation_loss", "val_loss", "valid_loss"),
}


def rows_of(history: Any) -> tuple[dict[str, float], ...]:
    """Return a history as rows of `epoch`, `loss`, `validation_loss`, and `gradient_norm` where it is known.

    Args:
        history: that of a fit of ours (`model.history_`), of Keras (what `fit` returns, or its `history`), rows of
            these names, or two lists: losses of training and of validation.

    Raises:
        UsageError: it is none of these.
    """
    if history is None:
        return ()
    rows = getattr(history, "rows", None)
    if rows is not None and all(map(is_dataclass, rows)):
        return tuple(_row(place, asdict(row)) for place, row in enumerate(rows, 1))
    history = getattr(history, "history", history)
    if isinstance(history, Mapping):
        history = [dict(zip(history, values, strict=False)) for values in zip(*history.values(), strict=False)]
    elif _is_pair(history):
        history = [{"loss": one, "validation_loss": other} for one, other in zip(*history, strict=True)]
    if isinstance(history, Sequence) and all(isinstance(row, Mapping) for row in history):
        try:
            return tuple(_row(place, row) for place, row in enumerate(history, 1))
        except (TypeError, ValueError) as error:
            raise UsageError(f"history has a row that is no numbers ({error}); expected losses by epoch") from error
    raise UsageError(
        f"history is of type {type(history).__name__}; expected that of a fit, rows with loss and validation_loss, or "
        "two lists of the same length: the losses of training and of validation"
    )


def _is_pair(history: Any) -> bool:
    return (
        isinstance(history, (tuple, list))
        and len(history) == 2
        and all(isinstance(each, Sequence) and not isinstance(each, (str, Mapping)) for each in history)
        and len(history[0]) == len(history[1])
    )


def _row(place: int, row: Mapping[str, Any]) -> dict[str, float]:
    found = {"epoch": float(row.get("epoch", place))}
    for name, others in _NAMES.items():
        found[name] = float(next((row[other] for other in others if row.get(other) is not None), math.nan))
    found["gradient_norm"] = float(row.get("gradient_norm", math.nan))
    return found


def went_apart(rows: Sequence[Mapping[str, float]]) -> Overfitting | None:
    """Return since when training and validation went apart; `None`: they did not, or it is not known."""
    return overfitting(rows)
