"""All recipes, in the order in which the command line lists them."""

from __future__ import annotations

from ostinato.cli import fit_classification, fit_events, fit_language, fit_tagging, fit_translation
from ostinato.cli.recipe import Recipe

RECIPES: tuple[Recipe, ...] = (
    fit_language.RECIPE,
    fit_translation.RECIPE,
    fit_classification.TEXTS,
    fit_classification.SEQUENCES,
    fit_tagging.RECIPE,
    fit_events.RECIPE,
)
