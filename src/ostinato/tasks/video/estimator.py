"""`VideoClassifier`: which class a clip belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.tasks.base.estimator import Estimator
from ostinato.tasks.base.task import reading_of
from ostinato.tasks.video.annotating import annotate, watched
from ostinato.tasks.video.parameters import VideoParameters
from ostinato.tasks.video.task import VideoTask


class VideoClassifier(Estimator[VideoTask], VideoParameters):
    """A recurrent classifier of clips: actions, signs, falls; from pixels or from landmarks of bodies.

    Each frame, with its difference from the one before, goes through a small convolutional network that is trained
    here, or, of landmarks, through a linear layer; any recurrent cell reads what comes of it, and its outputs are
    pooled over time. With `cell="conv-gru"` the recurrence is over maps. Probabilities are calibrated on the validation
    part. Of landmarks each network leaves a fifth of the clips out instead, and by what is said of these the nearest
    known clip counts beside them.

    `fit` takes a table of paths and classes, a folder or `.zip` of a folder a class, or clips and labels apart: paths,
    arrays `(T, H, W)` or `(T, H, W, C)`, landmarks `(T, features)` or `(T, joints, 3)`. Its parameters are those of
    `VideoParameters`.

    Sources: J. Donahue et al., "Long-term recurrent convolutional networks for visual recognition and description",
    CVPR 2015; N. Ballas et al., "Delving deeper into convolutional networks for learning video representations", ICLR
    2016.

    >>> import numpy as np
    >>> from ostinato import VideoClassifier
    >>> def clip(left):
    ...     frames = np.zeros((8, 16, 24), np.uint8)
    ...     for time in range(8):
    ...         at = 2 + 2 * time if left else 18 - 2 * time
    ...         frames[time, 6:10, at : at + 4] = 255
    ...     return frames
    >>> clips, labels = [clip(i % 2 == 0) for i in range(16)], ["right", "left"] * 8
    >>> model = VideoClassifier(height=16, width=24, epochs=30, rate=25, test=0.0, validation=0.0, progress=False)
    >>> model.fit(clips, labels).predict([clip(True)]).tolist()
    ['right']
    """

    task = VideoTask()

    @property
    def classes_(self) -> NDArray[Any]:
        """The labels, in the order of the probabilities, in the type that they have in the data."""
        labels: NDArray[Any] = self._checked().model.encoder.classes.as_array()
        return labels

    def predict_proba(self, data: Any) -> NDArray[np.float64]:
        """Return the calibrated probability of each class, `(clips, classes)`, in the order of `classes_`.

        Args:
            data: clips without labels, or a table or folder that may have them.
        """
        model = self._model()
        records = self.task.read(model.parameters, data, reading_of(model) or True, labelled=False)
        found = self.task.predict(model, self.task.encode(model, records)).probabilities
        assert found is not None
        return found

    def predict(self, data: Any) -> NDArray[Any]:
        """Return the most probable class of each clip, `(clips,)`; arguments as `predict_proba`."""
        found: NDArray[Any] = self.classes_[self.predict_proba(data).argmax(1)]
        return found

    def watch(self, source: Any) -> Iterator[dict[str, Any]]:
        """Yield an answer for each frame of a clip: what the model makes of it up to there, with its `time` in seconds.

        Args:
            source: a clip of any length; no more than a frame of it is in memory.

        Raises:
            DataError: it cannot be read.
            UsageError: the model reads clips from their end too.
        """
        yield from watched(self.task, self._model(), source)

    def annotate(self, source: Any, path: str | Path, *, height: int = 240) -> Path:
        """Write a clip as a video with the answer so far on each frame; return its path.

        Args:
            source: a clip of pixels.
            path: of the video, such as `walk.mp4`.
            height: of its frames, in pixels.

        Raises:
            DataError: the clip cannot be read.
            OutputError: the video cannot be written.
        """
        return annotate(self.task, self._model(), source, path, height)
