"""Whether cells can be told apart: over seeds by what they are chosen by, and over the units of the test part."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

from ostinato.studies.comparing.result import CellRun, Comparison
from ostinato.tasks.base.differences import LEVEL, compare, holm, standings
from ostinato.tasks.base.judging import margin, within_range
from ostinato.tasks.base.summary import Better
from ostinato.tasks.base.units import Mean
from ostinato.tasks.base.wording import stands
from ostinato.words import counted, listed

_FEWEST = 3  # seeds from which on anything can be said of what another seed would change


def over_seeds(comparison: Comparison, best: str) -> str:
    """Say which cells are level with the chosen one in their validation losses, seed by seed.

    Cells are told apart by a paired t test over the seeds that both have, corrected by Holm for the number of cells.
    """
    losses: dict[str, dict[int, float]] = {}
    for run in comparison.done:
        losses.setdefault(run.cell, {})[run.seed] = run.validation
    others = [cell for cell in losses if cell != best]
    if not others:
        return ""
    seeds = min(len(_paired(losses[best], losses[cell])[0]) for cell in others)
    if seeds < _FEWEST:
        return f"; {counted(seeds, 'seeds')} cannot tell whether by more than chance (--seeds 5)"
    probabilities = [_chance(*_paired(losses[best], losses[cell])) for cell in others]
    near = [cell for cell, p in zip(others, holm(probabilities), strict=True) if p > LEVEL]
    if near:
        return f", but {listed(near)} cannot be told apart from it over {seeds} seeds"
    return f", by more than {seeds} seeds differ"


def _paired(one: Mapping[int, float], other: Mapping[int, float]) -> tuple[list[float], list[float]]:
    both = [seed for seed in one if seed in other and math.isfinite(one[seed]) and math.isfinite(other[seed])]
    return [one[seed] for seed in both], [other[seed] for seed in both]


def _chance(one: Sequence[float], other: Sequence[float]) -> float:
    differences = np.asarray(one) - np.asarray(other)
    if np.ptp(differences) <= 1e-12 * max(1.0, float(np.abs(differences).max())):
        return 1.0 if not differences.any() else 0.0
    return float(stats.ttest_1samp(differences, 0.0).pvalue)


def on_test(comparison: Comparison, run: CellRun) -> str:
    """Say how the chosen cell stands to the others on the test part, over its units, with the seed of its first run."""
    ours = _mean(run)
    rivals = [one for one in comparison.done if one.seed == run.seed and one.cell != run.cell]
    theirs = {one.cell: mean for one in rivals if (mean := _mean(one)) is not None}
    if ours is None or not theirs or any(len(one.values) != len(ours.values) for one in theirs.values()):
        return ""
    measure, of = str(run.judged["measure"]), str(run.judged["of"])
    side: Better = "higher" if comparison.better.get(measure) == "higher" else "lower"
    margins = {cell: margin(side, ours.total, one.total) for cell, one in theirs.items()}
    found = standings({cell: compare(ours, one) for cell, one in theirs.items()}, side == "higher", margins, of)
    totals = {cell: one.total for cell, one in theirs.items()}
    words = [stands(within_range(one, side, totals[cell]), cell, totals[cell], side) for cell, one in found.items()]
    return f"On the test part, by {measure} and seed {run.seed}, it is {listed(words)}."


def _mean(run: CellRun) -> Mean | None:
    if not run.judged:
        return None
    return Mean(np.asarray(run.judged["values"], float), np.asarray(run.judged["weights"], float))
