"""Cells whose weights are drawn at random in training: each draw is one ordinary tensor for a whole scan."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.utils import parametrize

from ostinato.engine.front.state import State, call_cell


def draws_weights(cell: nn.Module) -> bool:
    """Tell whether a weight of the cell comes out differently each time it is asked for, as weight drop's do."""
    return any(getattr(module, "draws_anew", False) and module.training for module in cell.modules())


class Drawn(nn.Module):
    """A cell with its random weights drawn, once: it shares all other tensors with the cell it was made of.

    The engine takes the drawn weights for inputs of the scan, so that their gradients go back, through the draw, to the
    weights that the optimiser knows.
    """

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = _shell(cell)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Advance one step."""
        return call_cell(self.cell, x, state)


def _shell(module: nn.Module) -> nn.Module:
    """Return a module that runs as this one does, with the weights that are drawn as plain attributes."""
    if not draws_weights(module):
        return module
    shell: nn.Module = object.__new__(parametrize.type_before_parametrizations(module))
    shell.__dict__ = dict(module.__dict__)
    drawn = dict(module.named_children())
    if parametrize.is_parametrized(module):
        maps = drawn.pop("parametrizations")
        shell.__dict__ |= {name: getattr(module, name) for name, _ in maps.named_children()}
    shell.__dict__["_modules"] = {name: _shell(child) for name, child in drawn.items()}
    return shell
