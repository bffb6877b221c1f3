"""Translation: from one sequence of text to another, by an encoder, attention and a decoder."""

from ostinato.tasks.translate.estimator import Translator
from ostinato.tasks.translate.evaluation import TranslationScores
from ostinato.tasks.translate.search import Search
from ostinato.tasks.translate.translating import Translation

__all__ = ["Search", "Translation", "TranslationScores", "Translator"]
