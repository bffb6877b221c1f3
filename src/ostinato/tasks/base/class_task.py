"""What tasks that tell a class of each example share: measures, units, remarks and the confusion of classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ostinato.tasks.base.class_units import class_units
from ostinato.tasks.base.classes import class_details, class_measures, frequent_class_remarks
from ostinato.tasks.base.labels import Classes, Prediction
from ostinato.tasks.base.task import Model, Task
from ostinato.tasks.base.units import Units

MOST_FREQUENT = "most frequent class"


class OfClasses(Protocol):
    """An encoder that knows classes."""

    @property
    def classes(self) -> Classes:
        """Those that are told apart."""


class Labelled(Protocol):
    """Examples with their classes, `(examples,)`."""

    @property
    def targets(self) -> NDArray[np.int64]:
        """The number of each one's class."""

    def __len__(self) -> int: ...


P = TypeVar("P")
R = TypeVar("R")
C = TypeVar("C", bound=OfClasses)
E = TypeVar("E", bound=Labelled)


class OneClassTask(Task[P, R, C, E, Prediction], Generic[P, R, C, E]):
    """Whole examples, each of a class."""

    decides = ("accuracy",)
    estimator_type = "classifier"

    def joined(self, data: Any, labels: Any) -> Any:
        return data, labels

    def measures(self, model: Model[P, C], examples: E, predicted: Prediction) -> dict[str, float]:
        return class_measures(examples.targets, predicted.classes, predicted.probabilities, len(model.encoder.classes))

    def units(self, model: Model[P, C], examples: E, predicted: Prediction) -> Units:
        """Return the measures by examples, or by groups of them where they are known."""
        classes = len(model.encoder.classes)
        parts = class_units(examples.targets, predicted.classes, predicted.probabilities, classes)
        return Units(len(examples), self.content_name, parts)

    def remarks(self, values: Mapping[str, Mapping[str, float]], count: int = 0) -> Sequence[str]:
        return frequent_class_remarks(values, values.get(MOST_FREQUENT, {}))

    def details(self, model: Model[P, C], examples: E, predicted: Mapping[str, Prediction]) -> Mapping[str, Any]:
        names = [str(name) for name in model.encoder.classes.names]
        return class_details(names, examples.targets, predicted["model"].classes)
