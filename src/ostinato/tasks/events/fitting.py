"""One fit, from an event log to a trained network, its scores and its summary."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ostinato.data import EventLog
from ostinato.tasks.events.batches import EventObjective, event_batches
from ostinato.tasks.events.cases import Case, Encoded, Log, encode_log, fingerprint_of, joined, read_parts
from ostinato.tasks.events.evaluation import Baselines, Protocol, score_events
from ostinato.tasks.events.features import TimeFeatures
from ostinato.tasks.events.network import TIMES, EventNetwork, NetworkSettings, check_settings
from ostinato.tasks.events.panels import described, event_panels
from ostinato.tasks.events.prediction import Reader
from ostinato.tasks.events.times import TimeScale
from ostinato.tasks.running import Run, run_training, summary_of
from ostinato.tasks.scores import Scores
from ostinato.tasks.summary import Summary
from ostinato.training import TrainingConfig, checkpoint_path


@dataclass(frozen=True)
class Outcome:
    """What a fit gives: `run` as it was before a refit, `firsts` how many cases began with each activity."""

    reader: Reader
    firsts: Mapping[str, int]
    run: Run
    scores: Scores | None
    summary: Summary


def fit_events(
    parameters: Mapping[str, Any],
    data: Log,
    validation: Log | None,
    test: Log | None,
    directory: Path | None,
    resume: bool,
) -> Outcome:
    """Read a log, train on it, evaluate on what was held out. `parameters` are those of `EventPredictor`, by name."""
    began = time.monotonic()
    config = TrainingConfig.of(parameters)
    protocol = Protocol(parameters["first_prefix"], parameters["count_end"])
    parts = read_parts(parameters, data, validation, test)
    reader = make_reader(parameters, parts.train, config.seed)
    run = _train(parameters, reader, parts.train, parts.validation, config, directory, resume)
    learned = parts.train
    left = None if config.max_seconds is None else config.max_seconds - (time.monotonic() - began)
    if parameters["refit"] and parts.validation is not None and run.failure is None and (left is None or left > 0):
        learned = joined(parts.train, parts.validation)
        reader = make_reader(parameters, learned, config.seed)
        again = replace(config, epochs=max(run.history.best_epoch, 1), patience=None, max_seconds=left)
        folder = None if directory is None else checkpoint_path(directory).parent / "refit"  # goes with the checkpoint
        run = replace(run, failure=_train(parameters, reader, learned, None, again, folder, resume).failure)
    cases = Encoded(*(encode_part(reader, own) for own in (parts.train, parts.validation, parts.test)))
    foretold = reader.read(cases.test)
    scores = None
    if cases.test:
        baselines = Baselines(cases.train, cases.validation, len(reader.known) + 1)
        scores = score_events(cases.test, foretold, reader.unit, protocol, split=parts.protocol, baselines=baselines)
    panels = event_panels(reader, cases.test, parts.test, foretold, protocol)
    summary = summary_of(
        f"What comes next in {parts.train.origin}", "event predictor", parameters, reader.network, run, scores,
        measure="accuracy", seconds=time.monotonic() - began, data=described(parts, reader), panels=panels,
    )  # fmt: skip
    firsts = Counter(own[0] for own in learned.activities)
    return Outcome(reader, dict(firsts), run, scores, summary)


def make_reader(parameters: Mapping[str, Any], log: EventLog, seed: int) -> Reader:
    """Make what depends on the training cases, with a network that is not trained.

    Raises:
        UsageError: the settings do not go together.
    """
    known = log.kinds
    own = {field.name: parameters[field.name] for field in fields(NetworkSettings) if field.name in parameters}
    settings = NetworkSettings(**own, activities=len(known))
    check_settings(settings)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = EventNetwork(settings)
    features = TimeFeatures.fit(log.gaps)
    waits = np.concatenate([case.waits for case in encode_log(log, known, features)])
    scales = tuple(TimeScale.fit(parameters["time_loss"], waits[:, place]) for place in range(TIMES))
    timed = bool(np.isfinite(waits).any())
    unit = ("", 1.0) if not timed else ("days", 86400.0) if log.starts.dtype.kind in "mM" else ("units", 1.0)
    return Reader(network, known, features, scales, unit, log.time_format)


def encode_part(reader: Reader, log: EventLog | None) -> list[Case]:
    """Return the cases of a part of a log as numbers."""
    return [] if log is None else encode_log(log, reader.known, reader.features)


def _train(
    parameters: Mapping[str, Any],
    reader: Reader,
    log: EventLog,
    validation: EventLog | None,
    config: TrainingConfig,
    directory: Path | None,
    resume: bool,
) -> Run:
    """Train the network of a reader on the cases of a log."""
    size, activities, seed = parameters["batch_size"], len(reader.known), config.seed
    train, decide = encode_part(reader, log), encode_part(reader, validation)
    batches = event_batches(train, reader.scales, activities, batch_size=size, shuffle=True, seed=seed)
    held_out = None
    if decide:
        held_out = event_batches(decide, reader.scales, activities, batch_size=256, shuffle=False, seed=seed)
    objective = EventObjective(reader.scales, parameters["time_weight"] if reader.unit[0] else 0.0)
    return run_training(
        reader.network, objective, batches, held_out, config,
        directory=directory, resume=resume, fingerprint=fingerprint_of(log, validation),
    )  # fmt: skip
