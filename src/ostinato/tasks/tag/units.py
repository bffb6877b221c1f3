"""The measures of a tagger by sentences: the tags of one sentence hang together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ostinato.data.text import Specials
from ostinato.tasks.base.class_units import class_units
from ostinato.tasks.base.task import Model
from ostinato.tasks.base.units import Floats, Sums, Units, mean_of
from ostinato.tasks.tag.baselines import Tags
from ostinato.tasks.tag.parameters import TagParameters
from ostinato.tasks.tag.sentences import Examples, TagEncoder
from ostinato.tasks.tag.spans import scheme_of, spans_of


def tag_units(
    model: Model[TagParameters, TagEncoder],
    examples: Examples,
    predicted: Sequence[Tags],
    found: NDArray[np.int64],
    probabilities: Floats | None,
) -> Units:
    """Return the measures by sentences.

    Args:
        model: whose tags and known words they are.
        examples: sentences with their true tags.
        predicted: the tags of each.
        found: all of them in a row.
        probabilities: likewise, `None` without.
    """
    count, tags = len(examples), model.encoder.tags
    owners = np.repeat(np.arange(count), [len(sentence.tokens) for sentence in examples.sentences])
    parts = class_units(examples.truth, found, probabilities, len(tags), owners, count)
    unknown = unknown_words(model, examples)
    if unknown.any():
        right = np.where(unknown, examples.truth == found, np.nan)
        parts["accuracy, unknown words"] = mean_of(right, owners, count)
    if scheme_of(tags):
        named = [[tags[number] for number in each.found] for each in predicted]
        sums = _span_sums([sentence.tags for sentence in examples.sentences], named)
        parts |= {name: Sums(sums, of) for name, of in _SPANS.items()}
    return Units(count, "sentences", parts)


def unknown_words(model: Model[TagParameters, TagEncoder], examples: Examples) -> NDArray[np.bool_]:
    """Return which tokens, of all sentences in a row, are none of the known words."""
    numbers = [number for sentence in examples.sentences for number in model.encoder.numbers(sentence.tokens)]
    return np.asarray(np.array(numbers) == Specials().unk)


def _span_sums(truth: Sequence[Sequence[str]], found: Sequence[Sequence[str]]) -> Floats:
    """Return of each sentence how many spans are right, how many were named, and how many there are."""
    rows = []
    for true, named in zip(truth, found, strict=True):
        ours, theirs = set(spans_of(named)), set(spans_of(true))
        rows.append((len(ours & theirs), len(ours), len(theirs)))
    return np.array(rows, np.float64)


def _share(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)


_SPANS: dict[str, Callable[[Floats], Floats]] = {
    "span precision": lambda each: _share(each[:, 0], each[:, 1]),
    "span recall": lambda each: _share(each[:, 0], each[:, 2]),
    "span F1": lambda each: _share(2 * each[:, 0], each[:, 1] + each[:, 2]),
}
