"""Recurrent layers of which the later ones read fewer, wider steps."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional

from ostinato.errors import UsageError
from ostinato.nn.norms import steps_mask
from ostinato.nn.recurrent import Recurrent


class Pyramid(nn.Module):
    """Stages of recurrent layers, each of which reads two steps of the one before as one.

    A step of a later stage stands for a step and the one before it, so that stages of one direction stay causal and
    follow a stream without waiting.

    Args:
        stage: makes a stage that reads so many features, called with those and the stage's number.
        input_size: features of a step.
        reductions: how many stages there are behind the first, each of half as many steps.
        width: features of a stage's output.

    Raises:
        UsageError: `reductions` is negative.

    Source: W. Chan et al., "Listen, attend and spell", ICASSP 2016, section 3.1 (there a step and the one behind it).

    >>> import torch
    >>> from ostinato.cells import GRUCell
    >>> pyramid = Pyramid(lambda size, number: Recurrent(GRUCell(size, 5)), 3, reductions=1, width=5)
    >>> ys, lengths = pyramid(torch.randn(7, 2, 3), torch.tensor([7, 4]))
    >>> tuple(ys.shape), lengths.tolist()
    ((4, 2, 5), [4, 2])
    """

    def __init__(
        self, stage: Callable[[int, int], nn.Module], input_size: int, *, reductions: int = 0, width: int
    ) -> None:
        super().__init__()
        if reductions < 0:
            raise UsageError(f"reductions is {reductions}; expected none or more")
        sizes = [input_size] + [2 * width] * reductions
        self.stages = nn.ModuleList(stage(size, number) for number, size in enumerate(sizes))
        self.output_size = width

    @property
    def reduction(self) -> int:
        """How many steps of the input one of the output stands for."""
        return int(2 ** (len(self.stages) - 1))

    def forward(self, xs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return `(shorter time, batch, width)` and the new lengths, for `(time, batch, input_size)`."""
        for number, stage in enumerate(self.stages):
            if number:
                xs, lengths = paired(xs, lengths), (lengths + 1) // 2
            xs, _ = stage(xs, lengths=lengths)
        return xs, lengths


def paired(xs: Tensor, lengths: Tensor) -> Tensor:
    """Return each second step with the one before it, `(half of the time, batch, 2 * features)`, from the first on.

    >>> import torch
    >>> paired(torch.arange(1.0, 6.0)[:, None, None], torch.tensor([5])).flatten(1).tolist()
    [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
    """
    real = steps_mask(xs, lengths)
    assert real is not None
    padded = functional.pad(xs.masked_fill(~real[..., None], 0.0), (0, 0, 0, 0, 1, 0))
    time, batch, size = padded.shape
    return padded[: time - time % 2].view(-1, 2, batch, size).transpose(1, 2).flatten(2)


__all__ = ["Pyramid", "Recurrent", "paired"]
