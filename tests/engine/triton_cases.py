"""Plans run by Triton's interpreter beside the same plans run on the CPU."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ostinato.engine.backends.triton import loop as loops
from ostinato.engine.backends.triton.executable import TritonExecutable
from ostinato.engine.backends.triton.tiles import Tiling
from ostinato.engine.front.state import initial_state, leaves, map_state
from ostinato.engine.front.watch import look
from ostinato.engine.run.compiled import Ready, find


@dataclass(frozen=True)
class Case:
    """What a cell is run on."""

    steps: int = 4
    batch: int = 3
    lengths: tuple[int, ...] | None = None
    resets: bool = False
    reverse: bool = False
    dtype: torch.dtype = torch.float64


VARIANTS = {
    "plain": Case(),
    "lengths": Case(lengths=(4, 0, 2)),
    "resets": Case(resets=True),
    "reversed lengths": Case(lengths=(3, 4, 1), reverse=True),
    "reversed": Case(reverse=True, batch=17),  # more than one tile of rows
}


def share_columns(monkeypatch: Any, programs: int, rows: int = 16) -> None:
    """Let so many programs share the columns of a tile of so many rows, whatever would be chosen."""
    monkeypatch.setattr(loops, "tilings", lambda *_: [Tiling(rows, programs, 4)])


@contextmanager
def products_in_tf32(on: bool) -> Iterator[None]:
    """Choose by PyTorch's switch how products of float32 are made."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = on
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def both(cell: nn.Module, features: int, case: Case) -> tuple[list[Tensor], list[Tensor]]:
    """Return outputs, last states and all gradients: by the CPU's kernels, then by Triton's."""
    # the CPU has no kernels for float16: it computes with the same numbers in float32
    here = torch.float32 if case.dtype is torch.float16 else case.dtype
    cell = deepcopy(cell).to(case.dtype).to(here)
    # above zero: some cells take a time gap among their features
    xs = torch.rand(case.steps, case.batch, features, dtype=case.dtype).to(here).requires_grad_()
    start = map_state(lambda leaf: torch.randn_like(leaf).requires_grad_(), initial_state(cell, xs[0].detach()))
    ready = find(cell, cell, xs, start)
    assert isinstance(ready, Ready), ready
    plan = ready.executable.plan
    parameters = [tensor.detach() for tensor in look(cell).tensors.values()]
    results = []
    cotangents: list[Tensor] = []
    for executable, dtype in ((ready.executable, here), (TritonExecutable(plan, case.dtype), case.dtype)):
        state = [leaf.detach().to(case.dtype).to(dtype) for leaf in leaves(start)]
        parameters, cotangents = _all_to(dtype, parameters), _all_to(dtype, cotangents)
        lengths = None if case.lengths is None else torch.tensor(case.lengths)
        resets = (torch.arange(case.steps * case.batch) % 3 == 1).view(case.steps, -1) if case.resets else None
        call = executable.call(
            xs.detach().to(dtype), state, lengths, resets, case.reverse, 7, executable.rows(parameters)
        )  # fmt: skip
        save = plan.backward is not None
        y, last, saved = executable.forward(parameters, call, save=save, apart=True)
        found = [y, *last]
        if save:
            cotangents = cotangents or [torch.randn_like(tensor) for tensor in found]
            for row, length in enumerate(case.lengths or ()):
                cotangents[0][length:, row] = 0
            weights, dx, dstate = executable.backward(parameters, call, saved, cotangents[0], cotangents[1:])
            found += [gradient for gradient in [*weights, dx, *dstate] if gradient is not None]
        results.append(found)
    return results[0], results[1]


def largest_error(cell: nn.Module, features: int, case: Case) -> float:
    """Return the largest difference between the two, relative to the size of each tensor."""
    ours, theirs = both(cell, features, case)
    assert len(ours) == len(theirs)
    errors = [
        float((a.double() - b.double()).abs().max() / (1 + a.double().abs().max()))
        for a, b in zip(ours, theirs, strict=True)
        if a.numel()
    ]
    assert all(b.isfinite().all() for b in theirs)
    return max(errors)


def _all_to(dtype: torch.dtype, tensors: list[Tensor]) -> list[Tensor]:
    return [tensor.to(dtype) if tensor.is_floating_point() else tensor for tensor in tensors]


def as_type(case: Case, dtype: torch.dtype) -> Case:
    """Return a case in another precision."""
    return replace(case, dtype=dtype)
