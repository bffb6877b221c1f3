"""A camera's frames as they come: one in, how strange it is out, with memory that does not grow."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.video import stream_frames
from ostinato.errors import OstinatoError, StreamRowError
from ostinato.streaming import NOTHING, Steps, Stream, refused
from ostinato.streaming.protocol import weights_mark
from ostinato.tasks.base.task import Model
from ostinato.tasks.video_anomaly.answering import answer_of
from ostinato.tasks.video_anomaly.encoder import VideoEncoder
from ostinato.tasks.video_anomaly.movers import LONGEST
from ostinato.tasks.video_anomaly.scoring import Watcher


class VideoAnomalyStream(Stream):
    """One camera, a frame at a time; made by `VideoAnomalyDetector.stream`.

    What it says of a frame is what `answers` says of it in a file of the frames since the stream began, to the same
    bits. A row is a frame: an array `(height, width)` or `(height, width, channels)` of 0 to 255, as NumPy's or as
    lists; the path of a picture; or a mapping with one of them under `"frame"`.

    Args:
        model: fitted.
    """

    kind = "video anomaly"
    takes_text = False

    def __init__(self, model: Model[Any, VideoEncoder]) -> None:
        self.encoder = model.encoder
        self._watcher = Watcher(model.network, model.encoder)
        self._number = 0
        self._mark = ""

    def reset(self) -> None:
        """Begin a new clip."""
        self._watcher.reset()
        self._number = 0

    def steps(self, row: Any) -> Steps:
        """Take a frame in, and say how strange it is.

        Returns:
            `score`, `probability` (how many normal frames in one begin so high a peak), `alarm`, `regularity`, where
            the strangest patch is (`x`, `y`, in pixels as the model reads frames), `reason`; of the first frame, of
            which nothing was predicted, no score.

        Raises:
            StreamRowError: the row is no frame; the stream is then as it was.
        """
        frame = self._read(row)
        yield NOTHING
        answer = {"frame": self._number, **answer_of(self.encoder, self._watcher.push(frame))}
        self._number += 1
        return answer

    def _read(self, row: Any) -> NDArray[np.uint8]:
        if isinstance(row, Mapping):
            if "frame" not in row:
                raise StreamRowError(
                    'the row has no "frame"; expected pixels under that name, or the path of a picture'
                )
            row = row["frame"]
        expected = "expected (height, width) or (height, width, channels) of 0 to 255, or the path of a picture"
        if isinstance(row, str):
            source: Any = row.strip()
        else:
            try:
                pixels = np.asarray(row)
            except ValueError as error:
                raise StreamRowError(f"the row is no picture ({error}); {expected}") from error
            if pixels.dtype.kind not in "iufb" or pixels.ndim not in (2, 3) or 0 in pixels.shape:
                raise StreamRowError(f"the row is of type {type(row).__name__}, shape {pixels.shape}; {expected}")
            if not np.isfinite(pixels).all() or pixels.min() < 0 or pixels.max() > 255:
                raise StreamRowError(f"the row has values that are no brightness; {expected}")
            source = pixels.astype(np.uint8)[None]
        reading = self.encoder.reading
        try:
            frames = stream_frames(source, height=reading.height, width=reading.width, channels=1)
            found: NDArray[np.uint8] = next(frames)[1][..., 0]
        except (OstinatoError, StopIteration) as error:
            raise StreamRowError(f"the row cannot be read as a frame ({error}); {expected}") from error
        return found

    # --- its state ---------------------------------------------------------------------------------------------------

    def mark(self) -> str:
        """Return what tells the model from others."""
        if not self._mark:
            fitted = [self.encoder.fingerprint, self.encoder.threshold]
            digest = hashlib.sha256(repr(fitted).encode()).hexdigest()[:16]
            self._mark = weights_mark(self._watcher.network) + digest
        return self._mark

    def kept(self) -> dict[str, Any]:
        """Return a copy of all that the stream holds."""
        return {"number": self._number, "arrays": self._watcher.kept()}

    def accept(self, kept: Mapping[str, Any]) -> None:
        """Go on from what `kept` returned, all of it checked first."""
        number, arrays = kept.get("number"), kept.get("arrays")
        if not isinstance(number, int) or number < 0 or not isinstance(arrays, Mapping) or bool(arrays) != (number > 0):
            raise refused("has no number of frames, or no arrays that go with it")
        shapes = self._watcher.shapes() if arrays else {}
        if set(arrays) != set(shapes):
            raise refused("has other arrays than the model keeps")
        for name, (shape, kind) in shapes.items():
            one = arrays[name]
            if not isinstance(one, np.ndarray) or one.shape != shape or one.dtype != kind:
                raise refused(f'has no "{name}" of the shape {shape}')
            if not np.isfinite(one).all():
                raise refused("holds numbers that are not finite")
        if arrays and not 1 <= int(arrays["count"][0]) <= LONGEST:
            raise refused("has a number of frames that it cannot have kept")
        self._watcher.accept(arrays)
        self._number = number
