"""Several scorers together, and their weight, found on utterances that were held out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.errors import ShapeError
from ostinato.nn.losses import CombinedScorer, Scorer
from ostinato.tasks.speech.decoding.decoder import Decoder
from ostinato.tasks.speech.decoding.spelling import Spelling
from ostinato.tasks.speech.decoding.transcript import Transcript
from ostinato.tasks.speech.measures import character_errors, word_errors

WEIGHTS = (0.0, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)
BONUSES = (-0.5, 0.0, 0.5, 1.0, 2.0)
_FRAMES = 6000
"""Frames that are decoded for each weight that is tried: 4 minutes of speech at 40 ms a frame, about a second each."""
_HEARD = 4
_CHARACTERS = 0.1


@dataclass(frozen=True)
class Fusion:
    """How much a scorer counts.

    Args:
        weight: of its logarithms; 0: it is not asked.
        bonus: for each unit, in nats.
        errors: the expected errors that these had on what was held out, as a share of its words, with a tenth of the
            share of its characters; `None`: nothing was held out.
        without: the same of the beam alone.
    """

    weight: float = 0.0
    bonus: float = 0.0
    errors: float | None = None
    without: float | None = None

    def __post_init__(self) -> None:
        """Refuse what a search could not go by.

        Raises:
            ValueError: a number is not finite, or the weight is negative.
        """
        if not (np.isfinite(self.weight) and np.isfinite(self.bonus) and self.weight >= 0):
            raise ValueError("the weight of a language model is no number from 0 on")


def fused(units: Spelling, parts: Sequence[tuple[Scorer, float]], bonus: float = 0.0) -> CombinedScorer | None:
    """Return scorers with their weights as one; `None` if nothing is added.

    Args:
        units: of the model.
        parts: scorers and their weights; of `Lexicon` and `HotWords` it is 1.
        bonus: for each unit.
    """
    used = tuple((scorer, weight) for scorer, weight in parts if weight)
    return CombinedScorer(len(units), used, bonus) if used or bonus else None


def find_fusion(
    frames: Sequence[NDArray[Any]],
    references: Sequence[str],
    make: Callable[[CombinedScorer], Decoder],
    scorer: Scorer,
    units: Spelling,
    *,
    weights: Sequence[float] = WEIGHTS,
    bonuses: Sequence[float] = BONUSES,
    others: Sequence[tuple[Scorer, float]] = (),
) -> Fusion:
    """Return the weight of a scorer, and the bonus for each unit, with the fewest errors on held-out utterances.

    Errors are expected ones, over the best transcripts of each utterance by their probabilities: they tell weights from
    each other where the best transcript is the same. The weight is found first, with no bonus, then the bonus; of two
    with the same errors the smaller is taken. What is not better than the beam alone by a tenth of a word is not used.

    Args:
        frames: of each utterance, as a `Decoder` takes them; of many, the first few minutes are used.
        references: what was said.
        make: makes a decoder with a beam of a scorer.
        scorer: the one to be weighed.
        units: of the model.
        weights: that are tried.
        bonuses: that are tried.
        others: scorers that are there whatever the weight.

    Raises:
        ShapeError: there are not as many references as utterances.
    """
    if len(frames) != len(references):
        raise ShapeError(f"there are {len(frames)} utterances and {len(references)} references; expected as many")
    used = np.cumsum([len(frame) for frame in frames]) <= _FRAMES
    count = max(1, int(used.sum()))
    frames, references = frames[:count], references[:count]
    words = sum(len(reference.split()) for reference in references)
    if not words:
        return Fusion()

    def errors(weight: float, bonus: float) -> float:
        decoder = make(CombinedScorer(len(units), (*others, (scorer, weight)), bonus))
        return expected_errors([decoder.decode(frame, _HEARD) for frame in frames], references)

    tried = {(weight, 0.0): errors(weight, 0.0) for weight in sorted({0.0, *weights})}
    weight = min(tried, key=lambda each: (tried[each], each[0]))[0]
    tried |= {(weight, bonus): errors(weight, bonus) for bonus in bonuses if bonus}
    best = min(tried, key=lambda each: (tried[each], abs(each[1]), each[0]))
    without = tried[0.0, 0.0]
    if tried[best] > without - 0.1 / words:
        return Fusion(0.0, 0.0, without, without)
    return Fusion(*best, tried[best], without)


def expected_errors(heard: Sequence[Sequence[Transcript]], references: Sequence[str]) -> float:
    """Return the errors that transcripts have by their probabilities among each other; see `Fusion`.

    Args:
        heard: of each utterance some transcripts, with scores.
        references: what was said.
    """
    shares, ones, twos = [], [], []
    for transcripts, reference in zip(heard, references, strict=True):
        scores = np.array([transcript.score for transcript in transcripts])
        probabilities = np.exp(scores - scores.max())
        shares += (probabilities / probabilities.sum()).tolist()
        ones += [reference] * len(transcripts)
        twos += [transcript.text for transcript in transcripts]
    weights = np.array(shares)
    found = 0.0
    for counted, share in ((word_errors(ones, twos), 1.0), (character_errors(ones, twos), _CHARACTERS)):
        total = float((weights * counted.reference).sum())
        found += share * float((weights * counted.errors).sum()) / total if total else 0.0
    return found
