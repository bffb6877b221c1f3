"""What a report shows of a captioner: samples, and at which moments it looked for each word."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from ostinato.data.video.writing import frame_text
from ostinato.errors import MissingExtra, OstinatoError
from ostinato.tasks.base.gradients import gradient_norms, gradient_panel
from ostinato.tasks.base.summary import Curve, Matrix, Panel, Table
from ostinato.tasks.base.summary import Frames as Strip
from ostinato.tasks.captions.batches import batch_of
from ostinato.tasks.captions.encoding import Shown
from ostinato.tasks.captions.frames import Frames, looked_at, read_steps
from ostinato.tasks.captions.writing import (
    CaptionModel,
    captions_from,
    encoded_frames,
    looked,
    search_of,
    token_names,
)

_SAMPLES, _MATRICES, _CLIPS, _REFERENCES = 8, 3, 16, 2
_KEYS, _TALL = 8, 96  # frames of a strip, and their height


def caption_panels(model: CaptionModel, shown: Shown, texts: Sequence[str]) -> Iterator[Panel]:
    """Yield the panels of held-out clips and their captions."""
    known = zip(shown.names, texts, shown.references, strict=True)
    rows = tuple((name, text, _some(group)) for name, text, group in known)
    yield Table("Held-out clips", ("clip", "caption", "references"), rows[:_SAMPLES], "as they come, not chosen")
    for row in range(min(_MATRICES, len(shown))):
        if not model.encoder.frames.vectors:
            with suppress(MissingExtra):  # without Pillow there are no pictures
                yield strip(model, shown, row)
        yield attention_matrix(model, shown, row)
    yield _gradients(model, shown)


def _some(references: Sequence[str]) -> str:
    more = len(references) - _REFERENCES
    return " / ".join(references[:_REFERENCES]) + (f" (and {more} more)" if more > 0 else "")


def attention_matrix(model: CaptionModel, shown: Shown, row: int) -> Matrix:
    """Return at which moments of a clip each token of its greedy caption looked, as a figure has it."""
    frames = shown.frames(row)
    memory, lengths = encoded_frames(model.network, frames)
    greedy = replace(search_of(model), beam_size=1)
    found = captions_from(model, memory, lengths, greedy, attention=True)[0][0].hypothesis
    weights = looked(found)
    times = np.linspace(0.0, shown.seconds(row), len(frames))
    return Matrix(
        title=f"Attention over time: {shown.names[row]}",
        rows=token_names([*found.tokens, model.encoder.vocabulary.specials.eos], model),
        columns=tuple(f"{time:.1f}" for time in times),
        values=tuple(tuple(each) for each in weights.tolist()),
        row_axis="caption",
        column_axis="frames of the network, without a time" if model.encoder.frames.vectors else "seconds",
        note="each row is when the model looked for that word",
    )


def strip(model: CaptionModel, shown: Shown, row: int) -> Strip:
    """Return the key frames of a clip, each with the words for which the model looked at its stretch of time most.

    Raises:
        MissingExtra: Pillow is not installed.
    """
    memory, lengths = encoded_frames(model.network, shown.frames(row))
    found = captions_from(model, memory, lengths, replace(search_of(model), beam_size=1), attention=True)[0][0]
    weights = looked(found.hypothesis)
    edges = np.unique(np.linspace(0, weights.shape[1], min(_KEYS, weights.shape[1]) + 1).astype(int))
    stretches = list(pairwise(edges.tolist()))
    best = np.stack([weights[:, first:last].sum(1) for first, last in stretches], 1).argmax(1)
    words = [*token_names(found.hypothesis.tokens, model), ""]
    keys = [first + int(weights[:, first:last].sum(0).argmax()) for first, last in stretches]
    times = np.linspace(0.0, shown.seconds(row), weights.shape[1])
    said = [" ".join(words[token] for token in np.flatnonzero(best == place)).strip() for place in range(len(keys))]
    return Strip(
        title=f"Frames: {shown.names[row]}",
        pictures=tuple(frame_text(each, _TALL) for each in pictures(shown, row, keys)),
        captions=tuple(f"{times[at]:.1f} s {words}".strip() for at, words in zip(keys, said, strict=True)),
        note=f'"{found.text}"; under a frame the words for which the model looked at its stretch of time most.',
    )


def pictures(shown: Shown, row: int, places: Sequence[int]) -> list[Frames]:
    """Return some frames of a clip in their shape, large; where the file is gone, as the network reads them."""
    source, settings = shown.source(row), shown.store.settings
    try:
        height, width = looked_at(source)[0][:2]
        large = replace(settings, height=2 * _TALL, width=min(max(1, round(2 * _TALL * width / height)), 1024))
        found, _ = read_steps(source, large, shown.names[row])
        return [found[min(at, len(found) - 1)] for at in places]
    except OstinatoError:
        return [shown.frames(row)[at] for at in places]


def _gradients(model: CaptionModel, shown: Shown) -> Curve:
    """Return the gradient of a caption's loss by the features of frames, by place from the clip's end."""
    rows = list(range(min(_CLIPS, len(shown))))
    batch = batch_of(shown, rows, [[0] for _ in rows])
    network = model.network
    with torch.no_grad():
        features = network.features(batch.frames, batch.lengths)
    paths = features.shape[2]

    def loss(read: Tensor) -> Tensor:
        memory, lengths = network.encode_features(read.view(*read.shape[:2], paths, -1), batch.lengths)
        mean, tokens = network.loss_of(memory, lengths, batch)
        summed: Tensor = mean * tokens
        return summed

    norms = gradient_norms(features.flatten(2), batch.lengths, loss)
    return gradient_panel(norms, step="frames", note=f"Of whole captions, mean of {len(rows)} clips.")
