"""`ostinato fit events FILE --case COL --activity COL --time COL --out DIR`."""

from __future__ import annotations

from ostinato.cli.options import TIME_OPTIONS, Option, yes_or_no
from ostinato.cli.recipe import TRAINING, Recipe


def _column_or_none(text: str) -> str:
    """Return a column, or the empty text for the word that there is none."""
    return "" if text == "none" else text


RECIPE = Recipe(
    name="events",
    estimator="ostinato.tasks.events:EventPredictor",
    help="foretell the next event of a case, and when it comes",
    description="Train a recurrent model on an event log, hold out its last cases, and show it beside models that "
    "count what follows the last activities.",
    epilog="""examples:
  ostinato fit events helpdesk.csv --case CaseID --activity ActivityID --time CompleteTimestamp --out model
  ostinato fit events clicks.jsonl --case session --activity page --time at --cell gru --out model
  ostinato predict model running.csv              what comes next in each case
  ostinato stream model < events.jsonl            after each event, of many cases at once
""",
    file_help="an event log: one event a row; CSV, TSV, Parquet or JSON lines",
    options=(
        Option("data", "case", str, "column that says to which case an event belongs (case)"),
        Option("data", "activity", str, "column of what happened (activity)"),
        Option("data", "time", _column_or_none, 'column of when (time), or "none": rows are in order'),
        *TIME_OPTIONS,
        Option("data", "order", str, "by what cases are the last ones (start)", ("start", "file")),
        Option("data", "validation", float, "share of the cases, after the test's, that decides when to stop (0.2)"),
        Option("data", "test", float, "share of the last cases that is held out (1/3)"),
        Option("data", "first_prefix", int, "events of a case that are seen before it is judged (1)"),
        Option("model", "cell", str, "recurrent cell, any of docs/cells.md, or transformer (lstm)"),
        Option("model", "embedding_size", int, "features of an activity (16)"),
        Option("model", "hidden_size", int, "units (64)"),
        Option("model", "num_layers", int, "layers (1)"),
        Option("model", "context", int, "events that a transformer looks back on (64)"),
        Option("model", "dropout", float, "of layers' outputs (0.2)"),
        Option("model", "activity_dropout", float, "share of activities taken for unknown ones (0.02)"),
        Option("model", "time_loss", str, "of times (lognormal)", ("lognormal", "log_mae", "mae")),
        Option("model", "time_weight", float, "of the loss of times beside that of activities (0.2)"),
        Option(
            "training", "refit", yes_or_no, '"yes": once more, with the cases that decided when to stop; "no" (yes)'
        ),
        *TRAINING,
    ),
    tables=True,
    hint="ostinato predict {out} FILE tells what comes next; ostinato report {out} shows the model",
)
