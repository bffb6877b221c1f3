"""Convolutions in front of a recurrent stack: shorter sequences of richer steps, exact for each length."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ostinato.errors import ShapeError, UsageError
from ostinato.nn.norms import check_features, steps_mask


class ConvolutionalFront(nn.Module):
    """Convolutions over time, each followed by a ReLU.

    A step of the output sees the `width` steps around it; with `causal`, only itself and those before it, so that it
    can follow a stream. Past a row's length stand zeros before every convolution: a padded row gives what it gives
    alone.

    Args:
        input_size: features of a step.
        channels: features after each convolution.
        width: steps that each sees, one number for all or one for each.
        stride: steps from one output to the next, likewise.
        causal: see above.

    Raises:
        UsageError: a setting is out of range.

    >>> import torch
    >>> front = ConvolutionalFront(4, [8, 6], width=3, stride=2)
    >>> ys, lengths = front(torch.randn(9, 2, 4), torch.tensor([9, 4]))
    >>> tuple(ys.shape), lengths.tolist()
    ((3, 2, 6), [3, 1])
    """

    def __init__(
        self,
        input_size: int,
        channels: Sequence[int],
        *,
        width: int | Sequence[int] = 3,
        stride: int | Sequence[int] = 1,
        causal: bool = False,
    ) -> None:
        super().__init__()
        widths, strides = _spread("width", width, len(channels)), _spread("stride", stride, len(channels))
        if not causal and any(each % 2 == 0 for each in widths):
            raise UsageError(f"width is {width}; expected odd numbers, or causal=True")
        self.input_size, self.output_size, self.causal = input_size, channels[-1], causal
        sizes = [input_size, *channels]
        self.convolutions = nn.ModuleList(
            nn.Conv1d(a, b, value, step) for a, b, value, step in zip(sizes, channels, widths, strides, strict=False)
        )

    def forward(self, xs: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Return `(shorter time, batch, output_size)` and the new lengths.

        Args:
            xs: `(time, batch, input_size)`.
            lengths: `(batch,)` real steps.

        Raises:
            ShapeError: `xs` has other features.
        """
        check_features(xs, self.input_size)
        for convolution in self.convolutions:
            assert isinstance(convolution, nn.Conv1d)
            width, stride = convolution.kernel_size[0], convolution.stride[0]
            rows = _zeroed(xs, lengths).permute(1, 2, 0)
            before = width - 1 if self.causal else width // 2
            padded = nn.functional.pad(rows, (before, width - 1 - before))
            if rows.shape[2] and rows.shape[0]:
                xs = torch.relu(convolution(padded)).permute(2, 0, 1)
            else:
                xs = xs.new_zeros(-(-xs.shape[0] // stride), xs.shape[1], convolution.out_channels)
            lengths = None if lengths is None else (lengths + stride - 1) // stride
        return _zeroed(xs, lengths), lengths


class SpectrogramFront(nn.Module):
    """Convolutions over time and frequency, each followed by a ReLU; frequencies and channels become features.

    Args:
        mels: bands of a spectrogram.
        channels: of each convolution.
        width: steps and bands that each sees, an odd number.
        stride: bands from one output to the next, and steps too where these are not given apart.
        time_strides: steps from one output to the next, one for each convolution; they become wider where they would
            not see every step.
        causal: a step of the output sees itself and those before, none after, so that it can follow a stream.

    Raises:
        UsageError: a setting is out of range.

    Source: D. Amodei et al., "Deep Speech 2", ICML 2016, section 3.4.

    >>> import torch
    >>> front = SpectrogramFront(40, [8, 8])
    >>> ys, lengths = front(torch.randn(100, 2, 40), torch.tensor([100, 61]))
    >>> tuple(ys.shape), lengths.tolist(), front.output_size
    ((25, 2, 80), [25, 16], 80)
    """

    def __init__(
        self,
        mels: int,
        channels: Sequence[int],
        *,
        width: int = 3,
        stride: int = 2,
        time_strides: Sequence[int] | None = None,
        causal: bool = False,
    ) -> None:
        super().__init__()
        if width % 2 == 0 or width < 1 or stride < 1 or not channels:
            raise UsageError(
                f"width is {width} and stride {stride}; expected an odd width, a stride from one, channels"
            )
        self.mels, self.stride, self.causal = mels, stride, causal
        self.time_strides = _spread("time_strides", stride if time_strides is None else time_strides, len(channels))
        sizes = [1, *channels]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(a, b, (max(width, step + 1 - step % 2), width), (step, stride), padding=(0, width // 2))
            for a, b, step in zip(sizes, channels, self.time_strides, strict=False)
        )
        bands = mels
        for _ in channels:
            bands = -(-bands // stride)
        self.output_size = bands * channels[-1]

    @property
    def reduction(self) -> int:
        """How many steps of the input one of the output stands for."""
        return math.prod(self.time_strides)

    def forward(self, xs: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Return `(shorter time, batch, output_size)` and the new lengths, for `(time, batch, mels)`.

        Raises:
            ShapeError: `xs` has other bands, or no steps.
        """
        if xs.dim() != 3 or xs.shape[-1] != self.mels or not xs.shape[0]:
            raise ShapeError(f"xs has shape {tuple(xs.shape)}; expected (time, batch, {self.mels}) with steps")
        images = xs.transpose(0, 1)[:, None]
        for convolution, step in zip(self.convolutions, self.time_strides, strict=True):
            assert isinstance(convolution, nn.Conv2d)
            flat = _zeroed(images.permute(2, 0, 1, 3).flatten(2), lengths)
            images = flat.view(*flat.shape[:2], images.shape[1], images.shape[3]).permute(1, 2, 0, 3)
            reach = convolution.kernel_size[0] - 1
            before = reach if self.causal else reach // 2
            images = torch.relu(convolution(nn.functional.pad(images, (0, 0, before, reach - before))))
            lengths = None if lengths is None else (lengths + step - 1) // step
        return _zeroed(images.permute(2, 0, 1, 3).flatten(2), lengths), lengths


def _zeroed(xs: Tensor, lengths: Tensor | None) -> Tensor:
    real = steps_mask(xs, lengths)
    return xs if real is None else xs.masked_fill(~real[..., None], 0.0)


def _spread(name: str, value: int | Sequence[int], count: int) -> list[int]:
    values = [value] * count if isinstance(value, int) else list(value)
    if len(values) != count or not values or min(values) < 1:
        raise UsageError(f"{name} is {value}; expected one number from one up, or one for each of {count} convolutions")
    return values
