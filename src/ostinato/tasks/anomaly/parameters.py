"""The parameters of an anomaly detector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from ostinato.options import Cell, data, model, training
from ostinato.tasks.base.about import About, Demonstration, Extra, TimedTables
from ostinato.training.config import Optimizer, Schedule


@dataclass(kw_only=True, eq=False, repr=False)
class AnomalyParameters(TimedTables):
    """The parameters of an `AnomalyDetector`."""

    about: ClassVar[About] = About(
        name="anomaly",
        kind="anomaly detector",
        help="find what is strange in series or in sequences of events",
        description="Learn what is usual in series, or in sequences of events, and score each step by how seldom it "
        "comes: live or in files, with alarms at a stated rate of false ones.",
        examples="""
  ostinato fit anomaly load.csv --target load --out model
  ostinato fit anomaly sensors.csv --target pressure,flow --series-id pump --false-alarm-rate 0.001 --out model
  ostinato fit anomaly load.csv --target load --labels windows.json --out model     known anomalies, in a file
  ostinato fit anomaly log.csv --id block --event template --out model               what comes next, of event keys
  ostinato fit anomaly sessions.txt --method events --out model                      a session of keys a line
  ostinato fit anomaly app.log --out model                                           a raw log, its lines in runs
  ostinato fit anomaly hdfs.log --id 'blk_-?\\d+' --out model                        a raw log, its lines by block""",
        files="a table of series (CSV, Parquet, JSON lines, .npy), a log of events, sessions of keys, one a line, or a "
        "raw log (.log)",
        tables=True,
        answers="table",
        hint="ostinato predict {out} FILE scores each step of a file; ostinato stream {out} as they come",
        extras={
            "evaluate": (Extra("labels", str, "what is anomalous in FILE: a column, or a file of windows"),),
            "stream": (
                Extra("series_id", str, "which series it is, if the model has several"),
                Extra("cold", bool, "start from nothing, not from the end of the training data"),
            ),
        },
        demos=(
            Demonstration(
                "anomaly",
                "A made series with a spike, a shift, another period and a flat line, found live",
                "ostinato.tasks.anomaly.demo:demonstrate",
            ),
        ),
    )
    unsized: ClassVar[frozenset[str]] = frozenset({"season", "window", "short_run", "long_run", "adaptation"})

    target: str | Sequence[str] | None = data(None, "columns to watch", absent="y, or all numeric ones")
    time: str | None = data(None, "column of times; several joined by +, as year+month+day+hour", absent="found")
    series_id: str | None = data(None, "column that names the series", absent="unique_id if it is there")
    id: str | None = data(
        None,
        "column that says to which sequence an event belongs; of a raw log, a regular expression of what names it",
        absent="none; of a raw log, lines are taken in runs",
    )
    event: str | None = data(None, "column of event keys; with it, events are learned", absent="none: series")
    labels: str | None = data(
        None, "what is anomalous: a column, or a file of windows (CSV of start and end, or JSON)", absent="not known"
    )
    validation: float = data(
        0.2, "share at the end of training that decides when to stop and calibrates", low=0, below=1
    )
    test: float = data(0.1, "share at the end that is held out to be judged on", low=0, below=1)
    method: Literal["auto", "forecast", "reconstruct", "events", "logs"] = model(
        "auto",
        "what is strange: a step that was not expected, a window that is not like others, an event, or a line of a raw "
        "log (which a file .log is)",
    )
    cell: Cell = model("gru", "recurrent cell, any of docs/cells.md")
    hidden_size: int = model(32, "units of a layer", low=1)
    num_layers: int = model(1, "layers", low=1)
    dropout: float = model(0.0, "of outputs, between layers and before the last linear layer", low=0, below=1)
    embedding_size: int = model(16, "features of an event key", low=1)
    code_size: int = model(8, "features of the code of a window, where windows are reconstructed", low=1)
    window: int = model(32, "steps that are reconstructed", low=2)
    season: int | None = model(None, "steps of a season; 1 for none", low=1, absent="found in the training part")
    short_run: int = model(10, "steps of a short run, over which errors are averaged", low=2)
    long_run: int = model(60, "steps of a long run", low=2)
    adaptation: int | None = model(
        None, "steps in which what is usual is learned again", low=10, absent="as many as there are to train on"
    )
    log_run: int = data(50, "lines of a raw log that are one sequence, where no id names one", low=2)
    false_alarm_rate: float = data(
        1e-4,
        "false alarms a step that are accepted, a run of steps with one counted once (of events: a sequence)",
        above=0,
        below=1,
    )
    threshold: Literal["rate", "labels"] = data(
        "rate", "what alarms are set by: the accepted rate, or the labels of the validation part"
    )
    top: int | None = data(
        None, "an event is strange unless it is among so many expected ones (DeepLog)", low=1, absent="by probability"
    )
    merge: int = data(10, "steps without an alarm, up to which two alarms are one", low=0)
    steps: int = training(128, "steps of a training sequence", low=2)
    batch_size: int = training(16, "sequences in a batch", low=1)
    epochs: int | None = training(None, "passes, at most", low=1, absent="as many as make 800 steps, 8 to 60")
    optimizer: Optimizer = training("adamw", "what moves the weights; sgd with momentum")
    learning_rate: float = training(5e-3, "the highest step size, which the schedule moves below", above=0)
    schedule: Schedule = training("one_cycle", "how the learning rate falls from the first step to the last")
    patience: int | None = training(10, "epochs without a better validation loss before training stops", low=1)

    @property
    def of_events(self) -> bool:
        """Whether events are learned, rather than series."""
        return self.method in ("events", "logs") or (self.method == "auto" and self.event is not None)
