"""`AnomalyDetector`: what is strange in series, or in sequences of events."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.tasks.anomaly.parameters import AnomalyParameters
from ostinato.tasks.anomaly.task import AnomalyTask
from ostinato.tasks.base.alarms import merged
from ostinato.tasks.base.estimator import Estimator


class AnomalyDetector(Estimator[AnomalyTask], AnomalyParameters):
    """What is strange in series of one or many channels, or in sequences of event keys.

    `fit` takes a path, a data frame, a mapping or an array; see `ostinato.data.read_table`. Rows are taken as they were
    recorded: clocks that are set back, gaps and missing values do no harm. Nothing needs to be labelled; with `labels`
    (a column, or a file of windows) known anomalies are not learned from, and what is found is judged by them. With
    `id` and `event` it is about sequences of events. Its parameters are those of `AnomalyParameters`.

    Sources: S. Ahmad et al., "Unsupervised real-time anomaly detection for streaming data", 2017; A. Siffer et al.,
    "Anomaly detection in streams with extreme value theory", 2017; P. Malhotra et al., "LSTM-based encoder-decoder for
    multi-sensor anomaly detection", 2016; M. Du et al., "DeepLog", 2017.

    >>> import numpy as np
    >>> from ostinato import AnomalyDetector
    >>> wave = np.sin(np.arange(600) / 8) + np.random.default_rng(0).normal(0, 0.05, 600)
    >>> model = AnomalyDetector(hidden_size=8, epochs=4, progress=False).fit(wave)
    >>> wave[300] += 3
    >>> bool(model.predict(wave)[300])
    True
    """

    task = AnomalyTask()

    def predict(self, source: Any) -> NDArray[np.bool_]:
        """Return where there is an alarm: for each row of series `(rows,)`, or for each sequence of events.

        Raises:
            DataError: the source cannot be read.
        """
        return np.concatenate([found.alarms for found in self._found(source)])

    def score_samples(self, source: Any) -> NDArray[np.float64]:
        """Return how strange each row, or sequence, is; higher is stranger, NaN where nothing can be said."""
        return np.concatenate([found.scores for found in self._found(source)])

    def events(self, source: Any) -> list[dict[str, Any]]:
        """Return the alarms of a source, those near each other as one: from, to, steps, the highest score, its reason.

        Raises:
            DataError: the source cannot be read.
        """
        rows = list(self.answers(source))
        owners = [row.get("series", row.get("id", "")) for row in rows]
        found, begin = [], 0
        for place in range(1, len(rows) + 1):
            if place < len(rows) and owners[place] == owners[begin]:
                continue
            marks = np.array([row["alarm"] for row in rows[begin:place]])
            found += [_event(rows[begin + a : begin + b]) for a, b in merged(marks, self.merge)]
            begin = place
        return found

    def _found(self, source: Any) -> list[Any]:
        model = self._model()
        pieces = self.task.pieces(model, source)
        return [self.task.predict(model, self.task.encode(model, records)) for records in pieces]


def _event(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return one alarm of its rows."""
    key = next(name for name in ("time", "row", "place") if name in rows[0])
    best = max((row for row in rows if row["alarm"]), key=lambda row: row["score"])
    told = _told(rows)
    whose: dict[str, Any] = {name: rows[0][name] for name in ("series", "id") if name in rows[0]}
    return {
        **whose,
        "from": rows[0][key],
        "to": rows[-1][key],
        "steps": len(rows),
        "score": best["score"],
        "probability": best["probability"],
        "reason": told["reason"],
    }


def _told(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the row whose reason stands for an alarm: of the kind that most of its rows have, the strangest."""
    kinds = [re.sub(r"[-+.\d]+(e[-+]?\d+)?", "", row["reason"].partition(";")[0]) for row in rows]
    counts = Counter(kind for kind, row in zip(kinds, rows, strict=True) if row["alarm"])
    most = max(counts.values())
    chosen = [row for kind, row in zip(kinds, rows, strict=True) if row["alarm"] and counts[kind] == most]
    return max(chosen, key=lambda row: row["score"])
