"""Variables of patients that may be known only because of the outcome: said, as scores with them say too much."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ostinato.data.health import Patients
from ostinato.data.notes import note

_FEWEST = 8  # patients with the outcome, and without it
_APART, _ALONE = 0.7, 0.1  # shares that are measured: their difference; likewise where one is 0


def say_leaks(patients: Patients, came: NDArray[np.float64], outcome: str) -> None:
    """Warn of variables whose being measured, or whose value, is the outcome: they may be recorded because of it.

    Args:
        patients: of the training part.
        came: `(patients,)`, 1 with the outcome, 0 without it, NaN where it is not known.
        outcome: what to call it.
    """
    ill, well = came == 1, came == 0
    if min(ill.sum(), well.sum()) < _FEWEST:
        return
    owners = np.repeat(np.arange(len(patients)), np.diff(patients.bounds))
    for place, name in enumerate(patients.variables):
        mine = np.flatnonzero(patients.codes == place)
        last = np.full(len(patients), np.nan)
        last[owners[mine]] = patients.values[mine]  # in the order of time: the last one stays
        there = np.isfinite(last)
        _say_measured(name, there, ill, well, outcome)
        _say_same(name, last, ill & there, well & there, outcome)


def _say_measured(
    name: str, there: NDArray[np.bool_], ill: NDArray[np.bool_], well: NDArray[np.bool_], outcome: str
) -> None:
    with_it, without = float(there[ill].mean()), float(there[well].mean())
    apart = abs(with_it - without)
    alone = min(with_it, without) == 0 and there.sum() >= max(_FEWEST, 0.1 * min(ill.sum(), well.sum()))
    if apart > _APART or (alone and apart > _ALONE):
        note(
            f'"{name}" is recorded for {100 * with_it:.3g} % of the patients with the outcome "{outcome}" and '
            f"{100 * without:.3g} % of the others: it may be recorded because of the outcome, {_advice(name)}"
        )


def _say_same(
    name: str, last: NDArray[np.float64], ill: NDArray[np.bool_], well: NDArray[np.bool_], outcome: str
) -> None:
    if min(ill.sum(), well.sum()) < _FEWEST:
        return
    one, other = np.unique(last[ill]), np.unique(last[well])
    if len(one) == len(other) == 1 and one[0] != other[0]:
        note(
            f'"{name}" ends at {one[0]:g} in every patient with the outcome "{outcome}" and at {other[0]:g} in every '
            f"other: it may be the outcome in other words, {_advice(name)}"
        )


def _advice(name: str) -> str:
    return f'so that the scores say too much; leave it out if it is not known before: leave_out="{name}" (--leave-out)'
