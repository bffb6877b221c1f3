"""What is a forecaster's own; all else is of `ostinato.tasks.base`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from torch import nn

from ostinato.data import (
    Part,
    Scaler,
    calendar_cycles,
    format_time,
    load_panel,
    split_by_time,
)
from ostinato.data.notes import note
from ostinato.errors import DataError, UsageError
from ostinato.tasks.base.holding_out import Held, Shares
from ostinato.tasks.base.judging import MODEL
from ostinato.tasks.base.lines import is_table
from ostinato.tasks.base.steps import StepUnit
from ostinato.tasks.base.summary import Panel as Shown
from ostinato.tasks.base.task import Baselines, Model, Task, reading_of
from ostinato.tasks.base.units import Units
from ostinato.tasks.forecast.backtest import SimpleForecast, methods_of
from ostinato.tasks.forecast.choices import (
    affordable,
    columns_in_words,
    combination_in_words,
    combines,
    context_of,
    held_rows,
    schema_of,
    seasons_of,
)
from ostinato.tasks.forecast.classical import NAME as CLASSICAL
from ostinato.tasks.forecast.classical import ClassicalForecast
from ostinato.tasks.forecast.combining import Combination
from ostinato.tasks.forecast.fitted import Fitted, Forecasts
from ostinato.tasks.forecast.glitches import without_glitches
from ostinato.tasks.forecast.intervals import with_intervals
from ostinato.tasks.forecast.metrics import mae_by_step, score_all
from ostinato.tasks.forecast.network import make_network
from ostinato.tasks.forecast.objective import ForecastObjective, WindowBatches
from ostinato.tasks.forecast.panels import forecast_panels, step_errors
from ostinato.tasks.forecast.parameters import ForecastParameters
from ostinato.tasks.forecast.regressions import fit_regressions
from ostinato.tasks.forecast.remarks import interval, random_walk
from ostinato.tasks.forecast.seasons import find_seasons
from ostinato.tasks.forecast.settings import (
    NetworkSettings,
    choose_season,
)
from ostinato.tasks.forecast.stream import ForecastStream
from ostinato.tasks.forecast.training_part import check_counts, has_missing, mase_scales, never_below_zero
from ostinato.tasks.forecast.units import owners_of, score_parts
from ostinato.tasks.forecast.updating import grown, grown_encoder, tested_given
from ostinato.tasks.forecast.weighing import newest_regressions, weigh
from ostinato.tasks.forecast.windows import Examples, ForecastEncoder, Reading, Rows, tail_of, whole
from ostinato.words import counted

Forecasting: TypeAlias = "Model[ForecastParameters, ForecastEncoder]"
HELD_OUT = "the held-out end of each series"
_VALIDATION_WINDOWS = 2048


class ForecastTask(Task[ForecastParameters, Rows, ForecastEncoder, Examples, Forecasts]):
    """Series on a grid: the coming steps of each."""

    records = "rows"
    higher = frozenset()
    decides = ("MASE", "MAE")
    encoder_type = ForecastEncoder
    baseline_types = (SimpleForecast, ClassicalForecast)
    estimator_type = "regressor"
    kept = "the scale of each series (a new one gets its own), how much each forecast counts, categories and frequency"

    def check(self, parameters: ForecastParameters, *, tested: bool) -> None:
        shifted = {parameters.normalization, parameters.scaling} - {"auto", "mean_abs", "none"}
        if parameters.output == "negative_binomial" and shifted:
            raise UsageError(
                "output negative_binomial is for counts, which cannot be shifted; use normalization and scaling auto, "
                "mean_abs or none"
            )

    def joined(self, data: Any, labels: Any) -> Any:
        """Return covariates and a target as columns, the target called `y`."""
        if isinstance(data, Mapping) or hasattr(data, "columns"):
            columns = {
                str(name): np.asarray(data[name]) for name in (data if isinstance(data, Mapping) else data.columns)
            }
        else:
            rows = np.asarray(data)
            rows = rows[:, None] if rows.ndim == 1 else rows
            columns = {f"x{i}": rows[:, i] for i in range(rows.shape[1])}
        return {**columns, "y": np.asarray(labels)}

    def read(
        self,
        parameters: ForecastParameters,
        source: Any,
        reading: Reading | None = None,
        *,
        labelled: bool = True,
    ) -> Rows:
        if isinstance(source, Rows):
            return source
        if reading is None:
            return Rows(without_glitches(load_panel(source, schema_of(parameters))))
        panel = load_panel(
            source, reading.schema, categories=reading.categories, frequency=reading.frequency,
            time_format=reading.time_format, fitting=False,
        )  # fmt: skip
        if panel.columns != reading.columns:
            raise DataError(
                f"{panel.origin} has the columns {panel.columns}, but the model was trained on {reading.columns}"
            )
        return Rows(without_glitches(panel))

    def reading(self, records: Rows) -> Reading:
        panel = records.panel
        return Reading(panel.schema, panel.columns, dict(panel.categories), panel.frequency, panel.time_format)

    def hold_out(self, parameters: ForecastParameters, records: Rows, shares: Shares) -> Held[Rows]:
        panel, horizon = records.panel, int(parameters.horizon)
        lengths = np.array([len(series) for series in panel.series])
        asked, shares = shares, affordable(parameters, lengths, shares)
        held = sum(size for size in (shares.validation, shares.test) if size < 1)
        rows = int(np.median(lengths) * max(0.1, 1 - held))
        # which seasons there are is seen in what is left for training, by the shares alone
        left = Part(np.zeros_like(lengths), np.maximum(lengths - held_rows(lengths, shares, horizon), 0))
        found = () if parameters.season is not None else tuple(season.length for season in find_seasons(panel, left))
        context, _ = context_of(parameters, panel, found, rows, int(left.stop.max(initial=0)))
        split = split_by_time(panel, validation=shares.validation, test=shares.test, horizon=horizon, context=context)
        if shares.test < asked.test:
            note(
                f"{panel.origin}: {counted(int(lengths.max()), 'rows')} are too few to hold some out as a test part "
                f"for a horizon of {horizon}: all are trained on, and nothing tells how good the forecasts are"
            )
        parts = [Rows(panel, part, split, rows, found) if part is not None else None for part in vars(split).values()]
        return Held(parts[0], parts[1], parts[2], HELD_OUT)  # type: ignore[arg-type]

    def join(self, first: Rows, second: Rows) -> Rows | None:
        if second.panel is not first.panel or first.part is None or second.part is None:
            return None  # rows of another table do not come after these
        return replace(first, part=Part(first.part.start, second.part.stop))

    def title(self, records: Rows) -> str:
        names = records.panel.target_columns
        return f"Forecast of {', '.join(names[:3])}" + (", …" if len(names) > 3 else "")

    def steps_an_epoch(self, parameters: ForecastParameters, train: Rows) -> int:
        windows = min(len(train), parameters.windows_per_epoch)
        return -(-windows // _batch_size(parameters, len(train)))

    def encoder(self, parameters: ForecastParameters, train: Rows) -> ForecastEncoder:
        """Decide what was left open, and fit scales on the training part."""
        panel, part, asked = train.panel, train.part, parameters
        assert part is not None
        counts = asked.output == "negative_binomial"
        check_counts(panel, part, counts)
        context, segment = context_of(asked, panel, train.seasons, train.typical, int(part.stop.max(initial=0)))
        season = choose_season(asked.season, panel.frequency, train.seasons, train.typical)
        seasons = seasons_of(asked, panel, train.seasons)
        scaling: Any = asked.scaling if asked.scaling != "auto" else "none" if counts else "standard"
        normalization = asked.normalization if asked.normalization != "auto" else "mean_abs" if counts else "last_std"
        cycles = len(calendar_cycles(panel.frequency, train.typical)) if asked.calendar else 0
        settings = NetworkSettings(
            horizon=int(asked.horizon), context=context, segment=segment, targets=panel.targets, past=panel.past,
            known=panel.known, calendar=2 * cycles,
            static=len(panel.static_columns), masked=has_missing(panel, part, context), hidden_size=asked.hidden_size,
            num_layers=asked.num_layers, dropout=asked.dropout, decoding=asked.decoding,
            normalization=normalization,
            highway=asked.highway, output=asked.output, quantiles=tuple(sorted(set(asked.quantiles))), loss=asked.loss,
        )  # fmt: skip
        scaler = Scaler.fit(panel, part, scaling)
        made = fit_regressions(settings, seasons, panel, scaler.targets.scale, part.stop)
        encoder = ForecastEncoder(
            settings, self.reading(train), scaler, season, mase_scales(panel, part, season),
            None if train.split is None else train.split.test, panel.fingerprint(),
            tail_of(panel, 0), np.zeros(len(settings.quantiles)), seasons,
            replace(Combination.none(), linear=made.linear, seasonal=made.seasonal),
            bounded=never_below_zero(panel, part.stop, asked.nonnegative),
        )  # fmt: skip
        return replace(encoder, tail=tail_of(panel, encoder.kept))

    def network(self, parameters: ForecastParameters, encoder: ForecastEncoder, train: Rows | None) -> nn.Module:
        network = make_network(encoder.settings, parameters.cell)
        if train is not None:
            network.start_from(encoder.combination.linear)
        return network

    def encode(self, model: Forecasting, records: Rows) -> Examples:
        part = whole(records.panel, model.encoder.settings.context) if records.part is None else records.part
        return Examples(model.encoder, records.panel, part)

    def batches(self, model: Forecasting, examples: Examples, *, training: bool) -> WindowBatches | None:
        make, parameters = Fitted.of(model).maker(examples.panel), model.parameters
        if not training:
            windows = model.encoder.windows(examples.panel, examples.all_origins)
            return WindowBatches(windows, make, batch_size=256, per_epoch=_VALIDATION_WINDOWS) if len(windows) else None
        windows = examples.training_windows()
        size = _batch_size(parameters, len(windows))
        return WindowBatches(
            windows, make, batch_size=size, per_epoch=parameters.windows_per_epoch, seed=parameters.seed
        )

    def objective(self, model: Forecasting, train: Examples) -> ForecastObjective:
        return ForecastObjective(model.network)

    def calibrate(self, model: Forecasting, validation: Examples | None) -> ForecastEncoder:
        """Return the encoder with intervals calibrated on the validation windows, if there are both."""
        encoder = model.encoder
        if validation is None or not len(validation) or encoder.calibrated:
            return encoder
        bounded = never_below_zero(validation.panel, validation.part.stop, model.parameters.nonnegative)
        encoder = replace(encoder, calibrated=True, bounded=bounded)
        renewed = encoder
        if combines(model.parameters) and not encoder.combination.found:
            encoder = replace(encoder, combination=weigh(model, validation))
            renewed = replace(encoder, combination=newest_regressions(encoder, validation))
        return with_intervals(model, encoder, renewed, validation)

    def carried(self, first: Forecasting, renewed: Forecasting) -> ForecastEncoder:
        found = first.encoder
        return replace(
            renewed.encoder, calibration=found.calibration, combination=found.combination, calibrated=found.calibrated,
            mase_scales=found.mase_scales, volatility=found.volatility, bounded=found.bounded,
        )  # fmt: skip

    def predict(self, model: Forecasting, examples: Examples) -> Forecasts:
        origins = examples.origins
        if not len(origins):
            coming = counted(model.encoder.settings.horizon, "rows")
            raise DataError(
                f"{examples.panel.origin}: no series has {coming} (the horizon) after at least one of history; give "
                "more rows"
            )
        return Fitted.of(model).forecast_windows(examples.panel, origins)[1]

    def baselines(self, model: Forecasting, train: Examples, validation: Examples | None) -> Baselines:
        encoder, panel = model.encoder, train.panel
        lengths = np.array([len(series) for series in panel.series], np.int64)
        end = lengths if encoder.test is None else encoder.test.start
        simple = {name: partial(SimpleForecast.fit, name, encoder, panel, end) for name in methods_of(encoder)}
        return {CLASSICAL: partial(ClassicalForecast.fit, encoder.season), **simple}

    def measures(self, model: Forecasting, examples: Examples, predicted: Forecasts) -> dict[str, float]:
        encoder = model.encoder
        scale = encoder.mase_scales_of(examples.panel)[examples.origins[:, 0]]
        return score_all(examples.truth, predicted.point, predicted.quantiles, encoder.levels, scale)

    def units(self, model: Forecasting, examples: Examples, predicted: Forecasts) -> Units:
        encoder = model.encoder
        scale = encoder.mase_scales_of(examples.panel)[examples.origins[:, 0]]
        owners, count, of = owners_of(examples)
        parts = score_parts(examples.truth, predicted.point, predicted.quantiles, encoder.levels, scale, owners, count)
        return Units(count, of, parts)

    def answered(self, predicted: Forecasts, other: Forecasts) -> Forecasts:
        return predicted.where(~np.isnan(other.point))

    def counted(self, model: Forecasting, examples: Examples) -> tuple[int, str]:
        return len(examples.origins), f"forecasts of {counted(model.encoder.settings.horizon, 'steps')}"

    def details(self, model: Forecasting, examples: Examples, predicted: Mapping[str, Forecasts]) -> Mapping[str, Any]:
        ours, truth = predicted[MODEL], examples.truth
        whole, by_step = np.array(mae_by_step(truth, ours.point)), dict[str, list[float]]()
        for name, other in predicted.items():
            found, shared = np.array(mae_by_step(truth, other.point)), self.answered(ours, other)
            if shared is not ours:  # as its scores are, see `over_all`
                with np.errstate(divide="ignore", invalid="ignore"):
                    found = found * whole / np.array(mae_by_step(truth, shared.point))
            by_step[name] = found.tolist()
        return {"by_step": by_step, "stride": examples.chosen_stride}

    def protocol(self, model: Forecasting, examples: Examples) -> str:
        every, targets = examples.chosen_stride, len(model.encoder.schema.target)
        origins = f"rolling origin, one every {'row' if every == 1 else f'{every} rows'}, without refitting"
        several = "" if targets == 1 else f", means over {'both' if targets == 2 else f'all {targets}'} targets"
        return origins + several

    def remarks(self, values: Mapping[str, Mapping[str, float]], count: int = 0) -> Sequence[str]:
        return [*random_walk(values), *interval(values["model"], count)]

    def facts(self, model: Forecasting, parts: Held[Rows], examples: Held[Examples]) -> Iterable[tuple[str, str]]:
        panel, frequency = parts.train.panel, model.encoder.frequency
        ends = [frequency.times(one.start, len(one) - 1, 1)[0] for one in panel.series]
        first, last = min(one.start for one in panel.series), max(ends)
        yield "columns", columns_in_words(panel)
        yield "series", f"{len(panel.series):,}"
        yield "rows", f"{panel.rows:,}" + (f", {panel.gaps:,} of them absent from the input" if panel.gaps else "")
        yield "times", f"{format_time(first, frequency.zone)} to {format_time(last, frequency.zone)}"
        yield "frequency", frequency.describe()
        found = find_seasons(panel, parts.train.part) if parts.train.part is not None else ()
        usual = f"{model.encoder.season} steps" if model.encoder.season > 1 else "none"
        shown = ", ".join(f"{season.length} steps ({100 * season.strength:.0f} %)" for season in found)
        yield "season", f"{usual}; found in the training part: {shown or 'none'}"
        if parts.train.split is not None:
            yield "split", parts.train.split.describe(panel)

    def settings(self, model: Forecasting) -> Mapping[str, Any]:
        encoder, settings = model.encoder, model.encoder.settings
        return {
            "target": encoder.schema.target, "time": encoder.schema.time, "series_id": encoder.schema.series_id,
            "frequency": encoder.frequency.alias(), "context": settings.context, "segment": settings.segment,
            "season": encoder.season, "seasons": list(encoder.seasons),
            "combination": combination_in_words(encoder.combination),
            "nonnegative": ", ".join(np.array(encoder.schema.target)[list(encoder.bounded)]) or "none",
            "normalization": settings.normalization, "scaling": encoder.scaler.kind,
        }  # fmt: skip

    def step_unit(self, model: Forecasting) -> StepUnit:
        encoder, segment = model.encoder, model.encoder.settings.segment
        seconds = encoder.frequency.seconds
        name = "steps" if segment == 1 else f"steps of {segment} rows"
        return StepUnit(name, None if seconds is None else segment * seconds)

    def panels(self, model: Forecasting, records: Rows, examples: Examples, predicted: Forecasts) -> Iterable[Shown]:
        fitted = Fitted.of(model)
        yield from forecast_panels(fitted, examples.panel, examples.origins)
        yield step_errors({"model": mae_by_step(examples.truth, predicted.point)})

    def pieces(self, model: Forecasting, source: Any) -> Iterator[Rows]:
        if not is_table(source) and not isinstance(source, (Rows, np.ndarray)):
            source = columns_of_rows(list(source), model.encoder.schema.used)
        yield self.read(model.parameters, source, reading_of(model))

    def answers(
        self, model: Forecasting, records: Rows, future: Any = None, *, nixtla: bool = False
    ) -> Iterator[Mapping[str, Any]]:
        """Yield the rows of the forecast after the end of each series, times as text."""
        found = Fitted.of(model).ahead(records.panel, future)
        frame = found.to_polars() if nixtla else found.to_frame()
        yield from frame.iter_rows(named=True)

    def stream(
        self, model: Forecasting, *, series_id: str | None = None, warm: bool = True, **options: Any
    ) -> ForecastStream:
        return ForecastStream(Fitted.of(model), series_id, warm=warm)

    def extended(self, model: Forecasting, records: Rows, shares: Shares) -> tuple[Forecasting, Held[Rows]]:
        """Put the new rows behind those that are known, and split them."""
        rows = grown(model.encoder, records.panel, shares)
        assert rows.split is not None
        parts = [replace(rows, part=part) for part in vars(rows.split).values()]
        base = replace(model, encoder=grown_encoder(model.encoder, rows.panel))
        return base, Held(parts[0], parts[1], parts[2], "the end of the new rows")

    def updated(self, model: Forecasting, parts: Held[Rows]) -> ForecastEncoder:
        given = parts.train.given
        assert given is not None
        return replace(model.encoder, calibrated=False, test=tested_given(parts.train), fingerprint=given.fingerprint())


def columns_of_rows(rows: list[Any], names: Sequence[str]) -> dict[str, list[Any]]:
    """Return lines of CSV or JSON, as they come from stdin, as columns."""
    from ostinato.tasks.base.lines import columns_of

    return columns_of(rows, names, "rows")


def _batch_size(parameters: ForecastParameters, windows: int) -> int:
    """Return the windows of a batch that were asked for, or as many as suit how many there are."""
    return max(8, min(128, windows // 32)) if parameters.batch_size == "auto" else int(parameters.batch_size)
