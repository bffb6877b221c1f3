"""Language modelling: the next character, word or subword of a text."""

from ostinato.tasks.language.adapting import DynamicEvaluation
from ostinato.tasks.language.cache import NeuralCache
from ostinato.tasks.language.estimator import LanguageModel
from ostinato.tasks.language.evaluation import LanguageScores

__all__ = ["DynamicEvaluation", "LanguageModel", "LanguageScores", "NeuralCache"]
