"""The prediction network of a transducer, one unit at a time, by the compiled step that streams use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.nn.losses import TransducerPredictor
from ostinato.streaming import stepper


class StepperReader:
    """A predictor on NumPy arrays; see `ostinato.nn.losses.LabelReader`.

    All labellings of a beam are rows of one step, which always has as many rows, so that a labelling is read to the
    same bits whatever stands beside it.

    Args:
        predictor: it is copied.
        rows: how many labellings are read together.
    """

    def __init__(self, predictor: TransducerPredictor, rows: int = 1) -> None:
        self._rows = rows
        self._step = stepper(predictor.layers, rows)
        self._embedding = predictor.embedding.weight.detach().float().cpu().numpy().copy()
        nothing = np.zeros((rows, self._embedding.shape[1]), np.float32)
        outputs = self._step(nothing)
        self._start = outputs[0].copy(), _row(self._step.state(), 0)
        self._stands: Any = None  # the state, of one row, at which the step stands

    def start(self) -> tuple[NDArray[Any], Any]:
        """Return the output and the state before any label."""
        return self._start

    def read(self, labels: Sequence[int], states: Sequence[Any]) -> tuple[NDArray[Any], list[Any]]:
        """Return outputs, `(rows, features)`, and states after one more label each."""
        outputs: list[NDArray[Any]] = []
        after: list[Any] = []
        for first in range(0, len(labels), self._rows):
            some, before = labels[first : first + self._rows], states[first : first + self._rows]
            if self._rows > 1 or before[0] is None or before[0] is not self._stands:
                filled = [*before, *[before[0]] * (self._rows - len(before))]
                self._stands = None
                self._step.restore(_together(filled))
            numbers = np.zeros((self._rows, self._embedding.shape[1]), np.float32)
            numbers[: len(some)] = self._embedding[list(some)]
            outputs.append(self._step(numbers)[: len(some)])
            state = self._step.state()
            after += [_row(state, row) for row in range(len(some))]
            self._stands = after[-1] if self._rows == 1 else None
        return np.concatenate(outputs), after


def _row(state: Any, row: int) -> Any:
    """Return one row of a state, as arrays `(1, ...)`."""
    if isinstance(state, np.ndarray):
        return state[row : row + 1].copy()
    return None if state is None else tuple(_row(each, row) for each in state)


def _together(states: Sequence[Any]) -> Any:
    """Return the states of rows as one."""
    first = states[0]
    if isinstance(first, np.ndarray):
        return np.concatenate(states)
    return None if first is None else tuple(_together([state[i] for state in states]) for i in range(len(first)))
