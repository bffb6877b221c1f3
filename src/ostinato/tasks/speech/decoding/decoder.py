"""Decoders: from what a network says, frame by frame, to transcripts; the same for a stream and for a whole file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ostinato.errors import ShapeError, UsageError
from ostinato.nn.losses import (
    CtcBeam,
    CtcGreedy,
    Hypothesis,
    Scorer,
    TransducerBeam,
    TransducerJoint,
    TransducerPredictor,
)
from ostinato.tasks.speech.decoding.reader import StepperReader
from ostinato.tasks.speech.decoding.spelling import Spelling
from ostinato.tasks.speech.decoding.transcript import Transcript, transcribed

LEAST_PROBABILITY = 1e-4
"""Units less probable than this at a frame are not tried there, but for those that hold on."""
MARGIN = 16.0
"""Labellings less probable than the best by a factor of exp(16), 9 million, are not kept."""


class Search(Protocol):
    """A search that takes frames as they come: `CtcGreedy`, `CtcBeam`, `TransducerBeam`."""

    frames: int

    def reset(self) -> None:
        """Begin a new utterance."""

    def advance(self, frames: NDArray[Any], /) -> None:
        """Take in frames."""

    def best(self) -> Hypothesis:
        """Return the best labelling as it stands."""

    def hypotheses(self, *, ended: bool = True) -> list[Hypothesis]:
        """Return the labellings, best first."""

    def kept(self) -> dict[str, Any]:
        """Return all that is held."""

    def accept(self, kept: Mapping[str, Any]) -> None:
        """Resume from what was held."""


class Decoder:
    """One utterance in progress.

    However its frames come, one by one or all at once, texts, scores and times are the same to the last bit.

    Args:
        search: what finds labellings.
        units: of the model.
        frame_seconds: the seconds from frame to frame of the network's output; 1: times are in frames.
    """

    def __init__(self, search: Search, units: Spelling, frame_seconds: float = 1.0) -> None:
        self.search, self.units, self.frame_seconds = search, units, frame_seconds or 1.0

    @property
    def frames(self) -> int:
        """How many frames were taken in."""
        return self.search.frames

    @property
    def trailing(self) -> int:
        """How many frames there are after the last unit was written; all of them if none was."""
        emissions = self.search.best().emissions
        return self.frames - (emissions[-1].end + 1 if emissions else 0)

    def reset(self) -> None:
        """Begin a new utterance."""
        self.search.reset()

    def advance(self, frames: NDArray[Any]) -> None:
        """Take in frames, `(frames, features)`: log-probabilities of classes for CTC, outputs of the encoder else.

        Raises:
            ShapeError: they have another shape.
            UsageError: they hold NaN, or +inf.
        """
        rows = np.asarray(frames)
        if rows.ndim != 2:
            raise ShapeError(f"frames have shape {rows.shape}; expected (frames, features) of one utterance")
        if np.isnan(rows).any() or (rows == np.inf).any():
            raise UsageError("frames hold NaN or infinity; the network that made them is broken: train it again")
        self.search.advance(rows)

    def best(self) -> Transcript:
        """Return what is most probable so far."""
        return transcribed(self.search.best(), self.units, self.frame_seconds)

    def finish(self, n_best: int = 1) -> list[Transcript]:
        """Return the most probable transcripts of the utterance, best first, with what scorers say of its end.

        The decoder may go on afterwards as if it had not been asked. Where scorers let no labelling end, as a word list
        does within a word, it is those that there are.

        Args:
            n_best: how many at most; different labellings may be the same text, of which the best is kept.

        Raises:
            UsageError: `n_best` is below 1.
        """
        if n_best < 1:
            raise UsageError(f"n_best is {n_best}; expected 1 or more")
        found = self.search.hypotheses() or self.search.hypotheses(ended=False) or [self.search.best()]
        texts: dict[str, Transcript] = {}
        for hypothesis in found:
            transcript = transcribed(hypothesis, self.units, self.frame_seconds)
            texts.setdefault(transcript.text, transcript)
            if len(texts) == n_best:
                break
        return list(texts.values())

    def decode(self, frames: NDArray[Any], n_best: int = 1) -> list[Transcript]:
        """Return the transcripts of a whole utterance; see `advance` and `finish`."""
        self.reset()
        self.advance(frames)
        return self.finish(n_best)

    def kept(self) -> dict[str, Any]:
        """Return all that is held, as plain data and arrays, for `accept`."""
        return self.search.kept()

    def accept(self, kept: Mapping[str, Any]) -> None:
        """Resume from what `kept` gave.

        Raises:
            UsageError: it is not of this model and search.
        """
        try:
            self.search.accept(kept)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            self.search.reset()
            raise UsageError(
                f"the state of the search is damaged ({type(error).__name__}); begin a new utterance"
            ) from error


def ctc_decoder(
    units: Spelling,
    *,
    beam_size: int = 0,
    scorer: Scorer | None = None,
    frame_seconds: float = 1.0,
    least_probability: float = LEAST_PROBABILITY,
    margin: float = MARGIN,
) -> Decoder:
    """Return a decoder of the log-probabilities of CTC, `(frames, classes)`.

    Args:
        units: of the model.
        beam_size: labellings that are kept; 0: the most probable path alone (greedy).
        scorer: what is added to scores, see `fused`; it needs a beam.
        frame_seconds: the seconds from frame to frame.
        least_probability: units less probable than this at a frame are not tried there.
        margin: labellings that score worse than the best by more than this, in nats, are not kept.

    Raises:
        UsageError: a number is out of range, or a scorer is given without a beam.
    """
    if beam_size < 0:
        raise UsageError(f"beam_size is {beam_size}; expected 1 or more, or 0 for the most probable path alone")
    if not beam_size:
        if scorer is not None:
            raise UsageError("a greedy search takes no scorer; give a beam_size of 1 or more")
        return Decoder(CtcGreedy(len(units)), units, frame_seconds)
    search = CtcBeam(len(units), beam_size=beam_size, scorer=scorer, least_probability=least_probability, margin=margin)
    return Decoder(search, units, frame_seconds)


def transducer_decoder(
    units: Spelling,
    predictor: TransducerPredictor,
    joint: TransducerJoint,
    *,
    beam_size: int = 0,
    max_symbols: int = 5,
    scorer: Scorer | None = None,
    frame_seconds: float = 1.0,
) -> Decoder:
    """Return a decoder of a transducer's encoder outputs, `(frames, features)`.

    The prediction network is copied and stepped by our stepper; one that it cannot step is run as it stands.

    Args:
        units: of the model.
        predictor: reads the units so far.
        joint: says what comes next.
        beam_size: labellings that are kept; 0: the most probable unit, again and again (greedy).
        max_symbols: at most so many units a frame.
        scorer: what is added to scores, see `fused`; it needs a beam.
        frame_seconds: the seconds from frame to frame.

    Raises:
        UsageError: a number is out of range, or a scorer is given without a beam.
    """
    reader = StepperReader(predictor, max(1, beam_size))
    search = TransducerBeam(reader, joint, beam_size=beam_size, max_symbols=max_symbols, scorer=scorer)
    return Decoder(search, units, frame_seconds)
