"""Cells without their `input`: what reads, in place of a step, what the cell's `input` makes of it.

The table of them is kept here, where the watch on cells does not look: it is no setting of any cell.
"""

from __future__ import annotations

from operator import is_
from typing import Any

import torch
from torch import Tensor, nn

from ostinato.engine.beside import Beside
from ostinato.engine.front.state import call_cell, initial_state, leaves
from ostinato.engine.front.watch import is_watched, watched_by_all_modules
from ostinato.engine.run.compiled import suits
from ostinato.engine.run.plain import plain_now

_twins: Beside[nn.Module | None] = Beside()
"""Cells, each with itself without its `input`; none where it reads a step in another way too."""


def twin_of(cell: Any, table: Tensor) -> nn.Module | None:
    """Return a cell that reads what `input` of this one gives, and else is as it is now; none if there can be none.

    Args:
        cell: whose code is known to read a step through `input` alone, or nearly so: one step is tried.
        table: vectors `(rows, features)` as it would read them.
    """
    if type(getattr(cell, "input", None)) is not nn.Linear or not table.is_cpu or not plain_now():
        return None
    if not suits(table, ()) or watched_by_all_modules():
        return None
    if "forward" in cell.__dict__ or any(map(is_watched, cell.modules())):
        return None
    if cell not in _twins:
        twin = cell.__class__.__new__(cell.__class__)
        _twins[cell] = twin if _agrees(cell, twin, table) else None
    found = _twins[cell]
    if found is not None:
        _bring_up_to_date(found, cell)
    return found


def _bring_up_to_date(twin: nn.Module, cell: nn.Module) -> None:
    """Give a twin what the cell has now, the very same mode, settings, parameters and parts, but for its `input`."""
    kept = {name: value for name, value in cell.__dict__.items() if name != "_modules"}
    before = twin.__dict__.get("_modules", {})
    parts = {**cell._modules, "input": before.get("input") or nn.Identity()}
    if before.keys() == parts.keys() and all(map(is_, before.values(), parts.values())):
        parts = before  # another table of the same parts would have the twin looked at as if it were new
    if twin.__dict__.keys() - {"_modules"} != kept.keys():
        twin.__dict__.clear()
    twin.__dict__.update(kept, _modules=parts)


def _agrees(cell: Any, twin: nn.Module, table: Tensor) -> bool:
    """Tell whether a step of both gives the same, of numbers drawn at random.

    The step begins where another has led: from zeros, a cell whose state multiplies a second product with the input
    would not show it.
    """
    modes = [(module, module.training) for module in cell.modules()]
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        try:
            cell.eval()
            _bring_up_to_date(twin, cell)
            before, x = torch.randn(2, 3, table.shape[1], dtype=table.dtype)
            _, start = call_cell(cell, before, initial_state(cell, before))
            expected, found = call_cell(cell, x, start), call_cell(twin, cell.input(x), start)
            pairs = zip((expected[0], *leaves(expected[1])), (found[0], *leaves(found[1])), strict=True)
            return all(torch.allclose(one, other, rtol=1e-4, atol=1e-5) for one, other in pairs)
        except Exception:  # noqa: BLE001 - a cell that reads a step otherwise stumbles in its own way
            return False
        finally:
            for module, training in modes:
                module.training = training
