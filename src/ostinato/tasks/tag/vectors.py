"""Pretrained vectors in the place of an embedding's own start."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ostinato.data.lines import TextFile, is_blank
from ostinato.data.text import WordVocabulary, read_vectors
from ostinato.nn import TokenEmbedding


@dataclass(frozen=True)
class Vectors:
    """Vectors of words: `weights (words, width)`, `found (words,)`, and how many there are in words, `said`."""

    weights: NDArray[np.float32]
    found: NDArray[np.bool_]
    said: str

    def put_into(self, embedding: TokenEmbedding) -> None:
        """Start an embedding from the vectors found; the other words are drawn with a deviation like theirs."""
        found = torch.from_numpy(self.weights[self.found])
        with torch.no_grad():
            embedding.weight.mul_(float(found.std()))
            embedding.weight[torch.from_numpy(self.found)] = found


def leading_words(path: str | Path, count: int) -> Iterator[str]:
    """Yield the first words of a file of vectors, which are the most frequent ones, so that they are known too.

    Raises:
        DataError: there is no such file.
    """
    cells = (line.split(" ") for line in TextFile(path, {}).lines() if not is_blank(line))
    words = (cell[0] for cell in cells if len(cell) > 2)  # a header has two numbers
    yield from islice(words, count)


def vectors_for(path: str | Path, words: WordVocabulary) -> Vectors:
    """Read the vectors of known words.

    Raises:
        DataError: the file is no file of vectors, or has none of the words.
    """
    vectors = read_vectors(path, words)
    return Vectors(vectors.weights, vectors.found, f"{Path(path).name}: {vectors.coverage:.1%} of the words")
