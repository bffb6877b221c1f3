"""`Forecaster`: the coming steps of one or many series."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Self

from ostinato.errors import DataError
from ostinato.tasks.base.estimator import Estimator
from ostinato.tasks.base.fitting import evaluated
from ostinato.tasks.base.judging import Scores
from ostinato.tasks.base.task import Model, reading_of
from ostinato.tasks.base.updating import Update
from ostinato.tasks.forecast.backtest import SimpleForecast
from ostinato.tasks.forecast.fitted import Fitted as Forecasting
from ostinato.tasks.forecast.metrics import mae
from ostinato.tasks.forecast.parameters import ForecastParameters
from ostinato.tasks.forecast.result import Forecast, past_of
from ostinato.tasks.forecast.stream import ForecastStream
from ostinato.tasks.forecast.task import HELD_OUT, ForecastTask
from ostinato.tasks.forecast.windows import Examples, ForecastEncoder

_DRAWN = 200  # rows of the past that are drawn beside a forecast, at most


class Forecaster(Estimator[ForecastTask], ForecastParameters):
    """A recurrent forecaster of one or many series.

    `fit` takes a path, a data frame, a mapping or an array; see `ostinato.data.read_table`. Its parameters are those of
    `ForecastParameters`.

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

    task = ForecastTask()

    def fit(self, data: Any, labels: Any = None, **options: Any) -> Self:
        """Train on data; see `Estimator.fit`. The data is held for `evaluate()`, not saved."""
        self._given = self._joined(data, labels)
        return super().fit(self._given, **options)

    def update(self, data: Any, **options: Any) -> Update:
        """Train on with new rows; see `Estimator.update`."""
        found = super().update(data, **options)
        if found.improved:
            self._given = data
        return found

    def predict(self, data: Any = None, *, future: Any = None) -> Forecast:
        """Forecast the steps after the end of each series.

        Args:
            data: their history, with the columns of the training data; `None`: the end of the training data.
            future: the known covariates of the coming steps, if the model has any: a table with the same time and
                series columns.

        Raises:
            DataError: a column is missing, or the future's rows are not all there.
        """
        model = self._model()
        panel = model.encoder.tail
        if data is not None:
            panel = self.task.read(model.parameters, data, reading_of(model)).panel
        forecasting = Forecasting.of(model)
        past = past_of(panel, min(_DRAWN, max(forecasting.settings.context, 2 * forecasting.settings.horizon)))
        return replace(forecasting.ahead(panel, future), past=past)

    def evaluate(self, data: Any = None, labels: Any = None, *, stride: int | None = None, **changes: Any) -> Scores:
        """Compare forecasts with what came, beside the baselines, from a rolling origin.

        Args:
            data: `None` or the training data: its held-out test part; other data: all of it.
            labels: the target, where it is given apart.
            stride: rows from one forecast to the next; `None`: one, or what memory allows.
            changes: parameters that are to be other than the model's.

        Raises:
            DataError: there is no test part, or no series is long enough.
            UsageError: the stride is not positive.
        """
        model = self._changed(changes)
        examples, words = self._examples(model, data, labels)
        return evaluated(self.task, self._checked(), model, replace(examples, stride=stride), words)

    def score(self, data: Any = None, labels: Any = None) -> float:
        """Return the skill: the share of the seasonal naive forecast's absolute error (or the naive one's) saved.

        1 is perfect, 0 as good as the baseline, below 0 worse.
        """
        model = self._model()
        examples, _ = self._examples(model, data, labels)
        # both are made here: `evaluate` may have had no time for a baseline
        name = "seasonal naive" if model.encoder.season > 1 else "naive"
        repeated = SimpleForecast(name).predict(examples)
        made = (self.task.predict(model, examples), repeated)
        error, least = (mae(examples.truth, one.point) for one in made)
        return 1 - error / least

    def _examples(
        self, model: Model[ForecastParameters, ForecastEncoder], data: Any, labels: Any
    ) -> tuple[Examples, str]:
        """Return what a model is judged on, and what that is called."""
        if data is None and not hasattr(self, "_given"):
            raise DataError("the model was loaded without its data; pass the file to evaluate on")
        given = self._given if data is None else self._joined(data, labels)
        rows = self.task.read(model.parameters, given, reading_of(model))
        if rows.panel.fingerprint() != model.encoder.fingerprint:
            return self.task.encode(model, rows), "all rows of other data"
        if model.encoder.test is None:
            raise DataError("no test part was held out (test=0); fit with one, or pass other data")
        return self.task.encode(model, replace(rows, part=model.encoder.test)), f"test: {HELD_OUT}"

    def answers(
        self, source: Any = None, *, future: Any = None, nixtla: bool = False, **changes: Any
    ) -> Iterator[Mapping[str, Any]]:
        """Yield the rows of the forecast after the end of each series.

        Args:
            source: their history; `None`: the training data.
            future: known covariates of the coming steps, see `predict`.
            nixtla: in the columns of Nixtla's libraries, see `Forecast.to_polars`.
            changes: parameters that are to be other than the model's.
        """
        model = self._changed(changes)
        for records in self.task.pieces(model, model.encoder.tail_rows if source is None else source):
            yield from self.task.answers(model, records, future, nixtla=nixtla)

    def stream(  # type: ignore[override]
        self, series_id: str | None = None, *, warm: bool = True, cold: bool = False
    ) -> ForecastStream:
        """Return a stream that takes one row at a time and forecasts after each.

        Args:
            series_id: which series it is; needed when the model has several.
            warm: whether it starts from the end of the training data, rather than from nothing.
            cold: the opposite of `warm`.
        """
        found: ForecastStream = super().stream(series_id=series_id, warm=warm and not cold)
        return found

    def one_answer(self) -> tuple[str, Callable[[], object]]:
        """Return one forecast from the end of the training data."""
        return "one forecast", self.predict
