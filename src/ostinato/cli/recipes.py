"""The recipes of all tasks, found by their files: each `fit_TASK.py` of this room has one."""

from __future__ import annotations

import importlib
import pkgutil

from ostinato import cli
from ostinato.cli.recipe import Recipe


def all_recipes() -> list[Recipe]:
    """Return the recipes by name, the forecaster's first: it is what most begin with."""
    names = [module.name for module in pkgutil.iter_modules(cli.__path__) if module.name.startswith("fit_")]
    modules = [importlib.import_module(f"ostinato.cli.{name}") for name in names]
    recipes = [module.RECIPE for module in modules if hasattr(module, "RECIPE")]
    return sorted(recipes, key=lambda recipe: (recipe.name != "forecast", recipe.name))
