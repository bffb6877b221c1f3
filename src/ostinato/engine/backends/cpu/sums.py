"""Sums over all rows and steps: what the gradients of weights are made of, done once after the loop."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from ostinato.engine.backends import sums
from ostinato.engine.backends.cpu.calls import Call
from ostinato.engine.backends.cpu.kernels import Products
from ostinato.engine.backends.cpu.launch import contract
from ostinato.engine.plan.plan import Contraction, Factor

_WIDENED = 8192
"""Rows of halves that are widened at once."""


def contractions(
    of: Sequence[Contraction],
    call: Call,
    saved: Sequence[Tensor],
    streams: dict[int, Tensor],
    totals: dict[int, Tensor],
    by: Products,
) -> list[Tensor]:
    """Sum over all rows and steps: one large product for each weight, by the compiled function."""

    def source(factor: Factor) -> Tensor:
        if factor.kind == "x":
            whole = _flat(call, call.xs[factor.index])
        else:
            whole = saved[factor.index] if factor.kind == "saved" else streams[factor.index]
        return whole[: call.rows.total]

    return sums.contractions(of, source, lambda index: totals[index].sum(0), partial(_outer, by=by))


def _outer(a: Tensor, b: Tensor, by: Products) -> Tensor:
    """Return the sum over the first axis of outer products of the last, block by block of those between."""
    if a.dim() == 2:
        return _sum_of_products(a, b, by)
    a, b = a.flatten(1, -2), b.flatten(1, -2)
    heads = [_sum_of_products(a[:, head], b[:, head], by) for head in range(a.shape[1])]
    return torch.stack(heads)


def _sum_of_products(a: Tensor, b: Tensor, by: Products) -> Tensor:
    """Return `a.T @ b`; halves are widened block by block and summed in float32."""
    if a.dtype is not torch.bfloat16:
        return contract(by, _dense_rows(a), _dense_rows(b))
    total = torch.zeros((a.shape[1], b.shape[1]))
    for start in range(0, len(a), _WIDENED):
        total += contract(by, a[start : start + _WIDENED].float(), b[start : start + _WIDENED].float())
    return total


def _dense_rows(factor: Tensor) -> Tensor:
    return factor if factor.stride(1) == 1 or factor.shape[1] == 1 else factor.contiguous()


def _flat(call: Call, x: Tensor) -> Tensor:
    """Return the steps of x in the order of the streams, `(total, ...)`, without what is past a row's length."""
    if call.lengths is None:
        return x.reshape(-1, *x.shape[2:])
    real = torch.arange(x.shape[0]) < call.lengths[:, None]
    return x.transpose(0, 1)[real]
