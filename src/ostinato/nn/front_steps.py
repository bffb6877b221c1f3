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
        self._layers: list[_Convolution] = []
        bands = front.mels
        for convolution in front.convolutions:
            assert isinstance(convolution, nn.Conv2d)
            self._layers.append(_Convolution(convolution, bands))
            bands = self._layers[-1].bands

    def reset(self) -> None:
        """Begin a new sequence."""
        for layer in self._layers:
            layer.reset()

    def push(self, xs: Tensor) -> Tensor:
        """Take steps `(steps, mels)`, none or more; return the outputs that they complete, `(outputs, output_size)`.

        Raises:
            ShapeError: they have other bands.
        """
        return torch.from_numpy(self.advance(xs.detach().cpu().float().numpy()))

    def advance(self, xs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take steps as `push` does, from an array to an array; step by step, so that pieces change no bit.

        Raises:
            ShapeError: they have other bands.
        """
        if xs.ndim != 2 or xs.shape[1] != self.front.mels:
            raise ShapeError(f"xs has shape {tuple(xs.shape)}; expected (steps, {self.front.mels})")
        outputs = []
        for step in xs:
            image: NDArray[np.float32] | None = step[:, None]
            for layer in self._layers:
                image = None if image is None else layer.advance(image)
            if image is not None:
                outputs.append(image.T.ravel())
        return np.array(outputs) if outputs else np.zeros((0, self.front.output_size), np.float32)

    def kept(self) -> dict[str, Any]:
        """Return the last steps of each convolution, and where in its stride each stands."""
        return {"steps": [layer.kept() for layer in self._layers], "phases": [layer.phase for layer in self._layers]}

    def accept(self, kept: Any) -> bool:
        """Resume from what `kept` gave; tell whether it fits, without which all stays as it was."""
        parts: dict[str, Any] = kept if isinstance(kept, dict) else {}
        steps: Any = parts.get("steps")
        phases: Any = parts.get("phases")
        shapes = [layer.kept().shape for layer in self._layers]
        if not _fits(steps, shapes) or not _counts(phases, self.front.time_strides):
            return False
        for layer, array, phase in zip(self._layers, steps, phases, strict=True):
            layer.accept(array, phase)
        return True


class _Convolution:
    """A convolution over time and bands, then a ReLU, on NumPy arrays: a step at a time is too little for PyTorch.

    Args:
        convolution: of which the weights are copied.
        bands: that come in.
    """

    def __init__(self, convolution: nn.Conv2d, bands: int) -> None:
        (steps, width), (self.stride, skip) = convolution.kernel_size, convolution.stride
        # (out, in, steps, width) -> (steps, width, in) by out: channels come last, as patches have them
        weight = convolution.weight.detach().cpu().float().permute(2, 3, 1, 0).flatten(0, 2)
        self._weight = np.ascontiguousarray(weight.numpy())
        bias = convolution.bias
        self._bias = np.float32(0) if bias is None else bias.detach().cpu().float().numpy().copy()
        self._beside = width // 2  # zeros on either side of the bands
        self._read, self.bands = bands, -(-bands // skip)
        self._seen = np.zeros((steps, bands + 2 * self._beside, convolution.in_channels), np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(self._seen, width, 1)  # (steps, places, in, width)
        self._windows = windows[:, ::skip].transpose(1, 0, 3, 2)  # a view of what is seen, whatever that becomes
        self._patches = np.empty(self._windows.shape, np.float32)
        self.phase = 0

    def reset(self) -> None:
        """Begin a new sequence: zeros come before it."""
        self._seen[...] = 0
        self.phase = 0

    def advance(self, step: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """Take a step `(bands, in)`; return the output `(bands, out)` that stands there, if one does."""
        self._seen[:-1] = self._seen[1:]
        self._seen[-1, self._beside : self._beside + self._read] = step
        # an output stands at every stride-th step, the first of all included
        due, self.phase = self.phase == 0, (self.phase + 1) % self.stride
        if not due:
            return None
        self._patches[...] = self._windows
        found: NDArray[np.float32] = self._patches.reshape(self.bands, -1) @ self._weight
        found += self._bias
        return np.maximum(found, 0, out=found)

    def kept(self) -> NDArray[np.float32]:
        """Return the steps that later outputs see, `(1, in, steps, bands)`."""
        inside = self._seen[1:, self._beside : self._beside + self._read]
        return np.ascontiguousarray(inside.transpose(2, 0, 1))[None]

    def accept(self, kept: NDArray[np.float32], phase: int) -> None:
        """Resume from steps that `kept` gave, and a place in the stride."""
        self._seen[1:, self._beside : self._beside + self._read] = kept[0].transpose(1, 2, 0)
        self.phase = phase


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
