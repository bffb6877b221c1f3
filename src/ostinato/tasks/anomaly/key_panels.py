"""What a report shows of a detector of events: the strangest sequences, how scores are spread, how true the rate is."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ostinato.data import EventLog
from ostinato.tasks.anomaly.key_scoring import END, Found, KeyEncoder, KeyExamples
from ostinato.tasks.base.summary import Curve, Panel, Table

_SHOWN, _FEWEST = 12, 5


def groups_of(alarms: NDArray[np.bool_], labels: NDArray[np.bool_] | None) -> list[str]:
    """Return what each record is called in a picture: by its label where there is one, else by its alarm."""
    if labels is None:
        return [("no alarm", "alarm")[int(each)] for each in alarms]
    return [("normal", "anomalous")[int(each)] for each in labels]


def key_panels(encoder: KeyEncoder, log: EventLog, examples: KeyExamples, predicted: Found) -> Iterator[Panel]:
    """Yield the panels of sequences that were held out."""
    order = np.argsort(-predicted.scores, kind="stable")[:_SHOWN].tolist()
    rows = []
    for row in order:
        assert predicted.nats is not None
        nats, names = predicted.nats[row], [*log.activities[row], END]
        place = int((nats if encoder.ends else nats[:-1]).argmax())
        before = " ".join(names[max(0, place - 4) : place])
        label = "" if examples.labels is None else "anomalous" if examples.labels[row] else "normal"
        rows.append((log.cases[row], float(predicted.scores[row].round(2)), names[place], place + 1, before, label))
    yield Table(
        "The strangest sequences", ("sequence", "score", "event", "place", "after", "label"), tuple(rows),
        f"there is an alarm from {encoder.threshold:.3g} on: {encoder.chosen}",
    )  # fmt: skip
    scores = predicted.scores if examples.labels is None else predicted.scores[~examples.labels]
    few = examples.labels is None and 0 < predicted.alarms.sum() < _FEWEST  # they may be real, and no broken promise
    if encoder.top is None and len(scores) and not few:
        heights = np.linspace(0, max(float(scores.max()), encoder.threshold), 40)
        counted = [float((scores >= height).mean()) for height in heights]
        yield Curve(
            "False alarms a sequence, by the height of the threshold", tuple(heights.tolist()),
            {
                "promised": tuple(encoder.tail.probability(float(height)) for height in heights),
                "counted on held-out sequences": tuple(each if each else float("nan") for each in counted),
            },
            "threshold, nats", "alarms a sequence", logarithmic=True,
        )  # fmt: skip
