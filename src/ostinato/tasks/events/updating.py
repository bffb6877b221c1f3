"""New cases for an event predictor that is there: read with its activities and scales of time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ostinato.data import EventLog
from ostinato.tasks.events.batches import EventObjective, event_batches
from ostinato.tasks.events.cases import Log, read_log
from ostinato.tasks.events.evaluation import Protocol, score_events
from ostinato.tasks.events.fitting import Outcome, encode_part
from ostinato.tasks.events.network import EventNetwork
from ostinato.tasks.updating import NewRows, check_rows, cut, last_share


def new_cases(parameters: Mapping[str, Any], fitted: Outcome, data: Log) -> NewRows[Outcome]:
    """Return cases as a fitted model reads them, the last ones held out.

    Raises:
        DataError: they cannot be read, or are too few.
    """
    reader = fitted.reader
    log = read_log(parameters, data)
    rows = np.argsort(log.starts, kind="stable") if parameters["order"] == "start" else np.arange(len(log))
    train, validation, test = (log.take(rows[own]) for own in cut(len(log)))
    check_rows({"train": len(train), "validation": len(validation), "test": len(test)}, log.origin, "cases")
    scales, activities, seed = reader.scales, len(reader.known), parameters["seed"]
    cases = encode_part(reader, test)
    protocol = Protocol(parameters["first_prefix"], parameters["count_end"])

    def scores(own: Outcome) -> Any:
        return score_events(cases, own.reader.read(cases), reader.unit, protocol, split="")

    return NewRows(
        network=reader.network,
        objective=lambda _: EventObjective(scales, parameters["time_weight"] if reader.unit[0] else 0.0),
        train=event_batches(
            encode_part(reader, train), scales, activities, batch_size=parameters["batch_size"], shuffle=True, seed=seed
        ),
        validation=event_batches(
            encode_part(reader, validation), scales, activities, batch_size=256, shuffle=False, seed=seed
        ),
        test=event_batches(cases, scales, activities, batch_size=256, shuffle=False, seed=seed),
        renew=lambda network: _renewed(fitted, network, train),
        measures=lambda own: scores(own).values["model"],
        better=scores(fitted).better,
        source=log.origin,
        split=last_share(log.origin, len(test), "cases"),
        kept="the activities that are known, and the scales of times",
    )


def _renewed(fitted: Outcome, network: EventNetwork, train: EventLog) -> Outcome:
    firsts = Counter(fitted.firsts) + Counter(own[0] for own in train.activities)
    return replace(fitted, reader=replace(fitted.reader, network=network), firsts=dict(firsts), scores=None)
