"""From clips and captions to frames and tokens: what is fitted on the training part, and what the network reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from ostinato.data.text import CharacterVocabulary, Specials, SubwordVocabulary, Vocabulary, WordVocabulary
from ostinato.tasks.base.holding_out import fingerprint
from ostinato.tasks.captions.frames import Frames, FrameSettings, FrameStore
from ostinato.tasks.captions.habits import Habits
from ostinato.tasks.captions.parameters import CaptionParameters
from ostinato.tasks.captions.reading import Captioned, References

_FEWEST, _MOST = 300, 8000  # subwords


@dataclass(frozen=True)
class CaptionEncoder:
    """What was fitted on the training part.

    Args:
        vocabulary: of captions.
        frames: how clips are read.
        longest: the most tokens that are written, unless said otherwise.
        habits: how short captions are, and what they do not repeat.
    """

    reading: ClassVar[bool] = True

    vocabulary: Vocabulary
    frames: FrameSettings
    longest: int
    habits: Habits = field(default_factory=Habits)

    @property
    def sizes(self) -> dict[str, int]:
        """The whole numbers that the network is made of."""
        return {"frame": self.frames.height, "features": self.frames.width, "tokens": len(self.vocabulary)}

    @classmethod
    def fit(cls, parameters: CaptionParameters, train: Captioned) -> CaptionEncoder:
        """Look at clips, and build the vocabulary.

        Raises:
            DataError: no clip can be read, or no word is frequent enough.
        """
        texts = [text for group in train.references for text in group]
        vocabulary = _vocabulary(parameters, texts)
        settings = FrameSettings.fit(parameters, train.clips)
        store = FrameStore.of(train, settings)
        usual = float(np.quantile(store.seconds[store.lengths > 0], 0.9))
        tokens = [vocabulary.encode(text)[: parameters.max_length] for text in texts]
        longest = max(map(len, tokens)) + 5
        return cls(vocabulary, replace(settings, usual=usual), longest, Habits.of(tokens))

    def tokens(self, text: str, longest: int) -> list[int]:
        """Return a caption between the marks of its beginning and its end; a longer one is cut, and has no end."""
        bos, eos = self.vocabulary.specials.bos, self.vocabulary.specials.eos
        found = self.vocabulary.encode(text)
        return [bos, *found, eos] if len(found) <= longest else [bos, *found[:longest]]

    def encode(self, records: Captioned, longest: int) -> Shown:
        """Return clips as frames and tokens; those that cannot be read are left out, and said.

        Raises:
            DataError: none can be read.
        """
        store = FrameStore.of(records, replace(self.frames, usual=0.0))
        rows = tuple(row for row in range(len(records)) if row not in store.failed)
        said = tuple(records.references[row] for row in rows)
        targets = [[self.tokens(text, longest) for text in group] for group in said]
        names = tuple(records.clips.names[row] for row in rows)
        return Shown(store, rows, names, said, targets, tuple(records.clips.names[row] for row in store.failed))


@dataclass(frozen=True, eq=False)
class Shown:
    """Clips as the network reads them.

    Args:
        store: of the frames; rows: which of its clips these are.
        names: of each; references: what was said of each; targets: the tokens of each of these.
        left_out: the names of clips that cannot be read.
    """

    store: FrameStore
    rows: tuple[int, ...]
    names: tuple[str, ...]
    references: References
    targets: list[list[list[int]]]
    left_out: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def lengths(self) -> list[int]:
        """Frames of each."""
        found: list[int] = self.store.lengths[list(self.rows)].tolist()
        return found

    def frames(self, row: int) -> Frames:
        """Return the frames of one."""
        return self.store[self.rows[row]]

    def source(self, row: int) -> Any:
        """Return where one is read from: a path, or an array."""
        return self.store.sources[self.rows[row]]

    def seconds(self, row: int) -> float:
        """Return the seconds between the first frame of one and its last."""
        return float(self.store.seconds[self.rows[row]])

    @property
    def long(self) -> int:
        """How many captions are cut off."""
        return sum(tokens[-1] != Specials().eos for group in self.targets for tokens in group)

    @cached_property
    def fingerprint(self) -> str:
        """What tells them from others in a checkpoint."""
        places = list(self.rows)
        return fingerprint(self.store.lengths[places], self.store.sums[places], self.targets)


def _vocabulary(parameters: CaptionParameters, texts: Sequence[str]) -> Vocabulary:
    given = parameters
    size, lower, count = given.vocabulary_size, given.lower, given.min_count
    if given.level == "subword":
        suited = min(max(_FEWEST, len(set(" ".join(texts).split()))), _MOST)
        return SubwordVocabulary.build(texts, model="bpe", size=size or suited, lower=lower)
    if given.level == "character":
        return CharacterVocabulary.build(texts, lower=lower, min_count=count, max_size=size)
    return WordVocabulary.build(texts, split="words", lower=lower, min_count=count, max_size=size)
