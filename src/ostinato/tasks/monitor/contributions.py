"""Which variables changed a risk: each one's last measurements are hidden, and the risk is predicted again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ostinato.tasks.monitor.stays import Stays

Floats = NDArray[np.float64]


def changes(
    stays: Stays, risks: Floats, predict: Callable[[Stays], Floats], rows: Sequence[int], hours: float
) -> list[tuple[float, float, dict[int, float]]]:
    """Return for some patients the risk some hours before the last step, the last one, and each variable's share in it.

    A share is by how much the last risk is higher than it would be if the variable had not been measured in these hours
    (occlusion; M. Zeiler and R. Fergus, 2014). Shares do not add up to the change: time passes too, and variables work
    together.

    Args:
        stays: of the patients.
        risks: `(steps,)`.
        predict: from stays to risks.
        rows: the patients.
        hours: before the last step.
    """
    without = [_hidden(stays, row, hours) for row in rows]
    joined = _together([each for _, many in without for each in many])
    again = predict(joined)[joined.last] if joined is not None else np.zeros(0)
    found, place = [], 0
    for row, (codes, many) in zip(rows, without, strict=True):
        last = int(stays.last[row])
        begin = int(stays.bounds[row])
        earlier = begin + int(np.searchsorted(stays.hours[begin : last + 1], stays.hours[last] - hours, "right")) - 1
        now = float(risks[last])
        shares = {code: now - float(risk) for code, risk in zip(codes, again[place : place + len(many)], strict=True)}
        place += len(many)
        found.append((float(risks[max(earlier, begin)]), now, shares))
    return found


def _hidden(stays: Stays, row: int, hours: float) -> tuple[list[int], list[Stays]]:
    """Return the variables of a patient that were measured in the last hours, and the stay without each of them."""
    begin, end = int(stays.bounds[row]), int(stays.bounds[row + 1])
    found = slice(int(stays.measured[row]), int(stays.measured[row + 1]))
    places, codes = stays.places[found] - begin, stays.codes[found]
    recent = stays.hours[begin + places] > stays.hours[end - 1] - hours
    different = sorted(set(codes[recent].tolist()))
    many = []
    for code in different:
        kept = ~(recent & (codes == code))
        many.append(
            replace(
                stays, ids=(stays.ids[row],), bounds=np.array([0, end - begin]), hours=stays.hours[begin:end],
                places=places[kept], codes=codes[kept], values=stays.values[found][kept],
                labels=stays.labels[begin:end], judged=stays.judged[begin:end],
                outcomes=stays.outcomes[row : row + 1], outcome_hours=stays.outcome_hours[row : row + 1],
            )
        )  # fmt: skip
    return different, many


def _together(many: Sequence[Stays]) -> Stays | None:
    if not many:
        return None
    counts = [len(each.hours) for each in many]
    firsts = np.append(0, np.cumsum(counts))

    def joined(name: str) -> NDArray[np.float64]:
        return np.concatenate([getattr(each, name) for each in many])

    return replace(
        many[0],
        ids=tuple(each.ids[0] for each in many),
        bounds=firsts.astype(np.int64),
        places=np.concatenate([value.places + first for value, first in zip(many, firsts, strict=False)]),
        **{
            name: joined(name)  # type: ignore[arg-type]
            for name in ("hours", "codes", "values", "labels", "judged", "outcomes", "outcome_hours")
        },
    )
