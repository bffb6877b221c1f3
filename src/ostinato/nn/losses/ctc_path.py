"""The most probable path of CTC, frame by frame, with constant work a frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.errors import ShapeError, UsageError
from ostinato.nn.losses.hypotheses import Emission, Hypothesis


class CtcGreedy:
    """The most probable path of one sequence so far, frame by frame: repeats merged, blanks dropped.

    Its score is that of the path, not of all paths to its labels.

    Args:
        classes: how many there are, the blank among them.
        blank: the class that stands for no label.

    Raises:
        UsageError: `blank` is no class.

    Source: A. Graves et al., "Connectionist temporal classification", 2006, section 3.2, best path decoding.

    >>> path = CtcGreedy(3)
    >>> path.advance(np.log(np.eye(3)[[1, 1, 0, 1, 2]] + 1e-9))
    >>> path.best().labels, [one.start for one in path.best().emissions]
    ((1, 1, 2), [0, 3, 4])
    """

    def __init__(self, classes: int, *, blank: int = 0) -> None:
        if not 0 <= blank < classes:
            raise UsageError(f"blank is {blank}; expected a class from 0 to {classes - 1}")
        self.classes, self.blank = classes, blank
        self.reset()

    def reset(self) -> None:
        """Begin a new sequence."""
        self.frames, self._last, self._score = 0, self.blank, 0.0
        self._labels: list[int] = []
        self._emissions: list[Emission] = []

    def advance(self, log_probabilities: NDArray[Any]) -> None:
        """Take in frames, `(frames, classes)`.

        Raises:
            ShapeError: they have another number of classes.
        """
        rows = np.asarray(log_probabilities, np.float64)
        if rows.ndim != 2 or rows.shape[1] != self.classes:
            raise ShapeError(f"log_probabilities has shape {rows.shape}; expected (frames, {self.classes})")
        for label, score in zip(rows.argmax(1).tolist(), rows.max(1).tolist(), strict=True):
            self._score += score
            if label != self.blank and label == self._last:
                first, _, peak = self._emissions[-1]
                self._emissions[-1] = Emission(first, self.frames, max(peak, score))
            elif label != self.blank:
                self._labels.append(label)
                self._emissions.append(Emission(self.frames, self.frames, score))
            self._last = label
            self.frames += 1

    def best(self) -> Hypothesis:
        """Return the labels of the path."""
        return Hypothesis(tuple(self._labels), self._score, tuple(self._emissions))

    def hypotheses(self, *, ended: bool = True) -> list[Hypothesis]:  # noqa: ARG002
        """Return the labels of the path; there are no others."""
        return [self.best()]

    def kept(self) -> dict[str, Any]:
        """Return all that is held, as plain data."""
        emissions = [list(emission) for emission in self._emissions]
        return {
            "frames": self.frames,
            "labels": list(self._labels),
            "emissions": emissions,
            "last": self._last,
            "score": self._score,
        }

    def accept(self, kept: Mapping[str, Any]) -> None:
        """Go on from what `kept` gave, to the same bits.

        Raises:
            UsageError: it does not fit.
        """
        labels, last = [int(label) for label in kept["labels"]], int(kept["last"])
        known = all(0 <= label < self.classes and label != self.blank for label in labels) and 0 <= last < self.classes
        if not known or len(kept["emissions"]) != len(labels) or (last != self.blank and labels[-1:] != [last]):
            raise UsageError("the state of the search does not fit this model; begin a new sequence")
        self.frames, self._last, self._score, self._labels = int(kept["frames"]), last, float(kept["score"]), labels
        self._emissions = [Emission(int(first), int(end), float(peak)) for first, end, peak in kept["emissions"]]
