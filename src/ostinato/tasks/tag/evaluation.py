"""How well tokens are tagged, beside models that only count."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ostinato.data.text import Specials, TaggedSentence
from ostinato.errors import DataError
from ostinato.tasks.base.classes import accuracy, confusion_counts, macro_f1
from ostinato.tasks.scores import Scores
from ostinato.tasks.base.summary import Better
from ostinato.tasks.tag.baselines import FrequentTags, HiddenMarkov
from ostinato.tasks.tag.corpus import Words, numbered_tags
from ostinato.tasks.tag.prediction import Tags
from ostinato.tasks.tag.spans import scheme_of, span_scores

_LEAST = 1e-12


@dataclass(frozen=True)
class Judge:
    """Sentences whose tags are known.

    Args:
        sentences: one or more, each with tokens.
        names: the tags that a model knows.
        words: those that it knows.
    """

    sentences: Sequence[TaggedSentence]
    names: tuple[str, ...]
    words: Words

    def measures(self, found: Sequence[Sequence[str]]) -> dict[str, float]:
        """Return the measures of tags, given by their names."""
        index = {name: number for number, name in enumerate(self.names)}
        truth = np.concatenate([numbered_tags(sentence, index) for sentence in self.sentences])
        said = np.array([index[tag] for tags in found for tag in tags])
        counts = confusion_counts(truth, said, len(self.names) + 1)
        measures = {"accuracy": accuracy(counts), "macro F1": macro_f1(counts)}
        numbers = np.array([number for own in self.sentences for number in self.words.numbers(own.tokens)])
        unknown = numbers == Specials().unk
        if unknown.any():
            measures["accuracy, unknown words"] = float((truth == said)[unknown].mean())
        if scheme_of(self.names):
            spans = span_scores([sentence.tags for sentence in self.sentences], found)
            measures |= {"span precision": spans.precision, "span recall": spans.recall, "span F1": spans.f1}
        return measures

    def cross_entropy(self, tags: Sequence[Tags]) -> float:
        """Return the mean negative log-probability of the right tag, in nats, of tags that the model knows."""
        index = {name: number for number, name in enumerate(self.names)}
        truth = np.concatenate([numbered_tags(sentence, index) for sentence in self.sentences])
        chances = np.concatenate([own.chances for own in tags])
        known = truth < len(self.names)
        own = chances[known, truth[known]]
        return float(-np.log(np.maximum(own, _LEAST)).mean()) if known.any() else 0.0


def score_tags(judge: Judge, tags: Sequence[Tags], *, split: str, train: Sequence[TaggedSentence] = ()) -> Scores:
    """Judge what a model said of sentences, and baselines beside it that count `train`.

    Raises:
        DataError: there are no sentences.
    """
    if not judge.sentences:
        raise DataError("there are no tagged sentences to judge; give some")
    own = judge.measures([[judge.names[number] for number in one.found] for one in tags])
    values: dict[str, Mapping[str, float]] = {"model": own | {"cross-entropy": judge.cross_entropy(tags)}}
    if train:
        baselines: dict[str, Callable[[Sequence[str]], list[str]]] = {
            "hidden Markov model": HiddenMarkov(train).tags,
            "most frequent tag of the word": FrequentTags(train).tags,
        }
        for name, tag in baselines.items():
            values[name] = judge.measures([tag(sentence.tokens) for sentence in judge.sentences])
    better: dict[str, Better] = dict.fromkeys(values["model"], "higher")
    better["cross-entropy"] = "lower"
    count = sum(len(sentence.tokens) for sentence in judge.sentences)
    return Scores(f"{split}, {len(judge.sentences):,} sentences", count, "tokens", values, better)
