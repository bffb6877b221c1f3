"""The face of every task: fit, predict, evaluate, stream, save, in the manner of scikit-learn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from ostinato.errors import UsageError
from ostinato.options import Cell, parameters_of, values_of
from ostinato.tasks.base.about import About
from ostinato.tasks.base.continuation import Continuation
from ostinato.tasks.base.display import estimator_html, room_of_reports
from ostinato.tasks.base.fitting import Fitted, Given, evaluated, fit
from ostinato.tasks.base.judging import Scores, decisive
from ostinato.tasks.base.saving import load, save
from ostinato.tasks.base.summary import Summary
from ostinato.tasks.base.task import Model, Task, reading_of
from ostinato.tasks.base.updating import Update, update
from ostinato.training import History
from ostinato.words import meant

if TYPE_CHECKING:
    from matplotlib.figure import Figure

T = TypeVar("T", bound=Task[Any, Any, Any, Any, Any])


class Estimator(Generic[T]):
    """A task with its parameters: a class statement names both, `class Toy(Estimator[ToyTask], ToyParameters)`.

    The constructor is that of the dataclass of parameters; nothing is computed in it.
    """

    about: ClassVar[About]
    task: ClassVar[Any]
    KIND: ClassVar[str]
    fitted_: Fitted

    def __init_subclass__(cls, **options: Any) -> None:
        """Take the kind of model over from what the task says of itself."""
        super().__init_subclass__(**options)
        if hasattr(cls, "about"):
            cls.KIND = cls.about.kind

    # --- parameters --------------------------------------------------------------------------------------------------

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002
        """Return the parameters, as scikit-learn's estimators do."""
        return values_of(self)

    def set_params(self, **parameters: Any) -> Self:
        """Set parameters.

        Raises:
            UsageError: there is no such parameter.
        """
        names = [parameter.name for parameter in parameters_of(type(self))]
        for name, value in parameters.items():
            if name not in names:
                raise UsageError(f'a {type(self).__name__} has no parameter "{name}"; {meant(name, names)}')
            setattr(self, name, value)
        return self

    def unfitted(self, **changes: Any) -> Self:
        """Return an estimator of the same parameters but for some changes, not fitted.

        Raises:
            UsageError: there is no such parameter.
        """
        return type(self)(**self.get_params()).set_params(**changes)

    def __repr__(self) -> str:
        given = ((one, getattr(self, one.name)) for one in parameters_of(type(self)))
        changed = [f"{one.name}={value!r}" for one, value in given if value is not one.default and value != one.default]
        return f"{type(self).__name__}({', '.join(changed)})"

    # --- fitting -----------------------------------------------------------------------------------------------------

    def fit(
        self,
        data: Any,
        labels: Any = None,
        *,
        validation: Any = None,
        test: Any = None,
        directory: str | Path | None = None,
        resume: bool = False,
    ) -> Self:
        """Train on data; see the class for what it may be.

        Args:
            data: a path, a table of pandas or polars, a mapping of columns, arrays, lists.
            labels: what is to be predicted, where it is given apart, as `fit(X, y)`.
            validation: data that decides which epoch is best and when to stop; `None`: a share of `data`.
            test: data for `scores_`; likewise.
            directory: where the history, the checkpoint and the model are kept; `None`: nowhere. The model is written
                there as soon as it is trained, before its baselines are fitted, and again once it is compared; the
                checkpoint stays until the run is started over.
            resume: start from the directory's checkpoint if there is one.

        Raises:
            DataError: something in the data is wrong, or there is too little of it.
            UsageError: a parameter is out of range, or does not go with another.
            MissingExtra: a library that is asked for is not installed.
            NonFiniteLoss: training broke off; with an epoch done before, the model is fitted with its weights.
            OutputError: the directory cannot be written.
        """
        folder = None if directory is None else Path(directory)
        keep = None if folder is None else partial(save, folder, self)
        given = Given(self._joined(data, labels), validation, test, folder, resume, keep)
        self._keep(fit(self.task, self.unfitted(), given))
        if keep is not None:
            keep(self.fitted_)
        if self.fitted_.run.failure is not None:
            raise self.fitted_.run.failure
        return self

    def update(
        self,
        data: Any,
        *,
        epochs: int | None = None,
        learning_rate: float | None = None,
        max_seconds: float | None = None,
    ) -> Update:
        """Train on with new data, and keep the updated model if it is better.

        The model's weights are where training begins; what else was fitted (scalers, vocabularies, classes) stays. On
        new data that neither was trained on, the model as it was and as it is updated are compared. If it is not better
        the model stays as it was.

        Args:
            data: as `fit` takes it; only new rows are used of it.
            epochs: passes at most; `None`: those of the fit, but no more than ten.
            learning_rate: `None`: a third of that of the fit.
            max_seconds: time limit of the training; `None`: none.

        Raises:
            DataError: something in the data is wrong, or there is too little new in it.
            UsageError: the model is not fitted.
            NonFiniteLoss, Diverged: training broke off; the model is as it was.
        """
        found, renewed = update(self.task, self._checked(), data, epochs, learning_rate, max_seconds)
        if found.improved:
            self._keep(renewed)
        return found

    # --- judging -----------------------------------------------------------------------------------------------------

    def evaluate(self, data: Any, labels: Any = None, **changes: Any) -> Scores:
        """Return how well the model predicts data, beside its baselines, which were fitted when it was.

        Args:
            data: as in `fit`; all of it is judged.
            labels: likewise.
            changes: parameters that are to be other than the model's, such as those of a search.

        Raises:
            DataError: the data cannot be read, or there is nothing to judge.
            UsageError: the model is not fitted, or there is no such parameter.
        """
        model = self._changed(changes)
        records = self.task.read(model.parameters, self._joined(data, labels), reading_of(model))
        return self._judged(model, records, f"all of {self.task.origin(records)}")

    def score(self, data: Any, labels: Any = None) -> float:
        """Return one number of how well data is predicted; higher is better, as scikit-learn has it."""
        scores = self.evaluate(data, labels)
        measure = decisive(scores.values, self.task.decides)
        value = scores[measure]
        return value if scores.better.get(measure) == "higher" else -value

    def _judged(self, model: Model[Any, Any], records: Any, words: str) -> Scores:
        return evaluated(self.task, self._checked(), model, self.task.encode(model, records), words)

    # --- answering ---------------------------------------------------------------------------------------------------

    def answers(self, source: Any, **changes: Any) -> Iterator[Mapping[str, Any]]:
        """Yield an answer for each record of a source, in its order.

        Args:
            source: data without labels (a file may have them); or lines, each answered as it comes.
            changes: parameters that are to be other than the model's.

        Raises:
            DataError: the source cannot be read.
        """
        model = self._changed(changes)
        for records in self.task.pieces(model, source):
            yield from self.task.answers(model, records)

    def embed(self, source: Any) -> NDArray[np.float32]:
        """Return what each record of a source comes to in the network, `(records, features)`, in its order.

        Records that are alike lie near each other; see `ostinato.tasks.base.embeddings.nearest`.

        Args:
            source: data without labels, as in `answers`.

        Raises:
            DataError: the source cannot be read.
            UsageError: the task has no encoder of whole records.
        """
        model = self._changed({})
        parts = [self.task.embed(model, self.task.encode(model, piece)) for piece in self.task.pieces(model, source)]
        return np.concatenate(parts).astype(np.float32)

    def stream(self, **options: Any) -> Any:
        """Return what takes a row at a time, answers it, and keeps no more than it needs.

        Raises:
            UsageError: the model needs whole sequences.
        """
        return self.task.stream(self._changed({}), **options)

    def one_answer(self) -> tuple[str, Callable[[], object]] | None:
        """Return what one answer of the fitted model is, in words, and what gives one: its time is the latency.

        `None`: the task does not say; that of `answers` on the first line of a file is then measured.
        """
        return None

    # --- to and from disk --------------------------------------------------------------------------------------------

    def save(self, folder: str | Path) -> Path:
        """Write the model to a folder, in place of one that is there already; return the folder.

        Raises:
            OutputError: it cannot be written.
        """
        save(Path(folder), self, self._checked())
        return Path(folder)

    @classmethod
    def load(cls, folder: str | Path, *, cell: Cell | None = None) -> Self:
        """Read a model that `save` wrote; nothing in it is executed.

        Args:
            folder: where it is.
            cell: the class or function of the model's cell, if it was fitted with one of the user's own.

        Raises:
            ArtifactError: it is no model, is cut short or changed, or was written by another version.
        """
        model, fitted = load(cls.task, cls, Path(folder), cell)
        model._keep(fitted)
        found: Self = model
        return found

    def report(self, path: str | Path) -> Path:
        """Write the report of the fit as one HTML file; return its path.

        Raises:
            MissingExtra: matplotlib or jinja2 is not installed.
            OutputError: it cannot be written.
        """
        self._checked()
        written: Path = room_of_reports().write_report(self.summary_, path)
        return written

    def plot(self) -> Figure:
        """Return a figure of the fit: the first that its report shows, its scores, or the course of its training.

        Raises:
            MissingExtra: matplotlib is not installed.
            UsageError: the model is not fitted.
        """
        self._checked()
        return self.summary_.plot()

    def _repr_html_(self) -> str:
        return estimator_html(self)

    # --- what is left to the tasks -----------------------------------------------------------------------------------

    def _keep(self, fitted: Fitted) -> None:
        """Take a fitted model, and show what there is to see of it."""
        self.fitted_ = fitted
        self.history_: History = fitted.run.history
        self.scores_: Scores | None = fitted.scores
        self.summary_: Summary = fitted.summary

    def _joined(self, data: Any, labels: Any) -> Any:
        return data if labels is None else self.task.joined(data, labels)

    def _checked(self) -> Fitted:
        fitted: Fitted | None = getattr(self, "fitted_", None)
        if fitted is None:
            raise UsageError(f"the {self.KIND} is not fitted; call fit first, or load a model")
        return fitted

    def _changed(self, changes: Mapping[str, Any]) -> Model[Any, Any]:
        """Return the fitted model, with its parameters as they are now and some of them changed."""
        model = self._checked().model
        return replace(model, parameters=self.unfitted(**changes))

    def continuation(self) -> Continuation:
        """Return the fitted model as one of language that other tasks may ask, such as recognisers of speech.

        Raises:
            UsageError: it is none, or is not fitted.
        """
        found: Continuation = self.task.continuation(self._model())
        return found

    def _model(self) -> Model[Any, Any]:
        return self._changed({})

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "fitted_")

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import ClassifierTags, InputTags, RegressorTags, Tags, TargetTags

        kind = self.task.estimator_type
        return Tags(
            estimator_type=kind,
            target_tags=TargetTags(required=False),
            classifier_tags=ClassifierTags() if kind == "classifier" else None,
            regressor_tags=RegressorTags() if kind == "regressor" else None,
            input_tags=InputTags(two_d_array=False, three_d_array=True, string=True, allow_nan=True),
        )
