"""Gradients of parameters: sums over all rows and steps by PyTorch's products, and what the plan makes of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ostinato.engine.backends import sums
from ostinato.engine.backends.triton.loop import alone, masked
from ostinato.engine.plan.plan import Factor, Plan


class Weights:
    """What makes the gradients of a plan's parameters on a device."""

    def __init__(self, plan: Plan, device: torch.device, dtype: torch.dtype, computed: torch.dtype) -> None:
        assert plan.weights is not None
        self._contractions = plan.contractions
        self._formulas = plan.weights.on(device)
        self._dtype, self._computed = dtype, computed
        self._behind = self._formulas.behind(None)
        self._taken = len(plan.signature.parameters)
        wanted = [place for place, value in enumerate(self._formulas.wanted) if value is not None]
        self._only_seen = all(self._formulas.is_view(place) for place in wanted)
        """Whether nothing is computed with the sums, which may then stay in the type of the parameters."""

    def of(
        self, parameters: Sequence[Tensor], xs: Sequence[Tensor], saved: Sequence[Tensor],
        streams: dict[int, Tensor], lengths: Tensor | None,
    ) -> list[Tensor | None]:  # fmt: skip
        """Return the gradients of all parameters; none of those that have none.

        Args:
            parameters: all tensors of the cell.
            xs: `(time, batch, ...)` each.
            saved: `(time, batch, ...)` each.
            streams: of the backward program, `(time, batch, ...)`; terms of totals as `-1 - index`.
            lengths: of the rows.
        """
        dtype = self._dtype

        def source(factor: Factor) -> Tensor:
            if factor.kind == "x":
                return masked(xs[factor.index], lengths).flatten(0, 1).to(dtype)
            found = saved[factor.index] if factor.kind == "saved" else streams[factor.index]
            return found.flatten(0, 1).to(dtype)

        def total(index: int) -> Tensor:
            stream = streams[-1 - index].flatten(0, 1)
            return stream.sum(0, dtype=self._computed)

        with alone():
            found = sums.contractions(self._contractions, source, total, self._outer)
            widened = [
                value.to(self._computed) if place in self._behind and value.is_floating_point() else value
                for place, value in enumerate(parameters)
            ]
            gradients: list[Tensor | None] = self._formulas.run(*widened, *found)
        return gradients

    def _outer(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the sum over the first axis of outer products of the last, block by block of those between."""
        found = a.t() @ b if a.dim() == 2 else torch.einsum("bhn,bhm->hnm", a.flatten(1, -2), b.flatten(1, -2))
        return found if self._only_seen else found.to(self._computed)
