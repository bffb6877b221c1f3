"""A growing clip: frames that come one by one, and every so often what the last seconds show."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ostinato.data.video import stream_frames
from ostinato.data.video.raw import USUAL_RATE
from ostinato.errors import DataError, StreamRowError, UsageError
from ostinato.streaming import Request, Steps, Stream, refused, weights_mark
from ostinato.tasks.captions.frames import Frames
from ostinato.tasks.captions.writing import CaptionModel, captions_from, encoded_frames, search_of

_SECONDS, _LONGEST = 4.0, 3600.0


class CaptionStream(Stream):
    """Frames one at a time; the caption of the last ones is the caption of a clip that consists of them.

    What is kept are the frames of the window, as small as the network reads them, and the last caption.

    Args:
        model: a captioner's.
        seconds: of the window; `None`: as long as training clips are.
        every: seconds from one caption to the next.
        frame_rate: frames a second that come; `None`: the model's, or 25 where it takes frames as they are.

    Raises:
        UsageError: an option is out of range.
    """

    kind = "caption"

    def __init__(
        self, model: CaptionModel, seconds: float | None = None, every: float = 1.0, frame_rate: float | None = None
    ) -> None:
        settings = model.encoder.frames
        seconds = (settings.usual or _SECONDS) if seconds is None else seconds
        rate = (settings.rate or USUAL_RATE) if frame_rate is None else frame_rate
        for name, value, most in (
            ("seconds", seconds, _LONGEST),
            ("every", every, _LONGEST),
            ("frame_rate", rate, 1000.0),
        ):
            if not isinstance(value, (int, float)) or not 0 < value <= most:
                raise UsageError(f"{name} is {value!r}; expected more than 0, up to {most:g}")
        self._model, self._settings = model, settings
        self.rate, self.every = float(rate), float(every)
        self.kept_rate = min(self.rate, settings.rate or self.rate, settings.most / seconds)
        self.window = max(1, min(settings.most, round(seconds * self.kept_rate)))
        self._mark = weights_mark(model.network)
        self.reset()

    def reset(self) -> None:
        """Begin a new clip."""
        self._frames: list[Frames] = []
        self._seen, self._caption = 0, ""

    def steps(self, row: Any) -> Steps:
        """Take a frame, `(H, W, 3)`, or the path of a picture; answer the caption, a new one where it is time.

        Raises:
            StreamRowError: it is no frame.
        """
        frame = self._read(row)
        number = self._seen
        frames = [*self._frames, frame][-self.window :] if self._counts(number, self.kept_rate) else self._frames
        caption = self._caption
        if frames and self._counts(number, 1 / self.every):
            caption = yield Request(self._write, frames)
        self._frames, self._caption, self._seen = frames, caption, number + 1
        return {"seconds": number / self.rate, "caption": caption}

    def now(self) -> Any:
        """Return the caption of the frames that are there.

        Raises:
            UsageError: there are none yet.
        """
        if not self._frames:
            raise UsageError("no frame has come yet; push one")
        return {"seconds": (self._seen - 1) / self.rate, "caption": self._write([self._frames])[0]}

    def mark(self) -> str:
        """Return what tells the model, and the frames it is asked with, from others."""
        return f"{self._mark} {self.window} {self.kept_rate!r} {self.rate!r} {self.every!r}"

    def kept(self) -> Mapping[str, Any]:
        """Return the frames of the window, how many came, and the last caption."""
        frames = np.stack(self._frames) if self._frames else None
        return {"frames": frames, "seen": self._seen, "caption": self._caption}

    def accept(self, kept: Mapping[str, Any]) -> None:
        """Go on within a clip."""
        try:
            frames, seen, caption = kept["frames"], kept["seen"], kept["caption"]
        except KeyError as error:
            raise refused(f"has no {error.args[0]}") from error
        if type(seen) is not int or not 0 <= seen < 1 << 53 or not isinstance(caption, str):
            raise refused("has no count of frames, or no caption")
        if frames is None:
            rows: list[Frames] = []
        else:
            kind = np.dtype(np.float32 if self._settings.vectors else np.uint8)
            if not isinstance(frames, np.ndarray) or frames.dtype != kind or frames.shape[1:] != self._shape():
                raise refused("has frames of another size")
            if not 0 < len(frames) <= min(self.window, seen) or not np.isfinite(frames).all():
                raise refused("has more frames than came, or what are none")
            rows = list(frames)
        self._frames, self._seen, self._caption = rows, seen, caption

    def _counts(self, number: int, rate: float) -> bool:
        """Tell whether a frame is the first one at or behind a moment of a slower clock."""
        slower = rate / self.rate
        return slower >= 1 or math.floor(number * slower + 1e-9) > math.floor((number - 1) * slower + 1e-9)

    def _shape(self) -> tuple[int, ...]:
        settings = self._settings
        return (settings.width,) if settings.vectors else (settings.height, settings.width, 3)

    def _write(self, windows: list[list[Frames]]) -> list[str]:
        """Return the captions of windows."""
        model = self._model
        found = []
        for frames in windows:
            memory, lengths = encoded_frames(model.network, np.stack(frames))
            found.append(captions_from(model, memory, lengths, search_of(model))[0][0].text)
        return found

    def _read(self, row: Any) -> Frames:
        given = row.get("frame", row.get("source", row.get("text"))) if isinstance(row, Mapping) else row
        if self._settings.vectors:
            return self._vector(given)
        if isinstance(given, str):
            source: Any = given.strip()
        elif isinstance(given, (list, np.ndarray)) or hasattr(given, "detach"):
            array = np.asarray(given.detach().cpu() if hasattr(given, "detach") else given)
            if array.ndim not in (2, 3) or array.dtype.kind not in "biuf":
                raise StreamRowError(f"it is an array of shape {array.shape}; expected a frame, (H, W) or (H, W, 3)")
            source = array[None]
        else:
            raise StreamRowError("it is no frame; expected an array (H, W, 3), or the path of a picture")
        settings = self._settings
        try:
            return next(stream_frames(source, height=settings.height, width=settings.width))[1]
        except (DataError, StopIteration) as error:
            raise StreamRowError(str(error) or "it holds no frame") from error

    def _vector(self, given: Any) -> Frames:
        try:
            found = np.asarray(given, np.float32)
        except (TypeError, ValueError) as error:
            raise StreamRowError(f"it is no row of numbers; expected {self._settings.width:,}") from error
        if found.shape != self._shape() or not np.isfinite(found).all():
            raise StreamRowError(
                f"it is of shape {found.shape}, or has what is no number; expected {self._settings.width:,} numbers"
            )
        return found
