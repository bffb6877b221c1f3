"""The parameters of an event predictor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from ostinato.options import Cell, data, model, training
from ostinato.tasks.base.about import About, TimedTables
from ostinato.training.config import Optimizer, Schedule

TimeLoss: TypeAlias = Literal["lognormal", "log_mae", "mae"]


@dataclass(kw_only=True, eq=False, repr=False)
class EventParameters(TimedTables):
    """The parameters of an `EventPredictor`."""

    about: ClassVar[About] = About(
        name="events",
        kind="event predictor",
        help="predict the next event of a case, and when it comes",
        description="Train a recurrent model on an event log, hold out its last cases, and show it beside models that "
        "count what follows the last activities.",
        examples="""
  ostinato fit events helpdesk.csv --case CaseID --activity ActivityID --time CompleteTimestamp --out model
  ostinato fit events clicks.jsonl --case session --activity page --time at --cell gru --out model
  ostinato predict model running.csv              what comes next in each case
  ostinato stream model < events.jsonl            after each event, of many cases at once""",
        files="an event log: one event a row; CSV, TSV, Parquet or JSON lines",
        tables=True,
        hint="ostinato predict {out} FILE tells what comes next; ostinato report {out} shows the model",
    )

    case: str = data("case", "column that says to which case an event belongs")
    activity: str = data("activity", "column of what happened")
    time: str | None = data("time", "column of when it happened; none: rows are in order")
    covariates: str | Sequence[str] | None = data(
        None, "other columns that are known at an event; none: not any", absent="all that tell something"
    )
    order: Literal["start", "file"] = data("start", "what the last cases are: those that start last, or of the file")
    validation: float = data(0.2, "share of the cases, after the test's, that decides when to stop", low=0, below=1)
    test: float = data(1 / 3, "share of the last cases that is held out to be judged on", low=0, below=1)
    first_prefix: int = data(1, "events that a prefix of a case has at least, to be judged", low=1)
    count_end: bool = data(True, "judge the end of a case too, as what comes next")
    cell: Cell = model("lstm", "recurrent cell, any of docs/cells.md, or transformer")
    embedding_size: int = model(16, "features of an activity", low=1)
    hidden_size: int = model(64, "units of a layer", low=1)
    num_layers: int = model(1, "layers", low=1)
    members: int = model(2, "networks, trained together, whose probabilities are averaged", low=1)
    trees: bool = model(True, "mix boosted trees in, by their worth on held-out cases (scikit-learn: extra text)")
    context: int = model(64, "events that a transformer looks back on", low=1)
    dropout: float = model(0.2, "of layers' outputs", low=0, below=1)
    activity_dropout: float = model(
        0.02, "share of activities and categories taken for unknown ones in training", low=0, below=1
    )
    time_loss: TimeLoss = model("lognormal", "of times: with quantiles (lognormal), or of a median alone")
    time_weight: float = model(0.2, "of the loss of times beside that of activities; 0: times are not learned", low=0)
    refit: bool = training(True, "train once more, with the cases that decided when to stop, which are the newest")
    batch_size: int = training(32, "cases of a batch", low=1)
    epochs: int | None = training(
        None, "passes over the training cases, at most", low=1, absent="as many as make 1,500 steps, 5 to 150"
    )
    optimizer: Optimizer = training("adamw", "what moves the weights; sgd with momentum")
    learning_rate: float = training(3e-3, "the highest step size, which the schedule moves below", above=0)
    schedule: Schedule = training("one_cycle", "how the learning rate falls from the first step to the last")
    patience: int | None = training(8, "epochs without a better validation loss before training stops", low=1)

    @property
    def wanted(self) -> tuple[str, ...] | None:
        """The covariates that are asked for; `None`: those that tell something."""
        if self.covariates is None:
            return None
        names = (self.covariates,) if isinstance(self.covariates, str) else tuple(map(str, self.covariates))
        return () if names == ("none",) else names
