"""Sequence classifiers by default options where there are few examples, beside what stands beside them.

    python benchmarks/few_examples.py                   made kinds, 60 examples to learn from and 200 to be judged on
    python benchmarks/few_examples.py --others unseen   other made kinds, by which nothing was chosen
    python benchmarks/few_examples.py --sets --seeds 2  the panel's sets: a few of each class of the training part

Of the panel's sets the official test parts are not looked at: what is judged is the rest of the training part, 150
sequences of it at most.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import other_sequences
from cell_tasks import stamp
from common import keep, table
from made_sequences import KINDS, made
from panel_sets import SETS

_LEARNED, _JUDGED = 60, 200
_OF_A_SET, _JUDGED_OF_A_SET = 40, 150
_OTHERS = {"chosen": other_sequences.CHOSEN, "unseen": other_sequences.UNSEEN}
_MEASURES = ("accuracy", "cross-entropy", "calibration error")
Parts = tuple[tuple[list[Any], list[Any]], tuple[list[Any], list[Any]]]
Drawn = Callable[[str, int], Parts]


def main() -> None:
    """Run what is asked for, and show the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", action="store_true", help="the panel's sets in place of made kinds")
    parser.add_argument("--others", choices=sorted(_OTHERS), help="other made kinds")
    parser.add_argument("--only", default="", help="names that hold this")
    parser.add_argument("--seconds", type=float, default=7, help="of each fit at most")
    parser.add_argument("--seeds", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    known = [name for name, entry in SETS.items() if entry.kind == "sequences"] if asked.sets else list(KINDS)
    drawn, kept = (_drawn, "sets") if asked.sets else (_made, "kinds")
    if asked.others:
        known, drawn, kept = list(_OTHERS[asked.others]), other_sequences.made, asked.others
    rows = [
        _row(name, seed, drawn, asked.seconds)
        for name in known if asked.only in name for seed in range(asked.seeds)
    ]  # fmt: skip
    names = list(dict.fromkeys(name for row in rows for name in row[1]))
    lines = [[row[0], *(_shown(row[1].get(name)) for name in names)] for row in rows]
    if len(rows) > 1:
        means = [statistics.mean(row[1][name]["accuracy"] for row in rows if name in row[1]) for name in names]
        lines.append(["mean accuracy", *(f"{100 * mean:.1f}" for mean in means)])
    head = ["set", *(f"{name}" for name in names)]
    said = "accuracy %, and where there are probabilities cross-entropy and calibration error"
    keep(f"few-examples-{kept}.md", f"{stamp()}; {said}\n\n{table(head, lines)}")


def _row(
    name: str, seed: int, drawn: Callable[[str, int], Parts], seconds: float
) -> tuple[str, dict[str, dict[str, float]]]:
    from ostinato import SequenceClassifier

    learned, judged = drawn(name, seed)
    model = SequenceClassifier(seed=seed, max_seconds=seconds, progress=False).fit(*learned, test=judged)
    assert model.scores_ is not None
    print(name, seed, {key: _shown(own) for key, own in model.scores_.values.items()}, file=sys.stderr, flush=True)
    return f"{name}, {len(learned[1])} of {len(set(learned[1]))} classes", dict(model.scores_.values)


def _made(kind: str, seed: int) -> Parts:
    sequences, labels = made(kind, seed, _LEARNED + _JUDGED)
    return (sequences[:_LEARNED], labels[:_LEARNED]), (sequences[_LEARNED:], labels[_LEARNED:])


def _drawn(name: str, seed: int) -> Parts:
    """Return a few examples of each class of a set's training part, and others of it."""
    sequences, labels = SETS[name].load().train
    rng, targets = np.random.default_rng(seed + 100), np.array([str(label) for label in labels])
    classes = np.unique(targets)
    each = max(2, -(-_OF_A_SET // len(classes)))
    rows = [rng.permutation(np.flatnonzero(targets == one)) for one in classes]
    first = np.concatenate([own[: min(each, max(2, len(own) // 2))] for own in rows])
    rest = rng.permutation(np.setdiff1d(np.arange(len(targets)), first))[:_JUDGED_OF_A_SET]
    parts = [([sequences[row] for row in own], targets[own].tolist()) for own in (first, rest)]
    return parts[0], parts[1]


def _shown(values: Any) -> str:
    known = {name: values[name] for name in _MEASURES if values is not None and name in values}
    return ", ".join(f"{100 * own:.1f}" if name == "accuracy" else f"{own:.2f}" for name, own in known.items())


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main()
