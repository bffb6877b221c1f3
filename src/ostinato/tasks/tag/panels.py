"""What a report shows of a tagger."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ostinato.data.text import TaggedSentence
from ostinato.tasks.base.classes import class_table, confusion_panel, reliability_curve
from ostinato.tasks.base.summary import Panel, Sample, Table
from ostinato.tasks.tag.corpus import UNSEEN, Corpus, numbered_tags
from ostinato.tasks.tag.prediction import Tagger, Tags

_SHOWN = 3
_MISTAKES = 12


def described(corpus: Corpus, tagger: Tagger) -> tuple[tuple[str, str], ...]:
    """Return the data in pairs of a word and what it says."""

    def size(sentences: Sequence[TaggedSentence]) -> str:
        return f"{len(sentences):,} sentences, {sum(len(own.tokens) for own in sentences):,} tokens"

    settings = tagger.network.settings
    output = f"crf under the constraints of {settings.scheme}" if settings.scheme else settings.output
    return (
        ("source", corpus.origin),
        ("train", size(corpus.train)),
        ("validation", size(corpus.validation)),
        ("test", size(corpus.test)),
        ("words", f"{len(tagger.words.words.words):,}"),
        ("tags", f"{len(tagger.names)}: {', '.join(tagger.names[:30])}{', ...' * (len(tagger.names) > 30)}"),
        ("output", output),
    )


def tag_panels(tagger: Tagger, sentences: Sequence[TaggedSentence], tags: Sequence[Tags]) -> list[Panel]:
    """Return the panels of held-out sentences, none if there are none."""
    if not sentences:
        return []
    index = {name: number for number, name in enumerate(tagger.names)}
    truth = np.concatenate([numbered_tags(sentence, index) for sentence in sentences])
    found = np.concatenate([own.found for own in tags])
    chances = np.concatenate([own.chances for own in tags])
    labels = (*tagger.names, UNSEEN)
    given = chances[np.arange(len(found)), found]
    return [
        confusion_panel(labels, truth, found, title="Tags, and what they were taken for"),
        class_table(labels, truth, found, title="Each tag"),
        reliability_curve(given, found == truth, title="Reliability of the chances given"),
        *_samples(tagger, sentences, tags),
        _mistakes(tagger, sentences, tags),
    ]


def _samples(tagger: Tagger, sentences: Sequence[TaggedSentence], tags: Sequence[Tags]) -> list[Panel]:
    panels: list[Panel] = []
    for number, (sentence, own) in enumerate(zip(sentences[:_SHOWN], tags, strict=False), 1):
        rows = zip(sentence.tokens, tagger.named(own), sentence.tags, strict=True)
        text = "\n".join(f"{token}\t{found}" + (f"\t(is {tag})" * (found != tag)) for token, found, tag in rows)
        panels.append(Sample(f"Held-out sentence {number}", text))
    return panels


def _mistakes(tagger: Tagger, sentences: Sequence[TaggedSentence], tags: Sequence[Tags]) -> Table:
    """Return the mistakes of which the model was surest."""
    rows: list[tuple[str | float, ...]] = []
    for sentence, own in zip(sentences, tags, strict=True):
        named = tagger.named(own)
        for place, (found, tag) in enumerate(zip(named, sentence.tags, strict=True)):
            if found != tag:
                around = " ".join(sentence.tokens[max(0, place - 3) : place + 4])
                chance = float(own.chances[place, own.found[place]])
                rows.append((sentence.tokens[place], tag, found, chance, around))
    rows.sort(key=lambda row: -float(row[3]))
    columns = ("token", "is", "was taken for", "probability given", "around it")
    note = f"{len(rows):,} mistakes in all" if rows else "there are none"
    return Table("The surest mistakes", columns, tuple(rows[:_MISTAKES]), note)
