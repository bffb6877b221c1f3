"""Normalisation of sequences of different lengths: what lies past a row's end counts for nothing."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ostinato.errors import ShapeError


def steps_mask(xs: Tensor, lengths: Tensor | None) -> Tensor | None:
    """Return a mask `(time, batch)` of the steps that rows really have; `None` if that is all of them."""
    if lengths is None:
        return None
    return torch.arange(xs.shape[0], device=xs.device)[:, None] < lengths.to(xs.device)


def check_features(xs: Tensor, size: int) -> None:
    """Raise unless `xs` is `(time, batch, size)`.

    Raises:
        ShapeError: it has another number of dimensions, or of features.
    """
    if xs.dim() != 3 or xs.shape[-1] != size:
        raise ShapeError(f"xs has shape {tuple(xs.shape)}; expected (time, batch, {size})")


class SequenceBatchNorm(nn.BatchNorm1d):
    """Batch normalisation of each feature over all real steps of all rows.

    It is `torch.nn.BatchNorm1d` on the real steps put one after the other: parameters, running statistics and options
    are its own.

    >>> import torch
    >>> norm = SequenceBatchNorm(3)
    >>> tuple(norm(torch.randn(7, 2, 3), torch.tensor([7, 4])).shape)
    (7, 2, 3)

    Source: S. Ioffe and C. Szegedy, "Batch normalization", ICML 2015; for stacks of recurrent layers C. Laurent et al.,
    "Batch normalized recurrent neural networks", ICASSP 2016 ("sequence-wise").
    """

    def forward(self, xs: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Normalise `(time, batch, features)`, or one step `(batch, features)`; past a row's length stand zeros.

        Raises:
            ShapeError: the features are not those of the layer, or there are no real steps to train on.
        """
        if xs.shape[-1] != self.num_features:
            raise ShapeError(f"xs has shape {tuple(xs.shape)}; expected {self.num_features} features at its end")
        mask = steps_mask(xs, lengths) if xs.dim() == 3 else None
        if not self.training and self.running_mean is not None:
            normal = self._by_running_statistics(xs)
            return normal if mask is None else normal.masked_fill(~mask[..., None], 0.0)
        rows = xs.reshape(-1, self.num_features) if mask is None else xs[mask]
        if rows.shape[0] < 2:
            raise ShapeError(
                f"{rows.shape[0]} real steps in a batch; batch normalisation needs two or more to train on"
            )
        normal = super().forward(rows)
        if mask is None:
            return normal.view_as(xs)
        return torch.zeros_like(xs).masked_scatter(mask[..., None], normal)

    def _by_running_statistics(self, xs: Tensor) -> Tensor:
        """Normalise in evaluation: pointwise, so that the engine can take it along in a compiled step."""
        assert self.running_mean is not None
        assert self.running_var is not None
        normal = (xs - self.running_mean) * torch.rsqrt(self.running_var + self.eps)
        return normal * self.weight + self.bias if self.affine else normal


class StepStatistics(nn.Module):
    """Batch normalisation inside a recurrence: each step has statistics of its own, over the rows that are running.

    Steps from `max_steps` on share those of the last. The shift is left to what follows.

    Args:
        features: of a row.
        max_steps: how many steps have running statistics of their own.
        gain: where the scale starts; Cooijmans et al. found 0.1 to be needed where a `tanh` follows.

    Source: T. Cooijmans et al., "Recurrent batch normalization", ICLR 2017, sections 3 and 4.
    """

    running_mean: Tensor
    running_var: Tensor
    seen: Tensor

    def __init__(self, features: int, max_steps: int, gain: float = 0.1, momentum: float = 0.1) -> None:
        super().__init__()
        self.max_steps, self.momentum, self.eps = max_steps, momentum, 1e-5
        self.weight = nn.Parameter(torch.full((features,), gain))
        self.register_buffer("running_mean", torch.zeros(max_steps, features))
        self.register_buffer("running_var", torch.ones(max_steps, features))
        self.register_buffer("seen", torch.zeros(max_steps, dtype=torch.bool))

    def forward(self, rows: Tensor, step: int) -> Tensor:
        """Normalise the rows `(running, features)` of one step, and remember their statistics."""
        place = min(step, self.max_steps - 1)
        if rows.shape[0] < 2:  # a lone row has no variance
            scale, shift = self.at(torch.tensor([place]))
            return rows * scale + shift
        mean, variance = rows.mean(0), rows.var(0, unbiased=False)
        with torch.no_grad():
            share = self.momentum if bool(self.seen[place]) else 1.0
            unbiased = variance * (rows.shape[0] / (rows.shape[0] - 1))
            self.running_mean[place].lerp_(mean, share)
            self.running_var[place].lerp_(unbiased, share)
            self.seen[place] = True
        normal: Tensor = functional.batch_norm(rows, None, None, self.weight, None, True, 0.0, self.eps)
        return normal

    def at(self, steps: Tensor) -> tuple[Tensor, Tensor]:
        """Return scale and shift by the running statistics, `(steps, features)`; after the last seen step, its own."""
        last = int(self.seen.nonzero().max()) if bool(self.seen.any()) else 0
        places = steps.clamp(max=min(last, self.max_steps - 1)).to(self.running_mean.device)
        scale = self.weight * torch.rsqrt(self.running_var[places] + self.eps)
        return scale, -self.running_mean[places] * scale
