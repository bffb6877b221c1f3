"""How well a model answers, beside simple baselines, and what that comes to in a sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from ostinato.tasks.base.differences import Difference, compare, differences_from, fewest, plain_differences, standings
from ostinato.tasks.base.score_text import score_text
from ostinato.tasks.base.summary import Better, best_of
from ostinato.tasks.base.units import Units
from ostinato.tasks.base.wording import also, verdict
from ostinato.words import counted, listed

MODEL = "model"
MARKS = {"better": "+", "level": "=", "worse": "-", "unclear": "?"}
"""How a model stands to a baseline, in a table."""
_LEGEND = {"+": "the model is better than that", "=": "level", "-": "worse", "?": "too little to tell"}
_POINTS, _SHARE = 0.05, 0.10  # a difference that matters: of a share of answers, or of the other's measure

Against = Mapping[str, Mapping[str, Difference]]


@dataclass(frozen=True)
class Scores:
    """Measures of a model and of its baselines, on the same answers; `str` of it is a table.

    Args:
        protocol: on what they are, and how, in words.
        count: how many answers were judged; `of`: what one is, in the plural.
        values: `values[name][measure]`, the first name `"model"`; a baseline may lack measures.
        better: for each measure, whether higher or lower is better.
        verdict: a sentence or two for a reader in a hurry, which say so when a baseline wins.
        details: more of the task's own, as plain data, such as the error of each step of a forecast.
        against: `against[baseline][measure]`, how the model stands to each, by a paired test.
        units: by name, what the tests were made on; it is not saved.

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
    against: Against = field(default_factory=dict)
    units: Mapping[str, Units] = field(default_factory=dict, repr=False, compare=False)

    @property
    def model(self) -> Mapping[str, float]:
        """The measures of the model."""
        return self.values[MODEL]

    def __getitem__(self, measure: str) -> float:
        """Return a measure of the model."""
        return self.model[measure]

    def plain(self) -> dict[str, Any]:
        """Return the scores as plain data."""
        values = {name: dict(value) for name, value in self.values.items()}
        body = {**vars(self), "values": values, "better": dict(self.better), "details": dict(self.details)}
        del body["units"]
        return {**body, "against": plain_differences(self.against)}

    def __str__(self) -> str:
        table = score_text(self.values, self.better, marks(self.against))
        said = "\n".join(filter(None, (legend(self.against), self.verdict)))
        return "\n\n".join(filter(None, (f"{self.protocol}; {counted(self.count, self.of)}", table, said)))

    def _repr_html_(self) -> str:
        from ostinato.tasks.base.display import score_table, sentence, shown

        judged = f"{self.protocol}; {counted(self.count, self.of)}"
        return shown(
            "Scores", sentence(self.verdict), score_table(self.values, self.better, self.against), beside=judged
        )


def scores_from(plain: Mapping[str, Any]) -> Scores:
    """Return the scores that `Scores.plain` was called on."""
    return Scores(**{**plain, "against": differences_from(plain.get("against", {}))})


def marks(against: Against) -> dict[str, dict[str, str]]:
    """Return a sign for each baseline and measure: how the model stands to it."""
    return {name: {measure: MARKS[value.standing] for measure, value in row.items()} for name, row in against.items()}


def legend(against: Against) -> str:
    """Return what the signs are, and on what they rest."""
    every = [each for row in against.values() for each in row.values()]
    if not every:
        return ""
    seen = {MARKS[each.standing] for each in every}
    signs = ", ".join(f"{sign} {words}" for sign, words in _LEGEND.items() if sign in seen)
    most = max(every, key=lambda each: each.units)
    return f"{signs}; paired tests over {counted(most.units, most.of)}, at 5 %, corrected for the number of baselines"


def decisive(values: Mapping[str, Mapping[str, float]], wanted: Sequence[str]) -> str:
    """Return the measure that a verdict is about: of those wanted the first that the model has, else its first."""
    row = values[MODEL]
    known = [measure for measure in (*wanted, *row) if math.isfinite(row.get(measure, math.nan))]
    return known[0] if known else next(iter(row), "")


def stand(
    values: Mapping[str, Mapping[str, float]],
    better: Mapping[str, Better],
    units: Mapping[str, Units],
    answered: Mapping[str, Units] = MappingProxyType({}),
) -> dict[str, dict[str, Difference]]:
    """Return how the model stands to each baseline by each measure of which both have units.

    Args:
        values: `values[name][measure]`, the model's under `"model"`.
        better: which side of a measure is better; others are not compared.
        units: by name, of the same answers.
        answered: the model's, of the answers alone that a baseline has, for baselines that do not have all.
    """
    found: dict[str, dict[str, Difference]] = {name: {} for name in values if name != MODEL}
    model_units = units.get(MODEL)
    for measure in better if model_units is not None else ():
        assert model_units is not None
        ours = model_units.measures.get(measure)
        theirs = {
            name: units[name].measures[measure]
            for name in found
            if name in units and measure in units[name].measures and _known(values[name], measure)
        }
        if ours is None or not theirs or not _known(values[MODEL], measure):
            continue
        paired = {name: answered[name].measures[measure] if name in answered else ours for name in theirs}
        tested = {name: compare(paired[name], one) for name, one in theirs.items()}
        margins = {name: margin(better[measure], values[MODEL][measure], values[name][measure]) for name in theirs}
        for name, one in standings(tested, better[measure] == "higher", margins, model_units.of).items():
            found[name][measure] = within_range(one, better[measure], values[name][measure])
    return {name: row for name, row in found.items() if row}


