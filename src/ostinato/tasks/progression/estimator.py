"""`ProgressionModel`: the risk of events by any time ahead, and next values, after every visit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.health import UNITS
from ostinato.tasks.base.estimator import Estimator
from ostinato.tasks.base.resampling import intervals
from ostinato.tasks.progression.parameters import ProgressionParameters
from ostinato.tasks.progression.task import ProgressionTask


class ProgressionModel(Estimator[ProgressionTask], ProgressionParameters):
    """The risk of events by any time ahead, and next values, after every visit of a patient. This is no medical device.

    Each row of the data is a visit (a column a variable) or a measurement; a column of the event that ended follow-up
    (0 censored, 1, 2, ... which) and one of when it ended are the same in all rows of a patient. Events compete:
    hazards of each cause in intervals of the time ahead are predicted at every visit. Nothing is filled in: values,
    masks and time gaps go to the cell together. A penalised linear model is fitted first; the network adds to
    it. Patients are in one part only, drawn by event.

    Its parameters are those of `ProgressionParameters`.

    Sources: G. Tutz and M. Schmid, "Modeling discrete time-to-event data", 2016; H. van Houwelingen, "Dynamic
    prediction by landmarking in event history analysis", Scandinavian Journal of Statistics 34, 2007.

    >>> import numpy as np
    >>> from ostinato import ProgressionModel
    >>> rng, rows = np.random.default_rng(0), []
    >>> for patient in range(60):
    ...     ill, end = patient % 2, float(rng.uniform(5, 9))
    ...     for year in range(4):
    ...         row = {"id": patient, "year": year, "bili": 1 + ill * year + rng.normal() / 5}
    ...         rows.append({**row, "event": ill, "follow_up": end if ill else 12.0})
    >>> options = {"time": "year", "time_unit": "years", "epochs": 2, "members": 1, "progress": False}
    >>> model = ProgressionModel(**options).fit(rows)
    >>> stream = model.stream()
    >>> first = stream.push({"id": "new", "year": 0, "bili": 1.0})["survival"]
    >>> last = stream.push({"id": "new", "year": 3, "bili": 4.2})["survival"]
    >>> list(last.values())[-1] < list(first.values())[-1]
    True
    """

    task = ProgressionTask()

    def predict(self, source: Any) -> NDArray[np.float64]:
        """Return the risk of each patient by the last of `horizons` after the last visit, `(patients,)`."""
        return np.array([list(answer["risk"].values())[-1] for answer in self.answers(source)], np.float64)

    def answers(
        self, source: Any, *, visits: bool | None = None, ahead: float | None = None, **changes: Any
    ) -> Iterator[Mapping[str, Any]]:
        """Yield what is predicted of each patient of a source after the last visit, in the order of the source.

        Args:
            source: visits, without events or with them.
            visits: what is predicted after each visit before too, `by_visit`.
            ahead: how far ahead next values are predicted, in the unit of times; `None`: as a usual next visit is.
            changes: parameters that are to be other than the model's.

        Raises:
            DataError: the source cannot be read.
            UsageError: `ahead` is negative.
        """
        model = self._changed(changes)
        for records in self.task.pieces(model, source):
            yield from self.task.answers_of(model, records, visits=bool(visits), ahead=ahead)

    def intervals(self, source: Any) -> dict[str, tuple[float, float]]:
        """Return 95 % intervals of the measures on patients, who are drawn again; see `evaluate`."""
        scores = self.evaluate(source)
        return intervals(scores.units["model"], seed=self.seed)

    def one_answer(self) -> tuple[str, Any] | None:
        """Return what one answer is: a visit pushed into a stream of one patient."""
        stream, encoder = self.stream(), self._checked().model.encoder
        clock = encoder.reading.clock
        moment: Any = {"numbers": 1.0, "elapsed": "1:00"}.get(clock.kind, "2024-01-01 01:00")
        row = {"id": "one", "time": moment, "variable": encoder.variables[0], "value": float(encoder.scales.low[0])}
        row |= {encoder.variables[0]: row["value"]}
        assert encoder.unit in UNITS
        return "a visit of one patient", lambda: stream.push(row)
