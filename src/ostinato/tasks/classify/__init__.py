"""Classification of whole sequences: texts, and numeric sequences of one or more channels."""

from ostinato.tasks.classify.metrics import ClassScores
from ostinato.tasks.classify.sequence_classifier import SequenceClassifier
from ostinato.tasks.classify.text_classifier import TextClassifier

__all__ = ["ClassScores", "SequenceClassifier", "TextClassifier"]
