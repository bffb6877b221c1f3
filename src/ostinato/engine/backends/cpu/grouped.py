"""Rows added to those of a table by number: `total[places[i]] += rows[i]` for all i, one after the other."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ostinato.engine.backends.cpu.code import Code, i64
from ostinato.engine.backends.cpu.lanes import DType, Lanes
from ostinato.engine.backends.cpu.loops import compile_loop
from ostinato.engine.backends.target import Target

_NAMES: dict[torch.dtype, DType] = {torch.float32: "float32", torch.float64: "float64"}


def add_rows(rows: Tensor, places: Tensor, total: Tensor, target: Target) -> None:
    """See `backends.add_rows`."""
    loop = _loop(_NAMES[rows.dtype], target)
    loop(len(places), rows.shape[1], places.data_ptr(), rows.data_ptr(), total.data_ptr())


@cache
def _loop(dtype: DType, target: Target) -> Callable[..., None]:
    source, width = (
        hashlib.sha256(Path(__file__).read_bytes()).hexdigest(),
        target.width(4 if dtype == "float32" else 8),
    )
    found: Callable[..., None] = compile_loop(
        f"add_rows_{dtype}", f"{source} {width}", 2, 3, partial(_emit, dtype=dtype, lanes_wide=width), target
    )
    return found


def _emit(code: Code, arguments: tuple[Any, ...], *, dtype: DType, lanes_wide: int) -> None:
    count, width, places, rows, total = arguments
    builder, lanes = code.builder, Lanes(code.builder, dtype, lanes_wide)
    vectors = builder.udiv(width, i64(lanes_wide))
    done = builder.mul(vectors, i64(lanes_wide))
    with code.loop(count, "row") as row:
        source = code.at(rows, builder.mul(row, width), lanes.element)
        goal = code.at(total, builder.mul(code.load(places, row, i64), width), lanes.element)
        with code.loop(vectors, "vector") as vector:
            at = builder.mul(vector, i64(lanes_wide))
            one, other = (code.load_vector(lanes, code.at(base, at, lanes.element)) for base in (goal, source))
            code.store_vector(lanes, lanes.add(one, other), code.at(goal, at, lanes.element))
        with code.loop(builder.sub(width, done), "rest") as rest:
            at = builder.add(done, rest)
            one, other = (code.load(base, at, lanes.element) for base in (goal, source))
            code.store(builder.fadd(one, other), goal, at)
