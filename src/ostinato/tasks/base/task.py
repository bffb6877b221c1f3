"""What a task declares; all else follows from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ostinato.errors import UsageError
from ostinato.tasks.base.continuation import Continuation
from ostinato.tasks.base.holding_out import Held, Shares, cut, percent
from ostinato.tasks.base.steps import StepUnit
from ostinato.tasks.base.suited import Suited
from ostinato.tasks.base.summary import Better, Panel
from ostinato.tasks.base.units import Units
from ostinato.training.config import TrainingConfig
from ostinato.training.objective import BatchSource, Objective

P = TypeVar("P")  # parameters
R = TypeVar("R")  # records, as they are read
C = TypeVar("C")  # encoder: what was fitted on the training part
E = TypeVar("E")  # examples: records as the network reads them
D = TypeVar("D")  # what is predicted of examples


class Baseline(Protocol):
    """A simple model, fitted on what the network is fitted on; a dataclass, so that it can be saved.

    One whose name depends on what was fitted has it as a property `called`.
    """

    def predict(self, examples: Any) -> Any:
        """Return what it predicts of examples, in the form in which `Task.predict` has it."""


Baselines: TypeAlias = Mapping[str, Callable[[], Baseline]]
"""What fits each baseline, by its name; called one by one."""


@dataclass(frozen=True)
class Model(Generic[P, C]):
    """What predicts: parameters, what was fitted on the training part, and a network.

    Args:
        parameters: those of the fit.
        encoder: scalers, vocabularies, classes; a dataclass.
        network: in evaluation mode once it is fitted.
    """

    parameters: P
    encoder: C
    network: Any


def reading_of(model: Model[Any, Any]) -> Any:
    """Return how the training data of a model was read."""
    return getattr(model.encoder, "reading", None)


class Task(Generic[P, R, C, E, D]):
    """What one application is; the methods are called in this order.

    Class attributes:
        records: what a record is, in the plural.
        content_name: what `contents` gives, in the plural.
        higher: the measures of which more is better; of all others less is.
        descriptive: the measures that say something only beside another one: a model that never raises an alarm is in
            alarm for no time, one that always answers the same is calibrated. They are shown; none is best or behind.
        decides: the measures that a verdict is about: the first of them that there is; none: the first of all.
        baseline_types: the dataclasses that `baselines` makes, so that they can be read from a model's folder.
        matters: what a verdict by a measure is about, where that is not what the task is for: it begins with it.
        estimator_type: as scikit-learn has it: `"classifier"`, `"regressor"`, or `None`.
        kept: what an update does not fit again, in words.
        suited: how many passes suit the size of the data, where `epochs` is `None`.
    """

    records: ClassVar[str] = "examples"
    content_name: ClassVar[str] = "examples"
    higher: ClassVar[frozenset[str]] = frozenset({"accuracy", "macro F1", "AUROC", "AUPRC"})
    descriptive: ClassVar[frozenset[str]] = frozenset({"calibration error"})
    decides: ClassVar[tuple[str, ...]] = ()
    encoder_type: ClassVar[Any]
    baseline_types: ClassVar[tuple[type, ...]] = ()
    matters: ClassVar[Mapping[str, str]] = {}
    estimator_type: ClassVar[str | None] = None
    suited: ClassVar[Suited] = Suited()
    kept: ClassVar[str] = "what was fitted before it"

    def check(self, parameters: P, *, tested: bool) -> None:
        """Refuse parameters that do not go together, before anything is trained; ranges are checked already."""

    def joined(self, data: Any, labels: Any) -> Any:
        """Return data and labels that are given apart, as `fit(X, y)`, in the form in which `read` takes them.

        Raises:
            UsageError: there are no labels in this task.
        """
        raise UsageError(f"labels are given apart, but {self.records} have none: leave them out")

    def read(self, parameters: P, source: Any, reading: Any = None, *, labelled: bool = True) -> R:
        """Return the records of a source, which have a length.

        Args:
            parameters: columns and formats among them.
            source: a path, a table, arrays, lists.
            reading: how the training data was read, see `reading`; `None`: this is it.
            labelled: whether there must be what is to be predicted.
        """
        raise NotImplementedError

    def reading(self, records: R) -> Any:
        """Return what was found out as records were read, and holds for all later ones: formats of times, columns."""
        return None

    def hold_out(self, parameters: P, records: R, shares: Shares) -> Held[R]:
        """Return records in their parts; as it stands, the last of them are held out, by slices of the records."""
        given: Any = records
        train, validation, test = (given[part] for part in cut(len(given), shares))
        return Held(train, validation, test, f"the last {percent(shares.test)} of {self.records}")

    def contents(self, records: R) -> Iterable[Any]:
        """Return what each record says, by which those that are in two parts are found and told of; none: they cannot.

        Texts, arrays, dataclasses, or tuples of them.
        """
        return ()

    def join(self, first: R, second: R) -> R | None:
        """Return two parts as one; for tasks that train once more on what decided when to stop (`refit`).

        `None`: they cannot be one, and the model is left as it is.
        """
        raise NotImplementedError

    def origin(self, records: R) -> str:
        """Return what records are called."""
        return str(getattr(records, "origin", "the data"))

    def title(self, records: R) -> str:
        """Return the title of a report."""
        return self.origin(records)

    def config(self, parameters: P, train: R) -> TrainingConfig:
        """Return the settings of the training: the passes that were asked for, or as many as suit the data."""
        given: Any = parameters
        epochs = given.epochs or self.suited.epochs(self.steps_an_epoch(parameters, train))
        return TrainingConfig.of(given, epochs=epochs)

    def steps_an_epoch(self, parameters: P, train: R) -> int:
        """Return about how many steps one pass over the training records takes, before they are encoded.

        As it stands, a step takes `batch_size` records.
        """
        given: Any = parameters
        size: int = given.batch_size
        return math.ceil(len(train) / size)  # type: ignore[arg-type]

    def encoder(self, parameters: P, train: R) -> C:
        """Return what has to be fitted, on the training part alone."""
        raise NotImplementedError

    def encoder_again(self, parameters: P, train: R, first: C) -> C:
        """Return what has to be fitted for a model that is trained once more (`refit`), on more records.

        Args:
            parameters: of the estimator.
            train: all records that are trained on.
            first: the encoder of the model before it; what was chosen with it may be kept.
        """
        return self.encoder(parameters, train)

    def network(self, parameters: P, encoder: C, train: R | None) -> nn.Module:
        """Return the network; `train` is there if it is to start from what is known of it, rather than be loaded."""
        raise NotImplementedError

    def encode(self, model: Model[P, C], records: R) -> E:
        """Return records as the network reads them; as it stands, records are examples."""
        given: Any = records
        found: E = given
        return found

    def batches(self, model: Model[P, C], examples: E, *, training: bool) -> BatchSource | None:
        """Return examples in batches, for training or for a loss on what is held out; `None`: there are none."""
        raise NotImplementedError

    def objective(self, model: Model[P, C], train: E) -> Objective:
        """Return the loss of a batch."""
        raise NotImplementedError

    def seconds_after(self, model: Model[P, C]) -> float:
        """Return about how long `finished` is going to take, which is taken off a time limit of the training."""
        return 0.0

    def calibrate(self, model: Model[P, C], validation: E | None) -> C:
        """Return the encoder with what is fitted once the network is trained."""
        return model.encoder

    def carried(self, first: Model[P, C], renewed: Model[P, C]) -> C:
        """Return the encoder of a model trained once more (`refit`), with what `calibrate` found for the first one.

        The first one has not learned from the part that was held out; the other has, and can no longer be held to it.
        """
        return renewed.encoder

    def finished(self, model: Model[P, C], examples: Held[E]) -> C:
        """Return the encoder of a fit that is done; as it stands, `calibrate` on the validation part."""
        return self.calibrate(model, examples.validation)

    def predict(self, model: Model[P, C], examples: E) -> D:
        """Return what the model says of examples."""
        raise NotImplementedError

    def baselines(self, model: Model[P, C], train: E, validation: E | None) -> Baselines:
        """Return what fits each simple model, by its name; they are saved with the model and stand beside it later.

        Each is called apart, within its share of the time (`ostinato.tasks.base.allowance.deadline`); one that raises
        is left out, with a sentence that says why.
        """
        raise NotImplementedError

    def measures(self, model: Model[P, C], examples: E, predicted: D) -> dict[str, float]:
        """Return the measures of what a model, or a baseline, predicted; those that it has."""
        raise NotImplementedError

    def units(self, model: Model[P, C], examples: E, predicted: D) -> Units | None:
        """Return the measures by units that do not depend on each other, on which verdicts are tested.

        One is a series, a window, a text, a sentence, a case: see `Units`. `None`: there are none, and a verdict then
        cannot tell a difference from chance.
        """
        return None

    def answered(self, predicted: D, other: D) -> D:
        """Return what was predicted, without what another has no answer to; if it has all, the very same."""
        return predicted

    def counted(self, model: Model[P, C], examples: E) -> tuple[int, str]:
        """Return how many answers are judged, and what one is, in the plural."""
        return len(examples), self.records  # type: ignore[arg-type]

    def protocol(self, model: Model[P, C], examples: E) -> str:
        """Return how answers are judged, in words."""
        return ""

    def details(self, model: Model[P, C], examples: E, predicted: Mapping[str, D]) -> Mapping[str, Any]:
        """Return more of the scores as plain data; `predicted` is by name, the model's under `"model"`."""
        return {}

    def remarks(self, values: Mapping[str, Mapping[str, float]], count: int = 0) -> Sequence[str]:
        """Return sentences that follow the verdict on `values`, of so many answers; 0: many."""
        return ()

    def facts(self, model: Model[P, C], parts: Held[R], examples: Held[E]) -> Iterable[tuple[str, str]]:
        """Yield what there is to say of the data, in pairs of a word and what it says."""
        return ()

    def settings(self, model: Model[P, C]) -> Mapping[str, Any]:
        """Return what was decided for parameters that were left open."""
        return {}

    def panels(self, model: Model[P, C], records: R, examples: E, predicted: D) -> Iterable[Panel]:
        """Yield what a report shows of held-out records."""
        return ()

    def step_unit(self, model: Model[P, C]) -> StepUnit:
        """Return what one step of the recurrent layers is, and how long it takes, where that is known."""
        return StepUnit()

    def answers(self, model: Model[P, C], records: R) -> Iterator[Mapping[str, Any]]:
        """Yield an answer for each record, as the command line prints it."""
        raise NotImplementedError

    def pieces(self, model: Model[P, C], source: Any) -> Iterator[R]:
        """Yield the records of a source without labels, as many at a time as are there."""
        yield self.read(model.parameters, source, reading_of(model), labelled=False)

    def stream(self, model: Model[P, C], **options: Any) -> Any:
        """Return what takes a row at a time and answers it.

        Raises:
            UsageError: this model cannot.
        """
        raise UsageError(f"{self.records} are not streamed by this task; predict whole ones")

    def continuation(self, model: Model[P, C]) -> Continuation:
        """Return the model as one of language that other tasks may ask, such as recognisers of speech.

        Raises:
            UsageError: it is none.
        """
        raise UsageError(f"a model of {self.records} is no model of language; expected one of `ostinato fit language`")

    def embed(self, model: Model[P, C], examples: E) -> NDArray[np.float32]:
        """Return what each record comes to in the network, `(records, features)`; see `Estimator.embed`.

        Raises:
            UsageError: this task has no encoder of whole records.
        """
        raise UsageError(f"{self.records} are not embedded by this task")

    def extended(self, model: Model[P, C], records: R, shares: Shares) -> tuple[Model[P, C], Held[R]]:
        """Return new records in their parts, for an update, and the model as it reads them."""
        return model, self.hold_out(model.parameters, records, shares)

    def updated(self, model: Model[P, C], parts: Held[R]) -> C:
        """Return the encoder of a model that was updated."""
        return model.encoder

    def better(self, measure: str) -> Better:
        """Return whether more or less of a measure is better."""
        return "higher" if measure in self.higher else "lower"
