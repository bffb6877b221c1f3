"""What there is to see: gradients, Jacobians, hidden units, gates, attention, contributions, rates."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.diagnosis.findings import Findings, LayerFindings
from ostinato.diagnosis.stages import Stage
from ostinato.diagnosis.units import likeness_order
from ostinato.diagnosis.words import Speaker, number
from ostinato.tasks.base.gradients import gradient_panel
from ostinato.tasks.base.summary import Curve, Matrix, Panel, Table

_COLUMNS, _UNITS, _INPUTS = 160, 48, 6
_LAYERS = 4


def panels_of(findings: Findings, row: int) -> Iterator[Panel]:
    """Yield the pictures of a diagnosis; `row` is the row of the batch that is looked into."""
    unit, main, say = findings.context.unit.name, findings.main, Speaker(findings.context.unit)
    for each in findings.stages[:_LAYERS]:
        if each.flow is not None:
            # whether that is a fault the verdicts say, which know what the model learned
            note = (
                f"Of {each.stage.title}, through its last step; the mean of {each.stage.xs.shape[1]} rows. It is "
                f"multiplied by {each.flow.factor:.2f} a step, and above a thousandth of its largest as far back as "
                f"{say.steps(each.flow.reach)}."
            )
            yield replace(gradient_panel(each.flow.norms, step=unit), note=note)
    if main.memory is not None and len(main.memory.distances) > 1:
        yield Curve(
            "How far back a change of input moves the output", _floats(main.memory.distances),
            {"moves": _floats(main.memory.moved)}, f"{unit} before the last", "of the most", logarithmic=True,
            note="What a row read there was exchanged for what another row read; "
            "0.01 is taken as the end of the memory.",
        )  # fmt: skip
    yield from _of_the_fit(findings)
    for layer in main.layers[:_LAYERS]:
        yield from _of_layer(layer, unit)
    yield from _inside(findings, row, unit)
    yield from _of_rates(findings)
    if findings.losses.rivals:
        losses = {"the model": findings.losses.model, **findings.losses.rivals}
        yield Table(
            "The loss beside simple guesses", ("", "loss"), tuple(losses.items()), "On the batch that was given."
        )


def _of_the_fit(findings: Findings) -> Iterator[Panel]:
    rows = findings.context.history
    if len(rows) < 2:
        return
    epochs = tuple(row["epoch"] for row in rows)
    lines = {
        name: tuple(row[key] for row in rows)
        for name, key in (("training", "loss"), ("validation", "validation_loss"))
        if any(math.isfinite(row[key]) for row in rows)
    }
    if lines:
        yield Curve("Loss by epoch", epochs, lines, "epoch", "loss")
    if any(math.isfinite(row["gradient_norm"]) for row in rows):
        norms = {"norm": tuple(row["gradient_norm"] for row in rows)}
        yield Curve("Gradient norm by epoch", epochs, norms, "epoch", "norm before clipping", logarithmic=True)


def _of_layer(layer: LayerFindings, unit: str) -> Iterator[Panel]:
    found = layer.jacobians
    if found is None:
        return
    steps = _floats(np.arange(1 - found.steps, 1))
    lines = {name: _floats(found.singular[:, place]) for place, name in enumerate(("largest", "median", "smallest"))}
    exponents = ", ".join(f"{value:+.3f}" for value in found.exponents[:6])
    positive = int((found.exponents > 0).sum())
    yield Curve(
        f"Singular values of the state's Jacobian, {layer.walk.name}", steps, lines,
        f"{unit} from the end of the walk", "singular value", logarithmic=True,
        note=f"Above 1 differences grow, below they fade. Lyapunov exponents a step: {exponents}"
        + (" …" if len(found.exponents) > 6 else "") + f"; {positive} of {len(found.exponents)} are above zero.",
    )  # fmt: skip


def _inside(findings: Findings, row: int, unit: str) -> Iterator[Panel]:
    stage = findings.main.stage
    yield _inputs(stage, row, unit)
    for layer in findings.main.layers[:_LAYERS]:
        at = min(row, layer.walk.ys.shape[1] - 1)
        real = layer.walk.real[:, at].cpu().numpy()
        values = _in_time(layer, layer.walk.ys[:, at].double().cpu().numpy())[_in_time(layer, real)]
        yield _units_matrix(f"Hidden units, {layer.walk.name}", values, unit, "units that move alike stand together")
        for name, gate in layer.walk.gates.items():
            opened = _in_time(layer, gate[:, at].double().cpu().numpy())[_in_time(layer, real)]
            share = layer.units.opened[name]
            note = f"0 is shut, 1 is open; it is above a half at {100 * share:.0f} % of all steps."
            yield _units_matrix(f"{name[0].upper()}{name[1:]}, {layer.walk.name}", opened, unit, note)
    if findings.attention is not None:
        yield _attention(findings.attention, unit)
    if findings.contributions is not None:
        yield _contributions(findings, unit)


def _in_time(layer: LayerFindings, values: NDArray[Any]) -> NDArray[Any]:
    return values[::-1] if layer.walk.reverse else values


def _inputs(stage: Stage, row: int, unit: str) -> Panel:
    values = stage.xs[: int(stage.lengths[row]), row].flatten(1).double().cpu().numpy()
    moving = np.argsort(-values.std(0), kind="stable")[:_INPUTS]
    lines = {f"input {place}": _floats(values[:, place]) for place in sorted(moving)}
    note = f"Of row {row}" + (
        f"; those {_INPUTS} of {values.shape[1]} that move most." if values.shape[1] > _INPUTS else "."
    )
    return Curve("What the recurrent part read", _floats(range(len(values))), lines, unit, "value", note=note)


def _units_matrix(title: str, values: NDArray[np.float64], unit: str, note: str) -> Panel:
    """Return units by time, `values (time, units)`: those that vary most, ordered by likeness."""
    shown = np.sort(np.argsort(-values.std(0), kind="stable")[:_UNITS])
    rows = values[:, shown].T
    order = likeness_order(rows)
    every = -(-len(values) // _COLUMNS)
    rows = rows[order][:, ::every]
    names = tuple(f"{shown[place]}" for place in order)
    columns = tuple(str(step) for step in range(0, len(values), every))
    more = f" The {_UNITS} of {values.shape[1]} that vary most." if values.shape[1] > _UNITS else ""
    if every > 1:
        more += f" Every {every}. step is drawn."
    return Matrix(
        title,
        names,
        columns,
        tuple(_floats(one.round(4)) for one in rows),
        "unit",
        unit,
        f"{note}.{more}".replace("..", "."),
    )


def _attention(weights: NDArray[np.float64], unit: str) -> Panel:
    every = -(-weights.shape[1] // _COLUMNS)
    if len(weights) == 1:
        steps = _floats(range(weights.shape[1]))
        return Curve(
            "Attention", steps, {"weight": _floats(weights[0])}, unit, "weight", note="Where the output looked."
        )
    rows = weights[:_UNITS, ::every]
    names = tuple(str(place) for place in range(len(rows)))
    columns = tuple(str(step) for step in range(0, weights.shape[1], every))
    return Matrix("Attention", names, columns, tuple(_floats(one.round(4)) for one in rows), "query", unit)


def _contributions(findings: Findings, unit: str) -> Panel:
    found = findings.contributions
    assert found is not None
    steps = len(found.by_step)
    return Curve(
        "What each past step contributed to one output", _floats(np.arange(1 - steps, 1)),
        {"contribution": _floats(found.by_step)}, f"{unit} from the last", "contribution",
        note=f"Output {found.output} of row {found.row}, {number(found.value)}: all steps together make the "
        f"difference to "
        f"{number(found.usual)}, that of the usual input (integrated gradients).",
    )  # fmt: skip


def _of_rates(findings: Findings) -> Iterator[Panel]:
    found = findings.rates
    if found is None or len(found.losses) < 2:
        return
    x = np.log10(found.rates[: len(found.losses)])
    ticks = tuple(
        (float(power), f"1e{power:+d}".replace("+", "")) for power in range(math.ceil(x[0]), math.floor(x[-1]) + 1)
    )
    note = "Each step at a higher rate, from " + ("weights drawn again" if found.fresh else "the model's weights") + "."
    if found.runs:
        listed = ", ".join(f"{number(value)} at {number(rate)}" for rate, value in found.runs.items())
        note += f" After {found.steps} steps of one rate the loss is {listed}."
    yield Curve(
        "Range test of the learning rate", _floats(x), {"loss": _floats(found.losses)}, "learning rate",
        "loss, smoothed",
        note=note, words=ticks,
    )  # fmt: skip


def _floats(values: Sequence[float] | range | NDArray[Any]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
