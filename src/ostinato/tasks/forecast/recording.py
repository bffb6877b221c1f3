"""Making the record of a fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.artifact import versions
from ostinato.data import Panel, Split, Windows, format_time
from ostinato.tasks.forecast.baselines import seasonal_naive
from ostinato.tasks.forecast.diagnostics import diagnose
from ostinato.tasks.forecast.fitted import Fitted
from ostinato.tasks.record import ColumnSummary, DataSummary, Evaluation, FitRecord, ForecastExample
from ostinato.tasks.base.summary import Summary, in_words
from ostinato.training import History

_EXAMPLES = 4
_ROWS = 4096  # rows of a series that a summary reads at once


def make_record(
    fitted: Fitted,
    panel: Panel,
    split: Split,
    history: History,
    evaluation: Evaluation | None,
    origins: NDArray[np.int64],
    *,
    settings: Mapping[str, Any],
    seconds: float,
) -> FitRecord:
    """Put together what a report needs; `origins` are held-out windows to show, `(windows, 2)`."""
    targets = ", ".join(panel.target_columns[:3]) + (", …" if panel.targets > 3 else "")
    return FitRecord(
        title=f"Forecast of {targets}",
        settings=in_words(settings),
        parameters=sum(p.numel() for p in fitted.network.parameters()),
        seconds=seconds,
        data=_summary(fitted, panel, split),
        history=tuple(asdict(row) for row in history.rows),
        best_epoch=history.best_epoch,
        stopped=history.stopped,
        evaluation=evaluation,
        examples=_examples(fitted, panel, origins) if len(origins) else (),
        diagnostics=diagnose(fitted, panel, origins) if len(origins) else None,
        versions=versions(),
    )


def summary_of(record: FitRecord) -> Summary:
    """Return a record as a summary, which all tasks have: the same scores, without the figures of forecasts."""
    evaluation, data = record.evaluation, record.data
    return Summary(
        title=record.title,
        task="forecast",
        settings=record.settings,
        parameters=record.parameters,
        seconds=record.seconds,
        data=(("source", data.source), ("rows", f"{data.rows:,}"), ("split", data.split)),
        history=record.history,
        best_epoch=record.best_epoch,
        stopped=record.stopped,
        protocol=f"{evaluation.split}; {evaluation.protocol}" if evaluation else "",
        scores=evaluation.scores if evaluation else {},
        better=record.better,
        verdict=evaluation.verdict if evaluation else "Nothing was held out.",
        versions=record.versions,
    )


def _summary(fitted: Fitted, panel: Panel, split: Split) -> DataSummary:
    starts = [series.start for series in panel.series]
    ends = [panel.frequency.times(series.start, len(series) - 1, 1)[0] for series in panel.series]
    return DataSummary(
        source=panel.origin,
        fingerprint=fitted.fingerprint,
        series=len(panel.series),
        rows=panel.rows,
        first_time=format_time(min(starts), panel.frequency.zone),
        last_time=format_time(max(ends), panel.frequency.zone),
        frequency=panel.frequency.describe(),
        season=fitted.season,
        gaps=panel.gaps,
        split=split.describe(panel),
        columns=_columns(panel),
    )


def _columns(panel: Panel) -> tuple[ColumnSummary, ...]:
    roles = ["target"] * panel.targets + ["past covariate"] * panel.past + ["known covariate"] * panel.known
    values = _statistics(
        (one.rows(a, a + _ROWS) for one in panel.series for a in range(0, len(one), _ROWS)), len(roles)
    )
    static = _statistics((one.static[None] for one in panel.series), len(panel.static_columns))
    rows = [*zip(panel.columns, roles, values, strict=True)]
    rows += [(name, "static covariate", own) for name, own in zip(panel.static_columns, static, strict=True)]
    return tuple(ColumnSummary(name, role, *own) for name, role, own in rows)


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


def _examples(fitted: Fitted, panel: Panel, origins: NDArray[np.int64]) -> tuple[ForecastExample, ...]:
    """Forecast from some origins, evenly spread over the held-out ones, the newest last; targets take turns."""
    spread = np.unique(np.linspace(0, len(origins) - 1, _EXAMPLES).round().astype(np.int64))
    chosen = origins[spread]
    truth, forecasts = fitted.forecast_windows(panel, chosen)
    context, horizon = fitted.settings.context, fitted.settings.horizon
    rows = max(context, fitted.season)
    history = np.asarray(
        Windows(panel, chosen, context=rows, horizon=0, calendar=False).gather(np.arange(len(chosen))).history
    )
    repeated = seasonal_naive(history, horizon, fitted.season)
    examples = []
    for i, (series, origin) in enumerate(chosen):
        target = i % panel.targets
        first = max(0, int(origin) - context)
        empty = np.zeros((horizon, 0))
        examples.append(
            ForecastExample(
                series_id=panel.series[series].id,
                target=panel.columns[target],
                history_times=tuple(format_time(t) for t in panel.times(int(series), first, int(origin) - first)),
                history=np.asarray(history[i, rows - (int(origin) - first) :, target], np.float64),
                times=tuple(format_time(t) for t in panel.times(int(series), int(origin), horizon)),
                truth=np.asarray(truth[i, :, target], np.float64),
                point=forecasts.point[i, :, target],
                levels=fitted.levels,
                quantiles=empty if forecasts.quantiles is None else forecasts.quantiles[i, :, target],
                baselines={"seasonal naive" if fitted.season > 1 else "naive": repeated[i, :, target]},
            )
        )
    return tuple(examples)
