"""What single units and gates do: shut or open all the time, dead, or copies of one another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ostinato.diagnosis.walks import Walk

_SHUT = 0.002  # of a gate's way: what is nearer to an end than that is at it
_BY_STEPS = 0.1  # or nearer, over the steps: a gate that forgets a part in 1,000 has work in 1,000 steps
_TANH = 0.998  # of a unit that cannot give more than one
_ALWAYS = 0.95  # of the steps
_DEAD = 1e-3  # of the median unit: what varies less says nothing
_COPY = 1e-5  # of the variance: what two units differ by at most
_SAMPLES = 48  # steps of rows that must be seen to call two units copies


@dataclass(frozen=True)
class Units:
    """The units of one layer.

    Args:
        saturated: the share of units of each gate, by its name, that are at an end all the time; `"units"` for those
            of a layer without gates that are at an end of their range.
        opened: the share of steps at which each gate is above a half, by name.
        dead: which units do not vary; copies: which do as an earlier one does.
        deviations: `(units,)`.
    """

    saturated: dict[str, float]
    opened: dict[str, float]
    dead: NDArray[np.bool_]
    copies: NDArray[np.bool_]
    deviations: NDArray[np.float64]

    @property
    def dead_share(self) -> float:
        """The share of dead units."""
        return float(self.dead.mean()) if len(self.dead) else 0.0

    @property
    def copied_share(self) -> float:
        """The share of units that are copies."""
        return float(self.copies.mean()) if len(self.copies) else 0.0


def look_at_units(walk: Walk) -> Units:
    """Return what the units and gates of a layer do over all real steps."""
    ys = walk.ys[walk.real].double()  # (samples, units)
    margin = min(_SHUT, _BY_STEPS / len(walk.xs))
    saturated = {name: _at_an_end(gate[walk.real], margin) for name, gate in walk.gates.items()}
    opened = {name: float((gate[walk.real] > 0.5).double().mean()) for name, gate in walk.gates.items()}
    if not walk.gates and float(ys.abs().max()) <= 1.0:
        saturated["units"] = _at_an_end((ys + 1) / 2, (1 - _TANH) / 2)
    deviations = ys.std(0, correction=0).cpu().numpy() if len(ys) else np.zeros(0)
    typical = float(np.median(deviations[deviations > 0])) if (deviations > 0).any() else 0.0
    size = float(ys.abs().mean()) if len(ys) else 0.0
    dead = deviations <= max(_DEAD * typical, 1e-6 * size, 1e-12)
    return Units(saturated, opened, dead, _copies(ys, dead), deviations)


def _at_an_end(values: Tensor, margin: float) -> float:
    """Return the share of units that are at one end of 0 to 1, or the other, nearly all the time."""
    at_end = ((values < margin) | (values > 1 - margin)).double().mean(0)
    return float((at_end >= _ALWAYS).double().mean())


def _copies(ys: Tensor, dead: NDArray[np.bool_]) -> NDArray[np.bool_]:
    found = np.zeros(len(dead), bool)
    alive = np.flatnonzero(~dead)
    if len(ys) < _SAMPLES or len(alive) < 2:
        return found
    values = ys[:, torch.from_numpy(alive)].cpu().numpy()
    values = (values - values.mean(0)) / values.std(0)
    alike = (values.T @ values / len(values)) ** 2
    first = np.tril(alike >= 1 - _COPY, -1).any(1)
    found[alive[first]] = True
    return found


def likeness_order(rows: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return an order of rows, `(rows, time)`, in which those that are alike stand together."""
    if len(rows) < 3:
        return np.arange(len(rows))
    from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering

    centred = rows - rows.mean(1, keepdims=True)
    scaled = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    tree = linkage(scaled, "average")
    return np.asarray(leaves_list(optimal_leaf_ordering(tree, scaled) if len(rows) <= 200 else tree), np.int64)
