"""Inputs that fit each cell of the catalogue, for the tests that go over all of them."""

import torch
from torch import Tensor, nn

from ostinato.cells import CATALOGUE

INPUT, HIDDEN = 6, 4
FRAMES = {"conv-lstm": (5, 3), "conv-gru": (5, 3)}
"""Height and width of a step, for the cells that read frames."""


def steps(name: str, time: int, batch: int, features: int = INPUT, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return random steps, `(time, batch, features)` or frames, with masks and time gaps where the cell reads them."""
    xs = torch.randn(time, batch, features, *FRAMES.get(name, ()), dtype=dtype)
    if name in ("cfc", "t-lstm"):
        xs[..., -1] = xs[..., -1].abs()
    if name == "gru-d":
        values, mask, gap = xs.chunk(3, -1)
        xs = torch.cat([values, (mask > 0).to(dtype), gap.abs()], -1)
    return xs


def random_cell(name: str, features: int = INPUT, hidden: int = HIDDEN) -> nn.Module:
    """Return a cell in double precision, none of whose numbers is left at a special value such as zero."""
    cell = CATALOGUE[name](features, hidden).double()
    with torch.no_grad():
        for tensor in cell.state_dict().values():
            tensor.add_(torch.randn_like(tensor), alpha=0.3)
    return cell


def leaves(state) -> list[Tensor]:
    return [state] if isinstance(state, Tensor) else [leaf for part in state for leaf in leaves(part)]
