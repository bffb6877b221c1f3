"""New rows for a model that is there: trained on from its weights, compared with it, and kept only if it is better.

A task says how it reads new rows with what was fitted before (scalers, vocabularies, classes); the rest is here, the
same for all tasks.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ostinato.errors import DataError
from ostinato.tasks.base.summary import Better, Summary, history_rows
from ostinato.training import History, Objective, TrainingConfig, mean_loss, train
from ostinato.training.objective import BatchSource

VALIDATION, TEST = 0.2, 0.2
"""Shares of the new rows that decide when to stop, and on which the two models are compared."""
_EPOCHS = 10
_SLOWER = 1 / 3  # of the learning rate of the fit: what was learned is to be moved, not to be learned anew
F = TypeVar("F")


@dataclass(frozen=True)
class NewRows(Generic[F]):
    """New rows as a fitted model reads them, in three parts.

    Args:
        network: of the fitted model; it is not changed.
        objective: of a network like it.
        train, validation, test: trained on; decides which epoch is best; on which both models are compared.
        renew: a fitted model with another network, and the statistics of the new rows that go with it.
        measures: of a fitted model on the part `test`, in the task's own words.
        better: of each measure, whether higher or lower is better.
        source: what the rows are called.
        split: what was held out, in words, such as `"the last 20 % of new.csv, 40 sentences"`.
        kept: what of the old model stays as it is, in words.
    """

    network: nn.Module
    objective: Callable[[Any], Objective]
    train: BatchSource
    validation: BatchSource
    test: BatchSource
    renew: Callable[[Any], F]
    measures: Callable[[F], Mapping[str, float]]
    better: Mapping[str, Better]
    source: str
    split: str
    kept: str


@dataclass(frozen=True)
class Update:
    """What came of an update; `str` of it is a table and a sentence.

    Args:
        improved: whether the updated model was better, and is now the model.
        before, after: the loss of the model as it was, and of the updated one, on new rows that neither was trained on.
        scores: `scores[name][measure]` of both on the same rows, the kept one named `"model"`.
        better: of each measure, whether higher or lower is better.
        split: on which rows that is, in words.
        kept: what of the old model was not fitted anew.
        history: of the training.
    """

    improved: bool
    before: float
    after: float
    scores: Mapping[str, Mapping[str, float]]
    better: Mapping[str, Better]
    split: str
    kept: str
    history: History

    @property
    def verdict(self) -> str:
        """Which of the two is kept, and by how much it is better."""
        numbers = f"(loss {self.after:.4g} after the update, {self.before:.4g} before, on {self.split})"
        if self.improved:
            return f"The updated model is kept: it is better {self._gain(self.before, self.after)}{numbers}."
        if self.after == self.before:
            return f"The model is left as it was: the update is no better {numbers}."
        return f"The model is left as it was: the update is worse {self._gain(self.after, self.before)}{numbers}."

    @staticmethod
    def _gain(worse: float, better: float) -> str:
        # a share of a loss that may be negative, or near zero, says nothing
        if better <= 0 or worse / better > 10:
            return ""
        return f"by {100 * (worse - better) / worse:.1f} % "

    def plain(self) -> dict[str, Any]:
        """Return it as plain data."""
        own = {name: getattr(self, name) for name in ("improved", "before", "after", "split", "kept", "verdict")}
        return {**own, "scores": {name: dict(row) for name, row in self.scores.items()}}

    def __str__(self) -> str:
        measures = list(self.scores["model"])
        head = max(map(len, self.scores))
        widths = [max(len(measure), 9) for measure in measures]
        lines = ["  ".join([" " * head, *(m.rjust(width) for m, width in zip(measures, widths, strict=True))])]
        for name, row in self.scores.items():
            cells = [f"{row.get(m, math.nan):.4g}".rjust(width) for m, width in zip(measures, widths, strict=True)]
            lines.append("  ".join([name.ljust(head), *cells]))
        return "\n".join([*lines, f"kept as it was: {self.kept}", self.verdict])


def update_model(rows: NewRows[F], fitted: F, config: TrainingConfig) -> tuple[F, Update]:
    """Train on from a model's weights, and return the better of the two models on rows that neither was trained on.

    Args:
        rows: new ones.
        fitted: the model as it is; it is not changed.
        config: of the training.

    Raises:
        NonFiniteLoss, Diverged: training broke off.
    """
    network = copy.deepcopy(rows.network)
    history = train(network, rows.objective(network), rows.train, rows.validation, config)
    network.eval()
    before, after = (_loss(own, rows) for own in (rows.network, network))
    renewed = rows.renew(network)
    improved = after < before
    names = ("model", "before the update") if improved else ("the update", "model")
    scores = {name: dict(rows.measures(own)) for name, own in zip(names, (renewed, fitted), strict=True)}
    ordered = {name: scores[name] for name in sorted(scores, key=lambda name: name != "model")}
    return renewed, Update(improved, before, after, ordered, rows.better, rows.split, rows.kept, history)


def _loss(network: nn.Module, rows: NewRows[Any]) -> float:
    objective = rows.objective(network)
    return mean_loss(network, lambda data, carry: objective(network, data, carry), rows.test)


def update_config(
    parameters: Mapping[str, Any],
    *,
    epochs: int | None,
    learning_rate: float | None,
    max_seconds: float | None,
) -> TrainingConfig:
    """Return the settings of an update: those of the fit, but for a third of its learning rate and ten epochs."""
    given = parameters.get("epochs")
    config = TrainingConfig.of({**parameters, "epochs": epochs or min(given or _EPOCHS, _EPOCHS), "tensorboard": False})
    slower = learning_rate if learning_rate is not None else config.learning_rate * _SLOWER
    return replace(config, learning_rate=slower, max_seconds=max_seconds)


def updated_summary(summary: Summary, update: Update) -> Summary:
    """Return the summary of a model that was updated: what was seen of the old weights is no longer true of it."""
    return replace(
        summary,
        data=(*summary.data, ("updated", f"on {update.split} held out; kept as it was: {update.kept}")),
        history=history_rows(update.history),
        best_epoch=update.history.best_epoch,
        stopped=update.history.stopped,
        protocol=update.split,
        scores=update.scores,
        better=update.better,
        verdict=update.verdict,
        panels=(),
    )


def check_rows(parts: Mapping[str, int], source: str, of: str) -> None:
    """Raise `DataError` if one of the three parts of new rows is empty.

    Args:
        parts: how many each has, by its name.
        source: what the rows are called.
        of: what one is, in the plural.
    """
    if min(parts.values()) < 1:
        raise DataError(
            f"{source} has {sum(parts.values())} new {of}, too few for an update, which trains on some, stops by some "
            "and compares the old model with the new one on the rest; wait for more"
        )


def cut(count: int) -> tuple[slice, slice, slice]:
    """Return the places of the rows to train on, to stop by, and, the last ones, to compare on.

    >>> cut(10)
    (slice(0, 6, None), slice(6, 8, None), slice(8, 10, None))
    """
    test, validation = (max(1, round(count * share)) for share in (TEST, VALIDATION))
    first = max(0, count - test - validation)
    return slice(0, first), slice(first, first + validation), slice(first + validation, count)


def drawn(count: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return rows to train on, to stop by and to compare on, drawn by chance, each in ascending order."""
    order = np.random.default_rng(seed).permutation(count)
    train, validation, test = (np.sort(order[own]) for own in cut(count))
    return train, validation, test


def last_share(source: str, count: int, of: str) -> str:
    """Return in words what `cut` holds out for the comparison."""
    return f"the last {100 * TEST:.0f} % of {source}, {count:,} {of}"
