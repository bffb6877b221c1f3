"""A corpus as a whole: vocabularies of both sides of a translator, and texts as one flat array of numbers."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ostinato.data.text.vocabulary import Vocabulary, several
from ostinato.errors import UsageError

V = TypeVar("V", bound=Vocabulary)


def build_pair(
    pairs: Iterable[tuple[str, str]], build: Callable[[Iterable[str]], V], *, shared: bool = False
) -> tuple[V, V]:
    """Build the vocabularies of a translator.

    Args:
        pairs: `(source, target)`, as `read_parallel` gives them; must be something that can be iterated twice.
        build: makes a vocabulary of texts, such as `WordVocabulary.build`.
        shared: whether both sides have one vocabulary, counted over both; it is then returned twice.

    Raises:
        UsageError: `pairs` can be iterated only once.

    >>> from ostinato.data.text import WordVocabulary
    >>> source, target = build_pair([("a dog", "ein Hund")], WordVocabulary.build)
    >>> source.words, target.words
    (('a', 'dog'), ('Hund', 'ein'))
    """
    if isinstance(pairs, Iterator):
        raise UsageError("pairs is an iterator, which its first reading uses up; pass a list or what a reader returns")
    if shared:
        both = build(text for pair in pairs for text in pair)
        return both, both
    return build(pair[0] for pair in pairs), build(pair[1] for pair in pairs)


def encode_corpus(texts: Iterable[str], vocabulary: Vocabulary, *, eos: bool = True) -> NDArray[np.int32]:
    """Encode texts one after the other into a flat array.

    Args:
        texts: read once; never held all at a time.
        vocabulary: what numbers them.
        eos: whether the end-of-sentence token is put behind each text.

    Returns:
        Shape `(tokens,)`.

    >>> from ostinato.data.text import WordVocabulary
    >>> encode_corpus(["a cat", "a"], WordVocabulary(("a", "cat"))).tolist()
    [4, 5, 3, 4, 3]
    """
    flat, end = array("i"), [vocabulary.specials.eos] if eos else []
    for text in several(texts):
        flat.extend(vocabulary.encode(text) + end)
    return np.array(flat, np.int32)
