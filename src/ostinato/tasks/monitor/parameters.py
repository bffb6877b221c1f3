"""The parameters of a patient monitor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from ostinato.options import Cell, data, model, training
from ostinato.tasks.base.about import About, Demonstration, Extra, TimedTables
from ostinato.training.config import Optimizer, Schedule

NOTICE = "This is no medical device."
"""What is said wherever a risk is shown."""
_OUTCOMES = Extra("outcomes", str, "the table of outcomes, if it is another file than that of the fit", file=True)


@dataclass(kw_only=True, eq=False, repr=False)
class MonitorParameters(TimedTables):
    """The parameters of a `PatientMonitor`."""

    about: ClassVar[About] = About(
        name="monitor",
        kind="patient monitor",
        help="tell the risk of an outcome from irregular measurements of patients",
        description="Train a recurrent model on the measurements of patients as they were recorded, hold some patients "
        f"out, and show it beside logistic regression on their last, mean, least and greatest values. {NOTICE}",
        examples="""
  ostinato fit monitor events.csv --id patient --time hours --variable name --value value \\
      --outcomes outcomes.csv --outcome died --out model
  ostinato fit monitor set-a.tar.gz --outcomes Outcomes-a.txt --outcome In-hospital_death --out model
  ostinato fit monitor vitals.csv --outcomes sepsis.csv --outcome sepsis --outcome-time onset --window 12 --out model
  ostinato predict model new.csv                  the risk of each patient
  ostinato stream model < measurements.jsonl      after each measurement, of many patients at once""",
        files="measurements: a long table (a row each), a wide one (a column a variable), or a folder or archive with "
        "a file for each patient; a second file: the outcomes",
        count=2,
        tables=True,
        hint="ostinato predict {out} FILE tells the risk of other patients; ostinato report {out} shows the model. "
        + NOTICE,
        extras={
            "evaluate": (_OUTCOMES,),
            "predict": (
                Extra("hourly", bool, "the risk at every hour too"),
                Extra("explain", float, "which variables changed the risk over so many hours (6)", bare=6.0),
            ),
            "stream": (Extra("late", float, "hours that a measurement may be late (0); later ones are refused"),),
        },
        search=("cell=gru-d,gru", "hidden_size=16,32,64", "dropout=0.2,0.4", "learning_rate=0.001,0.003"),
        demos=(
            Demonstration(
                "health",
                "A ward made on the spot: 600 patients, irregular measurements, some deteriorate",
                "ostinato.tasks.monitor.demo:run",
            ),
        ),
    )
    cells_beside: ClassVar[frozenset[str]] = frozenset({"gru-d", "cfc", "t-lstm"})

    id: str | None = data(None, "column of patients", absent="found: patient, id, RecordID, ...")
    time: str | None = data(None, "column of times", absent="found: time, hours, ...")
    variable: str | None = data(None, "column of what was measured", absent="found; without one the table is wide")
    value: str | None = data(None, "column of its value", absent="found")
    time_unit: Literal["hours", "minutes", "seconds", "days", "years"] | None = data(
        None, "unit of times that are numbers", absent="hours, said so"
    )
    admission: str | None = data(None, "column of admissions, where times are dates", absent="the first measurement")
    outcomes: str | None = data(None, "table of outcomes, a row a patient", absent="a second file, or in the data")
    outcome: str = data("outcome", "column of the outcome: 1 or 0, yes or no")
    outcome_time: str | None = data(None, "column of when it came", absent="it is not known")
    window: float | None = data(
        None, "hours ahead within which the outcome is predicted", above=0, absent="at any time"
    )
    until: float | None = data(None, "hours after admission, later measurements are not read", above=0, absent="all")
    statics: str | None = data(None, "table of what is known at admission, a row a patient", absent="none")
    leave_out: str | Sequence[str] = data((), "variables that are not read")
    limits: str | Sequence[str] = data((), "what variables can be, HR=20:300; others are no values", absent="as known")
    tick: float | None = data(
        None, "hours between risks where nothing is measured", above=0, absent="1, for long stays more"
    )
    alarm_rate: float = data(0.25, "alarms a patient-day that the threshold is set for", above=0)
    silence: float = data(8.0, "hours after an alarm in which there is no other of that patient", low=0)
    validation: float = data(0.15, "share of the patients that decides when to stop", low=0, below=1)
    test: float = data(0.2, "share of the patients that is held out to be judged on", low=0, below=1)
    cell: Cell = model("gru-d", "recurrent cell, any of docs/cells.md, or transformer; gru-d, cfc and t-lstm read gaps")
    hidden_size: int = model(32, "units of a layer", low=1)
    num_layers: int = model(1, "layers", low=1)
    members: int = model(3, "networks, trained together, whose probabilities are averaged", low=1)
    dropout: float = model(0.3, "of what heads read", low=0, below=1)
    variable_dropout: float = model(0.1, "share of variables of a patient hidden in training", low=0, below=1)
    batch_size: int = training(64, "patients of a batch", low=1)
    epochs: int | None = training(
        None, "passes over the training patients, at most", low=1, absent="as many as make 700 steps, 8 to 60"
    )
    optimizer: Optimizer = training("adamw", "what moves the weights; sgd with momentum")
    learning_rate: float = training(3e-3, "the highest step size, which the schedule moves below", above=0)
    weight_decay: float = training(0.01, "L2 penalty (sgd, adam), or decoupled decay (adamw)", low=0)
    schedule: Schedule = training("one_cycle", "how the learning rate falls from the first step to the last")
    patience: int | None = training(12, "epochs without a better validation loss before training stops", low=1)

    @property
    def left_out(self) -> tuple[str, ...]:
        """The variables that are not read."""
        return (self.leave_out,) if isinstance(self.leave_out, str) else tuple(map(str, self.leave_out))
