"""Weight drop: recurrent weights missing at random, the same ones for a whole sequence."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize

from ostinato.errors import UsageError


class DropConnect(nn.Module):
    """The parametrisation behind `weight_drop`: a weight with some of its numbers missing, in training.

    `draws_anew` tells `ostinato.scan` to draw the weight once for a whole call.
    """

    draws_anew = True

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, weight: Tensor) -> Tensor:
        """Return the weight as it is used."""
        return functional.dropout(weight, self.rate, self.training)


def weight_drop(module: nn.Module, names: str | Sequence[str], rate: float = 0.5) -> nn.Module:
    """Let numbers of weights be missing in training: drawn once a call of `ostinato.scan`, so for all of its steps.

    The module is changed in place; its weights are found as `parametrizations.NAME.original` in its state_dict.
    `torch.nn.utils.parametrize.remove_parametrizations(module, name)` takes it off again.

    Args:
        module: a cell, a stack or a model.
        names: of weights, with dots for those of parts: `"recurrent.weight"`; in a stack, that of every cell.
        rate: the probability that a number is missing, from 0 to 1 (1 excluded).

    Returns:
        The module.

    Raises:
        UsageError: the rate is out of range, or no part has such a weight.

    Source: S. Merity, N. Keskar and R. Socher, "Regularizing and optimizing LSTM language models", ICLR 2018,
    section 2.

    >>> import torch, ostinato
    >>> stack = ostinato.nn.Recurrent(ostinato.cells.LSTMCell(3, 5), num_layers=2)
    >>> ys, _ = weight_drop(stack, "recurrent.weight", 0.5)(torch.randn(7, 2, 3))
    """
    if not 0.0 <= rate < 1.0:
        raise UsageError(f"rate is {rate}; expected a probability from 0 to 1, 1 excluded")
    for name in [names] if isinstance(names, str) else names:
        path, _, weight = name.rpartition(".")
        found = [part for prefix, part in module.named_modules() if _ends(prefix, path) and _has(part, weight)]
        if not found:
            weights = ", ".join(each for each, _ in module.named_parameters())
            raise UsageError(f'{type(module).__name__} has no weight "{name}"; it has {weights}')
        for part in found:
            parametrize.register_parametrization(part, weight, DropConnect(rate))
    return module


def _ends(prefix: str, path: str) -> bool:
    return not path or prefix == path or prefix.endswith(f".{path}")


def _has(part: nn.Module, name: str) -> bool:
    return part._parameters.get(name) is not None
