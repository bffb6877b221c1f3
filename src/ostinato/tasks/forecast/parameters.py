"""The parameters of a forecaster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import MISSING, dataclass
from typing import ClassVar, Literal

from ostinato.options import Cell, data, model, training
from ostinato.tasks.base.about import About, Extra, TimedTables
from ostinato.training.config import Optimizer, Schedule


@dataclass(kw_only=True, eq=False, repr=False)
class ForecastParameters(TimedTables):
    """The parameters of a `Forecaster`."""

    about: ClassVar[About] = About(
        name="forecast",
        kind="forecaster",
        help="forecast the coming steps of one or many series",
        description="Train a recurrent forecaster on a file, hold out its end, and show it beside simple baselines.",
        examples="""
  ostinato fit forecast load.csv --target load --horizon 24 --out model
  ostinato fit forecast sales.parquet --series-id shop --target sold --known-covariates holiday --horizon 14 --out model
  ostinato fit forecast counts.csv --target visits --horizon 12 --output negative_binomial --out model
  ostinato fit forecast load.csv --target load --horizon 24 --out model --resume     resume after a kill""",
        files="a table: CSV, TSV, Excel, Parquet, JSON lines, SQLite, .npy or .npz; text also .gz .bz2 .xz .zst",
        tables=True,
        answers="table",
        hint="ostinato predict {out} forecasts the steps after its end; ostinato report {out} shows the model",
        extras={
            "predict": (
                Extra("future", str, "file of the known covariates of the coming steps", file=True),
                Extra("nixtla", bool, "columns as Nixtla's libraries have: unique_id, ds, Ostinato, Ostinato-lo-80"),
            ),
            "evaluate": (Extra("stride", int, "rows from one forecast to the next (1, or what memory allows)"),),
            "stream": (
                Extra("series_id", str, "which series it is, if the model has several"),
                Extra("cold", bool, "start from nothing, not from the end of the training data"),
            ),
        },
    )
    unsized: ClassVar[frozenset[str]] = frozenset({"context", "season", "segment", "quantiles"})

    horizon: int = data(MISSING, "steps to forecast", low=1, kw_only=False)
    target: str | Sequence[str] | None = data(None, "columns to forecast", absent="y, or all numeric ones")
    time: str | None = data(None, "column of times; several joined by +, as year+month+day+hour", absent="found")
    series_id: str | None = data(None, "column that names the series", absent="unique_id if it is there")
    frequency: str | int | None = data(
        None, 'step of the grid: h, 15min, D, B, W, MS, ..., 5 or "rows"', absent="found"
    )
    no_values: Literal["nan", "error"] = data("nan", "the forecast of a series without a value to go by")
    past_covariates: str | Sequence[str] = data((), "columns known up to now; text is encoded")
    known_covariates: str | Sequence[str] = data((), "columns known for the coming steps too")
    static_covariates: str | Sequence[str] = data((), "columns that do not change within a series")
    validation: float = data(0.1, "share or rows at the end of training that decide when to stop", low=0)
    test: float = data(0.1, "share or rows at the end that are held out to be judged on", low=0)
    context: int | None = model(None, "steps a forecast looks back on", low=1, absent="two horizons and two seasons")
    season: int | None = model(
        None, "steps of a season, for baselines and MASE; 1 for none", low=1, absent="from the frequency"
    )
    calendar: bool = model(
        True,
        "read time of day, week and year, as far as the frequency shows them and training holds two of each",
    )
    cell: Cell = model("gru", "recurrent cell, any of docs/cells.md, or transformer")
    hidden_size: int = model(64, "units of a layer", low=1)
    num_layers: int = model(1, "layers", low=1)
    dropout: float = model(0.1, "of outputs, between layers and before the last linear layer", low=0, below=1)
    segment: int | Literal["auto"] = model("auto", "steps that one recurrent step reads, 1 for each by itself", low=1)
    decoding: Literal["direct", "recursive"] = model("direct", "all steps at once, or each fed back")
    normalization: Literal["auto", "none", "last", "mean", "standard", "last_std", "mean_abs"] = model(
        "auto", "what each window is brought to: last_std, or mean_abs for counts"
    )
    highway: bool = model(True, "a linear map from context to horizon beside the recurrence")
    combine: bool | Literal["auto"] = model(
        "auto", "combine the network with simple forecasts by their errors on the validation part; auto: not of counts"
    )
    nonnegative: bool | Literal["auto"] = model(
        "auto", "forecasts stay at zero or above; auto: of targets that training shows near zero and never below"
    )
    scaling: Literal["auto", "standard", "mean_abs", "none"] = model(
        "auto", "of each series by its training part: standard, or none for counts"
    )
    output: Literal["quantiles", "point", "gaussian", "student_t", "negative_binomial"] = model(
        "quantiles", "what is forecast"
    )
    quantiles: Sequence[float] = model((0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9), "levels, joined by commas")
    loss: Literal["mae", "mse", "huber"] = model("mae", "of a point forecast")
    batch_size: int | Literal["auto"] = training(
        "auto", "windows in a batch: 128, or fewer where an epoch would have less than 32 steps", low=1
    )
    windows_per_epoch: int = training(8192, "windows drawn in an epoch, at most", low=1)
    refit: bool = training(False, "train once more, with the rows that decided when to stop, which are the newest")
    epochs: int | None = training(30, "passes, at most", low=1)
    optimizer: Optimizer = training("adamw", "what moves the weights; sgd with momentum")
    schedule: Schedule = training("one_cycle", "how the learning rate falls from the first step to the last")
    patience: int | None = training(8, "epochs without a better validation loss before training stops", low=1)
