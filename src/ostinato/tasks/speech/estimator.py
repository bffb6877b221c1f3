"""`Transcriber`: from recordings to texts."""

from __future__ import annotations

from typing import Any

from ostinato.tasks.base.estimator import Estimator
from ostinato.tasks.speech.decoding import Transcript
from ostinato.tasks.speech.long import heard
from ostinato.tasks.speech.parameters import SpeechParameters
from ostinato.tasks.speech.stream import SpeechStream
from ostinato.tasks.speech.task import SpeechTask

_BEAM = 16  # hypotheses, at least, where several transcripts are wanted


class Transcriber(Estimator[SpeechTask], SpeechParameters):
    """Writes down what is said: convolutions and recurrent layers over a spectrogram, with CTC or a transducer.

    `fit` takes a table (CSV, TSV, JSON lines) of audio files and transcripts, a Kaldi folder (`wav.scp`, `text`), a
    folder of `NAME.wav` and `NAME.txt`, or sounds and texts apart: paths, or pairs of samples and their rate. Its
    parameters are those of `SpeechParameters`. With `streaming=True` all that it reads is causal, and `stream` writes
    while it listens, the same words as afterwards.

    Sources: A. Graves et al., "Connectionist temporal classification", ICML 2006; A. Graves, "Sequence transduction
    with recurrent neural networks", 2012; D. Amodei et al., "Deep Speech 2", ICML 2016.
    """

    task = SpeechTask()

    def predict(self, sounds: Any) -> list[str]:
        """Return the text of each recording.

        Args:
            sounds: a path or several, a table, a folder; samples with their rate in pairs.

        Raises:
            DataError: one cannot be read.
        """
        return [found[0].text for found in self.transcribe(sounds)]

    def transcribe(self, sounds: Any, *, n_best: int = 1, **changes: Any) -> list[list[Transcript]]:
        """Return the best transcripts of each recording, the best first, with scores, and words with times.

        Args:
            sounds: as in `predict`.
            n_best: how many, at most; several are found by a beam of 16, or of `beam_size` where that is more.
            changes: parameters that are to be other than the model's, such as `beam_size`.

        Raises:
            DataError: a recording cannot be read.
            UsageError: there is no such parameter.
        """
        if n_best > 1:
            changes = {"beam_size": max(_BEAM, n_best, self.beam_size), **changes}
        model = self._changed(changes)
        return [found for records in self.task.pieces(model, sounds) for _, found in heard(model, records, n_best)]

    @property
    def latency(self) -> float | None:
        """Milliseconds of sound behind a moment that must be heard before it is answered; `None`: all of it."""
        model = self._model()
        return self.task.look_ahead(model)

    def stream(self, **options: Any) -> SpeechStream:
        """Return what takes packets of sound and answers what was said so far.

        Args:
            options: `rate` of the samples that come (the model's), and `silence`, seconds that end an utterance.

        Raises:
            UsageError: the model needs whole recordings.
        """
        found: SpeechStream = super().stream(**options)
        return found
