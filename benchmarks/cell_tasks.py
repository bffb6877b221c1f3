"""What comparisons of cells share: equal numbers of parameters, runs to be taken up again, tables of seeds."""

from __future__ import annotations

import argparse
import datetime
import json
import math
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from common import RESULTS, machine, table
from ostinato.cells import CATALOGUE, PLAIN
from ostinato.engine import leaves
from ostinato.nn import Recurrent, TransformerStack

TRANSFORMER = "transformer"
_ALL = (*PLAIN, TRANSFORMER)
APART = ("indrnn", "mingru", "minlstm", "qrnn", "sru", "lru", "rglru", "unicornn")
"""Cells whose units read nothing of one another's past: their papers stack them, and here they have two layers."""
_STEP = 12
"""Units are multiples of this: some cells want them in fours or threes."""


@dataclass(frozen=True)
class Options:
    """What the command line of every comparison says."""

    tasks: tuple[str, ...]
    cells: tuple[str, ...]
    seeds: int
    most: dict[str, float]
    """The steps, epochs or seconds of a run, by task."""
    usual: bool
    """Whether that is what the comparison gives; other runs are kept apart."""


def options(doc: str, limit: str, most: Mapping[str, float], *, transformer: bool = False) -> Options:
    """Read the command line of a comparison whose runs have so many steps, epochs or seconds (`limit`), by task."""
    tasks = tuple(most)
    known = _ALL if transformer else PLAIN
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--cells", default=",".join(known), help=f"names with commas, of: {', '.join(known)}")
    parser.add_argument("--tasks", default=",".join(tasks), help=f"with commas, of: {', '.join(tasks)}")
    parser.add_argument("--seeds", type=int, default=1, help="runs of each cell; 1 by default")
    usual = ", ".join(f"{value:g} ({task})" for task, value in most.items())
    parser.add_argument(f"--{limit}", type=float, dest="most", help=f"of one run at most; by default {usual}")
    found = parser.parse_args()
    for name in ("most", "seeds"):
        value = getattr(found, name)
        if value is not None and not value > 0:
            parser.error(f"--{limit if name == 'most' else name} is {value:g}; expected more than zero")
    cells, chosen = tuple(found.cells.split(",")), tuple(found.tasks.split(","))
    for what, given, there in (("cell", cells, known), ("task", chosen, tasks)):
        if unknown := [name for name in given if name not in there]:
            parser.error(f'there is no {what} "{unknown[0]}"; choose from {", ".join(there)}')
    return Options(chosen, cells, found.seeds, {task: found.most or most[task] for task in chosen}, not found.most)


