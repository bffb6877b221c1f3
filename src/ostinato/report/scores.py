"""Scores as the rows of a table, the best of each column marked, and how the model stands to each baseline."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ostinato.tasks.base.differences import Difference
from ostinato.tasks.base.judging import MARKS, MODEL
from ostinato.tasks.base.summary import Better, best_of
from ostinato.tasks.base.wording import difference_in_words
from ostinato.words import number

Scores = Mapping[str, Mapping[str, float]]
Against = Mapping[str, Mapping[str, Difference]]
_ARROWS = {"higher": "↑", "lower": "↓"}


@dataclass(frozen=True)
class Cell:
    """A score as text, whether it is the best of its column, and how the model stands to it: a sign, and in words."""

    text: str
    best: bool = False
    sign: str = ""
    words: str = ""


@dataclass(frozen=True)
class ScoreTable:
    """What the template draws: measures, each with an arrow to where it is better, and rows of cells.

    `legend` says what the signs are; it is empty where there are none.
    """

    measures: tuple[tuple[str, str], ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    legend: str = ""


@dataclass(frozen=True)
class Tile:
    """One large number: what it is, and what stands beside it."""

    value: str
    name: str
    note: str = ""


def score_table(
    scores: Scores,
    better: Mapping[str, str],
    against: Against | None = None,
    legend: str = "",
    unmarked: Sequence[str] = (),
) -> ScoreTable | None:
    """Return scores as a table, with the columns of all rows; `None` if there are none.

    Args:
        scores: `scores[name][measure]`.
        better: which side of a measure is better.
        against: how the model stands to each other row.
        legend: what its signs are.
        unmarked: measures of which the best is not marked.
    """
    measures = list(dict.fromkeys(measure for score in scores.values() for measure in score))
    if not measures:
        return None
    best = {measure: None if measure in unmarked else best_of(scores, measure, better) for measure in measures}
    rows = []
    for name, score in scores.items():
        found = (against or {}).get(name, {})
        cells = (_cell(score, measure, best[measure] == name, found.get(measure), better) for measure in measures)
        rows.append((name, tuple(cells)))
    head = tuple((measure, _ARROWS.get(better.get(measure, ""), "")) for measure in measures)
    return ScoreTable(head, tuple(rows), legend)


def _cell(
    row: Mapping[str, float], measure: str, best: bool, found: Difference | None, better: Mapping[str, str]
) -> Cell:
    value = row.get(measure, math.nan)
    if found is None:
        return Cell(number(value), best)
    side: Better = "higher" if better.get(measure) == "higher" else "lower"
    words = f"the model: {difference_in_words(found, value, side)}"
    return Cell(number(value), best, MARKS[found.standing], words)


def score_tiles(scores: Scores, better: Mapping[str, str]) -> list[Tile]:
    """Return a tile for each of the model's scores, the best baseline beside it."""
    others = {name: score for name, score in scores.items() if name != MODEL}
    tiles = []
    for measure, value in scores.get(MODEL, {}).items():
        rival = best_of(others, measure, better)
        beside = "" if rival is None else f"{rival}: {number(others[rival][measure])}"
        tiles.append(Tile(number(value), measure, beside))
    return tiles
