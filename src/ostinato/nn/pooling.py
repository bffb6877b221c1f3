"""Pooling: from the outputs of all steps to one vector a sequence, exact for every length.

Each kind reads a whole padded batch, or step by step with constant memory (`start`, `advance`, `finish`), to the same
vector.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from ostinato.errors import UsageError
from ostinato.nn.losses.masking import fill_padding, real_steps

Running: TypeAlias = "tuple[Tensor, ...]"
POOLINGS = ("last", "mean", "max", "attention")


class Pool(Protocol):
    """One kind of pooling."""

    def __call__(self, ys: Tensor, lengths: Tensor) -> Tensor:
        """Return `(batch, features)` of `(time, batch, features)`; what stands in padding is not read."""

    def start(self, width: int) -> Running:
        """Return what is kept before the first step."""

    def advance(self, kept: Running, y: Tensor) -> Running:
        """Take in the output of a step, `(1, features)`."""

    def finish(self, kept: Running) -> Tensor:
        """Return the vector of the steps so far, `(1, features)`."""


class LastPool(nn.Module):
    """The output of the last step; of the other direction, that of the first, where it ends.

    Args:
        two_ways: whether the second half of the features comes from a layer that reads from the end.
    """

    def __init__(self, two_ways: bool) -> None:
        super().__init__()
        self.two_ways = two_ways

    def forward(self, ys: Tensor, lengths: Tensor) -> Tensor:
        """See `Pool`."""
        last = ys[lengths - 1, torch.arange(ys.shape[1], device=ys.device)]
        if not self.two_ways:
            return last
        half = ys.shape[2] // 2
        return torch.cat([last[:, :half], ys[0, :, half:]], -1)

    def start(self, width: int) -> Running:
        """See `Pool`."""
        return (torch.zeros(1, width),)

    def advance(self, kept: Running, y: Tensor) -> Running:  # noqa: ARG002
        """See `Pool`."""
        return (y,)

    def finish(self, kept: Running) -> Tensor:
        """See `Pool`."""
        return kept[0]


class MeanPool(nn.Module):
    """The mean of all steps' outputs."""

    def forward(self, ys: Tensor, lengths: Tensor) -> Tensor:
        """See `Pool`."""
        return fill_padding(ys, real_steps(lengths, ys.shape[0])).sum(0) / lengths[:, None]

    def start(self, width: int) -> Running:
        """See `Pool`."""
        return torch.zeros(1, width), torch.zeros(())

    def advance(self, kept: Running, y: Tensor) -> Running:
        """See `Pool`."""
        return kept[0] + y, kept[1] + 1

    def finish(self, kept: Running) -> Tensor:
        """See `Pool`."""
        return kept[0] / kept[1]


class MaxPool(nn.Module):
    """The largest of all steps' outputs, feature by feature (R. Collobert et al., JMLR 2011)."""

    def forward(self, ys: Tensor, lengths: Tensor) -> Tensor:
        """See `Pool`."""
        return fill_padding(ys, real_steps(lengths, ys.shape[0]), float("-inf")).amax(0)

    def start(self, width: int) -> Running:
        """See `Pool`."""
        return (torch.full((1, width), float("-inf")),)

    def advance(self, kept: Running, y: Tensor) -> Running:
        """See `Pool`."""
        return (torch.maximum(kept[0], y),)

    def finish(self, kept: Running) -> Tensor:
        """See `Pool`."""
        return kept[0]


