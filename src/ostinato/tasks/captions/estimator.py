"""`Captioner`: from clips to sentences."""

from __future__ import annotations

from typing import Any

from ostinato.errors import UsageError
from ostinato.tasks.base.estimator import Estimator
from ostinato.tasks.base.summary import Matrix
from ostinato.tasks.captions.panels import attention_matrix
from ostinato.tasks.captions.parameters import CaptionParameters
from ostinato.tasks.captions.stream import CaptionStream
from ostinato.tasks.captions.task import CaptionTask
from ostinato.tasks.captions.writing import Caption


class Captioner(Estimator[CaptionTask], CaptionParameters):
    """Says in a sentence what a clip shows: frames read along two paths, an encoder, attention over time, a decoder.

    `fit` takes a table (CSV, TSV, JSON lines, Parquet) with a clip and a caption in each row, where a clip of several
    rows has several captions; or clips and captions apart: paths of video files, of folders of pictures or of arrays,
    or arrays `(T, H, W, 3)`, and of each a caption or a list of them. Arrays `(T, features)` are taken for what another
    network made of frames. Its parameters are those of `CaptionParameters`.

    Sources: S. Venugopalan et al., "Sequence to sequence: video to text", ICCV 2015; L. Yao et al., "Describing videos
    by exploiting temporal structure", ICCV 2015 (attention over time).
    """

    task = CaptionTask()

    def predict(self, clips: Any) -> list[str]:
        """Return the caption of each clip.

        Args:
            clips: a path or several, a table, a folder, arrays.

        Raises:
            DataError: one cannot be read.
        """
        return [found[0].text for found in self.captions(clips)]

    def captions(self, clips: Any, *, alternatives: int = 1, **changes: Any) -> list[list[Caption]]:
        """Return the best captions of each clip, the best first, with their scores.

        Args:
            clips: as in `predict`.
            alternatives: how many, at most; the beam is as wide at least.
            changes: parameters that are to be other than the model's, such as `beam_size`.

        Raises:
            DataError: a clip cannot be read.
            UsageError: there is no such parameter.
        """
        model = self._changed(changes)
        return [
            found[:alternatives]
            for records in self.task.pieces(model, clips)
            for found in self.task.captions(model, records, alternatives)
        ]

    def answers(self, source: Any, *, alternatives: int = 1, **changes: Any) -> Any:
        """Yield the caption of each clip, with its score; where several are asked for, a row for each, by their rank.

        Args:
            source: as in `predict`, or lines that are paths, each answered as it comes.
            alternatives: how many captions of each.
            changes: see `captions`.
        """
        model = self._changed(changes)
        for records in self.task.pieces(model, source):
            yield from self.task.answers(model, records, alternatives)

    def attend(self, clip: Any) -> Matrix:
        """Return at which moments of a clip the model looked for each word of its caption, `values[word][frame]`.

        Raises:
            DataError: the clip cannot be read.
            UsageError: it is several.
        """
        model = self._model()
        records = [found for piece in self.task.pieces(model, clip) for found in [piece] if len(found)]
        if len(records) != 1 or len(records[0]) != 1:
            raise UsageError("attend looks at one clip; expected a path, or a list of one array")
        return attention_matrix(model, self.task.encode(model, records[0]), 0)

    def stream(self, **options: Any) -> CaptionStream:
        """Return what takes frames one at a time and says every second what the last ones show.

        Args:
            options: `seconds` of the clip that a caption is about, `every` so many seconds a caption, `frame_rate`:
                frames a second that come.

        Raises:
            UsageError: an option is out of range.
        """
        found: CaptionStream = super().stream(**options)
        return found
