"""Anomalies in video: a network that predicts the next frame, and how strange it is where that fails."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from torch import nn

from ostinato.data.video.clips import content_key, read_clips
from ostinato.errors import DataError, UsageError
from ostinato.nn.by_name import TRANSFORMER
from ostinato.nn.frame_prediction import FramePredictor
from ostinato.tasks.base.alarms import asked_words
from ostinato.tasks.base.holding_out import Held, Shares, fingerprint, percent
from ostinato.tasks.base.steps import StepUnit
from ostinato.tasks.base.suited import Suited
from ostinato.tasks.base.summary import Panel
from ostinato.tasks.base.tail import Tail
from ostinato.tasks.base.task import Baselines, Task
from ostinato.tasks.base.units import Units
from ostinato.tasks.video_anomaly.answering import answers_of
from ostinato.tasks.video_anomaly.baselines import FrameDifference, PatchDistance
from ostinato.tasks.video_anomaly.batches import Sequences, predicted_and_seen
from ostinato.tasks.video_anomaly.calibrating import Watching, calibrated, normal, seen_of, with_alarms, with_usual
from ostinato.tasks.video_anomaly.encoder import CHANNELS, Usual, VideoEncoder, fitted_scales
from ostinato.tasks.video_anomaly.evidence import Evidence, names_of
from ostinato.tasks.video_anomaly.footage import UNIT, Clipped, Footage, read_footage
from ostinato.tasks.video_anomaly.judged import ALARMS, ERROR, Judged, measures_of, units_of
from ostinato.tasks.video_anomaly.labels import with_labels
from ostinato.tasks.video_anomaly.movers import Scene
from ostinato.tasks.video_anomaly.panels import video_panels
from ostinato.tasks.video_anomaly.parameters import VideoAnomalyParameters
from ostinato.tasks.video_anomaly.scoring import watched
from ostinato.tasks.video_anomaly.stream import VideoAnomalyStream
from ostinato.training.objective import Objective
from ostinato.words import counted

_FEWEST = 16


@dataclass(frozen=True)
class Labelled:
    """Clips and their labels, given apart."""

    data: Any
    labels: Any


@dataclass(frozen=True)
class Unread:
    """A clip of which frames are read as they are scored."""

    name: str
    source: Any
    alone: bool = True

    def __len__(self) -> int:
        return 1


class VideoAnomalyTask(Task[VideoAnomalyParameters, Any, VideoEncoder, Clipped, Judged]):
    """What is strange in video."""

    records = "frames"
    descriptive = Task.descriptive | {ALARMS, "false alarms in 10,000"}  # one that raises no alarm has the fewest
    higher = frozenset({"frame AUC", "clip AUC", "frames found"})
    decides = ("frame AUC", ERROR)
    matters: ClassVar[Mapping[str, str]] = {ERROR: "in predicting how things move next"}
    encoder_type = VideoEncoder
    baseline_types = (FrameDifference, PatchDistance)
    suited = Suited(steps=160, least=3, most=40)
    kept = "size of frames, mean frame, scales"

    def check(self, parameters: VideoAnomalyParameters, *, tested: bool) -> None:
        names_of(parameters.evidence)
        if parameters.cell == TRANSFORMER:
            raise UsageError(
                "the state of a transformer grows, and that of a detector must not; choose a recurrent cell"
            )

    def joined(self, data: Any, labels: Any) -> Any:
        return Labelled(data, labels)

    def read(
        self, parameters: VideoAnomalyParameters, source: Any, reading: Any = None, *, labelled: bool = True
    ) -> Clipped:
        given = source.data if isinstance(source, Labelled) else source
        most = parameters.max_frames if reading is None else sys.maxsize  # what is judged is judged whole
        found = read_footage(given, height=parameters.height, rate=parameters.rate, most=most, reading=reading)
        if isinstance(source, Labelled) and isinstance(source.labels, (str, Path)):
            return with_labels(found, str(source.labels))
        if isinstance(source, Labelled):
            return found.labelled(_by_clip(source.labels, len(found.clips)))
        if labelled and parameters.labels is not None:
            return with_labels(found, parameters.labels)
        return found

    def reading(self, records: Clipped) -> Any:
        return records.reading

    def hold_out(self, parameters: VideoAnomalyParameters, records: Clipped, shares: Shares) -> Held[Clipped]:
        """Hold out the last clips; of few of them, their last frames."""
        frames = len(records)
        if frames < _FEWEST:
            raise DataError(
                f"{records.origin} has {frames} frames; expected {_FEWEST} or more, some to learn from and some to "
                "calibrate on"
            )
        if records.labels is not None and records.labels.all():
            raise DataError(f"all frames of {records.origin} are labelled anomalous; expected video of what is usual")
        test = round(frames * shares.test)
        validation = round((frames - test) * shares.validation)
        whole = len(records.clips) >= 5
        train, rest = _cut(records.clips, frames - test - validation, whole=whole)
        held, tested = _cut(rest, validation, whole=whole)
        words = f"the last {'clips, ' if whole else ''}{percent(shares.test)} of frames"
        return Held(records.part(train), records.part(held), records.part(tested), words)

    def contents(self, records: Clipped) -> Iterable[Any]:
        return [key for clip in records.clips for key in [content_key(clip.frames)] * len(clip)]

    def join(self, first: Clipped, second: Clipped) -> Clipped:
        return first.part((*first.clips, *second.clips))

    def steps_an_epoch(self, parameters: VideoAnomalyParameters, train: Clipped) -> int:
        sequences = sum(max(len(clip) // parameters.steps, 1) for clip in train.clips)
        return -(-sequences // parameters.batch_size)

    def encoder(self, parameters: VideoAnomalyParameters, train: Clipped) -> VideoEncoder:
        mean, scales = fitted_scales(train)
        reading = train.reading
        grid = (reading.height // UNIT, reading.width // UNIT)
        scene, evidence = Scene.fit(train.clips, reading.motion), Evidence.nothing(grid, parameters.evidence)
        return VideoEncoder(
            reading, mean, scales, Usual.nothing(grid), scene, evidence, parameters.memory,
            Tail(1.0, 0.05, 1.0, 0.0), np.inf, "", fingerprint=fingerprint(train)[:16],
        )  # fmt: skip

    def network(self, parameters: VideoAnomalyParameters, encoder: VideoEncoder, train: Any) -> nn.Module:
        return FramePredictor(CHANNELS, parameters.hidden_size, parameters.cell)

    def batches(self, model: Watching, examples: Clipped, *, training: bool) -> Sequences | None:
        given = model.parameters
        found = Sequences(
            model.encoder, examples, steps=given.steps, batch_size=given.batch_size, training=training, seed=given.seed
        )
        return found if len(found) else None

    def objective(self, model: Watching, train: Clipped) -> Objective:
        return predicted_and_seen

    def calibrate(self, model: Watching, validation: Clipped | None) -> VideoEncoder:
        if validation is None:
            return model.encoder
        return with_alarms(model.encoder, model.parameters, seen_of(model, normal(validation)))

    def finished(self, model: Watching, examples: Held[Clipped]) -> VideoEncoder:
        return calibrated(model, examples.validation, examples.train)

    def updated(self, model: Watching, parts: Held[Clipped]) -> VideoEncoder:
        there = [part for part in (parts.validation, parts.train) if part is not None]
        return with_usual(model.encoder, seen_of(model, [clip for part in there for clip in normal(part)]))

    def predict(self, model: Watching, examples: Clipped) -> Judged:
        scores, errors = [], []
        for clip in examples.clips:
            for frame in watched(model.network, model.encoder, zip(clip.frames, clip.motion, strict=True)):
                scores.append(frame.score)
                errors.append(frame.error)
        every = np.array(scores, np.float64)
        return Judged(every, np.greater_equal(every, model.encoder.threshold), np.array(errors, np.float64))

    def baselines(self, model: Watching, train: Clipped, validation: Clipped | None) -> Baselines:
        given, normal = model.parameters, validation or train
        rest = (given.false_alarm_rate, given.merge)
        return {
            "frame difference": partial(FrameDifference.fit, model.encoder, normal, *rest),
            "Mahalanobis by patch": partial(PatchDistance.fit, model.encoder, train, normal, *rest),
        }

    def measures(self, model: Watching, examples: Clipped, predicted: Judged) -> dict[str, float]:
        return measures_of(examples, predicted, model.parameters.merge)

    def units(self, model: Watching, examples: Clipped, predicted: Judged) -> Units:
        return units_of(examples, predicted, model.parameters.merge)

    def protocol(self, model: Watching, examples: Clipped) -> str:
        labels = examples.labels
        known = "unlabelled, so that every alarm may be a false one"
        if labels is not None:
            known = f"against labels ({int(labels.sum()):,} frames anomalous), over all frames and as a mean by clip"
        asked = asked_words(model.parameters.false_alarm_rate, "frames")
        return f"each frame scored from those before it, {known}; {asked}"

    def facts(self, model: Watching, parts: Held[Clipped], examples: Held[Clipped]) -> Iterable[tuple[str, str]]:
        for name, part in parts.named().items():
            yield (
                name,
                "none" if part is None else f"{counted(len(part), 'frames')} of {counted(len(part.clips), 'clips')}",
            )
        reading = model.encoder.reading
        yield "frames", f"{reading.height} x {reading.width} pixels, grey, with their motion by {reading.motion}"
        yield "labels", "known" if parts.train.labels is not None else "none: what is usual is learned from all"

    def step_unit(self, model: Watching) -> StepUnit:
        rate = model.encoder.reading.rate
        return StepUnit("frames", 1 / rate if rate else None)

    def settings(self, model: Watching) -> Mapping[str, Any]:
        encoder = model.encoder
        return {
            "motion": encoder.reading.motion,
            "motion over": f"{encoder.scene.span} frames",
            "alarm from": f"{encoder.threshold:.4g} ({encoder.chosen})",
        }

    def panels(self, model: Watching, records: Clipped, examples: Clipped, predicted: Judged) -> Iterable[Panel]:
        return video_panels(model, records, predicted)

    def pieces(self, model: Watching, source: Any) -> Iterator[Unread]:
        if source is None:
            raise UsageError("there is nothing to score; give a video, or a folder of frames")
        clips = read_clips(source, labelled=False)
        for one, name in zip(clips.sources, clips.names, strict=True):
            yield Unread(name, one, len(clips) == 1)

    def answers(self, model: Watching, records: Any) -> Iterator[Mapping[str, Any]]:
        return answers_of(model, records.name, records.source, alone=records.alone)

    def stream(self, model: Watching, **options: Any) -> VideoAnomalyStream:
        if options:
            raise UsageError(f"a stream of frames has no option {next(iter(options))}")
        return VideoAnomalyStream(model)

    def extended(self, model: Watching, records: Clipped, shares: Shares) -> tuple[Watching, Held[Clipped]]:
        return model, self.hold_out(model.parameters, records, shares)


def _by_clip(labels: Any, clips: int) -> list[Any]:
    """Return labels for each clip; those of one clip may be given as they are."""
    alone = clips == 1 and np.ndim(labels) == 1 and not (len(labels) and np.ndim(labels[0]))
    return [labels] if alone else list(labels)


def _cut(clips: Sequence[Footage], frames: int, *, whole: bool) -> tuple[list[Footage], list[Footage]]:
    """Return clips of about so many frames, and the rest."""
    first, rest, left = [], [], frames
    for clip in clips:
        if left >= len(clip) or (whole and left >= len(clip) / 2):
            first.append(clip)
        elif whole or left < 2 or len(clip) - left < 2:
            rest.append(clip)
            left = 0
            continue
        else:
            first.append(clip.cut(slice(0, left)))
            rest.append(clip.cut(slice(left, None)))
        left = max(left - len(clip), 0)
    return first, rest
