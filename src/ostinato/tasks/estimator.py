"""What all estimators share: their parameters, in the manner of scikit-learn, and their way to and from disk."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

from numpy.typing import NDArray

from ostinato.artifact import Artifact, load_artifact, save_artifact
from ostinato.errors import CorruptArtifact, UsageError
from ostinato.tasks.updating import NewRows, Update, update_config, update_model, updated_summary

F = TypeVar("F")


class Estimator:
    """An estimator whose parameters are the arguments of its constructor, kept as attributes of the same names."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002
        """Return the parameters, as scikit-learn's estimators do."""
        return {name: getattr(self, name) for name in self._names()}

    def set_params(self, **parameters: Any) -> Self:
        """Set parameters.

        Raises:
            UsageError: there is no such parameter.
        """
        names = self._names()
        for name, value in parameters.items():
            if name not in names:
                raise UsageError(f'a {type(self).__name__} has no parameter "{name}"; it has {", ".join(names)}')
            setattr(self, name, value)
        return self

    def unfitted(self, **changes: Any) -> Self:
        """Return an estimator of the same parameters but for some changes, not fitted.

        Raises:
            UsageError: there is no such parameter.
        """
        return type(self)(**self.get_params()).set_params(**changes)

    def update(
        self,
        data: Any,
        *,
        epochs: int | None = None,
        learning_rate: float | None = None,
        max_seconds: float | None = None,
    ) -> Update:
        """Go on learning from new data, and keep the updated model if it is better.

        The model's weights are where training begins; what else was fitted (scalers, vocabularies, classes) stays.
        Three fifths of the new data are trained on, a fifth decides when to stop, and on the last fifth the model as
        it was and as it is updated are compared. If it is not better the model stays as it was.

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
        fitted = self._checked()
        rows = self._new_rows(data)
        config = update_config(self.get_params(), epochs=epochs, learning_rate=learning_rate, max_seconds=max_seconds)
        renewed, found = update_model(rows, fitted, config)
        if found.improved:
            self._take_update(renewed, found)
        return found

    @abstractmethod
    def _checked(self) -> Any:
        """Return what `fit` found; raise `UsageError` if there is nothing."""

    @abstractmethod
    def _new_rows(self, data: Any) -> NewRows[Any]:
        """Return new data as the fitted model reads it, for `update`."""

    @abstractmethod
    def _take_update(self, fitted: Any, update: Update) -> None:
        """Take an updated model in place of the one that was."""

    def one_answer(self) -> tuple[str, Callable[[], object]] | None:
        """Return what one answer of the fitted model is, in words, and what gives one: its time is the latency.

        `None`: the task does not say; where it has `answers`, that of one line is measured.
        """
        return None

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self).__init__).parameters
        changed = [f"{name}={value!r}" for name, value in self.get_params().items() if value != defaults[name].default]
        return f"{type(self).__name__}({', '.join(changed)})"

    @classmethod
    def _names(cls) -> list[str]:
        return [name for name in inspect.signature(cls.__init__).parameters if name != "self"]


class SavedEstimator(Estimator, Generic[F]):
    """An estimator that keeps what `fit` found in `fitted_`, and goes to a folder and back.

    A task says what its models are called (`KIND`), how a fitted model becomes plain data and arrays (`_pack`) and
    comes back (`_unpack`), and what else is to be seen after a fit (`_keep`).
    """

    KIND: ClassVar[str]
    fitted_: F

    def save(self, folder: str | Path) -> Path:
        """Write the model to a folder, in place of one that is there already; return the folder.

        Raises:
            OutputError: it cannot be written.
        """
        body, arrays = self._pack(self._checked())
        save_artifact(Path(folder), self.KIND, {"parameters": self.get_params(), **body}, arrays)
        return Path(folder)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read a model that `save` wrote; nothing in it is executed.

        Raises:
            ArtifactError: it is no model, is cut short or changed, or was written by a newer version.
        """
        artifact = load_artifact(Path(folder), cls.KIND)
        try:
            fitted = cls._unpack(artifact)
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise CorruptArtifact(f"{folder} lacks what a {cls.KIND} needs ({error}); fit it again") from error
        known = artifact.body.get("parameters", {})
        parameters = {name: tuple(own) if isinstance(own, list) else own for name, own in known.items()}
        try:
            model = cls(**parameters)
        except TypeError as error:
            raise CorruptArtifact(f"{folder} lacks the parameters of a {cls.KIND} ({error}); fit it again") from error
        model._keep(fitted)
        return model

    @classmethod
    @abstractmethod
    def _pack(cls, fitted: F) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return a fitted model as plain data and arrays."""

    @classmethod
    @abstractmethod
    def _unpack(cls, artifact: Artifact) -> F:
        """Return what `_pack` took apart."""

    def _take_update(self, fitted: F, update: Update) -> None:
        # every task's fitted model is a dataclass with a summary
        self._keep(replace(fitted, summary=updated_summary(fitted.summary, update)))  # type: ignore[type-var,attr-defined]

    def _keep(self, fitted: F) -> None:
        """Take a fitted model, and show what else there is to see of it."""
        self.fitted_ = fitted

    def _checked(self) -> F:
        fitted: F | None = getattr(self, "fitted_", None)
        if fitted is None:
            raise UsageError(f"the {self.KIND} is not fitted; call fit first, or load a model")
        return fitted
