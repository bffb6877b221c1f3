"""A trained forecaster without its training: what predicts, evaluates, streams and is saved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ostinato.data import Frequency, Panel, Part, Scaler, Schema, Series, WindowArrays, Windows, load_future, load_panel
from ostinato.data.notes import note
from ostinato.errors import DataError
from ostinato.tasks.forecast.calibration import calibrate
from ostinato.tasks.forecast.evaluation import Forecasts
from ostinato.tasks.forecast.inputs import InputMaker, Inputs
from ostinato.tasks.forecast.network import DirectNetwork, RecursiveNetwork
from ostinato.tasks.forecast.result import Forecast
from ostinato.tasks.forecast.settings import NetworkSettings, NoValues

PATHS = 200  # sampled futures of a recursive forecast
_VALUES_AT_ONCE = 1 << 21  # numbers a batch of forecasts may hold


@dataclass(frozen=True)
class Fitted:
    """All that a forecast needs.

    Args:
        settings: of the network.
        network: with its trained weights.
        scaler: fitted on the training part.
        schema: the roles of the columns, complete.
        columns: the names of the panel's columns; `static_columns` likewise.
        categories: of text columns.
        frequency: of the grid.
        season: steps of the season that the baselines repeat.
        mase_scales: `mase_scale` of each series' training part, `(series, targets)`.
        test: rows of the training data that were held out; `None`: none.
        fingerprint: of the training data.
        tail: the newest rows of each series, from which a forecast can start without the data.
        seed: of sampled paths.
        calibration: how far each quantile is moved, `(levels,)`; see `calibration`.
        no_values: what the forecast of a series is in whose context there is no value: `"nan"`, or an `"error"`.
    """

    settings: NetworkSettings
    network: DirectNetwork | RecursiveNetwork
    scaler: Scaler
    schema: Schema
    columns: tuple[str, ...]
    static_columns: tuple[str, ...]
    categories: Mapping[str, tuple[str, ...]]
    frequency: Frequency
    season: int
    mase_scales: NDArray[np.float64]
    test: Part | None
    fingerprint: str
    tail: Panel
    seed: int
    calibration: NDArray[np.float64]
    no_values: NoValues = "nan"

    @property
    def levels(self) -> tuple[float, ...]:
        """The quantile levels of a forecast; none for a point forecast."""
        return self.settings.quantiles if self.settings.output != "point" else ()

    def load(self, source: Any) -> Panel:
        """Read data of the same columns as the training data.

        Raises:
            DataError: a column is missing or something in it is wrong.
        """
        panel = load_panel(
            source,
            self.schema,
            categories=self.categories,
            frequency=self.frequency,
            time_format=self.tail.time_format,
            fitting=False,
        )
        if panel.columns != self.columns:
            raise DataError(
                f"{panel.origin} has the columns {panel.columns}, but the model was trained on {self.columns}"
            )
        return panel

    def maker(self, panel: Panel) -> InputMaker:
        """Return what turns windows of a panel into inputs."""
        return InputMaker(self.scaler, self.scaler.for_panel(panel), self.settings.normalization)

    def windows(self, panel: Panel, origins: NDArray[np.int64]) -> Windows:
        """Return windows of a panel, as the network reads them."""
        settings = self.settings
        return Windows(
            panel, origins, context=settings.context, horizon=settings.horizon, calendar=settings.calendar > 0
        )

    def ahead(self, panel: Panel, future: Any = None) -> Forecast:
        """Forecast the steps after the end of each series."""
        origins = np.array([(i, len(series)) for i, series in enumerate(panel.series)])
        windows = self.windows(panel, origins).gather(np.arange(len(origins)))
        if panel.known:
            windows = self._with_future(panel, windows, future)
        forecasts = self.run(windows, self.maker(panel))
        self.check_values(panel, origins, forecasts)
        return self.result(panel, origins, forecasts)

    def check_values(self, panel: Panel, origins: NDArray[np.int64], forecasts: Forecasts) -> None:
        """Say which series have no forecast, since their context has no value.

        Raises:
            DataError: there is one, and the forecaster was told that this is an error.
        """
        empty = np.argwhere(np.isnan(forecasts.point[:, 0]))
        if not len(empty):
            return
        name, target = panel.series[origins[empty[0, 0], 0]].id, panel.columns[empty[0, 1]]
        whose = f'"{target}" of series "{name}"' if name else f'"{target}"'
        others = f" (and {len(empty) - 1} more)" if len(empty) > 1 else ""
        message = (
            f"{whose}{others} has no value in the {self.settings.context} rows that a forecast looks back on, so that "
            "there is nothing to forecast from"
        )
        if self.no_values == "error":
            raise DataError(f'{message}; leave it out, or fit with no_values="nan" to have NaN for it')
        note(f'{message}: its forecast is NaN; fit with no_values="error" (--no-values error) to stop there')

    def _with_future(self, panel: Panel, windows: WindowArrays, future: Any) -> WindowArrays:
        if future is None:
            names = ", ".join(self.schema.known_covariates)
            raise DataError(
                f"the model uses covariates that are known for the coming steps ({names}); pass a table with their "
                f"next {self.settings.horizon} rows as future=... (--future)"
            )
        coming = load_future(future, panel, self.settings.horizon)
        known = np.concatenate([windows.known[:, : self.settings.context], coming], 1)
        return replace(windows, known=known)

    def result(self, panel: Panel, origins: NDArray[np.int64], forecasts: Forecasts) -> Forecast:
        """Return forecasts from the given origins with their times and names."""
        horizon = self.settings.horizon
        quantiles = forecasts.quantiles
        return Forecast(
            series_ids=tuple(panel.series[i].id for i, _ in origins),
            times=np.stack([panel.times(int(i), int(row), horizon) for i, row in origins]),
            targets=panel.target_columns,
            point=forecasts.point,
            levels=self.levels,
            quantiles=np.zeros((*forecasts.point.shape, 0)) if quantiles is None else quantiles,
            time_column=_time_name(self.schema),
            series_column=self.schema.series_id,
        )

    def forecast_windows(self, panel: Panel, origins: NDArray[np.int64]) -> tuple[NDArray[np.float64], Forecasts]:
        """Return what came, `(windows, horizon, targets)`, and the forecasts from many origins, made batch by batch."""
        windows, make = self.windows(panel, origins), self.maker(panel)
        truth, parts = [], []
        for index in self._batches(len(origins)):
            batch = windows.gather(index)
            parts.append(self.run(batch, make))
            # where nothing is forecast, nothing is judged
            truth.append(np.where(np.isnan(parts[-1].point), np.nan, batch.future))
        quantiles = [part.quantiles for part in parts if part.quantiles is not None]
        point = np.concatenate([part.point for part in parts])
        return np.concatenate(truth), Forecasts(point, np.concatenate(quantiles) if quantiles else None)

    def _batches(self, count: int) -> Iterator[NDArray[np.int64]]:
        settings = self.settings
        paths = PATHS if settings.decoding == "recursive" else 1
        width = settings.targets * paths * (settings.context + settings.horizon * (1 + len(self.levels)))
        size = max(1, min(1024, _VALUES_AT_ONCE // width))
        return (np.arange(first, min(first + size, count)) for first in range(0, count, size))

    def run(self, windows: WindowArrays, make: InputMaker) -> Forecasts:
        """Forecast one batch of windows, in the data's units."""
        inputs = make(windows)
        with torch.inference_mode():
            point, quantiles = self._direct(inputs) if self.settings.decoding == "direct" else self._recursive(inputs)

        empty = np.isnan(windows.history).all(1)  # (batch, targets): there is nothing to forecast from

        def restored(values: torch.Tensor) -> NDArray[np.float64]:
            found = make.to_data_units(values.double().numpy(), inputs, windows.series)
            np.moveaxis(found, 2, 1)[empty] = np.nan
            return found

        if quantiles is None:
            return Forecasts(restored(point))
        return Forecasts(restored(point), calibrate(restored(quantiles), self.calibration, self.levels))

    def _direct(self, inputs: Inputs) -> tuple[torch.Tensor, torch.Tensor | None]:
        head, unit = self.network.head, inputs.unit[:, None]
        numbers = self.network(inputs)
        return head.point(numbers, unit), head.quantiles(numbers, self.levels, unit) if self.levels else None

    def _recursive(self, inputs: Inputs) -> tuple[torch.Tensor, torch.Tensor | None]:
        assert isinstance(self.network, RecursiveNetwork)
        if not self.levels:
            return self.network.sample_paths(inputs, 1, None)[0], None
        generator = torch.Generator().manual_seed(self.seed)
        paths = self.network.sample_paths(inputs, PATHS, generator)
        quantiles = torch.quantile(paths, torch.tensor((*self.levels, 0.5)), dim=0).movedim(0, -1)
        return quantiles[..., -1], quantiles[..., :-1]


def tail_of(panel: Panel, rows: int) -> Panel:
    """Return the newest rows of each series as a panel of its own."""
    series = []
    for one in panel.series:
        first = max(0, len(one) - rows)
        start = panel.frequency.times(one.start, first, 1)[0]
        series.append(Series(one.id, start, one.rows(first, len(one)), one.static, last=one.last))
    return replace(panel, series=tuple(series))


def _time_name(schema: Schema) -> str:
    return schema.time if schema.time and "+" not in schema.time else "time"
