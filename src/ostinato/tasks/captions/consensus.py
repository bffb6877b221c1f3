"""CIDEr-D and ROUGE-L: how near captions come to what several people said of the same clips."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ostinato.errors import ShapeError

_LONGEST, _SIGMA, _BETA = 4, 6.0, 1.2
_WORD = re.compile(r"\w+(?:['’-]\w+)*")
Gram = tuple[str, ...]


def words(text: str) -> list[str]:
    """Return the words of a caption as they are compared: in lower case, without punctuation.

    >>> words("A man's dog, running!")
    ['a', "man's", 'dog', 'running']
    """
    return _WORD.findall(text.lower())


@dataclass(frozen=True)
class _Weighed:
    """A caption as n-grams, each with how often it comes times how much it tells."""

    grams: tuple[dict[Gram, float], ...]
    norms: tuple[float, ...]
    length: int


def cider_d(captions: Sequence[str], references: Sequence[Sequence[str]]) -> NDArray[np.float64]:
    """Return the CIDEr-D of each caption, `(clips,)`, 0 to 10.

    n-grams of one to four words count the more the fewer clips have them in a reference; a caption is compared with
    each reference by the cosine of these, none counted more often than the reference has it, and less where their
    lengths differ (a Gaussian of 6 words). What is said of a single clip tells nothing: all weights are then 0.

    Args:
        captions: one of each clip.
        references: of each clip, one or more.

    Raises:
        ShapeError: there are not as many, or a clip has no reference.

    Source: R. Vedantam, C. Zitnick and D. Parikh, "CIDEr: consensus-based image description evaluation", CVPR 2015,
    section 5 (CIDEr-D); as in the reference implementation, but for its tokenizer (see `words`).

    >>> cider_d(["a dog runs", "a cat"], [["a dog runs"], ["a cat sleeps"]]).round(2).tolist()
    [7.5, 3.49]
    """
    check(captions, references)
    counted = [[_grams(each) for each in group] for group in references]
    seen = Counter(gram for group in counted for gram in set().union(*group))
    most = math.log(max(1, len(references)))
    return np.array(
        [
            _consensus(_weighed(_grams(caption), seen, most), [_weighed(each, seen, most) for each in group])
            for caption, group in zip(captions, counted, strict=True)
        ],
        np.float64,
    )


def rouge_l(captions: Sequence[str], references: Sequence[Sequence[str]]) -> NDArray[np.float64]:
    """Return the ROUGE-L of each caption, `(clips,)`, 0 to 1: the longest common subsequence of words.

    Precision and recall are each the best over the references; recall counts 1.2 squared times as much.

    Args:
        captions: one of each clip.
        references: of each clip, one or more.

    Raises:
        ShapeError: there are not as many, or a clip has no reference.

    Source: C. Lin, "ROUGE: a package for automatic evaluation of summaries", 2004, section 3; as captions are measured
    by (COCO, X. Chen et al., 2015).

    >>> rouge_l(["a dog runs fast"], [["a dog runs"]]).round(4).tolist()
    [0.8798]
    """
    check(captions, references)
    return np.array(
        [_rouge(words(caption), list(map(words, group))) for caption, group in zip(captions, references, strict=True)],
        np.float64,
    )


def check(captions: Sequence[str], references: Sequence[Sequence[str]]) -> None:
    """Refuse captions and references that do not belong together.

    Raises:
        ShapeError: there are not as many, or a clip has no reference.
    """
    if len(captions) != len(references):
        raise ShapeError(f"there are {len(captions)} captions and references of {len(references)} clips")
    missing = next((number for number, group in enumerate(references, 1) if not len(group)), None)
    if missing is not None:
        raise ShapeError(f"clip {missing} has no reference; expected one or more")


def _grams(text: str) -> Counter[Gram]:
    found = words(text)
    return Counter(
        tuple(found[place : place + size]) for size in range(1, _LONGEST + 1) for place in range(len(found) - size + 1)
    )


def _weighed(grams: Counter[Gram], seen: Counter[Gram], most: float) -> _Weighed:
    by_size: tuple[dict[Gram, float], ...] = tuple({} for _ in range(_LONGEST))
    for gram, count in grams.items():
        by_size[len(gram) - 1][gram] = count * (most - math.log(max(1, seen[gram])))
    norms = tuple(math.sqrt(sum(value * value for value in each.values())) for each in by_size)
    # the reference implementation takes the number of pairs of words for the length
    return _Weighed(by_size, norms, sum(count for gram, count in grams.items() if len(gram) == 2))


def _consensus(caption: _Weighed, references: Sequence[_Weighed]) -> float:
    return 10.0 * sum(_similar(caption, each) for each in references) / (_LONGEST * len(references))


def _similar(caption: _Weighed, reference: _Weighed) -> float:
    """Return the cosines of all sizes of n-grams, summed up."""
    total = 0.0
    for ours, theirs, norm, other in zip(caption.grams, reference.grams, caption.norms, reference.norms, strict=True):
        if norm and other:
            shared = ours.keys() & theirs.keys()
            total += sum(min(ours[gram], theirs[gram]) * theirs[gram] for gram in shared) / (norm * other)
    return total * math.exp(-((caption.length - reference.length) ** 2) / (2 * _SIGMA**2))


def _rouge(caption: list[str], references: list[list[str]]) -> float:
    common = [_common(caption, reference) for reference in references]
    precision = max(common) / max(1, len(caption))
    recall = max(count / max(1, len(reference)) for count, reference in zip(common, references, strict=True))
    if not precision or not recall:
        return 0.0
    return (1 + _BETA**2) * precision * recall / (recall + _BETA**2 * precision)


def _common(one: list[str], other: list[str]) -> int:
    """Return how long the longest common subsequence of two texts is."""
    row = [0] * (len(other) + 1)
    for word in one:
        before = 0
        for place, against in enumerate(other):
            kept = row[place + 1]
            row[place + 1] = before + 1 if word == against else max(row[place + 1], row[place])
            before = kept
    return row[-1]
