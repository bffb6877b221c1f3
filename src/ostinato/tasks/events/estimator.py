"""`EventPredictor`: what happens next in a case, and when."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.tasks.base.estimator import Estimator
from ostinato.tasks.events.continuation import continue_case
from ostinato.tasks.events.parameters import EventParameters
from ostinato.tasks.events.task import EventTask, whole_case_scores


class EventPredictor(Estimator[EventTask], EventParameters):
    """What happens next in a case, and when, learned from an event log.

    A recurrent network reads the events of a case in order: the activity, the time since the event before and since
    the first, the time of day and the weekday, how often each activity came, and the other columns of the log. After
    each it predicts the next activity, or the end of the case, and if the case continues the time until the next event
    and until the last one. Its probabilities are mixed with those of boosted trees and counts, see `Mixture`.

    `fit` takes a path, an `ostinato.data.EventLog`, or anything else that `ostinato.data.read_table` takes; one event a
    row. Its parameters are those of `EventParameters`.

    Source: N. Tax, I. Verenich, M. La Rosa and M. Dumas, "Predictive business process monitoring with LSTM neural
    networks", CAiSE 2017.

    >>> from ostinato import EventPredictor
    >>> log = {"case": [], "activity": [], "time": []}
    >>> for number in range(60):
    ...     for hour, what in enumerate(["open", "check", "close"]):
    ...         for name, value in (("case", number), ("activity", what), ("time", f"2024-01-31 {hour + 8}:00")):
    ...             log[name].append(value)
    >>> model = EventPredictor(hidden_size=16, epochs=20, learning_rate=0.01, members=1, progress=False).fit(log)
    >>> stream = model.stream()
    >>> stream.push({"case": "new", "activity": "open", "time": "2024-02-01 08:00"})["next"]
    'check'
    """

    task = EventTask()

    @property
    def classes_(self) -> NDArray[Any]:
        """What may come next, the end of the case last."""
        return np.array(self._checked().model.encoder.labels[:-1])

    def predict(self, source: Any) -> NDArray[Any]:
        """Return what comes next in each case of a log, `(cases,)`, in the order in which they first come."""
        return np.array([answer["next"] for answer in self.answers(source)])

    def predict_proba(self, source: Any) -> NDArray[np.float64]:
        """Return the probability of all that may come next, `(cases, classes)`, in the order of `classes_`."""
        rows = [[answer["probabilities"][name] for name in self.classes_] for answer in self.answers(source)]
        return np.array(rows).reshape(-1, len(self.classes_))

    def continue_case(
        self, events: Sequence[Mapping[str, Any]], *, length: int = 50, sample: bool = False, seed: int = 0
    ) -> list[dict[str, Any]]:
        """Return how a case is expected to continue.

        Args:
            events: of the case so far, as `stream` takes them.
            length: events to add at most.
            sample: draw each activity by its probability, rather than take the most probable.
            seed: of what is drawn.

        Returns:
            Events as they were given, each with its `probability`; times are medians. The last is `"(end of case)"`
            if it comes within `length`.

        Raises:
            UsageError: there are no events.
            StreamRowError: an event does not fit the model.
        """
        return continue_case(self.stream(max_cases=1), events, length=length, sample=sample, seed=seed)

    def score_cases(self, source: Any | Iterable[str]) -> Iterator[dict[str, Any]]:
        """Yield how strange each case of a log is.

        Args:
            source: as in `answers`.

        Yields:
            `score`: the mean negative log-likelihood, in nats, of the case's activities and of its end: higher is
            stranger; the `case`; the `strangest` of its activities, and its `place` from 1. An activity that was not
            seen in training counts as less than once among all training cases.

        Raises:
            DataError: the log cannot be read.
        """
        model = self._model()
        for log in self.task.pieces(model, source):
            yield from whole_case_scores(model, self.task, log)
