"""What a report shows of a forecaster: its columns, held-out forecasts, errors by step, gradients, hidden states."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ostinato.data import Panel, Windows, format_time
from ostinato.nn import TransformerStack
from ostinato.tasks.base.gradients import gradient_norms, gradient_panel
from ostinato.tasks.base.summary import Curve, Fan, Matrix, Table
from ostinato.tasks.base.summary import Panel as Shown
from ostinato.tasks.forecast.baselines import seasonal_naive
from ostinato.tasks.forecast.fitted import Fitted
from ostinato.tasks.forecast.network import ForecastNetwork
from ostinato.tasks.forecast.objective import ForecastObjective
from ostinato.tasks.forecast.windows import Ints

_EXAMPLES, _WINDOWS = 4, 32
_ROWS = 4096  # rows of a series that a summary reads at once


def forecast_panels(fitted: Fitted, panel: Panel, origins: Ints) -> Iterator[Shown]:
    """Yield the panels of a panel of data; `origins` are windows to show, `(windows, 2)`."""
    if len(origins):
        yield from _examples(fitted, panel, origins)
        yield from _inside(fitted, panel, origins)
    yield _columns(panel)


def step_errors(by_step: Mapping[str, tuple[float, ...]]) -> Curve:
    """Return the mean absolute error of each forecast step, the model's and the baselines'."""
    steps = tuple(float(step) for step in range(1, 1 + max(map(len, by_step.values()))))
    return Curve("Error by forecast step", steps, dict(by_step), "forecast step", "mean absolute error")


def _examples(fitted: Fitted, panel: Panel, origins: Ints) -> Iterator[Fan]:
    """Forecast from some origins, evenly spread over the held-out ones, the newest first; targets take turns."""
    chosen = origins[np.unique(np.linspace(0, len(origins) - 1, _EXAMPLES).round().astype(np.int64))]
    truth, forecasts = fitted.forecast_windows(panel, chosen)
    context, horizon, season = fitted.settings.context, fitted.settings.horizon, fitted.encoder.season
    rows = max(context, season)
    windows = Windows(panel, chosen, context=rows, horizon=0, cycles=0)
    history = np.asarray(windows.gather(np.arange(len(chosen))).history)
    repeated = seasonal_naive(history, horizon, season)
    for i, (series, origin) in reversed(list(enumerate(chosen))):
        target, first = i % panel.targets, max(0, int(origin) - context)
        name, count = panel.series[series].id, int(origin) - first
        times = [format_time(time) for time in panel.times(int(series), first, count + horizon)]
        quantiles = None if forecasts.quantiles is None else forecasts.quantiles[i, :, target]
        yield Fan(
            title=f"Forecast{f' of {name}' if name else ''} from {times[count]}, held out from training",
            target=panel.columns[target],
            history_times=tuple(times[:count]),
            history=_floats(history[i, rows - count :, target]),
            times=tuple(times[count:]),
            truth=_floats(truth[i, :, target]),
            point=_floats(forecasts.point[i, :, target]),
            levels=() if quantiles is None else fitted.levels,
            quantiles=() if quantiles is None else tuple(_floats(row) for row in quantiles),
            baselines={"seasonal naive" if season > 1 else "naive": _floats(repeated[i, :, target])},
        )


def _floats(values: NDArray[Any]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _inside(fitted: Fitted, panel: Panel, origins: Ints) -> Iterator[Shown]:
    """Yield how gradients go back through recurrent steps, and the hidden states of one window."""
    network: Any = fitted.network
    if isinstance(network.recurrent, TransformerStack):  # nothing is passed on from step to step
        return
    chosen = origins[np.linspace(0, len(origins) - 1, min(_WINDOWS, len(origins))).round().astype(np.int64)]
    gathered = fitted.encoder.windows(panel, chosen).gather(np.arange(len(chosen)))
    inputs = fitted.maker(panel)(gathered)
    with torch.no_grad():
        xs = network.context_steps(inputs)
        ys, _ = network.recurrent(xs)
    if not len(xs):
        return
    objective = ForecastObjective(network)

    def loss(read: Tensor) -> Tensor:
        _, state = network.recurrent(read)
        found: Tensor = objective(_Decoder(network, state), inputs, None).loss
        return found * len(inputs.history)

    label = _label(fitted)
    lengths = torch.full((xs.shape[1],), len(xs))
    yield gradient_panel(gradient_norms(xs, lengths, loss), step="recurrent steps", note=f"One step is {label}.")
    # the first target of the newest window; units that move alike stand together
    hidden = ys[:, -fitted.settings.targets].double().numpy().T
    order = np.argsort(hidden[:, -1])
    steps = tuple(str(step - len(xs)) for step in range(len(xs)))
    yield Matrix(
        "Hidden states", tuple(f"unit {unit}" for unit in order), steps,
        tuple(_floats(row) for row in hidden[order].round(4)), "units, by their last value", "recurrent step",
        f"outputs of the stack over the newest held-out window; one step is {label}",
    )  # fmt: skip


class _Decoder(nn.Module):
    """The network from the state on, called as the network is."""

    def __init__(self, network: ForecastNetwork, state: Any) -> None:
        super().__init__()
        self.network, self.state = network, state

    def forward(self, inputs: Any) -> Tensor:
        return self.network.decode(self.state, inputs)


def _label(fitted: Fitted) -> str:
    segment, frequency = fitted.settings.segment, fitted.encoder.frequency
    if segment == 1:
        return frequency.describe()
    if frequency.unit == "business":
        return f"{segment} business days, one segment"
    return f"{replace(frequency, step=frequency.step * segment).describe()}, one segment"


def _columns(panel: Panel) -> Table:
    """Return the role and the plain statistics of each column."""
    roles = ["target"] * panel.targets + ["past covariate"] * panel.past + ["known covariate"] * panel.known
    blocks = (one.rows(a, a + _ROWS) for one in panel.series for a in range(0, len(one), _ROWS))
    static = _statistics((one.static[None] for one in panel.series), len(panel.static_columns))
    rows = [*zip(panel.columns, roles, _statistics(blocks, len(roles)), strict=True)]
    rows += [(name, "static covariate", cells) for name, cells in zip(panel.static_columns, static, strict=True)]
    columns = ("column", "role", "observed", "missing", "mean", "std", "minimum", "maximum")
    return Table("The data", columns, tuple((name, role, *cells) for name, role, cells in rows))


def _statistics(blocks: Any, columns: int) -> list[tuple[int, int, float, float, float, float]]:
    """Return observed, missing, mean, standard deviation, least and greatest of each column, block by block."""
    count, missing, total, square = (np.zeros(columns) for _ in range(4))
    low, high = np.full(columns, np.inf), np.full(columns, -np.inf)
    for block in blocks:
        seen = ~np.isnan(block)
        filled = np.where(seen, block, 0.0)
        count, missing = count + seen.sum(0), missing + (~seen).sum(0)
        total, square = total + filled.sum(0), square + (filled**2).sum(0)
        low = np.minimum(low, np.where(seen, block, np.inf).min(0, initial=np.inf))
        high = np.maximum(high, np.where(seen, block, -np.inf).max(0, initial=-np.inf))
    mean = total / np.maximum(count, 1)
    std = np.sqrt(np.maximum(square / np.maximum(count, 1) - mean**2, 0))
    return [
        (int(count[i]), int(missing[i]), float(mean[i]), float(std[i]), float(low[i]), float(high[i]))
        for i in range(columns)
    ]
