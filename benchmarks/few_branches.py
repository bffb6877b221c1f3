"""What branches of a sequence classifier that are not trained say of few examples: with and without neighbours.

    python benchmarks/few_branches.py               made kinds; --others chosen or unseen: other ones
    python benchmarks/few_branches.py --sets        the panel's sets, as `few_examples` draws them

A row takes about half a second of one core: `every channel` are random convolutions over all channels alike, `chosen`
those over channels that tell something, `neighbours` what they say alone, `both` what is said where held-out examples
decide whether these count. Networks have no part in it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.special import log_softmax

import few_examples
import other_sequences
from cell_tasks import stamp
from common import keep, table
from made_sequences import KINDS
from ostinato import SequenceClassifier
from ostinato.tasks.base.classes import calibration_error
from ostinato.tasks.classify import telling, weighing
from ostinato.tasks.classify.near import NearBranch
from ostinato.tasks.classify.plan import Plan
from ostinato.tasks.classify.sequence_task import SequenceTask
from ostinato.tasks.classify.wide import WideBranch
from panel_sets import SETS

HEAD = ["set", "channels", "every channel", "chosen", "neighbours", "both", "ms of an answer"]


def main() -> None:
    """Run what is asked for, and show the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", action="store_true")
    parser.add_argument("--others", choices=("chosen", "unseen"))
    parser.add_argument("--only", default="", help="names that hold this")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    names, drawn, kept = list(KINDS), few_examples._made, "kinds"
    if asked.sets:
        known = [name for name, entry in SETS.items() if entry.kind == "sequences"]
        names, drawn, kept = known, few_examples._drawn, "sets"
    if asked.others:
        own = {"chosen": other_sequences.CHOSEN, "unseen": other_sequences.UNSEEN}[asked.others]
        names, drawn, kept = list(own), other_sequences.made, asked.others
    rows = [row(name, drawn) for name in names if asked.only in name]
    said = "accuracy %, cross-entropy, calibration error; no networks"
    keep(f"few-branches-{kept}.md", f"{stamp()}; {said}\n\n{table(HEAD, rows)}")


def row(name: str, drawn: Callable[[str, int], Any]) -> list[object]:
    """Return what is said of a set."""
    task, parameters = SequenceTask(), SequenceClassifier(max_seconds=30)
    learned, judged = (task.read(parameters, part) for part in drawn(name, 0))
    encoder = task.encoder(parameters, learned)
    plan, arrays, targets = Plan.of(parameters, encoder), encoder.encode(learned), encoder.classes.numbers(learned)
    asked, truth = [torch.from_numpy(each) for each in encoder.encode(judged)], encoder.classes.numbers(judged)
    counts, found = np.ones(len(targets)), []
    for most in (0, telling._MOST):  # channels of which some are chosen: none, then as by default
        telling._MOST, usual = most, telling._MOST
        wide = WideBranch(plan.wide, values=len(encoder.channels), masked=encoder.masked)
        left_out = wide.fit(arrays, targets, 0, counts)
        telling._MOST = max(usual, most)
        found.append((wide(asked).double().numpy(), left_out))
    said = [_measured(each, truth) for each, _ in found]
    which = f"{wide.telling.sum()} of {len(wide.telling)}"
    if not plan.near.count:
        return [name, which, *said, "none", said[-1], 0.0]
    near = NearBranch(plan.near, masked=encoder.masked)
    beside = near.fit(arrays, targets, counts, wide.telling)
    began = time.process_time()
    scores = near(asked).double().numpy()
    took = 1000 * (time.process_time() - began) / len(asked)
    both = _weighed([found[-1], (scores, beside)], targets)
    return [name, which, *said, _measured(scores, truth), _measured(both, truth), took]


def _weighed(branches: list[tuple[Any, Any]], targets: Any) -> Any:
    """Return the scores of the first branch, or of both where they make left-out examples clearly more probable."""
    rows = ~np.any([np.isnan(left_out).any(1) for _, left_out in branches], 0)
    known = [left_out[rows] for _, left_out in branches]
    (alone,), without = weighing._weighed(known[:1], [1.0], targets[rows])
    shares, loss = weighing._weighed(known, [1 - weighing._NEAR, weighing._NEAR], targets[rows])
    if without - loss <= weighing._WORTH:
        return alone * branches[0][0]
    return sum(share * scores for share, (scores, _) in zip(shares, branches, strict=True))


def _measured(scores: Any, truth: Any) -> str:
    logs = log_softmax(scores, -1)
    right, sure = logs.argmax(1) == truth, np.exp(logs.max(1))
    loss = -np.maximum(logs[np.arange(len(truth)), truth], np.log(1e-12)).mean()
    return f"{100 * right.mean():.1f}, {loss:.2f}, {calibration_error(sure, right):.2f}"


if __name__ == "__main__":
    main()