def matched(
    name: str, input_size: int, parameters: int, layers: int = 1, constants: Mapping[str, float] | None = None
) -> nn.Module:
    """Return a stack of the most units with no more than so many parameters; a Transformer has two layers always.

    Raises:
        ValueError: not even a few units are that small.
    """

    def make(units: int) -> nn.Module:
        if name == TRANSFORMER:
            return TransformerStack(input_size, units, 2, heads=2, feed_forward=2 * units, positions="learned")
        return Recurrent(CATALOGUE[name](input_size, units, **(constants or {})), layers)

    def fits(count: int) -> bool:
        stack = make(_STEP * count)
        # a reservoir has no parameters, but as many numbers; a matrix memory has few, and a state of many
        numbers = sum(own.numel() for own in stack.state_dict().values())
        state = sum(leaf.numel() for own in stack.initial_state(torch.zeros(1, input_size)) for leaf in leaves(own))
        return numbers <= parameters and state <= parameters // 8

    high = 1
    while fits(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    if not low:
        raise ValueError(f"{name} has more than {parameters} parameters with {_STEP} units")
    return make(_STEP * low)


class Model(nn.Module):
    """A stack of one layer, or of two where units stand apart (`APART`), and a linear layer on its outputs."""

    def __init__(
        self,
        name: str,
        input_size: int,
        outputs: int,
        parameters: int,
        dropout: float = 0.0,
        layers: int | None = None,
        constants: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        self.stack = matched(name, input_size, parameters, layers or (2 if name in APART else 1), constants)
        width = output_width(self.stack, input_size)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, outputs)

    def forward(self, xs: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return `(time, batch, outputs)`."""
        ys, _ = self.stack(xs, lengths=lengths)
        result: Tensor = self.head(self.dropout(ys))
        return result


def output_width(stack: nn.Module, input_size: int) -> int:
    """Return how wide a stack's outputs are."""
    with torch.no_grad():
        return int(stack(torch.zeros(1, 1, input_size))[0].shape[-1])


class Records:
    """Finished runs, a line of JSON each: what is there is not run again."""

    def __init__(self, name: str) -> None:
        RESULTS.mkdir(exist_ok=True)
        self.path: Path = RESULTS / f"{name}.jsonl"
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        self.runs: list[dict[str, Any]] = [json.loads(line) for line in lines]

    def find(self, **key: Any) -> dict[str, Any] | None:
        """Return the run of a task, cell and seed, if it is finished."""
        return next((own for own in self.runs if all(own.get(name) == value for name, value in key.items())), None)

    def usual(self) -> dict[str, list[dict[str, Any]]]:
        """Return the runs of the comparison by cell, in the catalogue's order."""
        found = {name: [run for run in self.runs if run["cell"] == name and "most" not in run] for name in _ALL}
        return {name: runs for name, runs in found.items() if runs}

    def apart(self, *parts: str) -> str:
        """Return a table of these parts of the runs that were given more or less than the comparison gives, if any."""
        rows = [
            [run["cell"], run["task"], f"{run['most']:g}", *(spread([run[part]]) for part in parts)]
            for run in self.runs
            if "most" in run
        ]
        return f"\n\nWith other limits:\n\n{table(['cell', 'task', 'at most', *parts], rows)}" if rows else ""

    def add(self, **run: Any) -> None:
        """Keep a finished run."""
        self.runs.append(run)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(run) + "\n")


def run_all(name: str, own: Options, train: Callable[[str, str, int, float], dict[str, Any]]) -> Records:
    """Run `train(task, cell, seed, most)` for all that is not finished yet."""
    torch.set_num_threads(1)
    records = Records(name)
    for seed in range(own.seeds):
        for task in own.tasks:
            for cell in own.cells:
                apart = {} if own.usual else {"most": own.most[task]}
                if records.find(task=task, cell=cell, seed=seed, most=apart.get("most")) is None:
                    torch.manual_seed(seed)
                    found = train(task, cell, seed, own.most[task])
                    records.add(task=task, cell=cell, seed=seed, **apart, **found)
                    print(task, cell, seed, found, flush=True)
    return records


def spread(values: Iterable[float], digits: int = 3) -> str:
    """Return the median of some runs, with the least and the greatest if there are several; no number: diverged."""

    def text(value: float) -> str:
        return f"{value:.{digits}g}" if math.isfinite(value) else "diverged"

    known = sorted(values)
    if not known:
        return ""
    middle = text(statistics.median(known))
    return middle if len(known) == 1 else f"{middle} ({text(known[0])} to {text(known[-1])})"


def stamp() -> str:
    """Return date and machine."""
    return f"{datetime.datetime.now(tz=datetime.UTC):%Y-%m-%d}, {machine()}"


@dataclass
class Clock:
    """Counts the processor's seconds of training, whatever else the machine has to do; evaluation is not counted."""

    spent: float = 0.0
    _since: float | None = None

    def __enter__(self) -> Clock:
        """Start."""
        self._since = time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        assert self._since is not None
        self.spent += time.process_time() - self._since
        self._since = None


Columns = dict[str, dict[str, list[float]]]
"""For each task, the values of each cell: one, or one of each seed."""


def bars(
    path: Path, title: str, label: str, columns: Columns, lines: dict[str, float], *,
    log: bool = False, most: float | None = None,
) -> None:  # fmt: skip
    """Draw the median of each cell and task as a bar, least and greatest as a whisker, other known figures as lines.

    `most` ends the axis where a cell that is far off would flatten the others: its value stands at the edge.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    names = sorted({cell for values in columns.values() for cell in values})
    figure, axes = plt.subplots(figsize=(7, 0.9 + 0.22 * len(names) * max(1, len(columns))), layout="constrained")
    axes.set_xscale("log" if log else "linear")
    height = 0.8 / len(columns)
    for place, (task, values) in enumerate(columns.items()):
        medians = {name: statistics.median(runs) for name, runs in values.items()}
        shown = [name for name in values if math.isfinite(medians[name])]
        at = [names.index(name) + place * height for name in shown]
        axes.barh(at, [medians[name] for name in shown], height, label=task)
        for name, y in zip(shown, at, strict=True):
            ends = [value for value in values[name] if math.isfinite(value)]
            axes.plot([min(ends), max(ends)], [y, y], color="black", linewidth=1)
            if most is not None and medians[name] > most:
                axes.text(most, y, f"{medians[name]:.3g} ", fontsize=6, va="center", ha="right", color="white")
        for name in values.keys() - shown:
            y, left = names.index(name) + place * height, axes.get_yaxis_transform()
            axes.text(0.01, y, "diverged", transform=left, fontsize=6, va="center")
    for style, (text, value) in zip(("--", ":", "-."), lines.items(), strict=False):
        axes.axvline(value, color="black", linestyle=style, linewidth=1, label=f"{text}, {value:g}")
    axes.set_yticks([index + 0.4 - height / 2 for index in range(len(names))], names, fontsize=7)
    axes.set_ylim(len(names), -0.4)
    axes.set_xlim(right=most)
    axes.set_xlabel(label)
    axes.set_title(title, fontsize=10)
    if len(columns) > 1 or lines:
        figure.legend(fontsize=7, loc="outside upper right", ncols=len(columns) + len(lines))
    figure.savefig(path, dpi=120)
    plt.close(figure)
