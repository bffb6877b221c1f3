"""A causal convolutional front on a stream: steps come in as they please, outputs leave as soon as they are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ostinato.errors import ShapeError, UsageError
from ostinato.nn.convolutional import SpectrogramFront


class FrontSteps:
    """What a causal `SpectrogramFront` gives for a sequence, some steps of it at a time.

    Of each convolution it keeps the last steps that the next output sees, and how many have come: the outputs are those
    of the whole sequence, however it is divided.

    Args:
        front: in evaluation mode; its weights must not change.

    Raises:
        UsageError: the front is not causal.

    >>> import torch
    >>> front = SpectrogramFront(8, [2, 3], causal=True)
    >>> xs, steps = torch.randn(9, 8), FrontSteps(front)
    >>> parts = torch.cat([steps.push(xs[:4]), steps.push(xs[4:5]), steps.push(xs[5:])])
    >>> torch.allclose(parts, front(xs[:, None])[0][:, 0], atol=1e-5)
    True
    """

    def __init__(self, front: SpectrogramFront) -> None:
        if not front.causal:
            raise UsageError("the convolutions see later steps, so that they cannot follow a stream; make them causal")
        self.front = front
        self.reset()

    def reset(self) -> None:
        """Begin a new sequence."""
        self._kept = [torch.zeros(shape) for shape in self._shapes()]
        self._phases = [0] * len(self._kept)

    def push(self, xs: Tensor) -> Tensor:
        """Take steps `(steps, mels)`, none or more; return the outputs that they complete, `(outputs, output_size)`.

        Raises:
            ShapeError: they have other bands.
        """
        if xs.dim() != 2 or xs.shape[1] != self.front.mels:
            raise ShapeError(f"xs has shape {tuple(xs.shape)}; expected (steps, {self.front.mels})")
        images = xs[None, None]
        with torch.inference_mode():
            for place, convolution in enumerate(self.front.convolutions):
                assert isinstance(convolution, nn.Conv2d)
                images = self._advanced(place, convolution, images)
        return images[0].transpose(0, 1).flatten(1)

    def kept(self) -> dict[str, Any]:
        """Return the last steps of each convolution, and where in its stride each stands."""
        return {"steps": [kept.numpy().copy() for kept in self._kept], "phases": list(self._phases)}

    def accept(self, kept: Any) -> bool:
        """Resume from what `kept` gave; tell whether it fits, without which all stays as it was."""
        parts: dict[str, Any] = kept if isinstance(kept, dict) else {}
        steps: Any = parts.get("steps")
        phases: Any = parts.get("phases")
        if not _fits(steps, self._shapes()) or not _counts(phases, self.front.time_strides):
            return False
        self._kept, self._phases = [torch.from_numpy(array.copy()) for array in steps], list(phases)
        return True

    def _shapes(self) -> list[tuple[int, ...]]:
        shapes: list[tuple[int, ...]] = []
        bands = self.front.mels
        for convolution in self.front.convolutions:
            assert isinstance(convolution, nn.Conv2d)
            shapes.append((1, convolution.in_channels, convolution.kernel_size[0] - 1, bands))
            bands = -(-bands // self.front.stride)
        return shapes

    def _advanced(self, place: int, convolution: nn.Conv2d, images: Tensor) -> Tensor:
        """Return the outputs `(1, channels, outputs, bands)` that new steps `(1, channels, steps, bands)` complete."""
        stride, phase, count = self.front.time_strides[place], self._phases[place], images.shape[2]
        seen = torch.cat([self._kept[place], images], 2)
        reach = seen.shape[2] - count
        first = -phase % stride  # an output stands at every stride-th step, the first of all included
        outputs = max(0, -(-(count - first) // stride))
        self._kept[place] = seen[:, :, count:].clone()
        self._phases[place] = (phase + count) % stride
        if not outputs:
            bands = -(-images.shape[3] // self.front.stride)
            return images.new_zeros((1, convolution.out_channels, 0, bands))
        last = first + (outputs - 1) * stride
        return torch.relu(convolution(seen[:, :, first : last + reach + 1]))


def _fits(arrays: Any, shapes: Sequence[tuple[int, ...]]) -> bool:
    return (
        isinstance(arrays, list)
        and len(arrays) == len(shapes)
        and all(_is_like(array, shape) for array, shape in zip(arrays, shapes, strict=True))
    )


def _is_like(array: Any, shape: tuple[int, ...]) -> bool:
    if not isinstance(array, np.ndarray) or array.dtype != np.float32 or array.shape != shape:
        return False
    values: NDArray[np.float32] = array
    return bool(np.isfinite(values).all())


def _counts(phases: Any, strides: Sequence[int]) -> bool:
    return (
        isinstance(phases, list)
        and len(phases) == len(strides)
        and all(type(phase) is int and 0 <= phase < stride for phase, stride in zip(phases, strides, strict=True))
    )
