"""Whether tags keep to a scheme, so that a CRF may be held to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from ostinato.data.text import TaggedSentence
from ostinato.nn.losses import LinearChainCRF, TagConstraints, tag_constraints
from ostinato.tasks.tag.spans import scheme_of


def scheme_for(names: Sequence[str], sentences: Iterable[TaggedSentence]) -> str:
    """Return the scheme of the tags, `"BIO"` or `"IOBES"`, if all sentences keep to it, else `""`.

    IOB1, where a span begins with `I`, keeps to none of these.
    """
    scheme = scheme_of(names)
    try:
        allowed = tag_constraints(names, scheme)  # type: ignore[arg-type]
    except ValueError:  # BILOU, or other names
        return ""
    index = {name: number for number, name in enumerate(names)}
    return scheme if all(_keeps(sentence, index, allowed) for sentence in sentences) else ""


def possible(sentence: TaggedSentence, index: Mapping[str, int], crf: LinearChainCRF | None) -> bool:
    """Tell whether a model can give the tags of a sentence: it knows them, and a CRF allows their order."""
    if crf is None:
        return any(tag in index for tag in sentence.tags)
    allowed = TagConstraints(crf.allowed, crf.allowed_start, crf.allowed_end)
    return all(tag in index for tag in sentence.tags) and _keeps(sentence, index, allowed)


def _keeps(sentence: TaggedSentence, index: Mapping[str, int], allowed: TagConstraints) -> bool:
    numbers = [index[tag] for tag in sentence.tags]
    return (
        bool(allowed.start[numbers[0]])
        and bool(allowed.end[numbers[-1]])
        and all(bool(allowed.transitions[a, b]) for a, b in pairwise(numbers))
    )
