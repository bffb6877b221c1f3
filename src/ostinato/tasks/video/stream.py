"""A classifier of clips that answers frame by frame, live."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ostinato.data.video import Body
from ostinato.data.video.arrays import pixels_of_array
from ostinato.data.video.landmarks import held
from ostinato.data.video.layouts import Layout, layout_of, people_of
from ostinato.data.video.loading import Flow, Moments
from ostinato.data.video.pictures import SUFFIXES, opened, pixels_of
from ostinato.data.video.raw import Pixels
from ostinato.errors import DataError, StreamRowError, UsageError
from ostinato.nn.pooling import is_like
from ostinato.streaming import NOTHING, Steps, Stream, refused
from ostinato.tasks.base.members import mean_probability
from ostinato.tasks.base.task import Model
from ostinato.tasks.base.temperature import with_temperature
from ostinato.tasks.video.encoding import Floats
from ostinato.tasks.video.experts import ExpertSteps
from ostinato.tasks.video.member_steps import member_steps

_LONGEST = 1e9  # seconds of a stream
_MISSED = 10_000  # moments that a frame may come late; more is a broken clock
Answer = Callable[[Floats], dict[str, Any]]


class VideoStream(Stream):
    """One clip, a frame a push, each answered by what the model makes of the frames so far.

    What is kept does not grow: the states of the layers, what pooling keeps, the last frame. After the last frame the
    answer is that of the whole clip. Of a camera that gives more frames than the model reads a second, those between
    are passed over, as they are in a file; the answer then stays.

    A row is a frame: the path of a picture; an array, or lists, `(H, W)` or `(H, W, C)`, uint8; of landmarks, the
    numbers of a frame as their layout has them, such as 1662 of MediaPipe. Or a mapping with it as `frame`, and perhaps
    `time` in seconds, and `"reset": true` at the first frame of a new clip.

    Args:
        model: whose layers read forward only.
        answer: from probabilities to what is returned.
        frame_rate: frames a second that come, where rows have no time; `None`: that of the training clips.

    Raises:
        UsageError: the model needs the end of a clip, or the rate is none.
    """

    kind = "video"
    takes_text = False

    def __init__(self, model: Model[Any, Any], answer: Answer, frame_rate: float | None = None) -> None:
        encoder = model.encoder
        if model.parameters.bidirectional:
            raise UsageError(
                "the model reads clips from their end too, so that it cannot answer live; fit one with "
                "bidirectional=False "
                "(--no-bidirectional), or predict whole clips"
            )
        rate = encoder.frame_rate if frame_rate is None else frame_rate
        if not (isinstance(rate, (int, float)) and 0.001 <= rate <= 10_000):
            raise UsageError(f"frame_rate is {rate!r}; expected frames a second, from 0.001 to 10000")
        self.model, self._answer, self._rate = model, answer, float(rate)
        self.reader = encoder.reader
        self._members = [member_steps(member) for member in model.network.members]
        self._layout = _layout(encoder) if self.reader.kind == "landmarks" else None
        self.reset()

    def reset(self) -> None:
        """Begin a new clip."""
        for member in self._members:
            member.restore(None)
        self._kept = [member.start() for member in self._members]
        self._seen = self._begun()

    def _begun(self) -> _Seen:
        """Return what is remembered before the first frame."""
        experts = self.model.encoder.experts
        return _Seen(
            Moments(self.reader.rate),
            None if self._layout is None else Body(self._layout),
            None if experts is None else ExpertSteps(experts),
        )

    def push_read(self, frame: NDArray[Any]) -> dict[str, Any]:
        """Take in a frame as the reader of the model gives it: of its size, or landmarks by body; see `push`."""
        found: dict[str, Any] = self.push(_Read(frame))
        return found

    def steps(self, row: Any) -> Steps:
        """Take in a frame and return the answer so far; see the class.

        Raises:
            StreamRowError: it is no frame; all is as it was.
        """
        given, time, begins = _parts(row)
        seen = self._begun() if begins else self._seen.copy()
        frames = self._due(given, time, seen)
        yield NOTHING
        before = [member.state() for member in self._members]
        kept = [member.start() for member in self._members] if begins else self._kept
        try:
            if begins:
                for member in self._members:
                    member.restore(None)
            for frame in frames:
                after = []
                for member, value in zip(self._members, kept, strict=True):
                    read = member.read(frame, frame if seen.last is None else seen.last)
                    stepped: Any = yield from member.step(read)
                    after.append(member.advance(value, stepped))
                kept, seen.last = after, frame
                if seen.experts is not None:
                    seen.experts.push(frame)
        except BaseException as error:  # a frame that is refused leaves the clip before as it is
            for member, state in zip(self._members, before, strict=True):
                member.restore(state)
            if isinstance(error, UsageError):
                raise StreamRowError(str(error)) from error
            raise
        self._kept, self._seen = kept, seen
        return self.now()

    def now(self) -> dict[str, Any]:
        """Return the answer of the frames so far."""
        if self._seen.last is None:
            raise UsageError("the stream has seen no frame yet; push one")
        logs = [member.finish(value) for member, value in zip(self._members, self._kept, strict=True)]
        with torch.inference_mode():
            scores = mean_probability(torch.stack(logs)).double().numpy()
        if self._seen.experts is not None:
            scores = self._seen.experts.experts.mixed(scores, self._seen.experts.logs()[None])
        return self._answer(with_temperature(scores, self.model.encoder.temperature)[0])

    def _due(self, given: Any, time: float | None, seen: _Seen) -> list[NDArray[Any]]:
        """Return the frames that the network reads now that one came: none, that one, or the one before again."""
        if isinstance(given, _Read):
            frame = self._checked(given.frame)
            seen.count += 1
            return [self._with_flow(frame, seen)]
        if self._layout is not None:
            seen.count += 1
            return [self._landmarks(given, seen)]
        now = seen.count / self._rate if time is None else time
        if seen.time is not None and now < seen.time:
            raise StreamRowError(f"its time {now:g} comes before that of the frame before, {seen.time:g}")
        if now - (seen.time or 0.0) > _MISSED / self.reader.rate:
            raise StreamRowError(
                f"its time {now:g} is more than {_MISSED:,} frames after the frame before; reset first"
            )
        missed, there = seen.moments.until(now)
        frame = self._picture(given)
        shown = [frame if seen.shown is None else seen.shown] * len(missed) + ([frame] if there is not None else [])
        seen.time, seen.shown, seen.count = now, frame, seen.count + 1
        return [self._with_flow(each, seen) for each in shown]

    def _with_flow(self, frame: NDArray[Any], seen: _Seen) -> NDArray[Any]:
        if not self.reader.flow or self.reader.kind != "pixels":
            return frame
        flow = Flow(seen.flow)
        found = np.concatenate([frame, flow.push(frame)], 2)
        seen.flow = flow.before
        return found

    def _checked(self, frame: NDArray[Any]) -> NDArray[Any]:
        reader = self.reader
        colours = 3 if reader.colour else 1
        shape = (reader.height, reader.width, colours) if reader.kind == "pixels" else (reader.features,)
        if frame.shape != shape:
            raise StreamRowError(f"the frame has the shape {frame.shape}; expected {shape}")
        return frame

    def _picture(self, given: Any) -> Pixels:
        """Return a frame as the network reads it, `(height, width, colours)`."""
        reader = self.reader
        colours = 3 if reader.colour else 1
        try:
            if isinstance(given, str):
                if PurePosixPath(given).suffix.lower() not in SUFFIXES:
                    raise StreamRowError(
                        f'it is the text "{given[:80]}"; expected the path of a picture, such as frame-1.jpg'
                    )
                return pixels_of(opened(given.strip()))(reader.height, reader.width, colours)
            return pixels_of_array(np.asarray(given), reader.height, reader.width, colours)
        except (TypeError, ValueError, OverflowError) as error:
            if isinstance(error, StreamRowError):
                raise
            said = str(error) if isinstance(error, (DataError, UsageError)) else "it is no array of numbers"
            raise StreamRowError(f"{said}; expected the path of a picture, or a frame (H, W, C)") from error

    def _landmarks(self, given: Any, seen: _Seen) -> NDArray[np.float32]:
        layout, reader = self._layout, self.reader
        assert layout is not None
        try:
            if isinstance(given, str):
                given = [float(cell) if cell.strip() else np.nan for cell in given.split(",")]
            values = np.asarray(given, np.float32)
        except (TypeError, ValueError, OverflowError) as error:
            raise StreamRowError("it holds something that is no number; expected the landmarks of a frame") from error
        if layout.name == "plain":
            if values.shape != (reader.features,):
                raise StreamRowError(f"it has the shape {values.shape}; expected {reader.features} numbers")
            last = np.zeros_like(values) if seen.last is None else seen.last
            values = held(np.stack([last, values]))[1]
            found = values
        else:
            try:
                other = layout_of(values.shape, layout.name, "it")
            except DataError as error:
                raise StreamRowError(str(error)) from error
            if other.joints != layout.joints:
                raise StreamRowError(f"it has {other.joints} joints; expected {layout.joints}")
            assert seen.body is not None
            found = seen.body.push(people_of(values, layout))
        if not np.isfinite(found).all() or np.abs(found).max(initial=0) > 1e15:
            raise StreamRowError("it holds an infinite number, or one too large; expected finite ones")
        return np.asarray(found, np.float32)

    def mark(self) -> str:
        """Return what tells the model from others."""
        experts = self.model.encoder.experts
        return "-".join([*(member.mark for member in self._members), *([] if experts is None else [experts.mark])])

    def kept(self) -> dict[str, Any]:
        """Return the states of layers and pooling, the last frames, and how many there were."""
        seen = self._seen
        there = seen.last is not None
        return {
            "states": [member.state() for member in self._members] if there else None,
            "pooling": [[[each.numpy() for each in pool] for pool in kept] for kept in self._kept] if there else None,
            "last": seen.last,
            "shown": seen.shown,
            "flow": seen.flow,
            "count": seen.count,
            "moment": seen.moments.number,
            "time": seen.time,
            "body": None if seen.body is None else seen.body.state(),
            "experts": None if seen.experts is None else seen.experts.kept(),
        }

    def accept(self, kept: Mapping[str, Any]) -> None:
        """Resume from what was kept."""
        if (
            not {"states", "pooling", "last", "shown", "flow", "count", "moment", "time", "body", "experts"}
            <= kept.keys()
        ):
            raise refused("lacks a part")
        states, pooled = kept["states"], kept["pooling"]
        there = kept["last"] is not None
        if (states is not None) != there or (pooled is not None) != there:
            raise refused("has a state of the layers, of the pooling or a last frame, but not all of them")
        seen = self._checked_seen(kept)
        start = [member.start() for member in self._members]
        if there:
            if not all(isinstance(each, list) and len(each) == len(start) for each in (states, pooled)):
                raise refused("has other networks than the model")
            if not all(is_like(value, like) for value, like in zip(pooled, start, strict=True)):
                raise refused("has another pooling than the model")
            start = [[tuple(torch.from_numpy(each) for each in pool) for pool in value] for value in pooled]
        before = [member.state() for member in self._members]
        try:
            for member, state in zip(self._members, states or before, strict=True):
                member.restore(state if there else None)
        except BaseException:
            for member, state in zip(self._members, before, strict=True):
                member.restore(state)
            raise
        self._kept, self._seen = start, seen

    def _checked_seen(self, kept: Mapping[str, Any]) -> _Seen:
        reader, pixels = self.reader, self.reader.kind == "pixels"
        size = (reader.height, reader.width)
        colours = 3 if reader.colour else 1
        forms = {
            "last": ((*size, reader.channels), np.uint8) if pixels else ((reader.features,), np.float32),
            "shown": ((*size, colours), np.uint8),
            "flow": (size, np.uint8),
        }
        for name, (shape, kind) in forms.items():
            value = kept[name]
            fits = isinstance(value, np.ndarray) and value.shape == shape and value.dtype == kind
            if value is not None and not (fits and np.isfinite(value).all()):
                raise refused("has a last frame of another form than the model's")
        count, moment, time = kept["count"], kept["moment"], kept["time"]
        numbers = type(count) is int and type(moment) is int and 0 <= count < 2**53 and 0 <= moment < 2**53
        if not numbers or not (time is None or (isinstance(time, float) and 0 <= time < _LONGEST)):
            raise refused("has a time that is none")
        seen = self._begun()
        seen.moments.number = moment
        seen.last, seen.shown, seen.flow = kept["last"], kept["shown"], kept["flow"]
        seen.count, seen.time = count, time
        if (seen.body is None) != (kept["body"] is None):
            raise refused("is of pixels where the model reads landmarks, or the other way round")
        if seen.body is not None:
            try:
                seen.body.restore(kept["body"])
            except (KeyError, TypeError, ValueError) as error:
                raise refused("has a body of another form than the model's") from error
        if seen.experts is not None:
            seen.experts.accept(kept["experts"])
            if (seen.experts.frames > 0) != (seen.last is not None):
                raise refused("has a last frame that its experts have not seen")
        return seen


class _Seen:
    """What of the frames that came is remembered."""

    def __init__(self, moments: Moments, body: Body | None, experts: ExpertSteps | None) -> None:
        self.moments, self.body, self.experts = moments, body, experts
        self.last: NDArray[Any] | None = None  # that the network read
        self.shown: Pixels | None = None  # that came
        self.flow: NDArray[np.uint8] | None = None
        self.count = 0
        self.time: float | None = None

    def copy(self) -> _Seen:
        """Return another that can be changed."""
        found = copy.copy(self)
        found.moments = copy.copy(self.moments)
        found.body = None if self.body is None else self.body.copy()
        found.experts = None if self.experts is None else self.experts.copy()
        return found


class _Read:
    """A frame as the reader gives it."""

    def __init__(self, frame: NDArray[Any]) -> None:
        self.frame = frame


def _parts(row: Any) -> tuple[Any, float | None, bool]:
    """Return the frame of a row, its time, and whether a clip begins with it."""
    if not isinstance(row, Mapping):
        return row, None, False
    if row.get("frame") is None:
        raise StreamRowError('it has no "frame"; expected the path of a picture, or a frame')
    time = row.get("time")
    if time is not None:
        try:
            time = float(time)
        except (TypeError, ValueError, OverflowError) as error:
            raise StreamRowError(f"its time {str(time)[:40]!r} is no number of seconds") from error
        if not 0 <= time < _LONGEST:
            raise StreamRowError(f"its time {time:g} is no number of seconds since the clip began")
    return row["frame"], time, row.get("reset") is True


def _layout(encoder: Any) -> Layout:
    """Return the layout of the landmarks that a model was trained on."""
    reader = encoder.reader
    from ostinato.data.video.layouts import LAYOUTS

    if reader.layout in LAYOUTS:
        return LAYOUTS[reader.layout]
    if reader.layout == "joints":
        return Layout("joints", (reader.features - 3) // 3)
    return Layout("plain", 0)
