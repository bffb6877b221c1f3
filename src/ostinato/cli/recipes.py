"""All recipes, in the order in which the command line lists them; a new task adds its line here."""

from __future__ import annotations

from ostinato.cli import fit_forecast
from ostinato.cli.command import commands
from ostinato.cli.recipe import Recipe

RECIPES: tuple[Recipe, ...] = (
    *commands().values(),  # type: ignore[arg-type]
)

COMPARED = (fit_forecast.RECIPE, *RECIPES)
"""What `compare` and `tune` take: all of them, and forecasts, whose `fit` is in a file of its own."""
