"""How well what comes next is foretold, and when, beside models that only count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ostinato.errors import DataError, UsageError
from ostinato.tasks.events.baselines import FollowerCounts, WaitsByActivity
from ostinato.tasks.events.cases import Case
from ostinato.tasks.events.prediction import Foretold
from ostinato.tasks.panels import accuracy, confusion_counts, macro_f1
from ostinato.tasks.scores import Scores
from ostinato.tasks.summary import Better

_ORDERS = range(2, 7)
_LEAST = 1e-12


@dataclass(frozen=True)
class Protocol:
    """Which prefixes of a case are judged.

    Args:
        first_prefix: events that a prefix has, at least.
        count_end: whether the prefix that is the whole case is judged too, with the end of the case as what comes next.
    """

    first_prefix: int = 1
    count_end: bool = True

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if self.first_prefix < 1:
            raise UsageError(f"first_prefix is {self.first_prefix}; expected one or more events")

    def __str__(self) -> str:
        end = "the end of the case counted as an activity" if self.count_end else "ends of cases not judged"
        return f"all prefixes of {self.first_prefix} or more events, {end}"


@dataclass(frozen=True)
class Truth:
    """What came, after each event that is judged: `following`, `waits (judged, TIMES)`, `lengths` of the prefixes.

    `judged` are the places among all events.
    """

    following: NDArray[np.int64]
    waits: NDArray[np.float64]
    lengths: NDArray[np.int64]
    judged: NDArray[np.int64]


def truth_of(cases: Sequence[Case], classes: int, protocol: Protocol) -> Truth:
    """Return what came after each event that a protocol judges.

    Raises:
        DataError: there is none.
    """
    following = np.concatenate([case.following for case in cases] or [np.zeros(0, np.int64)])
    lengths = np.concatenate([np.arange(len(case.kinds)) + 1 for case in cases] or [np.zeros(0, np.int64)])
    waits = np.concatenate([case.waits for case in cases] or [np.zeros((0, 2))])
    kept = (following >= 0) & (lengths >= protocol.first_prefix)
    if not protocol.count_end:
        kept &= following != classes - 1
    if not kept.any():
        raise DataError(f"there is nothing to judge in {len(cases)} cases by {protocol}; give longer or more cases")
    return Truth(following[kept], waits[kept], lengths[kept], np.flatnonzero(kept))


def measures(truth: Truth, foretold: Foretold, unit: tuple[str, float], *, words: Sequence[str]) -> dict[str, float]:
    """Return the measures of what was foretold; `words` say which times there are."""
    chances = foretold.chances[truth.judged]
    classes = chances.shape[1]
    counts = confusion_counts(truth.following, chances.argmax(-1), classes + 1)
    seen = truth.following < classes
    own = chances[seen, truth.following[seen]]
    found = {
        "accuracy": accuracy(counts),
        "macro F1": macro_f1(counts),
        "cross-entropy": float(-np.log(np.maximum(own, _LEAST)).mean()) if seen.any() else 0.0,
    }
    return found | time_measures(truth, foretold.seconds[truth.judged], unit, words)


def time_measures(
    truth: Truth, seconds: NDArray[np.float64], unit: tuple[str, float], words: Sequence[str]
) -> dict[str, float]:
    """Return the mean absolute error of each time, where there was one."""
    found = {}
    for place, word in enumerate(words):
        known = np.isfinite(truth.waits[:, place]) & np.isfinite(seconds[:, place])
        if known.any():
            errors = np.abs(truth.waits[known, place] - seconds[known, place])
            found[word] = float(errors.mean() / unit[1])
    return found


class Baselines:
    """Models that only count, of cases that are not tested.

    Args:
        train: cases.
        validation: cases on which it is chosen how many activities to look back on; without any, three.
        classes: what may follow, the end among them.
    """

    def __init__(self, train: Sequence[Case], validation: Sequence[Case], classes: int) -> None:
        order = _chosen_order(train, validation, classes) if validation else 3
        whole = [*train, *validation]
        self.followers = {
            "last activity (Markov)": FollowerCounts(whole, classes, 1),
            f"last {order} activities, backed off": FollowerCounts(whole, classes, order),
        }
        self.waits = {
            "mean by last activity": [WaitsByActivity(whole, place, "mean") for place in range(2)],
            "median by last activity": [WaitsByActivity(whole, place, "median") for place in range(2)],
        }

    def values(
        self, cases: Sequence[Case], truth: Truth, unit: tuple[str, float], words: Sequence[str]
    ) -> dict[str, dict[str, float]]:
        """Return the measures of each on cases."""
        nothing = np.full((sum(len(case.kinds) for case in cases), len(words)), np.nan)
        found = {
            name: measures(truth, Foretold(own.chances(cases), nothing), unit, words=words)
            for name, own in self.followers.items()
        }
        for name, waits in self.waits.items():
            seconds = np.stack([own.seconds(cases)[truth.judged] for own in waits], -1)
            timed = time_measures(truth, seconds, unit, words)
            if timed:
                found[name] = timed
        return found


def words_of(unit: tuple[str, float]) -> tuple[str, ...]:
    """Return the names of the measures of times."""
    return (f"MAE next, {unit[0]}", f"MAE left, {unit[0]}") if unit[0] else ()


def score_events(
    cases: Sequence[Case],
    foretold: Foretold,
    unit: tuple[str, float],
    protocol: Protocol,
    *,
    split: str,
    baselines: Baselines | None = None,
) -> Scores:
    """Judge what a model foretold after each event of cases, and baselines beside it.

    Raises:
        DataError: the protocol leaves nothing to judge.
    """
    classes = foretold.chances.shape[1]
    truth = truth_of(cases, classes, protocol)
    words = words_of(unit)
    values: dict[str, Mapping[str, float]] = {"model": measures(truth, foretold, unit, words=words)}
    if baselines is not None:
        values |= baselines.values(cases, truth, unit, words)
    better: dict[str, Better] = dict.fromkeys(values["model"], "lower")
    better |= {"accuracy": "higher", "macro F1": "higher"}
    return Scores(f"{split}; {protocol}", len(truth.judged), "prefixes", values, better)


def _chosen_order(train: Sequence[Case], validation: Sequence[Case], classes: int) -> int:
    """Return how many activities to look back on, by the cross-entropy on cases of their own."""
    truth = truth_of(validation, classes, Protocol())
    nothing = np.zeros((sum(len(case.kinds) for case in validation), 0))

    def loss(order: int) -> float:
        chances = FollowerCounts(train, classes, order).chances(validation)
        return measures(truth, Foretold(chances, nothing), ("", 1.0), words=())["cross-entropy"]

    return min(_ORDERS, key=loss)
