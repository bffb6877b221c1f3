"""What is fitted before the network, and clips as it reads them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ostinato.data.video import Clips
from ostinato.data.video.landmarks import Landmarks
from ostinato.data.video.layouts import LAYOUTS
from ostinato.data.video.loading import LoadedClips, Reader, kind_of_clip
from ostinato.errors import DataError, UsageError
from ostinato.tasks.base.batches import padded
from ostinato.tasks.base.labels import Classes, Integers
from ostinato.tasks.video.experts import Experts
from ostinato.tasks.video.parameters import CONVOLUTIONAL, VideoParameters
from ostinato.training import Batch

Floats = NDArray[np.float64]
CHANNELS = ("grey", "colour", "difference", "flow")
_LOOKED_AT = 64  # clips by which scales are found
_FRAMES = 32  # of each
_JITTER = 0.15  # sizes of a body


@dataclass(frozen=True, kw_only=True)
class VideoEncoder:
    """How clips are read, the classes that are told apart, and the scales of what is read.

    Args:
        classes: those of the training part.
        reader: how a clip is read.
        difference: whether the difference from the frame before stands beside each.
        mean: of each channel of pixels, or each number of a landmark; scale: its standard deviation; change: that of
            its difference.
        frame_rate: frames a second that training clips usually have.
        temperature: of probabilities.
        experts: of landmarks, what stands beside the networks; `None`: the networks alone.
    """

    classes: Classes
    reader: Reader
    difference: bool
    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    change: NDArray[np.float32]
    frame_rate: float
    temperature: float = 1.0
    experts: Experts | None = None

    def __post_init__(self) -> None:
        """Raise `ValueError` where numbers do not fit each other, so that a damaged model is refused."""
        width = self.reader.channels if self.reader.kind == "pixels" else self.reader.features
        arrays = (self.mean, self.scale, self.change)
        if width < 1 or any(each.shape != (width,) or not np.isfinite(each).all() for each in arrays):
            raise ValueError(f"scales of {self.mean.shape} do not fit {width} channels")
        if not 1 <= self.reader.height <= 4096 or not 1 <= self.reader.width <= 4096 or not 0 < self.reader.rate <= 1e4:
            raise ValueError("the size or rate of frames is none")
        experts = self.experts
        if experts is not None and not experts.fits(width, len(self.classes)):
            raise ValueError(f"the known clips do not fit {width} numbers a frame and {len(self.classes)} classes")
        if not 0 < self.frame_rate <= 1e5 or not 0 < self.temperature <= 1e3:
            raise ValueError("the rate of clips or the temperature is none")

    @property
    def reading(self) -> bool:
        """That later clips are read as those of the training."""
        return True

    @classmethod
    def fit(cls, parameters: VideoParameters, train: Clips) -> VideoEncoder:
        """Fit on training clips."""
        reader = reader_of(parameters, train)
        loaded = LoadedClips(train, reader)
        rows = np.unique(np.linspace(0, len(train) - 1, min(_LOOKED_AT, len(train))).astype(int))
        parts = [_some(loaded[row]) for row in rows]
        widths = {part.shape[1:] for part in parts}
        if len(widths) > 1:
            raise DataError(
                f"{train.origin} has clips of {sorted(each[-1] for each in widths)} numbers a frame; "
                "expected landmarks of one layout in all"
            )
        values, changes = np.concatenate(parts), np.concatenate([np.diff(part, axis=0) for part in parts])
        axes = tuple(range(values.ndim - 1))
        layout = "" if reader.kind == "pixels" else Landmarks(train.sources[0], reader.layout).layout.name
        scale = np.maximum(values.std(axes), 1.0 if reader.kind == "pixels" else _least(layout, values.shape[1]))
        change = np.sqrt((changes**2).mean(axes)) if len(changes) else scale
        if reader.kind == "landmarks":
            reader = replace(reader, features=values.shape[1], layout=layout)
        return cls(
            classes=Classes.of(train),
            reader=reader,
            difference="difference" in split_channels(parameters.channels),
            mean=values.mean(axes).astype(np.float32),
            scale=scale.astype(np.float32),
            change=np.maximum(change, scale / (50 if reader.kind == "pixels" else 10)).astype(np.float32),
            frame_rate=usual_rate(train, reader),
        )

    def mirrored(self) -> Any:
        """Return from where each number of a mirrored body comes, and its sign; `None`: that is not known."""
        layout = LAYOUTS.get(self.reader.layout) if self.reader.kind == "landmarks" else None
        return None if layout is None or layout.features != self.reader.features else layout.mirrored()

    def encode(self, clips: Clips) -> LoadedClips:
        """Return clips as they are to be read."""
        return LoadedClips(clips, self.reader)


def _least(layout: str, width: int) -> NDArray[np.float32]:
    """Return the least scale of each landmark: of a body that hardly moves a joint, noise must not become as large.

    Coordinates of bodies are in sizes of the body; the last three numbers are changes from frame to frame.
    """
    if layout == "plain":
        return np.full(width, 1e-3, np.float32)
    return np.array([_JITTER] * (width - 3) + [_JITTER / 15] * 3, np.float32)


def _some(clip: NDArray[Any]) -> NDArray[np.float32]:
    """Return a run of frames from the middle of a clip."""
    first = max((len(clip) - _FRAMES) // 2, 0)
    return np.asarray(clip[first : first + _FRAMES], np.float32)


def usual_rate(clips: Clips, reader: Reader) -> float:
    """Return the frames a second that the first clips have; of landmarks, which do not say, that of the reader."""
    from ostinato.data.video.frames import open_source

    if reader.kind == "landmarks":
        return reader.rate
    rates = [open_source(source).rate for source in clips.sources[:9]]
    return float(np.median(rates))


def reader_of(parameters: VideoParameters, clips: Clips) -> Reader:
    """Return how clips are read.

    Raises:
        DataError: some are pictures, some landmarks.
    """
    kinds = {kind_of_clip(source) for source in (clips.sources[0], clips.sources[-1])}
    kind = parameters.input if parameters.input != "auto" else min(kinds)
    if parameters.input == "auto" and len(kinds) > 1:
        raise DataError(
            f"there are pixels and landmarks among {clips.origin}; expected one kind, or say which: --input"
        )
    names = split_channels(parameters.channels)
    return Reader(
        kind=kind,
        rate=parameters.rate,
        height=parameters.height,
        width=parameters.width,
        colour="colour" in names or parameters.backbone is not None,
        flow="flow" in names,
        layout=parameters.layout,
    )


def split_channels(channels: str) -> list[str]:
    """Return the names that a text like `"grey+flow"` joins.

    Raises:
        UsageError: one is not known, or they do not go together.
    """
    names = [name.strip() for name in channels.split("+")]
    known = set(names) <= set(CHANNELS) and len(set(names)) == len(names)
    if not known or len({"grey", "colour"} & set(names)) != 1:
        raise UsageError(
            f'channels is {channels!r}; expected grey or colour, and with + between difference, flow: "grey+difference"'
        )
    return names


def is_mirrored(parameters: VideoParameters, encoder: VideoEncoder) -> bool:
    """Tell whether half of the training clips are mirrored."""
    if parameters.mirror is not None:
        return parameters.mirror
    words = {word for name in encoder.classes.names for word in re.split(r"[^a-z]+", str(name).lower())}
    return encoder.mirrored() is not None and not words & {"left", "right"}


def is_convolutional(parameters: VideoParameters) -> bool:
    """Tell whether the cell reads maps."""
    return isinstance(parameters.cell, str) and parameters.cell in CONVOLUTIONAL


@dataclass(frozen=True)
class VideoPart:
    """Clips with what the network reads of them, and their classes `(clips,)`, none if they have no labels."""

    clips: Clips
    arrays: LoadedClips
    targets: Integers

    def __len__(self) -> int:
        return len(self.clips)

    def landmarks(self) -> list[NDArray[np.float32]]:
        """Return the clips as arrays, each `(frames, features)`."""
        return [np.asarray(self.arrays[row], np.float32) for row in range(len(self))]

    @property
    def fingerprint(self) -> tuple[Any, ...]:
        """What tells it from another in a checkpoint."""
        return self.clips.fingerprint, repr(self.arrays.reader), self.targets


class ClipBatch(NamedTuple):
    """Padded clips: `frames (time, batch, H, W, C)` or `(time, batch, features)`, `lengths`, `targets (batch,)`.

    And the number of the network that does not learn from each, `folds (batch,)`; -1: all do.
    """

    frames: Tensor
    lengths: Tensor
    targets: Tensor
    folds: Tensor


class ClipBatches:
    """Clips in batches, drawn again each epoch; of one that is longer than the window, a part is drawn.

    Args:
        part: the clips.
        batch_size: clips of a batch.
        window: frames of each at most.
        shuffle: without, clips come sorted by length, with their first frames.
        seed: of both draws.
        folds: see `ClipBatch`, `(clips,)`; `None`: all networks learn from all.
    """

    def __init__(
        self, part: VideoPart, *, batch_size: int, window: int, shuffle: bool, seed: int = 0,
        folds: Integers | None = None,
    ) -> None:  # fmt: skip
        self.part, self.batch_size, self.window, self.shuffle, self.seed = part, batch_size, window, shuffle, seed
        self.folds = np.full(len(part), -1, np.int64) if folds is None else folds

    def __len__(self) -> int:
        return -(-len(self.part) // self.batch_size)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Return the batches of an epoch; the next one is read while one is trained on."""
        rng = np.random.default_rng([self.seed, epoch])
        lengths = np.minimum(self.part.arrays.lengths, self.window)
        order = rng.permutation(len(self.part)) if self.shuffle else np.argsort(lengths, kind="stable")
        plan = [order[first : first + self.batch_size] for first in range(0, len(order), self.batch_size)]
        starts = [[self._start(row, rng) for row in rows] for rows in plan]
        yield from ahead(lambda at: self._batch(plan[at], starts[at]), len(plan))

    def _start(self, row: int, rng: np.random.Generator) -> int:
        spare = self.part.arrays.lengths[row] - self.window
        return int(rng.integers(0, spare + 1)) if spare > 0 and self.shuffle else 0

    def _batch(self, rows: NDArray[Any], starts: Sequence[int]) -> Batch:
        arrays = [
            np.array(self.part.arrays[int(row)][first : first + self.window])
            for row, first in zip(rows, starts, strict=True)
        ]
        lengths = torch.tensor([len(array) for array in arrays])
        targets, folds = (torch.from_numpy(each[rows]) for each in (self.part.targets, self.folds))
        return Batch(ClipBatch(padded(arrays), lengths, targets, folds))


def ahead(make: Any, count: int) -> Iterator[Any]:
    """Yield what `make` gives of 0 to `count`, each made in the background while the one before is used."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(make, 0) if count else None
        for number in range(count):
            assert waiting is not None
            found = waiting.result()
            waiting = pool.submit(make, number + 1) if number + 1 < count else None
            yield found
