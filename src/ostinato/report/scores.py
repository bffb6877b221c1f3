"""Scores as the rows of a table, the best of each column marked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ostinato.report.words import number
from ostinato.tasks.base.summary import best_of

Scores = Mapping[str, Mapping[str, float]]
_ARROWS = {"higher": "↑", "lower": "↓"}


@dataclass(frozen=True)
class ScoreTable:
    """What the template draws: measures, each with an arrow to where it is better, and rows of (text, is it best)."""

    measures: tuple[tuple[str, str], ...]
    rows: tuple[tuple[str, tuple[tuple[str, bool], ...]], ...]


@dataclass(frozen=True)
class Tile:
    """One large number: what it is, and what stands beside it."""

    value: str
    name: str
    note: str = ""


def score_table(scores: Scores, better: Mapping[str, str]) -> ScoreTable | None:
    """Return scores as a table, with the columns of all rows; `None` if there are none."""
    measures = list(dict.fromkeys(measure for own in scores.values() for measure in own))
    if not measures:
        return None
    best = {measure: best_of(scores, measure, better) for measure in measures}
    rows = [
        (name, tuple((number(own.get(measure, math.nan)), best[measure] == name) for measure in measures))
        for name, own in scores.items()
    ]
    return ScoreTable(tuple((measure, _ARROWS.get(better.get(measure, ""), "")) for measure in measures), tuple(rows))


def score_tiles(scores: Scores, better: Mapping[str, str]) -> list[Tile]:
    """Return a tile for each of the model's scores, the best baseline beside it."""
    others = {name: own for name, own in scores.items() if name != "model"}
    tiles = []
    for measure, value in scores.get("model", {}).items():
        rival = best_of(others, measure, better)
        beside = "" if rival is None else f"{rival}: {number(others[rival][measure])}"
        tiles.append(Tile(number(value), measure, beside))
    return tiles
