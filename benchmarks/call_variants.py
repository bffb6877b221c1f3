"""What a call costs with all that it may be given: lengths, resets, a state, packed sequences, autocast and so on.

    python3 dev.py bench call_variants [--match packed] [--output benchmarks/results/call_variants.md]

Five steps of eight units, so that nearly all is what is done around the loop; one and eight rows, without gradients and
with a backward pass; microseconds of the thread, and beside them how many times as long as a plain call takes. Calls
run in turns in one process; the medians of the fastest of each turn count. `torch.nn` stands beside where it has the
same.
"""

from __future__ import annotations

import argparse
import datetime
import gc
import re
import statistics
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

import ostinato
from call_cost_worker import WAYS, Call, block
from common import machine, table

STEPS, UNITS, TURNS = 5, 8, 9
Run = Callable[[], Any]


class Variant(NamedTuple):
    """One way of calling."""

    kind: str
    name: str
    module: nn.Module
    run: Run
    peer: tuple[nn.Module, Run] | None = None


class Sequences:
    """Sequences of so many rows, and what may be given with them."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.xs = torch.randn(STEPS, rows, UNITS)
        self.lengths = torch.tensor([STEPS - 1] + [STEPS - index % STEPS for index in range(1, rows)])
        self.resets = torch.zeros(STEPS, rows, dtype=torch.bool)
        self.resets[2] = True
        self.state = torch.zeros(1, rows, UNITS), torch.zeros(1, rows, UNITS)
        self.packed = pack_padded_sequence(self.xs, self.lengths, enforce_sorted=False)
        self.level = pack_padded_sequence(self.xs, torch.full((rows,), STEPS))


def under_autocast(run: Run) -> Run:
    """Return the same call under autocast to bfloat16."""

    def call() -> Any:
        with torch.autocast("cpu", torch.bfloat16):
            return run()

    return call


def scans(given: Sequences) -> Iterator[Variant]:
    """Yield the variants of `scan`."""
    xs, lengths, resets = given.xs, given.lengths, given.resets
    for kind, state in (("LSTM", tuple(part[0] for part in given.state)), ("GRU", given.state[0][0])):
        cell = getattr(ostinato.cells, f"{kind}Cell")(UNITS, UNITS)
        options: dict[str, dict[str, Any]] = {
            "plain": {}, "state": {"state": state}, "reverse": {"reverse": True}, "lengths": {"lengths": lengths},
            "a list of lengths": {"lengths": lengths.tolist()}, "resets": {"resets": resets},
            "lengths and resets": {"lengths": lengths, "resets": resets}, "all states": {"return_states": True},
            "lengths, all states": {"lengths": lengths, "return_states": True}, "in pieces": {"checkpoint": 3},
        }  # fmt: skip
        for name, each in options.items():
            yield Variant(f"scan, {kind}", name, cell, partial(ostinato.scan, cell, xs, **each))
        first = xs.transpose(0, 1).contiguous()
        yield Variant(f"scan, {kind}", "batch first", cell, partial(ostinato.scan, cell, first, batch_first=True))
        plain, ragged = partial(ostinato.scan, cell, xs), partial(ostinato.scan, cell, xs, lengths=lengths)
        yield Variant(f"scan, {kind}", "autocast", cell, under_autocast(plain))
        yield Variant(f"scan, {kind}", "autocast, lengths", cell, under_autocast(ragged))


def stacks(given: Sequences) -> Iterator[Variant]:
    """Yield the variants of `Recurrent`."""
    for kind in ("LSTM", "GRU"):
        cell = getattr(ostinato.cells, f"{kind}Cell")
        options: dict[str, dict[str, Any]] = {
            "plain": {}, "both directions": {"bidirectional": True}, "2 layers": {"num_layers": 2},
            "2 layers, both directions": {"num_layers": 2, "bidirectional": True},
            "2 layers, dropout": {"num_layers": 2, "dropout": 0.5},
            "2 layers, norm and skip": {"num_layers": 2, "norm": "layer", "skip": "residual"},
            "learned start": {"learn_initial_state": True},
        }  # fmt: skip
        for name, each in options.items():
            layer = ostinato.nn.Recurrent(cell(UNITS, UNITS), **each)
            yield Variant(f"Recurrent, {kind}", name, layer, partial(layer, given.xs))
            if len(each) < 2 and "learn_initial_state" not in each:
                ragged = partial(layer, given.xs, lengths=given.lengths)
                yield Variant(f"Recurrent, {kind}", f"{name}, lengths".removeprefix("plain, "), layer, ragged)


def drop_ins(given: Sequences) -> Iterator[Variant]:
    """Yield the variants of drop-ins, beside their namesakes."""
    xs = given.xs
    for kind in ("RNN", "LSTM", "GRU"):
        state = given.state if kind == "LSTM" else given.state[0]
        double = {"dtype": torch.float64}
        options: dict[str, tuple[dict[str, Any], tuple[Any, ...]]] = {
            "plain": ({}, (xs,)), "state": ({}, (xs, state)), "without a batch": ({}, (xs[:, 0],)),
            "batch first": ({"batch_first": True}, (xs.transpose(0, 1).contiguous(),)),
            "packed": ({}, (given.packed,)), "packed, of one length": ({}, (given.level,)),
            "packed, state": ({}, (given.packed, state)), "2 layers, packed": ({"num_layers": 2}, (given.packed,)),
            "2 layers, both directions": ({"num_layers": 2, "bidirectional": True}, (xs,)),
            "2 layers, dropout": ({"num_layers": 2, "dropout": 0.5}, (xs,)), "float64": (double, (xs.double(),)),
        }  # fmt: skip
        for name, (settings, arguments) in options.items():
            ours, theirs = (getattr(library.nn, kind)(UNITS, UNITS, **settings) for library in (ostinato, torch))
            calls = partial(ours, *arguments), partial(theirs, *arguments)
            yield Variant(f"nn.{kind}", name, ours, calls[0], (theirs, calls[1]))
            if name in ("plain", "packed"):
                named = "autocast, packed" if name == "packed" else "autocast"
                halves = [under_autocast(call) for call in calls]
                yield Variant(f"nn.{kind}", named, ours, halves[0], (theirs, halves[1]))


def with_outputs(run: Run) -> Run:
    """Return a call whose first result is a tensor of float32, for packed sequences and halves as for others."""

    def call() -> tuple[Tensor]:
        found = run()[0]
        return ((found if isinstance(found, Tensor) else found.data).float(),)

    return call


def measure(match: str) -> dict[tuple[str, str], dict[tuple[int, str], tuple[float, float | None]]]:
    """Return, by kind and name, for each number of rows and each way, the microseconds of ours and of the peer."""
    found: dict[tuple[str, str], dict[tuple[int, str], tuple[float, float | None]]] = {}
    for rows in (1, 8):
        torch.manual_seed(0)
        given = Sequences(rows)
        for variants in (scans, stacks, drop_ins):
            chosen = [each for each in variants(given) if re.search(match, f"{each.kind}: {each.name}")]
            for way in WAYS:
                for each, times in zip(chosen, in_turns(chosen, way), strict=True):
                    found.setdefault((each.kind, each.name), {})[rows, way] = times
    return found


def in_turns(variants: list[Variant], way: str) -> list[tuple[float, float | None]]:
    """Return the microseconds of each variant, and of its peer."""
    calls: list[list[Call]] = []
    for each in variants:
        pairs = [(each.module, each.run), *([each.peer] if each.peer else [])]
        calls.append([WAYS[way](with_outputs(run), module) for module, run in pairs])
    every = [call for pair in calls for call in pair]
    for call in every * 6:
        call()
    times: dict[int, list[float]] = {id(call): [] for call in every}
    gc.disable()
    for _ in range(TURNS):
        for call in every:
            times[id(call)].append(block(call))
        gc.collect()
    gc.enable()
    middle = {key: statistics.median(values) for key, values in times.items()}
    return [(middle[id(pair[0])], middle[id(pair[1])] if len(pair) > 1 else None) for pair in calls]


def lines(found: dict[tuple[str, str], dict[tuple[int, str], tuple[float, float | None]]]) -> list[list[str]]:
    """Return the rows of the table."""
    written = []
    for (kind, name), times in found.items():
        plain, cells = found.get((kind, "plain"), times), []
        for way, (ours, theirs) in times.items():
            beside = "" if theirs is None else f"; {theirs:.0f}"
            cells.append(f"{ours:.0f} ({ours / plain[way][0]:.2f}{beside})")
        written.append([f"{kind}: {name}", *cells])
    return written


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--match", default="", help="a regular expression for kinds and names, such as 'LSTM: packed'")
    parser.add_argument("--note", default="", help="what is to be said of the machine, such as that it was busy")
    parser.add_argument("--output", type=Path, help="where the page goes")
    given = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    found = measure(given.match)
    ways = [f"{way}, {rows}" for rows in ("1 row", "8 rows") for way in WAYS]
    text = table(["call, µs (times a plain one; torch.nn)", *ways], lines(found))
    stamp = (
        f"{datetime.datetime.now(tz=datetime.UTC):%Y-%m-%d}, one thread{given.note and ', '}{given.note}; {machine()}"
    )
    page = f"# What a call costs with what it is given\n\n{stamp}\n\n{text}\n"
    print(page)
    if given.output is not None:
        given.output.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
