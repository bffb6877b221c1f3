"""What a report shows of a captioner: samples, and at which moments it looked for each word."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from ostinato.tasks.base.gradients import gradient_norms, gradient_panel
from ostinato.tasks.base.searching.search import Search
from ostinato.tasks.base.summary import Curve, Matrix, Panel, Table, TimedImage
from ostinato.tasks.captions.batches import batch_of
from ostinato.tasks.captions.encoding import Shown
from ostinato.tasks.captions.frames import Frames
from ostinato.tasks.captions.writing import (
    CaptionModel,
    captions_from,
    encoded_frames,
    looked,
    token_names,
)

_SAMPLES, _MATRICES, _CLIPS, _REFERENCES = 8, 3, 16, 2
_TALL = 64  # rows of a strip of frames


def caption_panels(model: CaptionModel, shown: Shown, texts: Sequence[str]) -> Iterator[Panel]:
    """Yield the panels of held-out clips and their captions."""
    known = zip(shown.names, texts, shown.references, strict=True)
    rows = tuple((name, text, _some(group)) for name, text, group in known)
    yield Table("Held-out clips", ("clip", "caption", "references"), rows[:_SAMPLES], "as they come, not chosen")
    for row in range(min(_MATRICES, len(shown))):
        if not model.encoder.frames.vectors:
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
    found = captions_from(model, memory, lengths, Search(beam_size=1), attention=True)[0][0].hypothesis
    weights = looked(model.network, found)
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


def strip(model: CaptionModel, shown: Shown, row: int) -> TimedImage:
    """Return the frames of a clip side by side, in grey, with the words above those that they looked at most."""
    frames = shown.frames(row)
    grey = np.concatenate([_small(each) for each in frames], 1)
    seconds = max(shown.seconds(row), 1e-3) * len(frames) / max(1, len(frames) - 1)
    memory, lengths = encoded_frames(model.network, frames)
    found = captions_from(model, memory, lengths, Search(beam_size=1), attention=True)[0][0]
    return TimedImage(
        title=f"Frames: {shown.names[row]}",
        values=tuple(tuple(line) for line in grey[::-1].round(1).tolist()),
        seconds=seconds / grey.shape[1],
        note=f'"{found.text}"',
    )


def _small(frame: Frames) -> Frames:
    every = max(1, -(-frame.shape[0] // _TALL))
    grey: Frames = frame[::every, ::every].astype(np.float64).mean(-1)
    return grey


def _gradients(model: CaptionModel, shown: Shown) -> Curve:
    """Return the gradient of a caption's loss by the features of frames, by place from the clip's end."""
    rows = list(range(min(_CLIPS, len(shown))))
    batch = batch_of(shown, rows, [[0] for _ in rows])
    network = model.network
    with torch.no_grad():
        features = network.features(batch.frames)
    paths = features.shape[2]

    def loss(read: Tensor) -> Tensor:
        memory, lengths = network.encode_features(read.view(*read.shape[:2], paths, -1), batch.lengths)
        mean, tokens = network.loss_of(memory, lengths, batch)
        summed: Tensor = mean * tokens
        return summed

    norms = gradient_norms(features.flatten(2), batch.lengths, loss)
    return gradient_panel(norms, step="frames", note=f"Of whole captions, mean of {len(rows)} clips.")
