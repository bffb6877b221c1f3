"""Scores of classes for each clip: frames encoded one by one, a recurrent stack over them, pooled over time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ostinato.cells import CATALOGUE
from ostinato.engine import scan
from ostinato.nn.by_name import stack_of
from ostinato.nn.pooling import Pooling
from ostinato.nn.vision import FrameEncoder, FrozenFrames
from ostinato.tasks.base.members import mean_probability
from ostinato.tasks.video.augmenting import ClipAugmentation
from ostinato.tasks.video.encoding import VideoEncoder, is_convolutional, is_mirrored
from ostinato.tasks.video.parameters import VideoParameters

_TOGETHER = 256  # frames that are encoded at once where nothing is learned


class VideoNetwork(nn.Module):
    """Members, each of which reads clips; in training each gives its scores, else their mean probability does.

    Args:
        parameters: of the fit.
        encoder: what was fitted before.
        weights: file of the backbone's weights, where training begins; `None`: they are loaded with all others.
    """

    def __init__(self, parameters: VideoParameters, encoder: VideoEncoder, weights: str | None = None) -> None:
        super().__init__()
        count = members_of(parameters, encoder)
        self.members = nn.ModuleList(VideoMember(parameters, encoder, weights) for _ in range(count))

    @property
    def each(self) -> list[VideoMember]:
        """The members."""
        return [member for member in self.members if isinstance(member, VideoMember)]

    def member_logs(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Return the logarithms of each member's probabilities, `(members, batch, classes)`."""
        return torch.stack([member(frames, lengths) for member in self.members]).log_softmax(-1)

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Return scores `(members, batch, classes)` in training, else logarithms of probabilities `(batch, classes)`.

        Args:
            frames: `(time, batch, H, W, C)` uint8 or `(time, batch, features)`.
            lengths: `(batch,)`.
        """
        scores = torch.stack([member(frames, lengths) for member in self.members])
        return scores if self.training else mean_probability(scores.log_softmax(-1))


def members_of(parameters: VideoParameters, encoder: VideoEncoder) -> int:
    """Return how many networks answer together."""
    return parameters.members or (3 if encoder.reader.kind == "landmarks" else 1)


class VideoMember(nn.Module):
    """One network; see `VideoNetwork`."""

    mean: Tensor
    scale: Tensor
    change: Tensor

    def __init__(self, parameters: VideoParameters, encoder: VideoEncoder, weights: str | None = None) -> None:
        super().__init__()
        self.pixels, self.difference = (
            encoder.reader.kind == "pixels",
            encoder.difference or encoder.reader.kind != "pixels",
        )
        self.register_buffer("mean", torch.from_numpy(encoder.mean.copy()))
        self.register_buffer("scale", torch.from_numpy(encoder.scale.copy()))
        self.register_buffer("change", torch.from_numpy(encoder.change.copy()))
        self.augmentation = ClipAugmentation(
            parameters.augmentation, mirror=is_mirrored(parameters, encoder), turned=encoder.mirrored()
        )
        self.changing = encoder.reader.channels - 2 * encoder.reader.flow if self.pixels else len(encoder.mean)
        read = len(encoder.mean) + (self.changing if self.difference else 0)
        self.maps = is_convolutional(parameters)
        self.frozen = parameters.backbone is not None and self.pixels
        self.frames: FrameEncoder | VectorEncoder | FrozenFrames = (
            FrozenFrames(str(parameters.backbone), parameters.features, weights)
            if self.frozen
            else FrameEncoder(read, parameters.features, widths=[parameters.filters * k for k in (1, 2, 4)])
            if self.pixels
            else VectorEncoder(read, parameters.features)
        )
        self.dropout = nn.Dropout(parameters.dropout)
        self.cell: Any = None
        self.stack: Any = None
        if self.maps:
            assert isinstance(self.frames, FrameEncoder)
            self.cell = CATALOGUE[str(parameters.cell)](self.frames.map_channels, parameters.hidden_size)
            grid = self.frames.grid
            self.after = nn.Linear(parameters.hidden_size * grid[0] * grid[1], parameters.hidden_size)
            width = parameters.hidden_size
        else:
            self.stack = stack_of(
                parameters.cell, parameters.features, parameters.hidden_size, parameters.num_layers,
                dropout=parameters.dropout, bidirectional=parameters.bidirectional,
            )  # fmt: skip
            width = parameters.hidden_size * (2 if parameters.bidirectional else 1)
        self.pooling = Pooling(parameters.pooling, width, two_ways=parameters.bidirectional)
        self.head = nn.Linear(self.pooling.output_size, len(encoder.classes))

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Return scores `(batch, classes)`."""
        ys, lengths = self.outputs(frames, lengths)
        scores: Tensor = self.head(self.dropout(self.pooling(ys, lengths)))
        return scores

    def outputs(self, frames: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return the outputs of the recurrent layers, `(time, batch, width)`, and the lengths that clips have then."""
        frames, lengths = self.augmentation.speed(frames, lengths)
        xs = self.encoded(frames, lengths)
        if self.maps:
            ys, _ = scan(self.cell, xs, lengths=lengths)
            return self.flat(ys.flatten(0, 1)).reshape(*ys.shape[:2], -1), lengths
        ys, _ = self.stack(self.dropout(xs), lengths=lengths)
        return ys, lengths

    def flat(self, maps: Tensor) -> Tensor:
        """Return maps of the convolutional cell `(N, hidden_size, h, w)` as features `(N, hidden_size)`."""
        assert isinstance(self.frames, FrameEncoder)
        pooled = nn.functional.adaptive_avg_pool2d(maps, self.frames.grid).flatten(1)
        return torch.relu(self.after(pooled))

    def encoded(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Return what the recurrent layers read: `(time, batch, features)`, or maps `(time, batch, channels, h, w)`."""
        if not self.pixels:
            frames = self.augmentation.bodies(frames)
            read = self.read(frames, torch.cat([frames[:1], frames[:-1]]))
            vectors: Tensor = self.frames(self.augmentation.landmarks(read))
            return vectors
        time, batch = frames.shape[:2]
        real = (torch.arange(time)[:, None] < lengths).flatten()
        places = real.nonzero()[:, 0]
        flat = frames.flatten(0, 1)
        before = torch.where(places >= batch, places - batch, places)
        clip = places % batch
        # what is drawn for a clip holds for all of its frames, so that all are changed in one go where there is
        # learning
        size = len(places) if self.training else _TOGETHER
        parts = [
            self._maps(flat[places[at : at + size]], flat[before[at : at + size]], clip[at : at + size], batch)
            for at in range(0, len(places), size)
        ]
        found = torch.cat(parts)
        whole = found.new_zeros(time * batch, *found.shape[1:])
        return whole.index_copy(0, places, found).reshape(time, batch, *found.shape[1:])

    def _maps(self, frames: Tensor, before: Tensor, clip: Tensor, count: int) -> Tensor:
        if isinstance(self.frames, FrozenFrames):
            colours = frames[..., :3].float().movedim(-1, 1)
            changed = self.augmentation.pictures((colours - 128) / 64, clip, count)
            vectors: Tensor = self.frames((changed * 64 + 128).clamp(0, 255))
            return vectors
        read = self.augmentation.pictures(self.read(frames, before), clip, count)
        assert isinstance(self.frames, FrameEncoder)
        maps = self.frames.maps(read)
        return maps if self.maps else self.frames.pooled(maps)

    def read(self, frames: Tensor, before: Tensor) -> Tensor:
        """Return frames standardised, with their changes: `(N, C, H, W)` of `(N, H, W, C)`, or `(..., features)`.

        Args:
            frames: as they were read.
            before: the frame before each; of the first of a clip, itself.
        """
        values, last = frames.float(), before.float()
        found = (values - self.mean) / self.scale
        if self.difference:
            changed = (values - last)[..., : self.changing] / self.change[: self.changing]
            found = torch.cat([found, changed.clamp(-8, 8)], -1)
        return found.movedim(-1, 1) if self.pixels else found.clamp(-8, 8)

    def attended(self, frames: Tensor, lengths: Tensor) -> Tensor | None:
        """Return the weight of each frame, `(time, batch)`, if the pooling attends to frames."""
        attention = self.pooling.attention
        return None if attention is None else attention.weights(*self.outputs(frames, lengths))


class VectorEncoder(nn.Module):
    """Numbers of a frame to features: a linear layer, a norm and a ReLU."""

    def __init__(self, numbers: int, features: int) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(numbers, features), nn.LayerNorm(features)

    def forward(self, frames: Tensor) -> Tensor:
        """Return `(..., features)`."""
        return torch.relu(self.norm(self.linear(frames)))
