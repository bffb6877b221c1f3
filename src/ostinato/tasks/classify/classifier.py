"""What classifiers of texts and of numeric sequences share: fit, predict, evaluate, in the scikit-learn manner."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ostinato.artifact import Artifact
from ostinato.tasks.classify.batches import scores_of
from ostinato.tasks.classify.calibration import with_temperature
from ostinato.tasks.classify.examples import Examples
from ostinato.tasks.classify.fitting import Fitted, Task, fit_classifier
from ostinato.tasks.classify.metrics import ClassScores, Floats, Prediction, scores_for
from ostinato.tasks.classify.saving import pack, unpack
from ostinato.tasks.classify.updating import new_examples
from ostinato.tasks.estimator import SavedEstimator
from ostinato.tasks.base.classes import confusion_counts
from ostinato.tasks.base.summary import Summary
from ostinato.tasks.updating import NewRows
from ostinato.training import History

_TOGETHER = 256


class Classifier(SavedEstimator[Fitted]):
    """A recurrent classifier; `_task` says of what."""

    @abstractmethod
    def _task(self) -> Task:
        """Return what is to be known of the examples, with this estimator's parameters."""

    @abstractmethod
    def _items(self, source: Any) -> Iterator[Examples]:
        """Yield the examples of a source without labels, as many at once as are there."""

    def fit(
        self,
        data: Any,
        *,
        validation: Any = None,
        test: Any = None,
        directory: str | Path | None = None,
        resume: bool = False,
    ) -> Self:
        """Train on labelled examples.

        Args:
            data: where they are; see the class.
            validation: examples that decide which epoch is best, when to stop, and the temperature; `None`: a share of
                every class of `data`, drawn at random.
            test: examples for `summary_`; likewise.
            directory: where the history and the checkpoint of the run are kept; `None`: nowhere.
            resume: go on from the directory's checkpoint if there is one.

        Raises:
            DataError: something in the data is wrong, there is too little of it, or one class only.
            UsageError: a parameter is out of range.
            MissingExtra: a library that is asked for is not installed.
            NonFiniteLoss: training broke off; with an epoch done before, the model is fitted with its weights.
        """
        folder = None if directory is None else Path(directory)
        self._keep(fit_classifier(self._task(), data, validation, test, folder, resume))
        if self.fitted_.failure is not None:
            raise self.fitted_.failure
        return self

    def predict_proba(self, data: Any) -> Floats:
        """Return the calibrated probability of each class, `(examples, classes)`, in the order of `classes_`.

        Args:
            data: examples without labels, or a file that may have them.
        """
        return self._chances(self._read(data, labelled=False))

    def predict(self, data: Any) -> NDArray[Any]:
        """Return the likeliest class of each example, `(examples,)`; arguments as `predict_proba`."""
        best = self.predict_proba(data).argmax(1)
        told: NDArray[Any] = self.classes_[best]
        return told

    def evaluate(self, data: Any) -> ClassScores:
        """Return how well the model tells the classes of labelled examples.

        Raises:
            DataError: the data cannot be read, or has a class that training had not.
        """
        fitted = self._checked()
        examples = self._read(data, labelled=True)
        targets = fitted.classes.numbers(examples)
        chances = self._chances(examples)
        measures = scores_for(Prediction.of(chances), targets, len(fitted.classes))
        counts = confusion_counts(targets, chances.argmax(1), len(fitted.classes))
        names = tuple(str(name) for name in fitted.classes.names)
        return ClassScores(examples.origin, len(examples), measures, names, tuple(map(tuple, counts.tolist())))

    def score(self, data: Any, labels: Any = None) -> float:
        """Return the accuracy on examples with `labels`, or on labelled ones."""
        return self.evaluate(data if labels is None else (data, labels)).measures["accuracy"]

    def answers(self, source: Any) -> Iterator[dict[str, Any]]:
        """Yield, for each example, its label, that label's probability and those of all classes.

        Args:
            source: a path, or lines; see the class.
        """
        for examples in self._items(source):
            for first in range(0, len(examples), _TOGETHER):
                part = examples.part(np.arange(first, min(first + _TOGETHER, len(examples))))
                yield from (self._answer(chances) for chances in self._chances(part))

    def _answer(self, chances: Floats) -> dict[str, Any]:
        labels = self._checked().classes.names
        names = [str(name) for name in labels]
        best = int(chances.argmax())
        return {
            "label": labels[best],
            "probability": float(chances[best]),
            "probabilities": dict(zip(names, chances.tolist(), strict=True)),
        }

    def _read(self, data: Any, *, labelled: bool) -> Examples:
        channels = getattr(self._checked().encoder, "channels", ())
        return self._task().read(data, labelled=labelled, channels=channels)

    def _chances(self, examples: Examples) -> Floats:
        fitted = self._checked()
        return with_temperature(scores_of(fitted.network, fitted.encoder.encode(examples)), fitted.temperature)

    def _new_rows(self, data: Any) -> NewRows[Fitted]:
        return new_examples(self._task(), self._checked(), data)

    @classmethod
    def _pack(cls, fitted: Fitted) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        return pack(fitted)

    @classmethod
    def _unpack(cls, artifact: Artifact) -> Fitted:
        return unpack(artifact)

    def _keep(self, fitted: Fitted) -> None:
        super()._keep(fitted)
        self.classes_: NDArray[Any] = fitted.classes.as_array()
        self.history_: History = fitted.history
        self.summary_: Summary = fitted.summary
