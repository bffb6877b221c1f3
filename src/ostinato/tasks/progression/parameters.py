"""The parameters of a model of progression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from ostinato.options import Cell, data, model, training
from ostinato.tasks.base.about import About, Extra, TimedTables
from ostinato.training.config import Optimizer, Schedule

NOTICE = "This is no medical device."
"""What is said wherever a risk is shown."""
_AHEAD = Extra(
    "ahead", float, "how far ahead next values are predicted, in the unit of times (that of a usual next visit)"
)


@dataclass(kw_only=True, eq=False, repr=False)
class ProgressionParameters(TimedTables):
    """The parameters of a `ProgressionModel`."""

    about: ClassVar[About] = About(
        name="progression",
        kind="progression model",
        help="tell the risk of events and next values from the visits of patients",
        description="Train a recurrent model on visits of patients, with the time of follow-up and the event that "
        "ended it; hold some patients out, and show it beside Cox's model at landmarks, Kaplan-Meier, the last value "
        f"carried forward and a linear model. {NOTICE}",
        examples="""
  ostinato fit progression visits.csv --id id --time day --time-unit days --event status --follow-up futime --out model
  ostinato fit progression visits.csv --id id --time day --event status --event-code 2 --landmarks 365,1096 --out model
  ostinato predict model new.csv                  the risk of each patient after the last visit, and next values
  ostinato predict model new.csv --visits         after each visit too
  ostinato stream model < visits.jsonl            visit by visit, of many patients at once""",
        files="visits: a row each (a column a variable), or a row a measurement (variable, value)",
        tables=True,
        hint="ostinato predict {out} FILE tells the risk of other patients; ostinato report {out} shows the model. "
        + NOTICE,
        extras={
            "predict": (Extra("visits", bool, "what is predicted after each visit too"), _AHEAD),
            "stream": (_AHEAD,),
        },
        search=("cell=gru,gru-d", "hidden_size=16,32", "dropout=0.2,0.4", "learning_rate=0.001,0.003"),
    )
    cells_beside: ClassVar[frozenset[str]] = frozenset({"gru-d", "cfc", "t-lstm"})

    id: str | None = data(None, "column of patients", absent="found: patient, id, RecordID, ...")
    time: str | None = data(None, "column of times of visits", absent="found: time, day, ...")
    variable: str | None = data(None, "column of what was measured", absent="found; without one the table is wide")
    value: str | None = data(None, "column of its value", absent="found")
    time_unit: Literal["hours", "minutes", "seconds", "days", "years"] | None = data(
        None, "unit of times that are numbers", absent="days, said so"
    )
    event: str = data("event", "column of the event that ended follow-up: 0 censored; 1, 2, ... which one")
    follow_up: str | None = data(None, "column of when follow-up ended", absent="found: follow_up, futime, ...")
    event_code: int | None = data(None, "the event that measures are of", low=1, absent="the most frequent")
    landmarks: Sequence[float] = data(
        (), "times at which risks are judged, in the unit of times", absent="three, by follow-up"
    )
    horizon: float | None = data(
        None, "how far behind a landmark risks are judged", above=0, absent="half of the time that is predicted"
    )
    horizons: Sequence[float] = data((), "times ahead of which risks are predicted", absent="three, by follow-up")
    leave_out: str | Sequence[str] = data((), "variables that are not read")
    limits: str | Sequence[str] = data((), "what variables can be, bili=0:60; others are no values", absent="as known")
    validation: float = data(0.15, "share of the patients that decides when to stop", low=0, below=1)
    test: float = data(0.2, "share of the patients that is held out to be judged on", low=0, below=1)
    cell: Cell = model("gru", "recurrent cell, any of docs/cells.md but transformer; gru-d, cfc and t-lstm read gaps")
    hidden_size: int = model(16, "units of a layer", low=1)
    num_layers: int = model(1, "layers", low=1)
    members: int = model(3, "networks, trained together, whose probabilities are averaged", low=1)
    steps_ahead: int = model(12, "intervals of the time ahead", low=2, high=200)
    dropout: float = model(0.3, "of what heads read", low=0, below=1)
    variable_dropout: float = model(0.1, "share of variables of a patient hidden in training", low=0, below=1)
    batch_size: int = training(32, "patients of a batch", low=1)
    epochs: int | None = training(
        None, "passes over the training patients, at most", low=1, absent="as many as make 600 steps, 8 to 60"
    )
    optimizer: Optimizer = training("adamw", "what moves the weights; sgd with momentum")
    learning_rate: float = training(2e-3, "the highest step size, which the schedule moves below", above=0)
    weight_decay: float = training(0.03, "L2 penalty (sgd, adam), or decoupled decay (adamw)", low=0)
    schedule: Schedule = training("one_cycle", "how the learning rate falls from the first step to the last")
    patience: int | None = training(12, "epochs without a better validation loss before training stops", low=1)

    unsized: ClassVar[frozenset[str]] = frozenset({"steps_ahead"})

    @property
    def left_out(self) -> tuple[str, ...]:
        """The variables that are not read."""
        return (self.leave_out,) if isinstance(self.leave_out, str) else tuple(map(str, self.leave_out))
