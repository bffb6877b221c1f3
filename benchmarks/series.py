"""The stock, weather and energy series of the shared data, each fitted by one call with the default model.

    python benchmarks/series.py

The last tenth of every series is held out; each line has the best baseline, and the share that the interval held.
"""

from __future__ import annotations

import datetime
import sys
from typing import Any

from common import data_file, keep, machine, table
from ostinato import Forecaster

SERIES: dict[str, tuple[str, dict[str, Any]]] = {
    "New York temperatures, 3 stations, 24 h": (
        "nyc_weather_hourly/weather.csv.gz",
        {"horizon": 24, "target": "temp", "series_id": "origin"},
    ),
    "Beijing PM2.5 with weather, 24 h": (
        "beijing_pm25/pollution.csv",
        {"horizon": 24, "target": "pm2.5", "past_covariates": ("DEWP", "TEMP", "PRES", "cbwd", "Iws")},
    ),
    "Melbourne daily minimum, 7 days": ("small_series/daily-min-temperatures.csv", {"horizon": 7}),
    "ETTh1 oil temperature, 24 h": ("etth1/ETTh1.csv", {"horizon": 24, "target": "OT"}),
    "household power, 7 days": (
        "household_power_daily/household_power_consumption_days.csv",
        {"horizon": 7, "target": "Global_active_power"},
    ),
    "S&P 500 daily close, 5 days": ("stocks/sp500-2000.csv", {"horizon": 5, "target": "close"}),
    "five shares monthly, 3 months": ("stocks/stocks.csv", {"horizon": 3, "target": "price", "series_id": "symbol"}),
    "exchange rates, 8 countries, 12 days": ("exchange_rate/exchange_rate.txt.gz", {"horizon": 12}),
    "sunspots monthly, 12 months": ("small_series/monthly-sunspots.csv", {"horizon": 12}),
    "airline passengers, 12 months": ("small_series/monthly-airline-passengers.csv", {"horizon": 12}),
    "daily births, 7 days": ("small_series/daily-total-female-births.csv", {"horizon": 7}),
}


def main() -> None:
    """Fit each and print one line."""
    rows = []
    for name, (file, options) in SERIES.items():
        model = Forecaster(**options, progress=False).fit(data_file(file))
        assert model.scores_ is not None
        scores = model.scores_.values
        best = min((own for own in scores if own != "model"), key=lambda own: scores[own]["MASE"])
        held = f"{scores['model']['coverage 80 %']:.1f} %"
        rows.append([name, scores["model"]["MASE"], best, scores[best]["MASE"], held, f"{model.summary_.seconds:.0f}"])
        print(f"{name}: {model.scores_.verdict}", file=sys.stderr, flush=True)
    head = ["series, horizon", "MASE", "best baseline", "its MASE", "80 % interval held", "seconds"]
    stamp = f"{datetime.datetime.now(tz=datetime.UTC):%Y-%m-%d}, {machine()}"
    keep("series.md", f"# Stock, weather and energy series\n\n{stamp}\n\n{table(head, rows)}")


if __name__ == "__main__":
    main()
