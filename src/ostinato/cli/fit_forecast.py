"""The forecaster as a recipe, for the verbs that all tasks share; `fit forecast` itself is in `fit.py`."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

from ostinato.cli.options import FORECASTER_OPTIONS, add_options, chosen
from ostinato.cli.parsing import file
from ostinato.cli.reading import add_reading
from ostinato.cli.recipe import Recipe


@dataclass(frozen=True)
class ForecastRecipe(Recipe):
    """A recipe whose data is one file, with the horizon and the target beside it."""

    @property
    def example(self) -> str:
        """What stands for the data in an example of a verb's help."""
        return "load.csv --horizon 24"

    def add_data(self, parser: argparse.ArgumentParser) -> None:
        """Add the file, the horizon and the estimator's parameters to a parser."""
        parser.add_argument("file", type=file, metavar="FILE", help=self.file_help)
        parser.add_argument("--horizon", type=int, required=True, metavar="N", help="steps to forecast")
        add_options(parser, self.options)
        add_reading(parser, missing=False)

    def parameters(self, arguments: argparse.Namespace) -> dict[str, Any]:
        """Return the estimator's parameters that were given."""
        own = {"horizon": arguments.horizon, **chosen(arguments, self.options)}
        return own if arguments.target is None else {**own, "target": arguments.target}

    def data(self, arguments: argparse.Namespace) -> dict[str, Any]:
        """Return what `fit` reads."""
        return {"data": arguments.file}


RECIPE = ForecastRecipe(
    name="forecast",
    estimator="ostinato.tasks.forecast:Forecaster",
    help="forecast the coming steps of one or many series",
    description="Train a recurrent forecaster on a file, hold out its end, and show it beside simple baselines.",
    epilog="",
    file_help="CSV, TSV, Parquet, JSON lines, .npy or .npz; text also .gz .bz2 .xz",
    options=FORECASTER_OPTIONS,
)
