"""Sums over all rows and steps, of which gradients of weights are made: the same walk for every backend."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from ostinato.engine.plan.graph import Node
from ostinato.engine.plan.plan import Contraction, Factor


def contractions(
    contractions: Sequence[Contraction],
    source: Callable[[Factor], Tensor],
    total: Callable[[int], Tensor],
    outer: Callable[[Tensor, Tensor], Tensor],
) -> list[Tensor]:
    """Sum over all rows and steps: one large product for each weight, each factor and each total made once.

    Args:
        contractions: of the plan.
        source: from a factor to what it is views of, `(rows and steps, ...)`.
        total: from the index of a total to its sum over rows and steps.
        outer: from two factors to the sum over the first axis of their outer products.
    """
    factors: dict[Factor, Tensor] = {}
    totals: dict[int, Tensor] = {}

    def factor(of: Factor) -> Tensor:
        if of not in factors:
            factors[of] = _viewed(source(of), of.views)
        return factors[of]

    sums = []
    for contraction in contractions:
        if contraction.factors is None:
            if contraction.total not in totals:
                totals[contraction.total] = total(contraction.total)
            found = totals[contraction.total]
        else:
            a, b = contraction.factors
            found = outer(factor(a), factor(b))
        sums.append(found.reshape(contraction.shape))
    return sums


def _viewed(stream: Tensor, views: Sequence[Node]) -> Tensor:
    for view in views:
        if view.op == "slice":
            axis, start = view.attr
            stream = stream.narrow(axis + 1, start, view.shape[axis])
        elif view.op == "permute":
            stream = stream.permute(0, *(axis + 1 for axis in view.attr))
        else:
            stream = stream.reshape(-1, *view.shape)
    return stream


def each_on_its_own(gradients: list[Tensor]) -> list[Tensor]:
    """Return gradients no two of which share memory; those that do are copied.

    Two biases that are added have one sum for a gradient, and parts of a weight are views of the whole one's. Autograd
    keeps what it is given, and then adds the next gradient to it, and clips it, in place.
    """
    known: set[int] = set()
    for place, gradient in enumerate(gradients):
        memory = gradient.untyped_storage().data_ptr()
        if memory in known:
            gradients[place] = gradient.clone()
        known.add(memory)
    return gradients
