"""Write `docs/cells.md`, the page of the catalogue, from the docstrings of the cells and from what is counted on them.

python dev.py catalogue
"""

from __future__ import annotations

import inspect
import json
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from ostinato.cells import CATALOGUE, WRAPPERS
from ostinato.engine import initial_state, leaves

PAGE = Path(__file__).with_suffix(".md")
SPEEDS = Path(__file__).with_name("cell_speed.json")
RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "results"
SIZE = 64
FRAME = (8, 8)

HEAD = f"""# The catalogue of cells

Written by `python3 dev.py catalogue` from the docstrings of `ostinato.cells`; change those, not this page.

Every cell is made by `ostinato.cells.CATALOGUE[name](input_size, hidden_size)` and runs through `ostinato.scan`,
`ostinato.nn.Recurrent` and `ostinato.stepper`. In the equations `*` is the product number by number, `'` marks what is
new after the step, and matrices stand before what they multiply.

Counted on {SIZE} features and {SIZE} units, for one row of a batch and one step: *parameters*; *multiply-adds* of all
matrix products and convolutions; *pointwise*, the numbers that every other arithmetic operation goes through; *state*,
the numbers carried to the next step. `gru-d` is counted on 66 features (22 variables), the convolutional cells on
frames of {FRAME[0]} by {FRAME[1]}.
"""
COMPARED = """## What they learn

As many parameters for all cells, 17,000 (chorales: 150,000), and as many training steps (chorales: a minute); the
median of the seeds, up to three (`python3 dev.py bench adding`, `copying`, `digits`, `jsb`; all of it with spreads in
`benchmarks/results`). *Adding*: after how many steps two marked numbers among 200 or 600 were added with an error below
.01, within 4,000 and 2,000. *Copy*: the share of ten symbols that are said again after a wait of 200 or 1,000 steps,
within 3,000 and 1,000 training steps; chance is .125. *Digits*: accuracy on 8 x 8 pixels, one by one, in order and
permuted, after 60 epochs. *Chorales*: nats a frame on the test set.
"""
NOT_ARITHMETIC = {"cat", "clone", "copy_", "_to_copy", "empty", "zeros"}


@dataclass(frozen=True)
class Cost:
    """What one step of one row takes."""

    parameters: int
    multiply_adds: int
    pointwise: int
    state: int


