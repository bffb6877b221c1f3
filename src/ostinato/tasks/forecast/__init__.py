"""Forecasting: one application, from records to a fitted model that predicts, streams and is saved."""

from ostinato.tasks.forecast.estimator import Forecaster, load
from ostinato.tasks.forecast.result import Forecast
from ostinato.tasks.forecast.stream import ForecastStream

__all__ = ["Forecast", "ForecastStream", "Forecaster", "load"]
