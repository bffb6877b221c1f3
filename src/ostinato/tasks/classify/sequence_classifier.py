"""`SequenceClassifier`: which class a numeric sequence of one or more channels belongs to."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from ostinato.errors import DataError
from ostinato.tasks.classify.classifier import Classifier
from ostinato.tasks.classify.examples import Examples
from ostinato.tasks.classify.sequence_task import SequenceTask
from ostinato.tasks.classify.stream import SequenceStream
from ostinato.training.config import Averaged, Optimizer, Schedule


class SequenceClassifier(Classifier):
    """A recurrent classifier of numeric sequences with one or more channels: sensors, ECG, the UCR/UEA archive.

    Channels are standardised by the training part. Where values are missing (NaN), the network is told so: each step
    has a mark for each channel beside its values; and where there are times, the gap since the step before. Outputs of
    the recurrent stack are pooled over the sequence and mapped to the scores of the classes. Probabilities are
    calibrated by a temperature that is found on the validation part.

    `fit` takes a path of a `.ts` file or of a long table (one row a step; see `ostinato.data`), a data frame, a
    `SequenceSet`, or `(sequences, labels)` with sequences of shape `(time, channels)` or `(time,)`; `predict` the same
    without labels. Lengths may differ.

    Args:
        series_id, label, time: columns of a long table: which sequence a row belongs to, its class, its time (`None`:
            rows are in order and equally spaced).
        channels: columns of values; none: all other numeric ones.
        missing: cells of a long table that mean a missing value, beside those that always do (`ostinato.data.MISSING`).
        cell: a name from `ostinato.cells.PLAIN`, or `"transformer"`.
        hidden_size, num_layers, bidirectional: of the stack.
        pooling: `"last"`, `"mean"`, `"max"`, `"attention"`, or several with `+` between.
        convolutions: channels after each convolution before the stack; none: no convolutions. width, stride: of them.
        dropout: of layers' outputs and of the pooled vector; input_dropout: of what the stack reads, one mask for each
            sequence; value_dropout: of single values, which become missing; weight_drop: of recurrent weights.
        class_weights: `"none"`, `"balanced"`, or a mapping from labels to weights in the training loss.
        label_smoothing: share of the target given to all classes alike.
        dtw_window: of the nearest-neighbour baseline: how far, as a share of the length, its path may stray.
        batch_size: sequences of a batch.
        validation, test: the shares of every class that are held out, where `fit` is not given data for them.
        epochs, optimizer, learning_rate, momentum, schedule, warmup_steps, weight_decay, gradient_clip, patience,
        max_seconds, averaging, averaging_start, averaging_decay, averaging_patience, seed, device, precision, progress,
        tensorboard: see `ostinato.training.TrainingConfig`.

    After `fit`, `classes_` has the labels, `history_` the epochs, and `summary_` how the model does on the test part,
    beside the nearest neighbour under dynamic time warping and a regression on statistics of each channel.

    >>> import numpy as np
    >>> from ostinato import SequenceClassifier
    >>> rng = np.random.default_rng(0)
    >>> waves = [np.sin(np.arange(20) * (0.2 if slow else 0.6)) + rng.normal(0, 0.1, 20) for slow in [1, 0] * 20]
    >>> model = SequenceClassifier(test=0.0, epochs=20, progress=False).fit((waves, ["slow", "fast"] * 20))
    >>> model.predict([np.sin(np.arange(25) * 0.6)]).tolist()
    ['fast']
    """

    KIND = SequenceTask.kind

    def __init__(
        self,
        *,
        series_id: str = "id",
        label: str = "label",
        time: str | None = None,
        channels: Sequence[str] = (),
        missing: str | Sequence[str] = (),
        cell: str = "gru",
        hidden_size: int = 64,
        num_layers: int = 1,
        bidirectional: bool = False,
        pooling: str = "mean+max",
        convolutions: Sequence[int] = (),
        width: int = 5,
        stride: int = 1,
        dropout: float = 0.5,
        input_dropout: float = 0.0,
        value_dropout: float = 0.0,
        weight_drop: float = 0.0,
        class_weights: Literal["none", "balanced"] | Mapping[Any, float] = "none",
        label_smoothing: float = 0.0,
        dtw_window: float = 1.0,
        batch_size: int = 16,
        validation: float = 0.15,
        test: float = 0.15,
        epochs: int = 60,
        optimizer: Optimizer = "adamw",
        learning_rate: float = 5e-3,
        momentum: float = 0.0,
        schedule: Schedule = "one_cycle",
        warmup_steps: int = 0,
        weight_decay: float = 0.01,
        gradient_clip: float | None = 1.0,
        patience: int | None = 20,
        max_seconds: float | None = None,
        averaging: Averaged | None = "ema",
        averaging_start: int = 0,
        averaging_decay: float = 0.99,
        averaging_patience: int = 5,
        seed: int = 0,
        device: str = "cpu",
        precision: str = "32-true",
        progress: bool | Literal["auto"] = "auto",
        tensorboard: bool = False,
    ) -> None:
        values = dict(locals())
        for name in self._names():
            setattr(self, name, values[name])

    def stream(self) -> SequenceStream:
        """Return what takes one step of a sequence a push, and answers with the classes so far.

        Raises:
            UsageError: the model is not fitted, is bidirectional, or has convolutions.
        """
        return SequenceStream(self._checked(), self._answer, self.get_params()["time"] or "time")

    def _task(self) -> SequenceTask:
        return SequenceTask(self.get_params())

    def _items(self, source: Any) -> Iterator[Examples]:
        """Yield the examples of a file; or of lines, each a sequence as JSON: a list of steps, or of values."""
        if isinstance(source, (str, Path)) or hasattr(source, "columns"):
            yield self._read(source, labelled=False)
            return
        for number, line in enumerate(source, 1):
            try:
                own = json.loads(line) if isinstance(line, str) else line
            except ValueError as error:
                raise DataError(
                    f"line {number} is no sequence ({error}); expected JSON, such as [[0.5, 1], [0.7, 2]]: a list of "
                    "steps, each a list of channels"
                ) from error
            yield self._read([own], labelled=False)
