"""`TextClassifier` and `SequenceClassifier`: which class a text, or a numeric sequence, belongs to."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ostinato.tasks.base.estimator import Estimator
from ostinato.tasks.base.task import reading_of
from ostinato.tasks.classify.parameters import SequenceParameters, TextParameters
from ostinato.tasks.classify.sequence_task import SequenceTask
from ostinato.tasks.classify.task import ClassTask
from ostinato.tasks.classify.text_task import TextTask

T = TypeVar("T", bound=ClassTask[Any, Any])


class Classifier(Estimator[T]):
    """A recurrent classifier: its outputs are pooled over the sequence and mapped to the scores of the classes.

    Probabilities are calibrated on examples that were not trained on.
    """

    @property
    def classes_(self) -> NDArray[Any]:
        """The labels, in the order of the probabilities, in the type that they have in the data."""
        labels: NDArray[Any] = self._checked().model.encoder.classes.as_array()
        return labels

    def predict_proba(self, data: Any) -> NDArray[np.float64]:
        """Return the calibrated probability of each class, `(examples, classes)`, in the order of `classes_`.

        Args:
            data: examples without labels, or a file that may have them.
        """
        model = self._model()
        records = self.task.read(model.parameters, data, reading_of(model), labelled=False)
        found: NDArray[np.float64] = self.task.predict(model, self.task.encode(model, records)).probabilities
        return found

    def predict(self, data: Any) -> NDArray[Any]:
        """Return the most probable class of each example, `(examples,)`; arguments as `predict_proba`."""
        found: NDArray[Any] = self.classes_[self.predict_proba(data).argmax(1)]
        return found


class TextClassifier(Classifier[TextTask], TextParameters):
    """A recurrent classifier of texts: sentiment, topic, intent.

    Tokens are embedded and read by a recurrent stack or a Transformer.

    `fit` takes a path (CSV, TSV, JSON lines, Parquet; text also `.gz`), a data frame, texts and labels apart, or pairs
    of a text and a label; `predict` a path or texts. A file that is no table is read line by line, a text each. Its
    parameters are those of `TextParameters`.

    >>> from ostinato import TextClassifier
    >>> texts = ["a fine film", "a dull film", "fine acting", "dull acting"] * 10
    >>> model = TextClassifier(test=0.0, epochs=20, progress=False).fit(texts, ["good", "bad"] * 20)
    >>> model.predict(["a fine plot", "a dull plot"]).tolist()
    ['good', 'bad']
    """

    task = TextTask()


class SequenceClassifier(Classifier[SequenceTask], SequenceParameters):
    """A recurrent classifier of numeric sequences with one or more channels: sensors, ECG, the UCR/UEA archive.

    Several networks, each of convolutions of several widths beside a recurrent stack, and random convolutions with a
    ridge regression are weighed by what they say of examples that they have not seen.

    Channels are standardised by the training part. Where values are missing (NaN), the network is told so: each step
    has a mark for each channel beside its values; and where there are times, the gap since the step before.

    `fit` takes a path of a `.ts` file or of a long table (one row a step; see `ostinato.data`), a data frame, a
    `SequenceSet`, or sequences of shape `(time, channels)` or `(time,)` and labels; `predict` the same without labels.
    Lengths may differ. Its parameters are those of `SequenceParameters`.

    >>> import numpy as np
    >>> from ostinato import SequenceClassifier
    >>> rng = np.random.default_rng(0)
    >>> waves = [np.sin(np.arange(20) * (0.2 if slow else 0.6)) + rng.normal(0, 0.1, 20) for slow in [1, 0] * 20]
    >>> model = SequenceClassifier(test=0.0, epochs=20, progress=False).fit(waves, ["slow", "fast"] * 20)
    >>> model.predict([np.sin(np.arange(25) * 0.6)]).tolist()
    ['fast']
    """

    task = SequenceTask()
