"""Event logs: the next activity and the time to it, on logs that others report on.

    python benchmarks/events.py helpdesk [--seeds 3]      the help desk log, 13,710 events, beside published figures

Published: N. Tax, I. Verenich, M. La Rosa and M. Dumas, "Predictive business process monitoring with LSTM neural
networks", CAiSE 2017: next activity 71.23 % and next time 3.75 days (mean absolute error).
The protocol is read from the authors' scripts (github.com/verenich/ProcessSequencePrediction, train.py and
evaluate_next_activity_and_time.py): the first two thirds of the cases, in the order of the file, train; every prefix of
two or more events after which there is another event is judged, so that the end of a case is never what is to be
predicted, though a model may predict it and is then wrong; times are judged on the same prefixes.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from cell_tasks import stamp
from common import data_file, keep, table
from ostinato import EventPredictor
from ostinato.tasks.base.holding_out import Shares
from ostinato.tasks.base.judging import Scores

COLUMNS = {"case": "CaseID", "activity": "ActivityID", "time": "CompleteTimestamp"}
OPTIONS: dict[str, Any] = {"time_loss": "mae", "progress": False}
PROTOCOLS = {
    "published": ("file", {"first_prefix": 2, "count_end": False}),
    "all prefixes, ends counted": ("file", {}),
    "by start of case, all prefixes, ends counted": ("start", {}),
}
MEASURES = ("accuracy", "macro F1", "cross-entropy", "MAE next, days", "MAE left, days")


def scored(model: EventPredictor, path: Path, protocol: dict[str, Any]) -> Scores:
    """Judge a fitted model and its baselines on its own test cases by another protocol."""
    parts = model.task.hold_out(model, model.task.read(model, path), Shares(model.validation, model.test))
    return model.evaluate(parts.test, **protocol)


def helpdesk(seeds: int) -> None:
    """Fit on the help desk log by the published split, and by the time of the cases' start."""
    path = data_file("helpdesk_events/helpdesk.csv")
    found: dict[str, list[Scores]] = {name: [] for name in PROTOCOLS}
    seconds = []
    for seed in range(seeds):
        for order in ("file", "start"):
            model = EventPredictor(order=order, seed=seed, **COLUMNS, **OPTIONS)  # type: ignore[arg-type]
            began = time.perf_counter()
            model.fit(path)
            seconds.append(time.perf_counter() - began)
            for name, (own, protocol) in PROTOCOLS.items():
                if own == order:
                    found[name].append(scored(model, path, protocol))
    weights = sum(own.numel() for own in model.fitted_.model.network.parameters())
    sections = [
        f"# Event logs: help desk\n\n{stamp()}; {weights:,} weights, {seeds} seeds, {statistics.mean(seconds):.0f} s "
        f"a fit, one thread\n\n`{EventPredictor(**COLUMNS, **OPTIONS)!r}`\n\n"
        "Published (Tax et al., 2017): accuracy 0.7123, next time 3.75 days. Means over seeds."
    ]
    for name, scores in found.items():
        sections.append(f"## {name}\n\n{scores[0].protocol}; {scores[0].count:,} prefixes.\n\n{rows_of(scores)}")
    keep("events-helpdesk.md", "\n\n".join(sections))


def rows_of(scores: list[Scores]) -> str:
    """Return the mean of each measure over seeds as a table; with the deviation, for the model."""
    rows = []
    for name in scores[0].values:
        row: list[object] = [name]
        for measure in MEASURES:
            own = [one.values[name][measure] for one in scores if measure in one.values[name]]
            spread = f" ± {statistics.stdev(own):.4f}" if len(own) > 1 and name == "model" else ""
            row.append(f"{statistics.mean(own):.4f}{spread}" if own else "")
        rows.append(row)
    return table(["", *MEASURES], rows)


def main() -> None:
    """Run one of the benchmarks."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("helpdesk",))
    parser.add_argument("--seeds", type=int, default=3, help="fits of each split (3)")
    own = parser.parse_args()
    torch.set_num_threads(1)
    helpdesk(own.seeds)


if __name__ == "__main__":
    main()