def over_all(
    values: Mapping[str, Mapping[str, float]],
    against: Against,
    answered: Mapping[str, Mapping[str, float]],
) -> tuple[dict[str, Mapping[str, float]], Against]:
    """Return measures and differences of baselines that have no answer to some, as if they had all.

    A mean over some series says nothing beside a mean over all. So a baseline's measure is the model's over all, times
    how the two compare where both answer; a difference is stretched likewise. Measures of which that is not known are
    NaN.

    Args:
        values: by name; of such a baseline over what it answers.
        against: how the model stands to each.
        answered: by name of such a baseline, the measures of the model over what it answers.

    >>> values = {"model": {"MASE": 2.0}, "slow": {"MASE": 1.5}}
    >>> over_all(values, {}, {"slow": {"MASE": 3.0}})[0]["slow"]
    {'MASE': 1.0}
    """
    found, stands = dict(values), {name: dict(row) for name, row in against.items()}
    for name, ours in answered.items():
        factors = {
            measure: values[MODEL][measure] / ours[measure] if ours.get(measure, 0.0) > 0 else math.nan
            for measure in values[name]
        }
        found[name] = {measure: value * factors[measure] for measure, value in values[name].items()}
        for measure, one in stands.get(name, {}).items():
            factor = factors[measure]
            stands[name][measure] = replace(one, value=one.value * factor, low=one.low * factor, high=one.high * factor)
    return found, stands


def margin(better: Better, ours: float, other: float) -> float:
    """Return a difference that matters: five points of a share, ten per cent of other measures."""
    if better == "higher" and 0 <= ours <= 1 and 0 <= other <= 1:
        return _POINTS
    return _SHARE * (max(abs(ours), abs(other)) if better == "higher" else abs(other))


def within_range(found: Difference, better: Better, other: float) -> Difference:
    """Return a difference without what its interval holds beyond the ends of the measure's range.

    A test knows nothing of a range: of few units its interval may say that a loss is lower by 118 %, or a share of
    answers higher than all of them. What cannot be is not among what is likely.

    Args:
        found: how a model stands to another.
        better: which side of the measure is better; a loss is never below 0, a share of answers not above 1.
        other: the other's measure.

    >>> within_range(Difference("better", -1.54, -2.36, -0.76, 0.01, 8, "windows"), "lower", 2.0).low
    -2.0
    """
    ours = other + found.value
    low, high = found.low, found.high
    if better == "lower" and min(ours, other) >= 0:
        low = max(low, -other)
    if better == "higher" and min(ours, other) >= 0 and max(ours, other) <= 1:
        low, high = max(low, -other), min(high, 1 - other)
    # rounding may put the difference itself outside
    return replace(found, low=min(low, found.value), high=max(high, found.value))


def too_few(against: Against, measure: str) -> dict[str, Difference]:
    """Return how the model stands to baselines that answered so little that no test could tell, where others did not.

    >>> of = lambda units: Difference("unclear", 0.1, -1.0, 1.0, 0.5, units, "series")
    >>> list(too_few({"slow": {"MASE": of(2)}, "naive": {"MASE": of(40)}}, "MASE"))
    ['slow']
    >>> list(too_few({"slow": {"MASE": of(2)}, "naive": {"MASE": of(2)}}, "MASE"))
    []
    """
    rivals = {name: row[measure] for name, row in against.items() if measure in row}
    found = {name: one for name, one in rivals.items() if one.units < fewest(len(rivals))}
    return found if len(found) < len(rivals) else {}


def _known(row: Mapping[str, float], measure: str) -> bool:
    return math.isfinite(row.get(measure, math.nan))


def verdict_sentences(
    values: Mapping[str, Mapping[str, float]],
    measure: str,
    better: Mapping[str, Better],
    against: Against,
    matter: str = "",
) -> list[str]:
    """Return the verdict by the measure that decides, and what other measures say against it, if any do.

    `matter` is what that measure is about, where it is not what the task is for; the verdict begins with it.
    """
    others = {name: row for name, row in values.items() if name != MODEL}
    best = best_of(others, measure, {measure: better.get(measure, "lower")})
    few = too_few(against, measure)
    if best in few:  # the best of two series says nothing where others have answered all
        others = {name: row for name, row in others.items() if name not in few}
        against = {name: row for name, row in against.items() if name not in few}
        best = best_of(others, measure, {measure: better.get(measure, "lower")})
        most = max(few.values(), key=lambda one: one.units)
        without = f"leaving out {listed(list(few))}, which answered too little to tell ({counted(most.units, most.of)})"
        matter = f"{matter}, {without}" if matter else without
    said = verdict(values[MODEL], others, best, measure, better.get(measure, "lower"), against)
    if matter and said.startswith(("The ", "Too ", "There ")):
        said = f"{matter[0].upper()}{matter[1:]}, {said[0].lower()}{said[1:]}"
    return [said, *also(values[MODEL], others, best, measure, better, against)]
