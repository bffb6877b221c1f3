"""Language modelling: the next character, word or subword of a text."""

from ostinato.tasks.language.estimator import LanguageModel
from ostinato.tasks.language.evaluation import LanguageScores

__all__ = ["LanguageModel", "LanguageScores"]
