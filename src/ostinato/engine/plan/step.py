"""One step of a cell as data: what the front hands over, and a plan divides."""

from __future__ import annotations

from dataclasses import dataclass

from ostinato.engine.plan.formulas import Formulas
from ostinato.engine.plan.graph import Node
from ostinato.engine.plan.signature import Signature


@dataclass(frozen=True)
class Work:
    """Floating-point operations as PyTorch would count them in the eager loop: `(of a row and step, once)`."""

    forward: tuple[int, int]
    backward: tuple[int, int]


@dataclass(frozen=True)
class Step:
    """One step of a cell."""

    signature: Signature
    outputs: tuple[Node, ...]
    """The output and the new states."""
    gradients: tuple[Node | None, ...]
    """Of x and the states, if there is a backward pass."""
    sums: tuple[Node, ...]
    """Sums over the rows of the batch, and then over all steps: what gradients of weights are made of."""
    constants: Formulas
    """From parameters to constants."""
    weights: Formulas
    """From parameters and sums to gradients of the parameters."""
    work: Work
