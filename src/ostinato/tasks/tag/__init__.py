"""Sequence tagging: a tag for each token of a sentence."""

from ostinato.tasks.tag.estimator import SequenceTagger

__all__ = ["SequenceTagger"]
