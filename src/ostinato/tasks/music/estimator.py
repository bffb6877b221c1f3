"""`Composer`: the next notes of pieces of music, and new pieces."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.music import Piece, Pieces
from ostinato.errors import DataWarning, UsageError
from ostinato.tasks.base.estimator import Estimator
from ostinato.tasks.base.judging import Scores
from ostinato.tasks.music.composition import Composition
from ostinato.tasks.music.encoding import encode
from ostinato.tasks.music.parameters import MusicParameters
from ostinato.tasks.music.task import MusicTask
from ostinato.tasks.music.writing import Request, written


class Composer(Estimator[MusicTask], MusicParameters):
    """A recurrent model of music, by frames (all notes that sound at a time) or by events of a performance.

    `fit` takes a folder of MIDI files, ABC tunes or piano rolls, one such file, pieces (`ostinato.data.music.Piece`),
    or piano rolls: `(steps, 88)`, `(steps, 128)`, or the notes of each step. Parts that a file or folder has (`train`,
    `valid`, `test`) are kept. Its parameters are those of `MusicParameters`.

    The negative log-likelihood of a frame is that of all its notes together, and the mean is over all frames of all
    pieces, each read from its beginning.

    Sources: N. Boulanger-Lewandowski, Y. Bengio and P. Vincent, "Modeling temporal dependencies in high-dimensional
    sequences", ICML 2012; S. Oore et al., "This time with feeling", 2018.

    >>> from ostinato import Composer
    >>> scale = [[note] for note in (60, 62, 64, 65, 67, 69, 71, 72)] * 4
    >>> model = Composer(hidden_size=16, head_size=16, epochs=2, steps_per_quarter=1, progress=False).fit([scale] * 20)
    >>> model.compose(bars=4).piece.length
    16.0
    """

    task = MusicTask()

    def predict(self, pieces: Any) -> list[NDArray[np.float64]]:
        """Return how unlikely each step of each piece was, in nats, `(steps,)` of each."""
        model = self._model()
        found: Pieces = self.task.read(model.parameters, pieces)
        judged = self.task.predict(model, encode(model.encoder, found))
        return [judged.losses[judged.owners == row] for row in range(int(judged.owners.max(initial=-1)) + 1)]

    def evaluate(self, data: Any, labels: Any = None, **changes: Any) -> Scores:
        """Return how well the model predicts pieces, beside its baselines.

        Of a source that has parts, its test part is judged; of others, all pieces.

        Args:
            data: as in `fit`.
            labels: there are none.
            changes: parameters that are to be other than the model's.

        Raises:
            DataError: the data cannot be read, or has no notes.
        """
        model = self._changed(changes)
        records: Pieces = self.task.read(model.parameters, self._joined(data, labels))
        words = f"all of {records.origin}"
        if "test" in records.parts and records.divided:
            records, words = records.part("test"), f"the test part of {records.origin}"
        return self._judged(model, records, words)

    def compose(self, *, prime: Any = None, harmonize: Any = None, count: int | None = None, **request: Any) -> Any:
        """Write a piece, or several.

        Args:
            prime: an opening to be continued: a piece, or a path.
            harmonize: a voice that is kept note for note, to which the others are written: a piece, or a path.
            count: how many pieces; `None`: one, which is returned by itself.
            request: `bars`, `seconds` or `quarters`; `voice` (`"melody"`, `"bass"`, `"any"`) of what is harmonized;
                `temperature`, `top_p`, `seed`; `drafts`; `key`, `metre`, `tempo`; `strike`; see `Request` in
                `ostinato.tasks.music.writing`.

        Returns:
            A `Composition`, or a list of them where `count` is given: `piece`, `save(path)`, `copied`, ...

        Raises:
            UsageError: what is asked for cannot be.
            DataError: a given piece cannot be read, or is out of the model's range.
        """
        known = {field.name for field in fields(Request)}
        for name in request:
            if name not in known:
                raise UsageError(f"compose takes {', '.join(sorted(known))}, not {name}")
        model = self._model()
        if harmonize is not None and model.encoder.most == 1:
            warnings.warn(
                "the training pieces have one note at a time, so that the model cannot have learned other voices; "
                "train on pieces in several voices to harmonize", DataWarning, stacklevel=2,
            )  # fmt: skip
        asked = Request(
            prime=self._one(prime), harmonize=self._one(harmonize), count=1 if count is None else count, **request
        )
        found = written(model, asked)
        return found[0] if count is None else found

    def one_answer(self) -> tuple[str, Callable[[], object]]:
        """Return the answer to one frame, or event, of a stream."""
        stream = self.stream()
        row: Any = [] if self._model().encoder.kind == "frames" else "shift 1"
        return "one step answered", lambda: stream.push(row)

    def _one(self, given: Any) -> Piece | None:
        """Return a given piece."""
        if given is None or isinstance(given, Piece):
            return given
        if isinstance(given, Composition):
            return given.piece
        found: Pieces = self.task.read(self._model().parameters, given)
        if len(found) > 1:
            warnings.warn(
                f'{found.origin} has {len(found):,} pieces; the first, "{found.pieces[0].name}", is taken',
                DataWarning, stacklevel=3,
            )  # fmt: skip
        return found.pieces[0]
