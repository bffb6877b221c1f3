"""How captions are judged: CIDEr-D, ROUGE-L, BLEU, chrF, and how many are exactly what somebody said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.nn.losses import perplexity
from ostinato.tasks.base.corpus_scores import corpus_parts
from ostinato.tasks.base.units import Parts, Units, mean_of
from ostinato.tasks.captions.consensus import cider_d, rouge_l, words

Counters = tuple[Any, Any] | None
DIFFERENT = "different captions"


@dataclass(frozen=True)
class Said:
    """Captions of clips; `loss` is that of a token of the references, if it is known."""

    texts: list[str]
    loss: float | None = None


def exact(captions: Sequence[str], references: Sequence[Sequence[str]]) -> NDArray[np.float64]:
    """Return 1 for each caption that is one of its clip's references, word for word, `(clips,)`."""
    return np.array(
        [
            words(caption) in [words(each) for each in group]
            for caption, group in zip(captions, references, strict=True)
        ],
        np.float64,
    )


def caption_parts(captions: Sequence[str], references: Sequence[Sequence[str]], counters: Counters) -> dict[str, Parts]:
    """Return what each clip adds to each measure.

    Args:
        captions: one of each clip.
        references: of each clip.
        counters: of BLEU and chrF, if sacrebleu is installed.
    """
    found: dict[str, Parts] = {}
    if len(captions) > 1:  # of a single clip no n-gram tells anything
        found["CIDEr-D"] = mean_of(cider_d(captions, references))
    found["ROUGE-L"] = mean_of(100 * rouge_l(captions, references))
    found["exact sentences"] = mean_of(exact(captions, references))
    return found | (corpus_parts(counters, captions, references) if counters is not None else {})


def caption_measures(said: Said, references: Sequence[Sequence[str]], counters: Counters) -> dict[str, float]:
    """Return the measures of captions; see `caption_parts`."""
    found = {name: part.total for name, part in caption_parts(said.texts, references, counters).items()}
    if len(said.texts) > 1:
        found[DIFFERENT] = float(len({" ".join(words(text)) for text in said.texts}))
    return found if said.loss is None else found | {"loss": said.loss, "perplexity": perplexity(said.loss)}


def caption_units(said: Said, references: Sequence[Sequence[str]], counters: Counters) -> Units:
    """Return the measures by clips."""
    return Units(len(said.texts), "clips", caption_parts(said.texts, references, counters))
