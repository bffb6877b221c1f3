"""Forecasting: one application, from records to a fitted model that predicts, streams and is saved."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ostinato.tasks.forecast.estimator import Forecaster
    from ostinato.tasks.forecast.result import Forecast
    from ostinato.tasks.forecast.stream import ForecastStream

_HOMES = {"Forecast": "result", "ForecastStream": "stream", "Forecaster": "estimator"}

__all__ = ["Forecast", "ForecastStream", "Forecaster"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:  # the command line reads the parameters beside them, without PyTorch
        from importlib import import_module

        return getattr(import_module(f"ostinato.tasks.forecast.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'ostinato.tasks.forecast' has no attribute '{name}'")
