"""What a report shows of a recogniser: what it confuses, what it wrote, and spectrograms with the words on them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ostinato.tasks.base.summary import Panel, Table, TimedImage
from ostinato.tasks.speech.baselines import Written
from ostinato.tasks.speech.encoding import Spoken
from ostinato.tasks.speech.measures import confusions, word_errors

_CONFUSED, _WORST, _COLUMNS = 20, 12, 400
_NOTHING = "(nothing)"


def speech_panels(spoken: Spoken, written: Written) -> Iterator[Panel]:
    """Yield the panels."""
    rows = tuple(
        (reference or _NOTHING, found or _NOTHING, count)
        for reference, found, count in confusions(spoken.texts, written.texts, most=_CONFUSED)
    )
    if rows:
        yield Table("Most frequent confusions", ("said", "written", "times"), rows, "Words, by the best alignment.")
    wrong = word_errors(spoken.texts, written.texts).errors
    worst = [row for row in np.argsort(-wrong, kind="stable")[:_WORST].tolist() if wrong[row]]
    if worst:
        yield Table(
            "Most wrong",
            ("recording", "said", "written", "errors"),
            tuple(
                (spoken.utterances.ids[row], spoken.texts[row], written.texts[row], int(wrong[row])) for row in worst
            ),
        )
    shown = [next((row for row in range(len(spoken)) if written.texts[row] and not wrong[row]), None), *worst[:1]]
    for row in shown:
        if row is not None and written.transcripts:
            yield spectrogram(spoken, written, row)


def spectrogram(spoken: Spoken, written: Written, row: int) -> TimedImage:
    """Return the frames of a recording with the words that were heard in it."""
    frames = spoken.frames(row)
    every = -(-len(frames) // _COLUMNS)
    steps = np.add.reduceat(frames, np.arange(0, len(frames), every), 0) / every
    words = written.transcripts[row].words
    said = spoken.texts[row]
    return TimedImage(
        f"Heard in {spoken.utterances.ids[row]}",
        tuple(tuple(round(float(value), 2) for value in band) for band in steps.T),
        spoken.encoder.step * every,
        tuple((word.text, float(word.start), float(word.end)) for word in words),
        "mel bands",
        f"Said: {said}" + ("" if said == written.texts[row] else f". Written: {written.texts[row]}"),
    )
