"""What a report shows of a classifier of clips: confusion, mistakes, key frames with attention, answers over time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ostinato.data.video import frame_text, read_clip
from ostinato.errors import OstinatoError
from ostinato.tasks.base.classes import class_table, confusion_panel, mistakes_table, reliability_curve
from ostinato.tasks.base.labels import Prediction
from ostinato.tasks.base.summary import Curve, Frames, Panel
from ostinato.tasks.base.task import Model
from ostinato.tasks.base.temperature import with_temperature
from ostinato.tasks.video.encoding import Floats, VideoPart
from ostinato.tasks.video.experts import Experts, ExpertSteps

_CLIPS, _FRAMES, _HEIGHT = 4, 8, 96
_LONGEST = 512  # frames of a clip that is shown


def video_panels(model: Model[Any, Any], part: VideoPart, predicted: Prediction) -> Iterator[Panel]:
    """Yield the panels."""
    names = [str(name) for name in model.encoder.classes.names]
    assert predicted.probabilities is not None
    given = predicted.probabilities.max(1)
    wrong = np.flatnonzero(predicted.classes != part.targets)
    yield confusion_panel(names, part.targets, predicted.classes)
    yield class_table(names, part.targets, predicted.classes, title="Each class")
    rows = _shown(part, wrong)
    for row in rows:
        yield from _clip_panels(model, part, row, predicted)
    yield reliability_curve(given, predicted.classes == part.targets)
    mistakes = (
        (float(given[row]), (part.clips.names[row], names[part.targets[row]], names[predicted.classes[row]]))
        for row in wrong.tolist()
    )
    yield mistakes_table(mistakes, ("clip", "class", "predicted"))


def _shown(part: VideoPart, wrong: NDArray[Any]) -> list[int]:
    """Return clips to be shown: one of each of the first classes, and one that was taken for another."""
    found = [int(np.flatnonzero(part.targets == each)[0]) for each in np.unique(part.targets)[:_CLIPS]]
    return [*found, *(row for row in wrong[:1].tolist() if row not in found)]


def _clip_panels(model: Model[Any, Any], part: VideoPart, row: int, predicted: Prediction) -> Iterator[Panel]:
    names = [str(name) for name in model.encoder.classes.names]
    clip = np.asarray(part.arrays[row][:_LONGEST])
    weights, scores = looked_at(model, clip)
    title = f'{part.clips.names[row]}, "{names[part.targets[row]]}"'
    if predicted.classes[row] != part.targets[row]:
        title += f', taken for "{names[predicted.classes[row]]}"'
    rate = model.encoder.reader.rate
    if model.encoder.reader.kind == "pixels":
        yield _strip(model, part, row, clip, weights, title)
    pixels = model.encoder.reader.kind == "pixels"
    times = tuple((np.arange(len(clip)) / (rate if pixels else 1.0)).round(4).tolist())
    shown = np.argsort(-scores.max(0))[:6]
    lines = {names[each]: tuple(scores[:, each].round(4).tolist()) for each in sorted(shown.tolist())}
    if weights is not None:
        lines["attention"] = tuple((weights / max(weights.max(), 1e-9)).round(4).tolist())
    yield Curve(
        f"Frame by frame: {title}",
        times,
        lines,
        "seconds" if pixels else "frame",
        "probability so far",
        note=_note(weights, model),
    )


def _note(weights: NDArray[Any] | None, model: Model[Any, Any]) -> str:
    said = "What the model makes of the clip up to each frame"
    if model.parameters.bidirectional:
        said = "What the model, which reads the end too, makes of each frame's past"
    return said + (
        "." if weights is None else "; attention: how much each frame weighs in the answer, the most being one."
    )


def looked_at(model: Model[Any, Any], clip: NDArray[Any]) -> tuple[NDArray[np.float64] | None, NDArray[np.float64]]:
    """Return how much each frame of a clip weighs, `(T,)`, and the probabilities up to each, `(T, classes)`."""
    network = model.network
    frames, lengths = torch.from_numpy(np.array(clip))[:, None], torch.tensor([len(clip)])
    weights, logs = [], []
    with torch.inference_mode():
        for member in network.members:
            ys, real = member.outputs(frames, lengths)
            attention = member.pooling.attention
            if attention is not None:
                weights.append(attention.weights(ys, real)[:, 0])
            kept, found = member.pooling.start(), []
            for y in ys:
                kept = member.pooling.advance(kept, y)
                found.append(member.head(member.pooling.finish(kept)).log_softmax(-1)[0])
            logs.append(torch.stack(found))
        mean = (torch.stack(logs).logsumexp(0) - float(np.log(len(logs)))).double().numpy()
    experts = model.encoder.experts
    if experts is not None:
        mean = experts.mixed(mean, _along(experts, clip))
    scores = with_temperature(mean, model.encoder.temperature)
    return (torch.stack(weights).mean(0).double().numpy() if weights else None), scores


def _along(experts: Experts, clip: NDArray[Any]) -> Floats:
    """Return what the nearest clip says of the frames up to each one, `(T, classes)`."""
    steps, found = ExpertSteps(experts), []
    for frame in clip:
        steps.push(frame)
        found.append(steps.logs())
    return np.stack(found)


def _strip(
    model: Model[Any, Any],
    part: VideoPart,
    row: int,
    clip: NDArray[Any],
    weights: NDArray[np.float64] | None,
    title: str,
) -> Frames:
    """Return the key frames of a clip: of each stretch of time, the one that weighs most."""
    rate = model.encoder.reader.rate
    shown = key_frames(len(clip), weights)
    pictures = _pictures(part.clips.sources[row], rate, clip, model.encoder.reader, shown)
    share = np.ones(len(clip)) if weights is None else weights / max(float(weights.max()), 1e-9)
    return Frames(
        f"Key frames: {title}",
        tuple(frame_text(picture, _HEIGHT) for picture in pictures),
        tuple(f"{at / rate:.2f} s" for at in shown),
        () if weights is None else tuple(float(share[at]) for at in shown),
        ""
        if weights is None
        else "The bar: how much the frame weighs in the answer (attention), the most being all of it.",
    )


def key_frames(count: int, weights: NDArray[np.float64] | None) -> list[int]:
    """Return the frames to show, in their order: of eight stretches the one of most weight, or the middle one."""
    edges = np.unique(np.linspace(0, count, min(_FRAMES, count) + 1).astype(int))
    found = []
    for first, last in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        middle = (first + last - 1) // 2
        found.append(middle if weights is None else first + int(weights[first:last].argmax()))
    return found


def _pictures(source: Any, rate: float, clip: NDArray[Any], reader: Any, shown: list[int]) -> list[NDArray[np.uint8]]:
    """Return frames in their colours and shape; where the file is gone, as the network reads them."""
    try:
        found = read_clip(source, rate=rate, height=2 * _HEIGHT, limit=max(shown) + 1).frames
        return [found[min(at, len(found) - 1)] for at in shown]
    except OstinatoError:
        return [np.asarray(clip[at][..., : 3 if reader.colour else 1], np.uint8) for at in shown]
