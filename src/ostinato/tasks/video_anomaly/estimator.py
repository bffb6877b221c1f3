"""`VideoAnomalyDetector`: what is strange in video."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.tasks.base.alarms import merged
from ostinato.tasks.base.estimator import Estimator
from ostinato.tasks.video_anomaly.parameters import VideoAnomalyParameters
from ostinato.tasks.video_anomaly.task import VideoAnomalyTask


class VideoAnomalyDetector(Estimator[VideoAnomalyTask], VideoAnomalyParameters):
    """What is strange in the video of a camera that does not move, learned from video of what is usual.

    `fit` takes a video file, a folder of pictures, an array `(frames, height, width)` or `(frames, height, width,
    channels)`, or a folder or list of such clips. A recurrent network predicts the next frame and its motion, and
    reconstructs what it sees, through a narrow middle; how wrong it is, how fast a patch is and how much it changed are
    divided by what they reach in normal video at that place. Labels, where there are any, are for judging: known
    anomalies are not learned from. Its parameters are those of `VideoAnomalyParameters`.

    Sources: W. Luo, W. Liu and S. Gao, "Remembering history with convolutional LSTM for anomaly detection", ICME 2017;
    M. Hasan et al., "Learning temporal regularity in video sequences", CVPR 2016; W. Liu et al., "Future frame
    prediction for anomaly detection", CVPR 2018; thresholds: A. Siffer et al., KDD 2017.

    >>> import numpy as np
    >>> from ostinato import VideoAnomalyDetector
    >>> clip = np.zeros((60, 24, 32), np.uint8)
    >>> for t in range(60):
    ...     clip[t, 8:16, t % 24 : t % 24 + 8] = 200
    >>> model = VideoAnomalyDetector(hidden_size=4, epochs=1, test=0, progress=False).fit(clip)
    >>> model.score_samples(clip).shape
    (60,)
    """

    task = VideoAnomalyTask()

    def predict(self, source: Any) -> NDArray[np.bool_]:
        """Return for each frame whether there is an alarm, `(frames,)`, one clip behind the other.

        Raises:
            DataError: the source cannot be read.
        """
        return np.array([answer["alarm"] for answer in self.answers(source)], np.bool_)

    def score_samples(self, source: Any) -> NDArray[np.float64]:
        """Return how strange each frame is; higher is stranger, NaN for the first frame of a clip."""
        scores = [answer["score"] for answer in self.answers(source)]
        return np.array([np.nan if score is None else score for score in scores], np.float64)

    def events(self, source: Any) -> list[dict[str, Any]]:
        """Return the alarms of a source, those near each other as one: clip, from, to, frames, highest score, where.

        Raises:
            DataError: the source cannot be read.
        """
        by_clip: dict[str, list[Any]] = {}
        for answer in self.answers(source):
            by_clip.setdefault(answer["clip"], []).append(answer)
        found = []
        for name, rows in by_clip.items():
            for first, stop in merged(np.array([row["alarm"] for row in rows]), self.merge):
                best = max((row for row in rows[first:stop] if row["alarm"]), key=lambda row: row["score"])
                found.append({
                    "clip": name, "from": first, "to": stop - 1, "frames": stop - first, "score": best["score"],
                    "probability": best["probability"], "x": best["x"], "y": best["y"], "reason": best["reason"],
                })  # fmt: skip
        return found
