"""What a recogniser has to beat: the most frequent text, and that of the recording which sounds most alike."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ostinato.tasks.base.warping import WarpedNeighbours
from ostinato.tasks.speech.decoding import Transcript
from ostinato.tasks.speech.encoding import Frames, Spoken

_STEPS, _BANDS = 60, 16  # that a recording is made of for its nearest neighbours
_CELLS = 1e9  # of all warping tables together: about ten seconds
_KEPT, _FEWEST = 2000, 20  # recordings


@dataclass(frozen=True)
class Written:
    """What was written of utterances: `texts`, and of the model `loss`, that of a unit, and the `transcripts`."""

    texts: list[str]
    loss: float | None = None
    transcripts: list[Transcript] = field(default_factory=list)


@dataclass(frozen=True)
class MostFrequent:
    """The transcript that is most frequent in training."""

    text: str

    @classmethod
    def fit(cls, train: Spoken) -> MostFrequent:
        """Count."""
        counted = Counter(train.texts)
        return cls(min(counted, key=lambda text: (-counted[text], text)))

    def predict(self, spoken: Spoken) -> Written:
        """Return it for each."""
        return Written([self.text] * len(spoken))


@dataclass(frozen=True)
class NearestRecording:
    """The transcript of the training recording that is nearest under dynamic time warping; see `WarpedNeighbours`.

    A recording is made of up to 60 means of neighbouring frames, in 16 bands. Of a large training part so many are
    drawn that every recording is answered in bounded time.

    Args:
        frames: of the training recordings, one behind the other, `(frames, bands)`; lengths, texts: of each; seed: of
            the draw.
    """

    frames: NDArray[np.float32]
    lengths: NDArray[np.int64]
    texts: tuple[str, ...]
    seed: int

    @classmethod
    def fit(cls, train: Spoken, seed: int) -> NearestRecording:
        """Keep recordings."""
        rows = np.sort(np.random.default_rng(seed).permutation(len(train))[:_KEPT]).tolist()
        kept = [_coarse(train.frames(row)) for row in rows]
        return cls(np.concatenate(kept), np.array(list(map(len, kept))), tuple(train.texts[row] for row in rows), seed)

    def predict(self, spoken: Spoken) -> Written:
        """Return the transcripts of the nearest."""
        known = np.split(self.frames, np.cumsum(self.lengths)[:-1])
        heard = [_coarse(spoken.frames(row)) for row in range(len(spoken))]
        cells = float(self.lengths.sum()) * sum(map(len, heard))
        count = max(_FEWEST, int(len(known) * min(1.0, _CELLS / max(cells, 1.0))))
        rows = np.random.default_rng(self.seed).permutation(len(known))[:count].tolist()
        near = WarpedNeighbours([known[row] for row in rows])
        return Written([self.texts[rows[int(near.distances(frames).argmin())]] for frames in heard])


def _coarse(frames: Frames) -> Frames:
    """Return means of neighbouring frames and bands."""
    every, bands = -(-len(frames) // _STEPS), min(_BANDS, frames.shape[1])
    steps = np.add.reduceat(frames, np.arange(0, len(frames), every), 0)
    counts = np.diff([*range(0, len(frames), every), len(frames)])
    parts = np.array_split(steps / counts[:, None], bands, 1)
    return np.stack([part.mean(1) for part in parts], 1).astype(np.float32)
