"""How well a model answers, beside simple baselines, and what that comes to in a sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.tasks.base.summary import Better, best_of

MODEL = "model"
_CLOSE = 0.02  # errors nearer than this to each other are not told apart, where nothing else tells


@dataclass(frozen=True)
class Scores:
    """Measures of a model and of its baselines, on the same answers; `str` of it is a table.

    Args:
        protocol: on what they are, and how, in words.
        count: how many answers were judged; `of`: what one is, in the plural.
        values: `values[name][measure]`, the first name `"model"`; a baseline may lack measures.
        better: for each measure, whether higher or lower is better.
        verdict: one sentence for a reader in a hurry, which says so when a baseline wins.
        details: more of the task's own, as plain data, such as the error of each step of a forecast.

    >>> scores = Scores("test", 4, "tokens", {"model": {"accuracy": 0.75}, "guess": {"accuracy": 0.5}}, {"accuracy": "higher"})
    >>> scores["accuracy"]
    0.75
    """  # noqa: E501

    protocol: str
    count: int
    of: str
    values: Mapping[str, Mapping[str, float]]
    better: Mapping[str, Better]
    verdict: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def model(self) -> Mapping[str, float]:
        """The measures of the model."""
        return self.values[MODEL]

    def __getitem__(self, measure: str) -> float:
        """Return a measure of the model."""
        return self.model[measure]

    def plain(self) -> dict[str, Any]:
        """Return the scores as plain data."""
        values = {name: dict(own) for name, own in self.values.items()}
        return {**vars(self), "values": values, "better": dict(self.better), "details": dict(self.details)}

    def __str__(self) -> str:
        measures = list(dict.fromkeys(measure for row in self.values.values() for measure in row))
        head = max(map(len, self.values))
        widths = [max(len(measure), 8) for measure in measures]
        lines = [f"{self.protocol}; {self.count:,} {self.of}", ""]
        lines.append("  ".join([" " * head, *(m.rjust(width) for m, width in zip(measures, widths, strict=True))]))
        for name, row in self.values.items():
            cells = [f"{row[m]:.4g}" if m in row and not math.isnan(row[m]) else "n/a" for m in measures]
            lines.append("  ".join([name.ljust(head), *(c.rjust(w) for c, w in zip(cells, widths, strict=True))]))
        return "\n".join([*lines, *(["", self.verdict] if self.verdict else [])])


def decisive(values: Mapping[str, Mapping[str, float]], wanted: Sequence[str]) -> str:
    """Return the measure that a verdict is about: of those wanted the first that the model has, else its first."""
    own = values[MODEL]
    known = [measure for measure in (*wanted, *own) if math.isfinite(own.get(measure, math.nan))]
    return known[0] if known else next(iter(own), "")


def verdict(
    values: Mapping[str, Mapping[str, float]],
    measure: str,
    better: Mapping[str, Better],
    right: Mapping[str, NDArray[np.bool_]],
) -> str:
    """Say in one sentence how the model stands against the best baseline, by one measure.

    A difference in who was right is held against chance by McNemar's test; of other measures, those within two per cent
    of each other are called level.

    Args:
        values: `values[name][measure]`, the model's under `"model"`.
        measure: what is compared.
        better: which side of it is better.
        right: by name, whether each answer was right, the same answers for all; empty: answers are not right or wrong.

    Source: Q. McNemar, "Note on the sampling error of the difference between correlated proportions", Psychometrika
    12, 1947.

    >>> verdict({"model": {"MAE": 1.0}, "naive": {"MAE": 2.0}}, "MAE", {"MAE": "lower"}, {})
    'The model beats every baseline: MAE 1 against 2 of the best of them, naive.'
    """
    own = values[MODEL].get(measure, math.nan)
    others = {name: row for name, row in values.items() if name != MODEL}
    best = best_of(others, measure, {measure: better.get(measure, "lower")})
    if math.isnan(own) or (best is None and others):
        return f"There is nothing to compare: no answer has a {measure or 'measure'}."
    if best is None:
        return f"{measure} {own:.4g}."
    other = others[best][measure]
    numbers = f"{measure} {own:.4g} against {other:.4g} of the best of them, {best}"
    won = (own > other) == (better.get(measure) == "higher")
    if own == other or _level(own, other, right.get(MODEL), right.get(best)):
        why = ", a difference that chance explains" if MODEL in right and own != other else ""
        return f"The model is no better than the baselines: {numbers}{why}."
    if won:
        return f"The model beats every baseline: {numbers}."
    return f"The model LOSES to a baseline: {numbers}; use the baseline, or give the model more to learn from."


def _level(own: float, other: float, ours: NDArray[np.bool_] | None, theirs: NDArray[np.bool_] | None) -> bool:
    """Tell whether two scores cannot be told apart."""
    if ours is None or theirs is None:
        return abs(own - other) <= _CLOSE * max(abs(own), abs(other))
    gained, lost = int((ours & ~theirs).sum()), int((~ours & theirs).sum())
    return abs(gained - lost) <= 1.96 * math.sqrt(max(gained + lost, 1))
