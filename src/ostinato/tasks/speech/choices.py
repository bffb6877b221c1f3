"""What is decided for a recogniser where its parameters leave it open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ostinato.errors import UsageError
from ostinato.tasks.speech.parameters import SpeechParameters

Normal = Literal["utterance", "running", "global"]
Loss = Literal["ctc", "transducer", "both"]
HIGHEST = 8
_TAIL = 0.3
FEW = 200
"""Utterances, of fewer of which more is made by changing them, and CTC is learned."""
_LATTICE, _LONG = 4000, 3.0  # steps times units of a transducer; seconds of a recording that is long
_MOST = 4
_AMPLE = 4.0  # steps for each that a transcript needs, with which as many frames as can be are one
_LEAST_BATCH, _BATCH = 4, 16
_FITTING = 0.99  # of the transcripts must have room
_ROOM = 1.25  # steps for each that CTC needs at least: with none to spare it could hardly be anything else


@dataclass(frozen=True)
class Choices:
    """The choices of a fit.

    Args:
        bidirectional: whether recordings are read from their end too.
        causal: whether convolutions see no later frame.
        normalize: by what frames are standardised.
        subsampling: frames that the convolutions make one.
        loss: what is learned.
        augmentation: how much training frames are changed.
    """

    bidirectional: bool
    causal: bool
    normalize: Normal
    subsampling: int
    loss: Loss
    augmentation: float

    def __post_init__(self) -> None:
        """Refuse a number that no fit chooses, which a file may hold.

        Raises:
            ValueError: so it is.
        """
        if not 1 <= self.subsampling <= HIGHEST:
            raise ValueError(f"its subsampling is {self.subsampling:.3g}; expected 1 to {HIGHEST}")

    @property
    def tail(self) -> float:
        """Seconds of silence behind a recording: who reads forward alone writes a word once it has heard it."""
        return _TAIL if not self.bidirectional else 0.0

    @property
    def streams(self) -> bool:
        """Whether the model can answer while it listens."""
        return not self.bidirectional and self.causal and self.normalize != "utterance"

    @classmethod
    def of(
        cls,
        parameters: SpeechParameters,
        subsampling: int = 1,
        loss: Loss = "ctc",
        normalize: Normal = "running",
        utterances: int = 0,
    ) -> Choices:
        """Return the choices; a streaming model reads forward alone.

        Args:
            parameters: what they leave open is chosen.
            subsampling: frames that are one.
            loss: where none is asked for.
            normalize: likewise.
            utterances: of the training part.
        """
        live = parameters.streaming
        bidirectional = not live if parameters.bidirectional is None else parameters.bidirectional
        causal = live if parameters.causal is None else parameters.causal
        chosen: Normal = parameters.normalize or ("running" if live else normalize)
        usual = 1.0 if utterances < FEW else 0.5
        augmentation = usual if parameters.augmentation is None else parameters.augmentation
        return cls(bidirectional, causal, chosen, subsampling, parameters.loss or loss, augmentation)

    def check(self, *, streaming: bool) -> None:
        """Refuse choices that a streaming model cannot have.

        Raises:
            UsageError: one of them needs the end of the utterance.
        """
        if streaming and not self.streams:
            raise UsageError(f"streaming=True goes with neither of: {self.hindrances}; leave them out")

    @property
    def hindrances(self) -> str:
        """What keeps the model from answering while it listens."""
        named = {
            "bidirectional=True": self.bidirectional,
            "causal=False": not self.causal,
            'normalize="utterance"': self.normalize == "utterance",
        }
        return ", ".join(name for name, there in named.items() if there)


def suited_subsampling(
    frames: Sequence[int], needed: Sequence[int], further: int = 1, least: Sequence[int] | None = None
) -> int:
    """Return how many frames can be one: up to four, so long as nearly all transcripts have room; eight, if ample.

    Args:
        frames: of each utterance.
        needed: steps that each transcript takes.
        further: how many steps layers make one after that.
        least: steps without which it cannot be written, if these are fewer.

    >>> suited_subsampling([400, 300], [20, 20]), suited_subsampling([40, 60], [12, 20]), suited_subsampling([5], [9])
    (4, 2, 1)
    >>> suited_subsampling([600], [8])
    8
    """
    have, need = np.asarray(frames, np.float64), np.asarray(needed, np.float64)
    if np.mean(have / (HIGHEST * further) >= _AMPLE * need) >= _FITTING:
        return HIGHEST
    need = need if least is None else np.asarray(least, np.float64)
    for count in range(_MOST, 1, -1):
        if np.mean(have / (count * further) >= _ROOM * need) >= _FITTING:
            return count
    return 1


def suited_batch(parameters: SpeechParameters, utterances: int) -> int:
    """Return how many utterances a batch has, at most: of few so few that an epoch has some eight steps.

    >>> [suited_batch(SpeechParameters(), count) for count in (10, 28, 64, 1000)]
    [4, 4, 8, 16]
    """
    return parameters.batch_size or min(max(utterances // 8, _LEAST_BATCH), _BATCH)


def suited_loss(frames: Sequence[int], units: Sequence[int]) -> Loss:
    """Return what is learned of so many frames and units of each utterance.

    A transducer, which knows what it has written, is the better one of some hundred utterances and more: of fewer it
    learns their texts by heart rather than their sounds. Alone it stays for hundreds of steps with transcripts that
    are probable whatever is heard; with CTC beside it the encoder soon has something to say. Its work is the product
    of frames and units: of long transcripts CTC alone is learned.

    >>> suited_loss([60] * 900, [5] * 900), suited_loss([60] * 9, [5] * 9), suited_loss([900] * 900, [99] * 900)
    ('both', 'ctc', 'ctc')
    """
    if len(frames) < FEW:
        return "ctc"
    places = np.asarray(frames, np.float64) / _MOST * (np.asarray(units, np.float64) + 1)
    return "both" if float(np.median(places)) <= _LATTICE else "ctc"


def suited_normal(seconds: Sequence[float]) -> Normal:
    """Return by what recordings of so many seconds are standardised.

    A recording of several words is by itself; one of a single word is not told from its own mean.

    >>> suited_normal([6.0, 5.5]), suited_normal([0.4, 0.6])
    ('utterance', 'running')
    """
    return "utterance" if len(seconds) and float(np.median(seconds)) >= _LONG else "running"
