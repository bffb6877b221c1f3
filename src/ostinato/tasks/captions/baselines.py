"""What a captioner has to beat: the most frequent caption, and that of the clip which looks most alike."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ostinato.tasks.base.allowance import deadline
from ostinato.tasks.captions.consensus import rouge_l, words
from ostinato.tasks.captions.encoding import Shown
from ostinato.tasks.captions.frames import Frames
from ostinato.tasks.captions.measures import Said

_PARTS, _PLACES = 4, 6  # of time, and of each side of a frame
_KEPT, _COMPARED = 4000, 10  # clips; captions of a clip


@dataclass(frozen=True)
class MostFrequentCaption:
    """The caption that is most frequent in training, letter case and punctuation not counted."""

    text: str

    @classmethod
    def fit(cls, train: Shown) -> MostFrequentCaption:
        """Count; of those as frequent the one whose words are most frequent, on the mean."""
        texts = [text for group in train.references for text in group]
        counted = Counter(" ".join(words(text)) for text in texts)
        common = Counter(word for text in texts for word in words(text))

        def order(text: str) -> tuple[float, float, str]:
            found = words(text)
            return -counted[" ".join(found)], -sum(common[word] for word in found) / max(1, len(found)), text

        return cls(min(texts, key=order))

    def predict(self, shown: Shown) -> Said:
        """Return it for each."""
        return Said([self.text] * len(shown))


@dataclass(frozen=True)
class NearestClip:
    """The caption of the training clip whose coarse pictures, and changes between them, are nearest.

    A clip is made of the means of four stretches of time, in 6 x 6 places, and of how much changes in each; of its
    captions the one that is most like the others is taken (ROUGE-L).

    Args:
        features: of the training clips, `(clips, features)`; center, scale: of each feature.
        texts: the caption of each.
    """

    features: NDArray[np.float32]
    center: NDArray[np.float32]
    scale: NDArray[np.float32]
    texts: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse parts that do not go together, which a file may hold.

        Raises:
            ValueError: so it is.
        """
        if self.features.ndim != 2 or len(self.features) != len(self.texts) or not self.texts:
            raise ValueError(f"it has features of shape {self.features.shape} for {len(self.texts)} captions")
        if self.center.shape != self.scale.shape or self.center.shape != self.features.shape[1:]:
            raise ValueError("its features and their scales are of other sizes")

    @classmethod
    def fit(cls, train: Shown, seed: int) -> NearestClip:
        """Keep clips; of very many some are drawn."""
        rows = np.sort(np.random.default_rng(seed).permutation(len(train))[:_KEPT]).tolist()
        found = _coarse(train, rows)
        center, scale = found.mean(0), found.std(0) + 1e-3
        texts = tuple(_usual(train.references[row]) for row in rows)
        return cls(((found - center) / scale).astype(np.float32), center, scale, texts)

    def predict(self, shown: Shown) -> Said:
        """Return the captions of the nearest."""
        asked = (_coarse(shown, range(len(shown))) - self.center) / self.scale
        found = []
        for one in asked:
            deadline().check()
            found.append(self.texts[int(((self.features - one) ** 2).sum(1).argmin())])
        return Said(found)


def _usual(captions: tuple[str, ...]) -> str:
    """Return the caption that is most like the others."""
    some = captions[:_COMPARED]
    if len(some) < 3:
        return some[0]
    alike = [float(rouge_l([one], [[other for other in some if other is not one] or [one]])[0]) for one in some]
    return some[int(np.argmax(alike))]


def _coarse(shown: Shown, rows: range | list[int]) -> NDArray[np.float32]:
    found = []
    for row in rows:
        deadline().check()
        found.append(_summed(shown.frames(row)))
    return np.stack(found).astype(np.float32)


def _summed(frames: Frames) -> NDArray[np.float32]:
    """Return means of stretches of time and places, and of what changes."""
    steps = frames.astype(np.float32)
    if steps.ndim == 4:
        steps = _places(_places(steps, 1), 2)
    moved = np.abs(np.diff(steps, axis=0, prepend=steps[:1]))
    parts = np.array_split(np.arange(len(steps)), min(_PARTS, len(steps)))
    rows = [np.stack([each[part].mean(0) for part in parts]) for each in (steps, moved)]
    whole = [np.resize(each, (_PARTS, *each.shape[1:])).ravel() for each in rows]
    return np.concatenate(whole)


def _places(frames: Frames, axis: int) -> Frames:
    count = min(_PLACES, frames.shape[axis])
    starts = np.linspace(0, frames.shape[axis], count + 1).astype(int)
    sums = np.add.reduceat(frames, starts[:-1], axis)
    shape = [1] * frames.ndim
    shape[axis] = count
    found: Frames = sums / np.diff(starts).reshape(shape)
    return found