class AttentionPool(nn.Module):
    """A mean of the steps' outputs, weighted by `softmax(v tanh(W y + b))` over the steps.

    Source: Z. Yang et al., "Hierarchical attention networks for document classification", NAACL 2016, section 2.2.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner, self.score = nn.Linear(width, width), nn.Linear(width, 1, bias=False)

    def forward(self, ys: Tensor, lengths: Tensor) -> Tensor:
        """See `Pool`."""
        real = real_steps(lengths, ys.shape[0])
        return (self.weights(ys, lengths)[..., None] * fill_padding(ys, real)).sum(0)

    def weights(self, ys: Tensor, lengths: Tensor) -> Tensor:
        """Return the weight of each step, `(time, batch)`; they add up to one, and padding has none."""
        scores = self._scores(fill_padding(ys, real_steps(lengths, ys.shape[0])))
        return fill_padding(scores, real_steps(lengths, ys.shape[0]), float("-inf")).softmax(0)

    def start(self, width: int) -> Running:
        """Keep the largest score, and sums relative to it: no score is too large for an exponential."""
        return torch.full((1, 1), float("-inf")), torch.zeros(1, 1), torch.zeros(1, width)

    def advance(self, kept: Running, y: Tensor) -> Running:
        """See `Pool`."""
        largest, total, weighted = kept
        score = self._scores(y)[:, None]
        new = torch.maximum(largest, score)
        old, new_share = (largest - new).exp(), (score - new).exp()
        return new, total * old + new_share, weighted * old + new_share * y

    def finish(self, kept: Running) -> Tensor:
        """See `Pool`."""
        return kept[2] / kept[1]

    def _scores(self, ys: Tensor) -> Tensor:
        scores: Tensor = self.score(torch.tanh(self.inner(ys)))[..., 0]
        return scores


class Pooling(nn.Module):
    """Kinds of pooling side by side, their vectors concatenated.

    Args:
        kinds: names of `POOLINGS` with `+` between, such as `"mean+max"`.
        width: features of a step's output.
        two_ways: see `LastPool`.

    Raises:
        UsageError: a kind is not known, or comes twice.

    >>> import torch
    >>> pooling = Pooling("last+max", 2, two_ways=False)
    >>> ys = torch.tensor([[[1.0, 9.0]], [[5.0, 3.0]], [[8.0, 8.0]]])
    >>> pooling(ys, torch.tensor([2])).tolist()
    [[5.0, 3.0, 5.0, 9.0]]
    """

    def __init__(self, kinds: str, width: int, *, two_ways: bool) -> None:
        super().__init__()
        names = split_kinds(kinds)
        made: dict[str, Callable[[], nn.Module]] = {
            "last": lambda: LastPool(two_ways),
            "mean": MeanPool,
            "max": MaxPool,
            "attention": lambda: AttentionPool(width),
        }
        pools = {name: made[name]() for name in names}
        self.pools = nn.ModuleDict(pools)
        self.width, self.output_size = width, width * len(names)

    def forward(self, ys: Tensor, lengths: Tensor) -> Tensor:
        """Return `(batch, output_size)` of outputs `(time, batch, width)` and lengths `(batch,)` from one up."""
        return torch.cat([pool(ys, lengths) for pool in self.pools.values()], -1)

    @property
    def attention(self) -> AttentionPool | None:
        """The one that weighs steps, if there is one."""
        return next((pool for pool in self.pools.values() if isinstance(pool, AttentionPool)), None)

    def start(self) -> list[Running]:
        """Return what is kept of a stream before its first step."""
        return [pool.start(self.width) for pool in self._each()]

    def advance(self, kept: list[Running], y: Tensor) -> list[Running]:
        """Take in the output of a step, `(1, width)`."""
        return [pool.advance(value, y) for pool, value in zip(self._each(), kept, strict=True)]

    def finish(self, kept: list[Running]) -> Tensor:
        """Return the vector of the steps so far, `(1, output_size)`."""
        return torch.cat([pool.finish(value) for pool, value in zip(self._each(), kept, strict=True)], -1)

    def _each(self) -> list[Any]:
        return list(self.pools.values())


def split_kinds(kinds: str) -> list[str]:
    """Return the kinds that a name like `"mean+max"` joins.

    Raises:
        UsageError: one is not known, or comes twice.
    """
    names = [name.strip() for name in kinds.split("+")] if isinstance(kinds, str) else []
    if not names or len(set(names)) < len(names) or not set(names) <= set(POOLINGS):
        raise UsageError(f'pooling is {kinds!r}; expected {", ".join(POOLINGS)}, or several with + between: "mean+max"')
    return names


def is_like(pooled: list[Any], start: list[Any]) -> bool:
    """Tell whether arrays are laid out as what a pooling keeps, and are numbers."""
    return (
        isinstance(pooled, list)
        and len(pooled) == len(start)
        and all(
            isinstance(pool, list)
            and len(pool) == len(value)
            and all(
                isinstance(one, np.ndarray)
                and one.dtype == np.float32
                and one.shape == tuple(like.shape)
                and bool(np.isfinite(one).all())
                for one, like in zip(pool, value, strict=True)
            )
            for pool, value in zip(pooled, start, strict=True)
        )
    )
