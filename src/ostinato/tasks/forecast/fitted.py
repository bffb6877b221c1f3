"""Forecasts in the data's units, from a network and what was fitted with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ostinato.data import Panel, Schema, WindowArrays, Windows, load_future
from ostinato.data.notes import note
from ostinato.errors import DataError
from ostinato.tasks.base.task import Model
from ostinato.tasks.forecast.calibration import calibrate
from ostinato.tasks.forecast.combining import roughness
from ostinato.tasks.forecast.ending import going_on, with_ending
from ostinato.tasks.forecast.experts import Experts
from ostinato.tasks.forecast.inputs import InputMaker, Inputs
from ostinato.tasks.forecast.network import DirectNetwork, RecursiveNetwork
from ostinato.tasks.forecast.result import Forecast
from ostinato.tasks.forecast.settings import NetworkSettings
from ostinato.tasks.forecast.stepped import SteppedNetwork
from ostinato.tasks.forecast.volatility import movements, rows_of
from ostinato.tasks.forecast.windows import ForecastEncoder, newest
from ostinato.words import counted

PATHS = 200  # sampled futures of a recursive forecast
_VALUES_AT_ONCE = 1 << 21  # numbers a batch of forecasts may hold


@dataclass(frozen=True)
class Forecasts:
    """Forecasts: `point (windows, horizon, targets)` and `quantiles`, one dimension more, or none."""

    point: NDArray[np.float64]
    quantiles: NDArray[np.float64] | None = None

    def where(self, there: NDArray[np.bool_]) -> Forecasts:
        """Return them with NaN but where there is something, `(windows, horizon, targets)`; if all is, the very same.

        A series of which one column begins late has a forecast of the others alone.
        """
        if there.all():
            return self
        quantiles = None if self.quantiles is None else np.where(there[..., None], self.quantiles, np.nan)
        return Forecasts(np.where(there, self.point, np.nan), quantiles)


@dataclass(frozen=True)
class Fitted:
    """What makes forecasts: a network with its encoder.

    Args:
        encoder: what was fitted.
        network: in evaluation mode.
        seed: of sampled paths.
        no_values: what the forecast of a series is in whose context there is no value: `"nan"`, or an `"error"`.
        crossed: whether a window that shows values below zero has forecasts below zero, of whatever target: what was
            found of the training part is no longer so.
    """

    encoder: ForecastEncoder
    network: DirectNetwork | RecursiveNetwork | SteppedNetwork
    seed: int
    no_values: str
    crossed: bool = True

    @classmethod
    def of(cls, model: Model[Any, ForecastEncoder]) -> Fitted:
        """Return it of a model."""
        given = model.parameters
        return cls(model.encoder, model.network, given.seed, given.no_values, given.nonnegative is not True)

    @property
    def settings(self) -> NetworkSettings:
        """Of the network."""
        return self.encoder.settings

    @property
    def levels(self) -> tuple[float, ...]:
        """The quantile levels of a forecast; none for a point forecast."""
        return self.encoder.levels

    def maker(self, panel: Panel) -> InputMaker:
        """Return what turns windows of a panel into inputs."""
        encoder = self.encoder
        scales, places = encoder.scaler.for_panel(panel), encoder.places_of(panel)
        return InputMaker(encoder.scaler, scales, self.settings.normalization, places)

    def ahead(self, panel: Panel, future: Any = None) -> Forecast:
        """Forecast the steps after the end of each series."""
        origins = np.array([(i, len(series)) for i, series in enumerate(panel.series)])
        windows = self.encoder.windows(panel, origins, self.encoder.reach).gather(np.arange(len(origins)))
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
            names = ", ".join(self.encoder.schema.known_covariates)
            raise DataError(
                f"the model uses covariates that are known for the coming steps ({names}); pass a table with their "
                f"next {counted(self.settings.horizon, 'rows')} as future=... (--future)"
            )
        coming = load_future(future, panel, self.settings.horizon)
        known = np.concatenate([windows.known[:, : windows.history.shape[1]], coming], 1)
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
            time_column=_time_name(self.encoder.schema),
            series_column=self.encoder.schema.series_id,
        )

    def forecast_windows(self, panel: Panel, origins: NDArray[np.int64]) -> tuple[NDArray[np.float64], Forecasts]:
        """Return what came, `(windows, horizon, targets)`, and the forecasts from many origins, made batch by batch."""
        windows, make = self.encoder.windows(panel, origins, self.encoder.reach), self.maker(panel)
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
        width = settings.targets * paths * (self.encoder.reach + settings.horizon * (1 + len(self.levels)))
        size = max(1, min(1024, _VALUES_AT_ONCE // width))
        return (np.arange(first, min(first + size, count)) for first in range(0, count, size))

    def run(self, windows: WindowArrays, make: InputMaker) -> Forecasts:
        """Forecast one batch of windows, in the data's units; their history may be as long as `encoder.reach`."""
        read = newest(windows, self.settings.context)
        # a network that does not count is not asked
        network = self._networks(read, make) if self.encoder.combination.weights[-1] else self._nothing(read)
        joined = self._combined(network, windows, make) if self.encoder.combination.experts else network
        return self._bounded(self._ended(self._widened(joined, windows), windows), windows)

    def _widened(self, joined: Forecasts, windows: WindowArrays) -> Forecasts:
        """Return forecasts with intervals that follow the window, and hold what they promise."""
        if joined.quantiles is None:
            return joined
        quantiles = joined.quantiles
        if self.encoder.volatility.power:
            moved = movements(windows.history, self.settings.horizon, self.encoder.seasons)
            quantiles = self.encoder.volatility.follow(quantiles, self.levels, *moved)
        return replace(joined, quantiles=calibrate(quantiles, self.encoder.calibration, self.levels))

    def _ended(self, found: Forecasts, windows: WindowArrays) -> Forecasts:
        """Return forecasts that are zero where a series has ended in zeros; counts have heads that know zeros."""
        if self.settings.output == "negative_binomial":
            return found
        alive = going_on(windows.history, self.settings.horizon)
        return Forecasts(*with_ending(found.point, found.quantiles, self.levels, alive))

    def _bounded(self, found: Forecasts, windows: WindowArrays) -> Forecasts:
        """Return forecasts that are not below zero, of targets that never are."""
        if not any(self.encoder.bounded):
            return found
        below = (windows.history[:, -self.encoder.read :] < 0).any(1) & self.crossed
        least = np.where(below | ~np.array(self.encoder.bounded), -np.inf, 0.0)[:, None]
        quantiles = None if found.quantiles is None else np.maximum(found.quantiles, least[..., None])
        return Forecasts(np.maximum(found.point, least), quantiles)

    def movements(self, panel: Panel, origins: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the volatility of windows and how far it is believed, each `(windows, targets)`."""
        horizon, seasons = self.settings.horizon, self.encoder.seasons
        windows = Windows(panel, origins, context=rows_of(horizon, seasons), horizon=horizon, cycles=0)
        found = [movements(windows.gather(index).history, horizon, seasons) for index in self._batches(len(origins))]
        moved, trust = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return moved, trust

    def _networks(self, read: WindowArrays, make: InputMaker) -> Forecasts:
        """Return the network's forecasts; NaN where there is nothing to forecast from."""
        inputs = make(read)
        with torch.inference_mode():
            point, quantiles = self._direct(inputs) if self.settings.decoding == "direct" else self._recursive(inputs)
        size = len(self.levels)
        together = point[..., None] if quantiles is None else torch.cat([quantiles, point[..., None]], -1)
        found = make.to_data_units(together.double().numpy(), inputs, read.series)
        empty = _empty(read)
        if empty.any():
            np.moveaxis(found, 2, 1)[empty] = np.nan
        return Forecasts(found[..., -1], None if quantiles is None else np.ascontiguousarray(found[..., :size]))

    def _nothing(self, read: WindowArrays) -> Forecasts:
        """Return zeros of the network's shape; NaN where there is nothing to forecast from."""
        point = np.zeros((len(read.history), self.settings.horizon, self.settings.targets))
        np.moveaxis(point, 2, 1)[_empty(read)] = np.nan
        return Forecasts(point, np.repeat(point[..., None], len(self.levels), -1) if self.levels else None)

    def _combined(self, network: Forecasts, windows: WindowArrays, make: InputMaker) -> Forecasts:
        """Return the network's forecasts together with those of the experts."""
        encoder, combination = self.encoder, self.encoder.combination
        history = windows.history[:, -encoder.read :]
        made = Experts(encoder.seasons, self.settings.horizon, combination.linear, combination.seasonal)
        places = None if make.places is None else make.places[windows.series]
        experts = made.forecast(history, make.targets.scale[windows.series], combination.experts, places)
        point = combination.join(network.point, experts)
        if network.quantiles is None:
            return Forecasts(point)
        rough = roughness(history, encoder.seasons)
        return Forecasts(point, combination.join_quantiles(network.quantiles, network.point, experts, rough))

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


def _empty(windows: WindowArrays) -> NDArray[np.bool_]:
    """Return in which windows and targets there is nothing to forecast from, `(windows, targets)`."""
    return np.asarray(np.isnan(windows.history).all(1))


def _time_name(schema: Schema) -> str:
    return schema.time if schema.time and "+" not in schema.time else "time"
