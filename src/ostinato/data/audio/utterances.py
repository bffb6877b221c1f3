"""Utterances: sounds with what is said in them, by whom; their samples are read when they are asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.audio.sources import FileSource, SampleCache, Source
from ostinato.errors import DataError

Samples = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Utterances:
    """Sounds in the order of their source.

    Args:
        origin: what to call the source in a message.
        sources: where the samples of each lie.
        ids: a name for each, no two alike.
        texts: what is said in each; `None`: not known.
        speakers: who says each; `None`: not known.
    """

    origin: str
    sources: tuple[Source, ...]
    ids: tuple[str, ...]
    texts: tuple[str, ...] | None = None
    speakers: tuple[str, ...] | None = None
    cache: SampleCache = field(default_factory=SampleCache, repr=False)

    def __post_init__(self) -> None:
        """Refuse names that two have, and parts of other lengths.

        Raises:
            DataError: there are some.
        """
        count = len(self.sources)
        for values in (self.ids, self.texts, self.speakers):
            if values is not None and len(values) != count:
                raise DataError(
                    f"{self.origin} has {count} sounds, but {len(values)} names, texts or speakers for them"
                )
        twice = [name for name, times in Counter(self.ids).items() if times > 1]
        if twice:
            raise DataError(
                f"{self.origin} has {len(twice):,} names that several utterances have, the first of them "
                f'"{twice[0][:80]}"; give each a name of its own'
            )

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, rows: slice | Sequence[int] | NDArray[Any]) -> Utterances:
        """Return a part of them, in the order that is asked for."""
        return self.part(range(len(self))[rows] if isinstance(rows, slice) else rows)

    def part(self, rows: Sequence[int] | NDArray[Any]) -> Utterances:
        """Return a part of them: numbers from 0, in the order that is asked for."""
        places = np.asarray(rows, np.int64).tolist()
        taken = [
            None if values is None else tuple(values[row] for row in places) for values in (self.texts, self.speakers)
        ]
        return replace(
            self,
            sources=tuple(self.sources[row] for row in places),
            ids=tuple(self.ids[row] for row in places),
            texts=taken[0],
            speakers=taken[1],
        )

    def joined(self, other: Utterances) -> Utterances:
        """Return these and others as one."""

        def both(these: tuple[str, ...] | None, more: tuple[str, ...] | None) -> tuple[str, ...] | None:
            return None if these is None or more is None else (*these, *more)

        return replace(
            self,
            sources=(*self.sources, *other.sources),
            ids=(*self.ids, *other.ids),
            texts=both(self.texts, other.texts),
            speakers=both(self.speakers, other.speakers),
        )

    @cached_property
    def durations(self) -> NDArray[np.float64]:
        """How long each is, `(utterances,)`, in seconds, as headers say.

        Raises:
            DataError: a file is not there or cannot be read.
        """
        return np.array([source.seconds for source in self.sources], np.float64)

    @cached_property
    def rates(self) -> NDArray[np.int64]:
        """Samples a second that each was recorded with, `(utterances,)`."""
        return np.array([source.native_rate for source in self.sources], np.int64)

    def usual_rate(self) -> int:
        """Return the rate that suits most of them: 8000, or 16000 where they have so much."""
        return 16000 if float(np.median(self.rates)) >= 11025 else 8000

    def samples(self, row: int, rate: int) -> Samples:
        """Return the samples of one, `(samples,)`, float32 in [-1, 1], at a rate; not to be written to.

        Raises:
            DataError: it cannot be read, or is cut short; the file is named.
        """
        source = self.sources[row]
        key = source if isinstance(source, FileSource) else id(source), rate
        found = self.cache.get(key)
        if found is None:
            found, _ = source.samples(rate)
            self.cache.put(key, found)
        return found

    def contents(self) -> Iterator[bytes]:
        """Yield 16 bytes for each, the same for equal contents; nothing is decoded."""
        for source in self.sources:
            yield source.key()

    @property
    def fingerprint(self) -> tuple[Any, ...]:
        """What tells them from others in a checkpoint."""
        return list(self.contents()), self.texts, self.speakers
