"""`Forecaster`: fit, predict, evaluate, stream, save, in the scikit-learn manner."""

from __future__ import annotations

import time as clock
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from ostinato.artifact import load_artifact, save_artifact
from ostinato.errors import CorruptArtifact, DataError, UsageError
from ostinato.nn.heads import PointLoss
from ostinato.tasks.estimator import Estimator
from ostinato.tasks.forecast.backtest import backtest
from ostinato.tasks.forecast.fitted import Fitted
from ostinato.tasks.forecast.fitting import Outcome, fit_forecaster, whole
from ostinato.tasks.forecast.recording import summary_of
from ostinato.tasks.forecast.result import Forecast
from ostinato.tasks.forecast.saving import pack, unpack
from ostinato.tasks.forecast.settings import Decoding, Normalization, NoValues, Output
from ostinato.tasks.forecast.stream import ForecastStream
from ostinato.tasks.forecast.updating import grown, new_rows, updated_evaluation
from ostinato.tasks.record import Evaluation, FitRecord
from ostinato.tasks.base.summary import Summary
from ostinato.tasks.updating import NewRows, Update
from ostinato.training.config import Optimizer, Schedule

KIND = "forecaster"


class Forecaster(Estimator):
    """A recurrent forecaster of one or many series.

    Args:
        horizon: how many steps to forecast.
        target: the column or columns to forecast; `None`: `y`, or else every numeric column without another role.
        time, series_id, frequency, day_first, time_format, time_zone: see `ostinato.data.Schema`; found when `None`,
            and kept for all later data.
        missing: cells that mean a missing value, beside those that always do (`ostinato.data.MISSING`); kept for all
            later data.
        no_values: what the forecast of a series is that has no value in its context: `"nan"` or `"error"`.
        past_covariates, known_covariates, static_covariates: see `ostinato.data.Schema`.
        context: steps a forecast looks back on; `None`: two horizons and two seasons.
        season: steps of a season, for the seasonal baselines and MASE; `None`: from the frequency.
        calendar: whether time of day, day of week and day of year are inputs, as far as the frequency shows them.
        cell: a name from `ostinato.cells.PLAIN`, or `"transformer"`.
        hidden_size, num_layers: units and layers of the recurrent stack.
        dropout: share of outputs dropped in training, between layers and before the last linear layer.
        segment: steps that one recurrent step reads (SegRNN); 1 for a plain recurrent network; `"auto"`: the shortest
            season.
        decoding: `"direct"`: all steps at once; `"recursive"`: each fed back, with 200 sampled futures.
        normalization: what each window is brought to by itself: `"last"` subtracts the last value, `"mean"` the mean,
            `"standard"` also divides by the standard deviation (RevIN), `"last_std"`, `"mean_abs"` (DeepAR), `"none"`;
            `"auto"`: last_std, or mean_abs for counts.
        highway: whether a linear map from context to horizon runs beside the recurrence (LSTNet).
        scaling: of each series by its training part: `"standard"`, `"mean_abs"`, `"none"`; `"auto"`: standard, or none
            for counts.
        output: `"quantiles"`, `"point"`, `"gaussian"`, `"student_t"` or `"negative_binomial"` (counts).
        quantiles: the levels forecast.
        loss: of a point forecast: `"mae"`, `"mse"` or `"huber"`.
        validation, test: shares (below 1) or rows at the end of each series: validation decides when training stops,
            test is held out for `evaluate`.
        batch_size: windows in a batch; `"auto"`: 128, or fewer where an epoch would have less than 32 steps.
        windows_per_epoch: windows drawn in an epoch, at most.
        epochs, optimizer, learning_rate, schedule, warmup_steps, weight_decay, gradient_clip, patience, max_seconds,
        seed, device, precision, progress, tensorboard: see `ostinato.training.TrainingConfig`.

    After `fit`, `record_` holds what a report shows and `history_` the epochs.

    Sources: S. Lin et al., "SegRNN: segment recurrent neural network for long-term time series forecasting", 2023;
    D. Salinas et al., "DeepAR: probabilistic forecasting with autoregressive recurrent networks", 2020; R. Wen et al.,
    "A multi-horizon quantile recurrent forecaster", 2017.

    >>> import numpy as np
    >>> from ostinato import Forecaster
    >>> wave = np.sin(np.arange(400) / 8)
    >>> model = Forecaster(horizon=8, context=48, segment=8, hidden_size=8, epochs=2, progress=False).fit(wave)
    >>> model.predict().point.shape
    (1, 8, 1)
    """

    KIND: ClassVar[str] = KIND

    def __init__(
        self,
        horizon: int,
        *,
        target: str | Sequence[str] | None = None,
        time: str | None = None,
        series_id: str | None = None,
        frequency: str | int | None = None,
        day_first: bool | None = None,
        time_format: str | None = None,
        time_zone: str | None = None,
        no_values: NoValues = "nan",
        missing: str | Sequence[str] = (),
        past_covariates: Sequence[str] = (),
        known_covariates: Sequence[str] = (),
        static_covariates: Sequence[str] = (),
        context: int | None = None,
        season: int | None = None,
        calendar: bool = True,
        cell: str = "gru",
        hidden_size: int = 64,
        num_layers: int = 1,
        dropout: float = 0.1,
        segment: int | Literal["auto"] = "auto",
        decoding: Decoding = "direct",
        normalization: Normalization | Literal["auto"] = "auto",
        highway: bool = True,
        scaling: Literal["auto", "standard", "mean_abs", "none"] = "auto",
        output: Output = "quantiles",
        quantiles: Sequence[float] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
        loss: PointLoss = "mae",
        validation: float = 0.1,
        test: float = 0.1,
        batch_size: int | Literal["auto"] = "auto",
        windows_per_epoch: int = 8192,
        epochs: int = 30,
        optimizer: Optimizer = "adamw",
        learning_rate: float = 1e-3,
        schedule: Schedule = "one_cycle",
        warmup_steps: int = 0,
        weight_decay: float = 0.0,
        gradient_clip: float | None = 1.0,
        patience: int | None = 8,
        max_seconds: float | None = None,
        seed: int = 0,
        device: str = "cpu",
        precision: str = "32-true",
        progress: bool | Literal["auto"] = "auto",
        tensorboard: bool = False,
    ) -> None:
        values = dict(locals())
        for name in self._names():
            setattr(self, name, values[name])

    def fit(self, data: Any, *, directory: str | Path | None = None, resume: bool = False) -> Self:
        """Train on data.

        Args:
            data: a path, a data frame, a mapping or an array; see `ostinato.data.read_table`.
            directory: where the history and the checkpoint of the run are kept; `None`: nowhere. The checkpoint stays
                there until the run is begun anew, so that nothing is lost before the model is saved.
            resume: go on from the directory's checkpoint if there is one.

        Returns:
            The forecaster itself.

        Raises:
            DataError: something in the data is wrong, or there is too little of it.
            UsageError: a parameter is out of range or does not go with another.
            NonFiniteLoss: training broke off; if an epoch was done before that, the forecaster is fitted with its
                weights, `record_.stopped` says so and the error is raised all the same.
            OutputError: the directory cannot be written.
        """
        started = clock.monotonic()
        folder = None if directory is None else Path(directory)
        outcome = fit_forecaster(self.get_params(), data, folder, resume)
        self.fitted_ = outcome.fitted
        self.history_ = outcome.history
        self.record_: FitRecord = outcome.record(self.get_params(), clock.monotonic() - started)
        self._panel = outcome.panel
        if outcome.failure is not None:
            raise outcome.failure
        return self

    def predict(self, data: Any = None, *, future: Any = None) -> Forecast:
        """Forecast the steps after the end of each series.

        Args:
            data: their history, with the columns of the training data; `None`: the end of the training data.
            future: the known covariates of the coming steps, if the model has any: a table with the same time and
                series columns.

        Raises:
            DataError: a column is missing, or the future's rows are not all there.
        """
        fitted = self._checked()
        return fitted.ahead(fitted.tail if data is None else fitted.load(data), future)

    def evaluate(self, data: Any = None, *, stride: int | None = None) -> Evaluation:
        """Compare forecasts with what came, beside the baselines, from a rolling origin.

        Args:
            data: `None` or the training data: its held-out test part; other data: all of it.
            stride: rows from one forecast to the next; `None`: one, or what memory allows.

        Raises:
            DataError: there is no test part, or no series is long enough.
        """
        fitted = self._checked()
        panel = getattr(self, "_panel", None) if data is None else fitted.load(data)
        if panel is None:
            raise DataError("the model was loaded without its data; pass the file to evaluate on")
        if panel.fingerprint() != fitted.fingerprint:
            part = whole(panel, fitted.settings.context)
            return backtest(fitted, panel, part, stride, "all rows of other data")
        if fitted.test is None:
            raise DataError("no test part was held out (test=0); fit with one, or pass other data")
        return backtest(fitted, panel, fitted.test, stride, "test: the held-out end of each series")

    def score(self, data: Any = None) -> float:
        """Return the skill: the share of the seasonal naive forecast's absolute error (or the naive one's) saved.

        1 is perfect, 0 as good as the baseline, below 0 worse.
        """
        scores = self.evaluate(data).scores
        baseline = scores.get("seasonal naive", scores["naive"])["MAE"]
        return 1 - scores["model"]["MAE"] / baseline

    def stream(self, series_id: str | None = None, *, warm: bool = True) -> ForecastStream:
        """Return a stream that takes one row at a time and forecasts after each.

        Args:
            series_id: which series it is; needed when the model has several.
            warm: whether it starts from the end of the training data, rather than from nothing.
        """
        return ForecastStream(self._checked(), series_id, warm=warm)

    def one_answer(self) -> tuple[str, Callable[[], object]]:
        """Return one forecast from the end of the training data."""
        return "one forecast", self.predict

    @property
    def summary_(self) -> Summary:
        """What the record says, as a summary has it: how other tasks' models tell of their fit."""
        return summary_of(self.record_)

    def save(self, folder: str | Path) -> Path:
        """Write the model to a folder, in place of one that is there already; return the folder.

        Raises:
            OutputError: it cannot be written.
        """
        body, arrays = pack(self._checked(), self.record_, self.get_params())
        save_artifact(Path(folder), KIND, body, arrays)
        return Path(folder)

    @classmethod
    def load(cls, folder: str | Path) -> Forecaster:
        """Read a model that `save` wrote; nothing in it is executed.

        Raises:
            ArtifactError: it is no model, is cut short or changed, or was written by a newer version.
        """
        fitted, record, parameters = unpack(load_artifact(Path(folder), KIND))
        known: dict[str, Any] = {name: tuple(own) if isinstance(own, list) else own for name, own in parameters.items()}
        try:
            model = cls(**known)
        except TypeError as error:
            raise CorruptArtifact(
                f"{folder} has parameters that no Forecaster takes ({error}); fit it again"
            ) from error
        model.fitted_, model.record_ = fitted, record
        return model

    def _new_rows(self, data: Any) -> NewRows[Fitted]:
        self._grown = grown(self._checked(), data)
        return new_rows(self.get_params(), self._checked(), self._grown)

    def _take_update(self, fitted: Fitted, update: Update) -> None:
        rows = self._grown
        evaluation = updated_evaluation(fitted, rows, update.scores)
        evaluation = replace(evaluation, verdict=f"{update.verdict} {evaluation.verdict}")
        seconds = update.history.rows[-1].seconds if update.history.rows else 0.0
        outcome = Outcome(fitted, rows.panel, rows.split, update.history, evaluation, None)
        self.record_ = outcome.record(self.get_params(), seconds)
        self.fitted_, self.history_, self._panel = fitted, update.history, rows.given

    def _checked(self) -> Fitted:
        fitted: Fitted | None = getattr(self, "fitted_", None)
        if fitted is None:
            raise UsageError("the forecaster is not fitted; call fit first, or load a model")
        return fitted


def load(folder: str | Path) -> Forecaster:
    """Read a saved model; see `Forecaster.load`."""
    return Forecaster.load(folder)