class Counter(TorchDispatchMode):
    """Counts multiply-adds of products and numbers gone through by everything else that is not a view."""

    def __init__(self) -> None:
        super().__init__()
        self.multiply_adds = self.pointwise = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and count it."""
        result = func(*args, **(kwargs or {}))
        packet = func.overloadpacket
        if packet in flop_registry:
            self.multiply_adds += flop_registry[packet](*args, **(kwargs or {}), out_val=result) // 2
        elif not func.is_view and packet.__name__ not in NOT_ARITHMETIC:
            self.pointwise += max((v.numel() for v in (*args, result) if isinstance(v, Tensor)), default=0)
        return result


def count(name: str) -> Cost:
    """Count one step of one row of a cell."""
    features = 66 if name == "gru-d" else SIZE
    cell = CATALOGUE[name](features, SIZE)
    x = torch.ones(1, features, *(FRAME if name.startswith("conv") else ()))
    state = initial_state(cell, x)
    with torch.no_grad(), Counter() as counter:
        cell(x, state)
    return Cost(
        sum(parameter.numel() for parameter in cell.parameters()),
        counter.multiply_adds,
        counter.pointwise,
        sum(leaf.numel() for leaf in leaves(state)),
    )


def page() -> str:
    """Return the whole page."""
    costs = {name: count(name) for name in CATALOGUE}
    sections = [section(name, CATALOGUE[name], costs[name]) for name in CATALOGUE]
    wrapped = [section(name, WRAPPERS[name], None) for name in WRAPPERS]
    around = "## Wrappers\n\nEach is made by `ostinato.cells.WRAPPERS[name](cell)`, of any cell, and is a cell again.\n"
    return "\n".join([HEAD, table(costs), compared(), *sections, around, *wrapped])


def table(costs: dict[str, Cost]) -> str:
    """Return the costs of all cells as a table, with what `benchmarks/catalogue.py` has measured."""
    measured = json.loads(SPEEDS.read_text(encoding="utf-8"))
    batch, steps, features, units = measured["size"]
    lines = [
        "| cell | parameters | multiply-adds | pointwise | state | training step, ms | eagerly, ms |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, cost in costs.items():
        numbers = (cost.parameters, cost.multiply_adds, cost.pointwise, cost.state)
        times = measured["milliseconds"].get(name, ("", ""))
        lines.append(
            f"| [{name}](#{name}) | " + " | ".join([*(f"{own:,}" for own in numbers), *map(str, times)]) + " |"
        )
    note = (
        f"A training step is measured on {batch} sequences of {steps} steps, {features} features and {units} units, "
        f"through the engine and in the eager loop ({measured['machine']}; `python3 dev.py bench catalogue`)."
    )
    return "\n".join([*lines, "", note]) + "\n"


def compared() -> str:
    """Return what cells reach on the same tasks with as many parameters, as the benchmarks have kept it."""
    runs = {name: _runs(name) for name in ("adding", "copying", "digits", "jsb")}
    lines = [
        COMPARED,
        "| cell | adding, 200 | adding, 600 | copy, 200 | copy, 1,000 | digits | permuted | chorales |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name in (*CATALOGUE, "transformer"):
        values = [_solved(runs["adding"], name, task) for task in ("200", "600")]
        values += [_median(runs["copying"], name, task, "right", ".2f") for task in ("200", "1000")]
        values += [_median(runs["digits"], name, task, "accuracy", ".2f") for task in ("in order", "permuted")]
        values.append(_median(runs["jsb"], name, "jsb", "test", ".2f"))
        if any(values):
            link = f"[{name}](#{name})" if name in CATALOGUE else name
            lines.append(f"| {link} | " + " | ".join(values) + " |")
    return "\n".join(lines) + "\n"


def _runs(name: str) -> list[dict[str, Any]]:
    lines = (RESULTS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [run for run in map(json.loads, lines) if "most" not in run]


def _solved(runs: list[dict[str, Any]], cell: str, task: str) -> str:
    """Return the median steps of the runs that solved a task, and how many did where not all."""
    own = [run for run in runs if (run["cell"], run["task"]) == (cell, task)]
    steps = [run["solved"] for run in own if run["solved"]]
    if not steps:
        return "never" if own else ""
    share = f", {len(steps)} of {len(own)}" if len(steps) < len(own) else ""
    return f"{statistics.median(steps):,.0f}{share}"


def _median(runs: list[dict[str, Any]], cell: str, task: str, what: str, form: str) -> str:
    values = [run[what] for run in runs if (run["cell"], run["task"]) == (cell, task)]
    return format(statistics.median(values), form) if values else ""


def section(name: str, cell: type[nn.Module], cost: Cost | None) -> str:
    """Return one cell's section: its purpose, equations, notes, cost, use and source, from its docstring."""
    paragraphs = (inspect.getdoc(cell) or "").split("\n\n")
    purpose, equations, *rest = paragraphs
    kept = [text for text in rest if not text.startswith(("Args:", "Raises:", ">>>"))]
    signature = ", ".join(_argument(parameter) for parameter in inspect.signature(cell).parameters.values())
    parts = [f"### {name}", f"`{cell.__name__}({signature})`. {purpose}", f"```\n{inspect.cleandoc(equations)}\n```"]
    if cost is not None:
        kept.append(
            f"Cost: {cost.parameters:,} parameters; a step takes {cost.multiply_adds:,} multiply-adds and "
            f"{cost.pointwise:,} pointwise; the state is {cost.state:,} numbers."
        )
    return "\n\n".join([*parts, *kept]) + "\n"


def _argument(parameter: inspect.Parameter) -> str:
    if parameter.default is inspect.Parameter.empty:
        return parameter.name
    value = parameter.default
    return f"{parameter.name}={round(value, 4) if isinstance(value, float) else value!r}"


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
