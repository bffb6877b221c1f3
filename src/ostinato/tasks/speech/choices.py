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
_MOST = 4
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
    """

    bidirectional: bool
    causal: bool
    normalize: Normal
    subsampling: int
    loss: Loss

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
    def of(cls, parameters: SpeechParameters, subsampling: int) -> Choices:
        """Return the choices; a streaming model reads forward alone."""
        live = parameters.streaming
        bidirectional = not live if parameters.bidirectional is None else parameters.bidirectional
        causal = live if parameters.causal is None else parameters.causal
        normalize: Normal = parameters.normalize or "running"
        # who reads forward alone knows a word at its end; a transducer then spells it in one step
        loss: Loss = parameters.loss or ("transducer" if live else "ctc")
        return cls(bidirectional, causal, normalize, subsampling, loss)

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


def suited_subsampling(frames: Sequence[int], needed: Sequence[int], further: int = 1) -> int:
    """Return how many frames can be one: up to four, so long as nearly all transcripts have room.

    Args:
        frames: of each utterance.
        needed: steps that each transcript needs at least.
        further: how many steps layers make one after that.

    >>> suited_subsampling([400, 300], [20, 20]), suited_subsampling([40, 60], [12, 20]), suited_subsampling([5], [9])
    (4, 2, 1)
    """
    have, need = np.asarray(frames, np.float64), np.asarray(needed, np.float64)
    for count in range(_MOST, 1, -1):
        if np.mean(have / (count * further) >= _ROOM * need) >= _FITTING:
            return count
    return 1
