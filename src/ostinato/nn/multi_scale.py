"""Convolutions of several widths side by side, block on block: patterns of many lengths, exact for each row."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from ostinato.errors import UsageError
from ostinato.nn.norms import check_features


class MultiScaleConvolutions(nn.Module):
    """Residual blocks, each of convolutions of several widths and of the largest of three steps, concatenated.

    Past a row's length stand zeros before every block, and batch statistics are those of real steps: a padded row gives
    what it gives alone. With `causal`, a step's output depends on itself and on those before it only.

    Args:
        input_size: features of a step.
        channels: features after each block.
        width: steps that the widest convolution sees; the others see about a half and a quarter of it.
        stride: steps from one output of a convolution before the first block to the next; 1: there is none.
        causal: see above.

    Raises:
        UsageError: a setting is out of range.

    Source: H. Ismail Fawaz et al., "InceptionTime: finding AlexNet for time series classification", Data Mining and
    Knowledge Discovery 34, 2020.

    >>> blocks = MultiScaleConvolutions(3, [16, 16], width=9, stride=2).eval()
    >>> ys, lengths = blocks(torch.randn(21, 2, 3), torch.tensor([21, 8]))
    >>> tuple(ys.shape), lengths.tolist()
    ((11, 2, 16), [11, 4])
    """

    def __init__(
        self, input_size: int, channels: Sequence[int], *, width: int = 39, stride: int = 1, causal: bool = False
    ) -> None:
        super().__init__()
        if width < 1 or stride < 1 or not channels or min(channels) < 1:
            raise UsageError(
                f"width is {width}, stride {stride} and channels {list(channels)}; expected numbers from one up"
            )
        self.input_size, self.output_size, self.stride = input_size, channels[-1], stride
        self.stem: _Convolution | None = None
        size = input_size
        if stride > 1:
            size = max(channels[0] // 2, 1)
            self.stem = _Convolution(input_size, size, 2 * stride + 1, stride=stride, causal=causal, bias=True)
        sizes = [size, *channels]
        self.reach = 1 + len(channels) * max((width | 1) - 1, 2)
        """Steps that an output depends on, itself among them, where there is no stride and all are before it."""
        widths = sorted({max(width // 4, 1) | 1, max(width // 2, 1) | 1, width | 1})
        self.blocks = nn.ModuleList(
            _Block(before, after, widths, causal) for before, after in zip(sizes, channels, strict=False)
        )

    def forward(self, xs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return `(shorter time, batch, output_size)` and the new lengths.

        Args:
            xs: `(time, batch, input_size)`.
            lengths: `(batch,)` real steps.

        Raises:
            ShapeError: `xs` has other features.
        """
        check_features(xs, self.input_size)
        rows, real = xs.permute(1, 2, 0).contiguous(), _real(xs.shape[0], lengths)
        if self.stem is not None:
            rows = self.stem(rows if real is None else rows * real)
            lengths = (lengths + self.stride - 1) // self.stride
            real = _real(rows.shape[2], lengths)
        if real is not None:
            rows = rows * real
        for block in self.blocks:
            rows = block(rows, real)
        return rows.permute(2, 0, 1), lengths


class _Convolution(nn.Conv1d):
    """A convolution whose output is as long as its input, or that by the stride; zeros stand past both ends."""

    def __init__(
        self, input_size: int, size: int, width: int, *, causal: bool, stride: int = 1, bias: bool = False
    ) -> None:
        super().__init__(input_size, size, width, stride, bias=bias)
        self.before = width - 1 if causal else width // 2

    def forward(self, rows: Tensor) -> Tensor:
        """Return `(batch, size, time)`."""
        width = self.kernel_size[0]
        padded = functional.pad(rows, (self.before, width - 1 - self.before))
        return super().forward(padded)


class _Block(nn.Module):
    def __init__(self, input_size: int, size: int, widths: Sequence[int], causal: bool) -> None:
        super().__init__()
        parts = [size // (len(widths) + 1) + (place < size % (len(widths) + 1)) for place in range(len(widths) + 1)]
        inner = max(parts[0], 1)
        self.narrow = nn.Conv1d(input_size, inner, 1, bias=False) if input_size > inner else nn.Identity()
        before = min(inner, input_size) if input_size <= inner else inner
        self.wide = nn.ModuleList(
            _Convolution(before, part, width, causal=causal)
            for part, width in zip(parts[:-1], reversed(widths), strict=True)
            if part
        )
        self.pooled = nn.Conv1d(input_size, parts[-1], 1, bias=False) if parts[-1] else None
        self.reach = (2, 0) if causal else (1, 1)
        self.norm, self.shortcut_norm = nn.BatchNorm1d(size), nn.BatchNorm1d(size)
        self.shortcut = nn.Conv1d(input_size, size, 1, bias=False) if input_size != size else nn.Identity()

    def forward(self, rows: Tensor, real: Tensor | None) -> Tensor:
        """Return `(batch, size, time)` of rows `(batch, input size, time)`, zero past each length."""
        inner = self.narrow(rows)
        parts = [convolution(inner) for convolution in self.wide]
        if self.pooled is not None:
            largest = functional.max_pool1d(functional.pad(rows, self.reach), 3, 1)
            parts.append(self.pooled(largest))
        convolved = _normal(self.norm, torch.cat(parts, 1), real)
        beside = _normal(self.shortcut_norm, self.shortcut(rows), real)
        summed = torch.relu(convolved + beside)
        return summed if real is None else summed * real


def _normal(norm: nn.BatchNorm1d, rows: Tensor, real: Tensor | None) -> Tensor:
    """Normalise by the statistics of real steps; what stands past a length is of no account."""
    if real is None or not norm.training:
        if norm.training and rows.shape[0] * rows.shape[2] < 2:  # a single step has no variance
            return functional.batch_norm(
                rows, norm.running_mean, norm.running_var, norm.weight, norm.bias, False, 0.0, norm.eps
            )
        found: Tensor = norm(rows)
        return found
    count = real.sum().clamp_min(2.0)
    mean = (rows * real).sum((0, 2)) / count
    centred = (rows - mean[:, None]) * real
    variance = centred.square().sum((0, 2)) / count
    with torch.no_grad():
        assert norm.running_mean is not None
        assert norm.running_var is not None
        assert norm.num_batches_tracked is not None
        norm.num_batches_tracked += 1
        share = norm.momentum or 0.1
        norm.running_mean.lerp_(mean, share)
        norm.running_var.lerp_(variance * (count / (count - 1)), share)
    return centred * (torch.rsqrt(variance + norm.eps) * norm.weight)[:, None] + norm.bias[:, None]


def _real(time: int, lengths: Tensor) -> Tensor | None:
    """Return 1 for real steps and 0 past each length, `(batch, 1, time)`; `None`: all steps are real."""
    if bool((lengths >= time).all()):
        return None
    return (torch.arange(time, device=lengths.device) < lengths[:, None]).float()[:, None]
