"""What was heard: the text, its words with times, and how certain each is."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ostinato.nn.losses import Hypothesis
from ostinato.tasks.speech.decoding.spelling import Spelling, word_spans


@dataclass(frozen=True)
class Word:
    """A word, and when it was said.

    Args:
        text: the word.
        start, end: in seconds from the beginning of the utterance: where its first unit is written first, and where its
            last unit is written last. A network that looks ahead may write early, a causal one writes late.
        confidence: from 0 to 1: the geometric mean over its units of the highest probability that each had where it was
            written.
    """

    text: str
    start: float
    end: float
    confidence: float


@dataclass(frozen=True)
class Transcript:
    """A text that was heard.

    Args:
        text: its words, with one space between two.
        score: the logarithm of its probability, with what scorers added; larger is better.
        classes: its units.
        words: with their times.
    """

    text: str
    score: float
    classes: tuple[int, ...] = ()
    words: tuple[Word, ...] = ()


def transcribed(hypothesis: Hypothesis, units: Spelling, frame_seconds: float) -> Transcript:
    """Return what a search found, as words.

    Args:
        hypothesis: with its emissions.
        units: of the model.
        frame_seconds: the seconds from frame to frame.
    """
    words = []
    for begin, end in word_spans(hypothesis.labels, units):
        emissions = hypothesis.emissions[begin:end]
        text = units.decode(hypothesis.labels[begin:end]).strip()
        if not text:
            continue
        certain = math.exp(sum(emission.score for emission in emissions) / len(emissions))
        first, last = emissions[0].start * frame_seconds, (emissions[-1].end + 1) * frame_seconds
        words.append(Word(text, first, last, min(1.0, certain)))
    return Transcript(" ".join(word.text for word in words), hypothesis.score, hypothesis.labels, tuple(words))
