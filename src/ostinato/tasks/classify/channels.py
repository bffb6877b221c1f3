"""Numeric sequences as a classifier reads them: from files and arrays to examples, from examples to features."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import ref

import numpy as np
from numpy.typing import NDArray

from ostinato.data.archived import read_archived
from ostinato.data.frames import as_array
from ostinato.data.schema import MISSING
from ostinato.data.sequences import SequenceSet, narrowed, read_sequences
from ostinato.data.times import ANY, TimeFormat
from ostinato.errors import DataError, UsageError
from ostinato.tasks.classify.encoding import ClassEncoder
from ostinato.tasks.classify.examples import Classes, Examples, checked_labels
from ostinato.tasks.classify.parameters import SequenceParameters
from ostinato.tasks.classify.shapes import differ
from ostinato.tasks.classify.sounds import holds_sounds, read_sounds
from ostinato.tasks.classify.steps import SequenceReading, Steps

_HELD = 1 << 22  # numbers of sequences that are measured at once


def read_examples(
    parameters: SequenceParameters, data: Any, reading: SequenceReading | None, *, labelled: bool
) -> Examples:
    """Read sequences, and their labels if there are to be any.

    Args:
        parameters: the columns of a long table among them.
        data: a path of a `.ts`, `.arff` or UCR text file, or of a long table; a data frame or mapping of columns; a
            `SequenceSet`; a pair of sequences and labels, each sequence `(time, channels)` or `(time,)`; or, without
            labels, sequences. In place of sequences, sounds: see `read_sounds`.
        reading: how those were read that a model was fitted on, if it was.
        labelled: whether each must have a label.

    Raises:
        DataError: the file cannot be read, a column is not there, a label is missing, or the channels differ.
        UsageError: the data is of another kind.
    """
    given, channels = parameters, reading.channels if reading else ()
    if holds_sounds(given, data, reading, labelled):
        return read_sounds(given, data, reading, labelled=labelled)
    if isinstance(data, (str, Path)) and (found := read_archived(data, given.series_id)) is not None:
        data = found
    elif isinstance(data, (str, Path, Mapping)) or hasattr(data, "columns"):
        wanted = TimeFormat.wanted(day_first=given.day_first, time_format=given.time_format, time_zone=given.time_zone)
        data = read_sequences(
            data,
            series_id=given.series_id,
            time=given.time,
            channels=channels or tuple(given.channels),
            label=given.label if labelled else None,
            decimal=given.decimal,
            missing=(*MISSING, *given.all_missing),
            time_format=reading.time_format if reading else wanted,
            custom=reading.decimal if reading else None,
        )
    examples = _from_set(data, labelled) if isinstance(data, SequenceSet) else _from_lists(data, labelled, channels)
    _check(examples, channels)
    return examples


def _from_set(data: SequenceSet, labelled: bool) -> Examples:
    times = data.times or [None] * len(data)
    items = tuple(Steps(*pair) for pair in zip(data.sequences, times, strict=True))
    if labelled and data.labels is None:
        numbers = " (it has numbers to be predicted, a regression)" if data.targets is not None else ""
        raise DataError(f"{data.origin} has no classes{numbers}; expected a label for each sequence")
    labels = checked_labels(data.labels or (), data.origin) if labelled else None
    reading = SequenceReading(data.channels, data.time_format, data.decimal)
    return Examples(data.origin, items, labels, data.channels, reading)


def _from_lists(data: Any, labelled: bool, channels: tuple[str, ...]) -> Examples:
    origin, labels = "the data", None
    if labelled:
        if not isinstance(data, tuple) or len(data) != 2:
            raise UsageError(
                f"data is a {type(data).__name__}; expected a path, a data frame or a pair (sequences, labels)"
            )
        data, given = data
        labels = checked_labels(as_array(given), origin)
    if not isinstance(data, (Sequence, np.ndarray)) or isinstance(data, str):
        raise UsageError(f"data is a {type(data).__name__}; expected sequences, each (time, channels)")
    items = tuple(map(Steps, narrowed([_steps(item, row) for row, item in enumerate(data)])))
    if labels is not None and len(items) != len(labels):
        raise DataError(f"there are {len(items)} sequences but {len(labels)} labels; expected one for each")
    count = items[0].values.shape[1] if items else 0
    names = channels if len(channels) == count else tuple(f"channel_{i + 1}" for i in range(count))
    return Examples(origin, items, labels, names, SequenceReading(names, ANY, None))


def _steps(given: Any, row: int) -> NDArray[np.float64]:
    try:
        values = np.asarray(given, np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"sequence {row + 1} does not hold numbers ({error}); expected (time, channels)") from error
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2:
        raise DataError(f"sequence {row + 1} has the shape {values.shape}; expected (time, channels)")
    return values


def _check(examples: Examples, channels: tuple[str, ...]) -> None:
    """Refuse what is empty, infinite, or has other channels than the model."""
    if not len(examples):
        raise DataError(f"{examples.origin} is empty; expected sequences")
    expected = len(channels or examples.channels)
    for row, (values, _) in enumerate(examples.items, 1):
        if values.shape[1] != expected:
            raise DataError(
                f"sequence {row} of {examples.origin} has {values.shape[1]} channels; expected {expected}"
                + (f": {', '.join(channels[:12])}" if channels else ", as the first")
            )
        if not len(values):
            raise DataError(f"sequence {row} of {examples.origin} has no steps; leave it out")
        if np.isinf(values).any():
            raise DataError(
                f"sequence {row} of {examples.origin} holds an infinite number; expected finite ones, or NaN"
            )


def _steps_of(item: Steps) -> int:
    return len(item.values)


def _blocks(examples: Examples) -> Iterator[NDArray[np.float64]]:
    """Yield steps `(steps, channels)` of sequences one after another, so many as memory is meant to hold."""
    held: list[NDArray[np.float32]] = []
    count = 0
    for item in examples.items:
        held.append(item.values)
        count += item.values.size
        if count > _HELD:
            yield np.concatenate(held).astype(np.float64)
            held, count = [], 0
    if held:
        yield np.concatenate(held).astype(np.float64)


@dataclass(frozen=True, kw_only=True)
class ChannelEncoder(ClassEncoder):
    """From sequences to features of steps: standardised values, marks of what is missing, time gaps.

    Args:
        channels: their names.
        center, scale: of each channel, from the training part.
        masked: whether steps have marks: if something was missing in training, or is hidden in it.
        gap: the median of the training part's time gaps; `None`: there are no times.
        reading: how the training part was read.
        lengths: of the shortest, the usual and the longest training sequence.
        count: of the training sequences.
        judged: on how many examples that were not trained on the branches of the network were weighed.
        shaped: whether sequences differ much in level or spread; see `differ`.
        near: whether the nearest training sequences have a say, if there is time to find them; see `NearBranch`.
    """

    channels: tuple[str, ...]
    center: NDArray[np.float64]
    scale: NDArray[np.float64]
    masked: bool
    gap: float | None
    reading: SequenceReading
    lengths: tuple[int, int, int]
    count: int
    judged: int = 0
    shaped: bool = False
    near: bool = False

    def __post_init__(self) -> None:
        """Refuse scales of other channels, which a file may hold."""
        if not self.center.shape == self.scale.shape == (len(self.channels),):
            raise ValueError(f"its scaler is of {self.center.shape} channels; expected {len(self.channels)}")
        if len(self.lengths) != 3 or sorted(self.lengths) != list(self.lengths) or min(*self.lengths, self.count) < 1:
            raise ValueError(f"its {self.count} training sequences have the lengths {self.lengths}")

    @property
    def width(self) -> int:
        """Return how many features a step has."""
        return len(self.channels) * (1 + self.masked) + (self.gap is not None)

    @classmethod
    def fit(cls, examples: Examples, *, hidden: bool) -> ChannelEncoder:
        """Measure training sequences; missing values do not count.

        Raises:
            DataError: a channel has no value at all.
        """
        width = len(examples.channels)
        count, total, spread = np.zeros(width, np.int64), np.zeros(width), np.zeros(width)
        for rows in _blocks(examples):
            count += (~np.isnan(rows)).sum(0)
            total += np.nansum(rows, 0)
        if not count.all():
            empty = examples.channels[int(count.argmin())]
            raise DataError(f'{examples.origin}: channel "{empty}" has no value in training; leave it out')
        center = total / count
        for rows in _blocks(examples):
            spread += np.nansum((rows - center) ** 2, 0)
        scale = np.sqrt(spread / count)
        exact = all(item.values.dtype == np.float64 for item in examples.items)
        scale[scale <= (1e-13 if exact else 1e-7) * np.maximum(np.abs(center), 1e-20)] = 1.0
        gaps = [np.diff(item.times) for item in examples.items if item.times is not None]
        gap = float(np.median(np.concatenate(gaps))) if gaps and sum(map(len, gaps)) else None
        sizes = sorted(len(item.values) for item in examples.items)
        return cls(
            lengths=(sizes[0], sizes[len(sizes) // 2], sizes[-1]), count=len(sizes),
            classes=Classes.of(examples), channels=examples.channels, center=center, scale=scale,
            masked=hidden or bool((count < sum(map(_steps_of, examples.items))).any()), gap=gap,
            reading=examples.reading or SequenceReading(examples.channels),
            shaped=differ((item.values - center) / scale for item in examples.items), near=True,
        )  # fmt: skip

    def encode(self, examples: Examples) -> list[NDArray[np.float32]]:
        """Return the features of each sequence, `(time, features)`.

        Raises:
            DataError: a value is missing, and the model has never seen that; or times are missing, and it has.
        """
        if (known := _ENCODED.of(examples, self)) is not None:
            return known
        found: list[NDArray[np.float32]] = []
        for row, (values, times) in enumerate(examples.items, 1):
            if self.gap is not None and times is None:
                raise DataError(f"sequence {row} of {examples.origin} has no times, but those in training had")
            gaps = None if times is None else np.diff(times, prepend=times[0])
            found.append(self.features(values, gaps, f"sequence {row} of {examples.origin}"))
        _ENCODED.keep(examples, self, found)
        return found

    def features(self, values: NDArray[Any], gaps: NDArray[Any] | None, where: str) -> NDArray[np.float32]:
        """Return features `(time, features)` of values `(time, channels)` and gaps `(time,)`; errors as `encode`."""
        missing = np.isnan(values)
        if not self.masked and missing.any():
            name = self.channels[int(missing.any(0).argmax())]
            raise DataError(
                f'{where} has a missing value in "{name}", but nothing was missing in training; fill it in, or fit '
                "with value_dropout=0.1, which teaches the model what missing values are"
            )
        standard = np.where(missing, 0.0, (values - self.center) / self.scale)
        parts = [standard, *([missing] if self.masked else [])]
        if self.gap is not None and gaps is not None:
            parts.append(np.log1p(gaps / max(self.gap, 1e-12))[:, None])
        return np.concatenate(parts, 1).astype(np.float32)


class _Encoded:
    """What examples were encoded to, as long as they are there: a fit asks for it three times."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, ChannelEncoder, list[NDArray[np.float32]]]] = {}

    def of(self, examples: Examples, encoder: ChannelEncoder) -> list[NDArray[np.float32]] | None:
        """Return what the same examples were encoded to by one of the same scales; `None`: they were not."""
        there, by, found = self._known.get(id(examples), (None, None, None))
        if there is None or there() is not examples or by is None or found is None:
            return None
        same = by.center is encoder.center and by.scale is encoder.scale
        return found if same and (by.masked, by.gap) == (encoder.masked, encoder.gap) else None

    def keep(self, examples: Examples, encoder: ChannelEncoder, found: list[NDArray[np.float32]]) -> None:
        """Keep what examples were encoded to."""
        number = id(examples)
        self._known[number] = (ref(examples, lambda _: self._known.pop(number, None)), encoder, found)


_ENCODED = _Encoded()
