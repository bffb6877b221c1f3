"""Sounds as sequences: clips of words or noises become log-mel frames, a channel a band."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ostinato.data.frames import as_array
from ostinato.errors import DataError
from ostinato.tasks.base.lines import is_path
from ostinato.tasks.classify.examples import Examples, checked_labels
from ostinato.tasks.classify.parameters import SequenceParameters
from ostinato.tasks.classify.steps import SequenceReading, Steps

if TYPE_CHECKING:
    from ostinato.data.audio import FeatureSettings, Utterances


def holds_sounds(parameters: SequenceParameters, data: Any, reading: SequenceReading | None, labelled: bool) -> bool:
    """Tell whether data is sounds: by the parameters, by how the training part was read, or by what it is.

    Args:
        parameters: with a column of sounds, or without.
        data: as `read_examples` takes it.
        reading: how those were read that a model was fitted on, if it was.
        labelled: whether it has labels.
    """
    items = data[0] if labelled and isinstance(data, tuple) and len(data) == 2 else data
    if isinstance(items, (list, tuple)) and items and not isinstance(items, str) and not _is_sound(items):
        return all(_is_sound(item) or is_path(item) for item in items)
    if not (is_path(data) or isinstance(data, Mapping) or hasattr(data, "columns") or _is_sound(data)):
        return False
    if reading is not None:
        return reading.sound is not None
    return parameters.audio is not None or _is_sound(data) or (is_path(data) and _has_sounds(Path(data)))


def read_sounds(
    parameters: SequenceParameters, data: Any, reading: SequenceReading | None, *, labelled: bool
) -> Examples:
    """Read sounds as log-mel frames; see `ostinato.data.audio.read_utterances` for what `data` may be.

    Args:
        parameters: the columns of a table, the rate and the number of bands among them.
        data: a table of paths and classes, a folder of a folder a class, sounds in memory; without labels also files.
        reading: how those were read that a model was fitted on, whose settings then hold.
        labelled: whether each must have a class.

    Raises:
        DataError: a file is not there or cannot be read, or has no class; or the model was not fitted on sounds.
        MissingExtra: a library that reads sounds is not installed.
    """
    from ostinato.data.audio import read_utterances

    if reading is not None and reading.sound is None:
        raise DataError("the model was fitted on numeric sequences, not on sounds; give such sequences")
    label = parameters.label if labelled else None
    found = read_utterances(data, audio=parameters.audio, text=label, labelled=labelled, classes=True)
    settings = _settings(parameters, found) if reading is None or reading.sound is None else reading.sound
    labels = None
    if labelled:  # of sounds in memory in the type that they have
        given = as_array(data[1]) if isinstance(data, tuple) else found.texts or ()
        labels = checked_labels(given, found.origin)
    names = settings.names
    kept = reading or SequenceReading(names, sound=settings)
    return Examples(found.origin, _frames(found, settings), labels, names, kept, found.ids)


def _settings(parameters: SequenceParameters, found: Utterances) -> FeatureSettings:
    from ostinato.data.audio import FeatureSettings

    rate = parameters.sample_rate or found.usual_rate()
    settings = FeatureSettings(rate=rate, bins=parameters.mel_bins, normalisation="none")
    settings.check()
    return settings


def _frames(found: Utterances, settings: FeatureSettings) -> tuple[Steps, ...]:
    """Return the frames of every sound, each read once; sounds that are silent or clipped throughout are noted."""
    from ostinato.data.audio import SoundNotes, features

    notes, items = SoundNotes(found.origin), list[Steps]()
    for name, source in zip(found.ids, found.sources, strict=True):
        samples, _ = source.samples(settings.rate)
        notes.see(name, samples)
        items.append(Steps(features(samples, settings)))
    notes.say()
    return tuple(items)


def _is_sound(value: Any) -> bool:
    """Tell whether a value is a sound in memory: a pair of samples and a rate."""
    return (
        isinstance(value, tuple)
        and len(value) == 2
        and hasattr(value[0], "shape")
        and isinstance(value[1], (int, float))
    )


def _has_sounds(path: Path) -> bool:
    """Tell whether a path is that of a folder or archive, or of a sound."""
    from ostinato.data.archives import ARCHIVES
    from ostinato.data.audio.files import SUFFIXES

    return path.is_dir() or path.suffix.lower() in (*SUFFIXES, *ARCHIVES) or path.name == "wav.scp"
