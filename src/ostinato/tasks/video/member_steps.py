"""One network of a classifier of clips, a frame at a time."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ostinato.nn.pooling import Running
from ostinato.streaming import Headed, Row, Steps, refused, shared_steps, weights_mark
from ostinato.tasks.video.network import VideoMember


def member_steps(member: VideoMember) -> VectorSteps | MapSteps:
    """Return what steps a member."""
    return MapSteps(member) if member.maps else VectorSteps(member)


class _Parts:
    """What is done around the recurrence; `member` is a copy that training does not change."""

    member: VideoMember

    def start(self) -> list[Running]:
        """Return what pooling keeps before the first frame."""
        return self.member.pooling.start()

    def read(self, frame: NDArray[Any], before: NDArray[Any]) -> Tensor:
        """Return what the recurrence reads of a frame, `(1, features)` or a map `(1, channels, h, w)`."""
        with torch.inference_mode():
            now, last = (torch.from_numpy(np.ascontiguousarray(each))[None] for each in (frame, before))
            if self.member.frozen:
                whole: Tensor = self.member.frames(now[..., :3].float().movedim(-1, 1))
                return whole
            read = self.member.read(now, last)
            if not self.member.pixels:
                found: Tensor = self.member.frames(read)
                return found
            encoder: Any = self.member.frames
            maps: Tensor = encoder.maps(read)
            pooled: Tensor = maps if self.member.maps else encoder.pooled(maps)
            return pooled

    def advance(self, kept: list[Running], stepped: Tensor) -> list[Running]:
        """Take in the output of a frame."""
        with torch.inference_mode():
            return self.member.pooling.advance(kept, stepped)

    def finish(self, kept: list[Running]) -> Tensor:
        """Return the logarithms of the classes' probabilities, `(1, classes)`."""
        with torch.inference_mode():
            logs: Tensor = self.member.head(self.member.pooling.finish(kept)).log_softmax(-1)
            return logs


class VectorSteps(_Parts):
    """A member whose stack is stepped by the compiled step that all streams of the model share."""

    def __init__(self, member: VideoMember) -> None:
        self._shared = shared_steps(member, lambda: Headed(member.stack, nn.Identity(), whole=_without_stack(member)))
        beside: Any = self._shared.copy
        self.member = beside.beside["whole"]
        self._row = Row(self._shared)
        self.state, self.restore = self._row.state, self._row.restore

    @property
    def mark(self) -> str:
        """What tells its weights from others."""
        return self._shared.mark

    def step(self, read: Tensor) -> Steps:
        """Ask for a step, and return the output, `(1, width)`."""
        stepped = yield self._row.ask(read[0].numpy())
        return torch.from_numpy(stepped)[None]


def _without_stack(member: VideoMember) -> VideoMember:
    found = copy.copy(member)
    found._modules = dict(member._modules)
    found._modules["stack"] = None
    return found


class MapSteps(_Parts):
    """A member of a convolutional cell, whose state is maps."""

    def __init__(self, member: VideoMember) -> None:
        self.member = copy.deepcopy(member).eval()
        self._state: Any = None

    @property
    def mark(self) -> str:
        """What tells its weights from others."""
        return weights_mark(self.member)

    def state(self) -> Any:
        """Return the state as arrays."""
        if self._state is None:
            return None
        parts = self._state if isinstance(self._state, tuple) else (self._state,)
        return [part.numpy() for part in parts]

    def restore(self, state: Any) -> None:
        """Resume from arrays.

        Raises:
            UsageError: they do not fit.
        """
        if state is None:
            self._state = None
            return
        size = self.member.cell.hidden_size
        whole = isinstance(state, list) and all(
            isinstance(one, np.ndarray) and one.dtype == np.float32 and one.ndim == 4 and one.shape[:2] == (1, size)
            and max(one.shape) <= 4096 and bool(np.isfinite(one).all())
            for one in state
        )  # fmt: skip
        if not whole or not 1 <= len(state) <= 2 or len({one.shape for one in state}) > 1:
            raise refused("has maps of another form than the model's")
        parts = tuple(_packed(torch.from_numpy(one)) for one in state)
        self._state = parts if len(parts) > 1 else parts[0]

    def step(self, read: Tensor) -> Steps:
        """Take a step, and return the output, `(1, width)`; nothing has to be asked for."""
        with torch.inference_mode():
            before = self.member.cell.initial_state(read) if self._state is None else self._state
            output, state = self.member.cell(read, before)
            # laid out in memory as a state that was restored, so that the next step gives the same bits
            self._state = tuple(map(_packed, state)) if isinstance(state, tuple) else _packed(state)
            return self.member.flat(output)
        yield


def _packed(part: Tensor) -> Tensor:
    return part.clone(memory_format=torch.contiguous_format)
