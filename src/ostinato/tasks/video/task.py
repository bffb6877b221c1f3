"""What only a classifier of clips does; all else is of `ostinato.tasks.base`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ostinato.data.video import Clips, read_clips
from ostinato.errors import ColumnError, DataError, UsageError
from ostinato.nn.pooling import split_kinds
from ostinato.tasks.base.batches import padded, read_in_batches
from ostinato.tasks.base.class_task import MOST_FREQUENT, OneClassTask
from ostinato.tasks.base.class_weights import loss_weights
from ostinato.tasks.base.holding_out import Held, Shares, content_keys, percent
from ostinato.tasks.base.labels import Classes, Prediction, checked_labels, counts_in_words, drawn_parts
from ostinato.tasks.base.lines import is_path
from ostinato.tasks.base.steps import StepUnit
from ostinato.tasks.base.suited import Suited
from ostinato.tasks.base.summary import Panel
from ostinato.tasks.base.task import Baselines, Model
from ostinato.tasks.base.temperature import find_temperature, with_temperature
from ostinato.tasks.video.baselines import MeanFrame, MostFrequent, NearestClip, joined_parts
from ostinato.tasks.video.encoding import (
    ClipBatch,
    ClipBatches,
    Floats,
    VideoEncoder,
    VideoPart,
    is_convolutional,
    is_mirrored,
    reader_of,
    split_channels,
)
from ostinato.tasks.video.experts import BRANCHES
from ostinato.tasks.video.grouping import grouped_parts
from ostinato.tasks.video.network import VideoNetwork
from ostinato.tasks.video.panels import video_panels
from ostinato.tasks.video.parameters import VideoParameters
from ostinato.tasks.video.raw import RawVideo
from ostinato.tasks.video.stream import VideoStream
from ostinato.tasks.video.weighing import AT_ONCE, folds_of, network_logs, with_experts
from ostinato.training.config import TrainingConfig
from ostinato.training.objective import Carry, Step
from ostinato.words import counted

VideoModel: TypeAlias = "Model[VideoParameters, VideoEncoder]"
_VALIDATION = 0.15  # of clips of pixels
_ENOUGH = 50  # clips by which a temperature below one is believed


class VideoObjective:
    """Cross-entropy of the class; in training of each member, with weights and smoothing.

    Args:
        weights: of classes, `(classes,)`, or `None`: all count alike.
        smoothing: share of the target given to all classes alike.
    """

    def __init__(self, weights: Tensor | None, smoothing: float) -> None:
        self.weights, self.smoothing = weights, smoothing

    def __call__(self, module: nn.Module, batch: ClipBatch, carry: Carry | None) -> Step:
        """Read a batch."""
        scores = module(batch.frames, batch.lengths)
        if not module.training:
            return Step(functional.cross_entropy(scores, batch.targets), len(batch.targets))
        weight = None if self.weights is None else self.weights.to(scores)
        members = len(scores)
        targets = batch.targets.expand(members, -1)
        losses = functional.cross_entropy(
            scores.transpose(1, 2), targets, weight=weight, label_smoothing=self.smoothing, reduction="none"
        )
        taken = (batch.folds != torch.arange(members)[:, None]).to(scores)
        counts = taken if weight is None else taken * weight[targets]
        return Step((losses * taken).sum() / counts.sum().clamp_min(1e-9), len(batch.targets))


class VideoTask(OneClassTask[VideoParameters, Clips, VideoEncoder, VideoPart]):
    """Clips, each of a class."""

    records = "clips"
    content_name = "clips"
    encoder_type = VideoEncoder
    baseline_types = (MeanFrame, NearestClip, MostFrequent)
    kept = "the classes, the size and rate of frames, their scales, and the known clips"
    suited = Suited(steps=400, least=8, most=100)
    suited_landmarks = Suited(steps=900, least=10, most=100)

    def check(self, parameters: VideoParameters, *, tested: bool) -> None:
        split_kinds(parameters.pooling)
        split_channels(parameters.channels)
        if (parameters.backbone is None) != (parameters.backbone_weights is None):
            raise UsageError(
                "a backbone needs its weights in a file, and nothing is downloaded; give both backbone and "
                "backbone_weights (--backbone resnet18 --backbone-weights FILE)"
            )
        if parameters.backbone is not None and is_convolutional(parameters):
            raise UsageError(f"the cell {parameters.cell} reads maps, and a backbone gives vectors; take another cell")
        if is_convolutional(parameters):
            if parameters.bidirectional or parameters.num_layers > 1:
                raise UsageError(
                    f"the cell {parameters.cell} reads maps in one layer, forward; leave bidirectional and "
                    "num_layers out"
                )
            if parameters.input == "landmarks":
                raise UsageError(f"the cell {parameters.cell} reads maps, and landmarks are none; take another cell")

    def read(self, parameters: VideoParameters, source: Any, reading: Any = None, *, labelled: bool = True) -> Clips:
        if isinstance(source, Clips):
            return source
        read = partial(
            read_clips, source, video=parameters.video, label=parameters.label if labelled else None, labelled=labelled
        )
        try:
            clips = read(group=parameters.group if labelled else None)
        except ColumnError:
            if reading is None:
                raise
            clips = read()  # only what is divided needs groups; what is wrong with another column is said now
        return clips if clips.labels is None else replace(clips, labels=checked_labels(clips.labels, clips.origin))

    def reading(self, records: Clips) -> bool:
        """Return that these are not the training data."""
        return True

    def hold_out(self, parameters: VideoParameters, records: Clips, shares: Shares) -> Held[Clips]:
        Classes.of(records)
        held = self._drawn(parameters, records, shares)
        if len(held.train) < 2:
            raise DataError(f"there are {len(held.train)} clips to train on; give more, or hold fewer of them out")
        if is_convolutional(parameters) and reader_of(parameters, records).kind == "landmarks":
            raise UsageError(f"the cell {parameters.cell} reads maps, and landmarks are none; take another cell")
        return held

    def extended(self, model: VideoModel, records: Clips, shares: Shares) -> tuple[VideoModel, Held[Clips]]:
        return model, self._drawn(model.parameters, records, shares)

    def _validation(self, parameters: VideoParameters, records: Clips, shares: Shares) -> float:
        """Return the share that is asked for; where nothing is said, none of landmarks, which are judged by folds."""
        given: float | None = shares.validation
        if given is None:
            return 0.0 if reader_of(parameters, records).kind == "landmarks" else _VALIDATION
        return given

    def _drawn(self, parameters: VideoParameters, records: Clips, shares: Shares) -> Held[Clips]:
        wanted = (self._validation(parameters, records, shares), shares.test)
        if records.groups is not None and any(wanted):
            rows = grouped_parts(records.labels or (), records.groups, wanted, parameters.seed)
            words = (
                f"{percent(shares.test)} of the clips, whole groups of {parameters.group or 'them'}, drawn at random"
            )
        else:
            rows = drawn_parts(records.labels or (), wanted, parameters.seed, content_keys(self.contents(records)))
            words = f"{percent(shares.test)} of each class, drawn at random"
        train, validation, test = (records[part] for part in rows)
        return Held(train, validation, test, words)

    def contents(self, records: Clips) -> Iterable[bytes]:
        return records.contents()

    def join(self, first: Clips, second: Clips) -> Clips:
        return first.joined(second)

    def title(self, records: Clips) -> str:
        return f"Classes of {records.origin}"

    def config(self, parameters: VideoParameters, train: Clips) -> TrainingConfig:
        epochs = parameters.epochs
        if epochs is None:
            landmarks = reader_of(parameters, train).kind == "landmarks"
            suited = self.suited_landmarks if landmarks else self.suited
            epochs = suited.epochs(self.steps_an_epoch(parameters, train))
        return TrainingConfig.of(parameters, epochs=epochs)

    def encoder(self, parameters: VideoParameters, train: Clips) -> VideoEncoder:
        return VideoEncoder.fit(parameters, train)

    def network(self, parameters: VideoParameters, encoder: VideoEncoder, train: Clips | None) -> nn.Module:
        return VideoNetwork(parameters, encoder, None if train is None else parameters.backbone_weights)

    def encode(self, model: VideoModel, records: Clips) -> VideoPart:
        arrays = model.encoder.encode(records)
        targets = np.zeros(0, np.int64) if records.labels is None else model.encoder.classes.numbers(records)
        _ = arrays.lengths  # what cannot be read is said now
        return VideoPart(records, arrays, targets)

    def batches(self, model: VideoModel, examples: VideoPart, *, training: bool) -> ClipBatches:
        given = model.parameters
        return ClipBatches(
            examples,
            batch_size=given.batch_size,
            window=given.window or (128 if examples.arrays.reader.kind == "pixels" else 512),
            shuffle=training,
            seed=given.seed,
            folds=folds_of(model, examples) if training else None,
        )

    def objective(self, model: VideoModel, train: VideoPart) -> VideoObjective:
        weights = loss_weights(model.parameters.class_weights, model.encoder.classes, train.targets)
        return VideoObjective(weights, model.parameters.label_smoothing)

    def calibrate(self, model: VideoModel, validation: VideoPart | None) -> VideoEncoder:
        if validation is None:
            return model.encoder
        temperature = find_temperature(self.scores(model, validation), validation.targets)
        # a few clips that are all right would make every answer certain
        least = 1.0 if len(validation) < _ENOUGH else 0.5
        return replace(model.encoder, temperature=float(np.clip(temperature, least, 5.0)))

    def finished(self, model: VideoModel, examples: Held[VideoPart]) -> VideoEncoder:
        if model.encoder.reader.kind == "pixels":
            return self.calibrate(model, examples.validation)
        return with_experts(model, examples)

    def carried(self, first: VideoModel, renewed: VideoModel) -> VideoEncoder:
        return replace(renewed.encoder, temperature=first.encoder.temperature)

    def scores(self, model: VideoModel, examples: VideoPart) -> Floats:
        """Return the logarithms of probabilities before they are calibrated, `(clips, classes)`."""
        networks = network_logs(model, examples)
        experts = model.encoder.experts
        if experts is None:
            return networks
        return experts.mixed(networks, np.stack([experts.nearest.of(clip) for clip in examples.landmarks()]))

    def predict(self, model: VideoModel, examples: VideoPart) -> Prediction:
        return Prediction.of(with_temperature(self.scores(model, examples), model.encoder.temperature))

    def baselines(self, model: VideoModel, train: VideoPart, validation: VideoPart | None) -> Baselines:
        """Return what stands beside; as none of it needs a validation part, it learns from that too."""
        whole, count, seed = joined_parts([train, validation]), len(model.encoder.classes), model.parameters.seed
        what = "mean frame" if model.encoder.reader.kind == "pixels" else "mean pose"
        return {
            f"{what}, logistic regression": lambda: MeanFrame.fit(whole, count, False),
            f"{what} and its changes, logistic regression": lambda: MeanFrame.fit(whole, count, True),
            "1-NN DTW": lambda: NearestClip.fit(whole, seed),
            MOST_FREQUENT: lambda: MostFrequent.fit(train.targets, count),
        }

    def facts(self, model: VideoModel, parts: Held[Clips], examples: Held[VideoPart]) -> Iterable[tuple[str, str]]:
        encoder = model.encoder
        yield "classes", counts_in_words(encoder.classes, examples.train.targets)
        for name, part in examples.named().items():
            yield name, "none" if part is None else f"{counted(len(part), 'clips')}, {_lengths(part)}"
        if parts.train.groups is not None:
            known = ((len(set(part.groups or ())) if part else 0, name) for name, part in parts.named().items())
            yield "groups", " / ".join(f"{count:,} {name}" for count, name in known)
        reader = encoder.reader
        if reader.kind == "pixels":
            yield (
                "frames",
                (
                    f"{reader.rate:g} a second (the files have about {encoder.frame_rate:g}), {reader.width} x "
                    f"{reader.height} "
                    f"pixels, {model.parameters.channels}"
                ),
            )
        else:
            yield "landmarks", f"{reader.features} numbers a frame, by body, with their changes; layout {reader.layout}"
        if encoder.experts is None:
            yield "calibration", f"temperature {encoder.temperature:.3f}"
        else:
            yield (
                "calibration",
                f"networks and nearest clip weighed on {encoder.experts.judged:,} clips that they had not seen",
            )

    def step_unit(self, model: VideoModel) -> StepUnit:
        rate = model.encoder.reader.rate
        return StepUnit("frames", 1 / rate if rate else None)

    def settings(self, model: VideoModel) -> Mapping[str, Any]:
        mirror = is_mirrored(model.parameters, model.encoder)
        found = {"input": model.encoder.reader.kind, "members": len(model.network.members), "mirror": mirror}
        experts = model.encoder.experts
        if experts is None:
            return found
        weights = zip(BRANCHES, experts.shares.tolist(), strict=True)
        return found | {f"weight of {name}": round(share, 3) for name, share in weights}

    def panels(self, model: VideoModel, records: Clips, examples: VideoPart, predicted: Prediction) -> Iterable[Panel]:
        yield from video_panels(model, examples, predicted)

    def pieces(self, model: VideoModel, source: Any) -> Iterator[Clips]:
        if isinstance(source, tuple) and source and all(map(is_path, source)):  # several files
            for path in source:
                yield from self.pieces(model, path)
        elif is_path(source) or hasattr(source, "columns") or isinstance(source, (Clips, list, np.ndarray)):
            yield self.read(model.parameters, source, True, labelled=False)
        else:  # lines, each the path of a clip
            for line in source:
                if not isinstance(line, str) or line.strip():
                    found = [line.strip() if isinstance(line, str) else line]
                    yield self.read(model.parameters, found, True, labelled=False)

    def answers(self, model: VideoModel, records: Clips) -> Iterator[Mapping[str, Any]]:
        for first in range(0, len(records), 16):
            part = records[slice(first, first + 16)]
            found = self.predict(model, self.encode(model, part)).probabilities
            assert found is not None
            for name, each in zip(part.names, found, strict=True):
                yield {"clip": name, **model.encoder.classes.answer(each)}

    def stream(self, model: VideoModel, **options: Any) -> VideoStream | RawVideo:
        raw = options.pop("raw", None)
        found = VideoStream(model, lambda each: model.encoder.classes.answer(each), **options)
        return found if raw is None else RawVideo(found, raw)

    def embed(self, model: VideoModel, examples: VideoPart) -> Any:
        network: VideoNetwork = model.network

        def read(rows: list[int]) -> Any:
            arrays = [np.array(examples.arrays[row]) for row in rows]
            lengths = torch.tensor([len(array) for array in arrays])
            pooled = [member.pooling(*member.outputs(padded(arrays), lengths)) for member in network.each]
            return torch.cat(pooled, -1).numpy()

        return np.stack(read_in_batches(examples.arrays.lengths, read, rows=64, steps=AT_ONCE)).astype(np.float32)


def _lengths(part: VideoPart) -> str:
    sizes = sorted(part.arrays.lengths)
    if sizes[0] == sizes[-1]:
        return f"{sizes[0]} frames each"
    return f"{sizes[0]} to {sizes[-1]} frames, median {sizes[len(sizes) // 2]}"
