"""What is a composer's own; all else is of `ostinato.tasks.base`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
from torch import nn

from ostinato.data.music import Piece, Pieces, note_name, read_music
from ostinato.errors import DataError, UsageError
from ostinato.tasks.base.holding_out import Held, Shares, content_keys, drawn_groups, percent
from ostinato.tasks.base.steps import StepUnit
from ostinato.tasks.base.suited import Suited
from ostinato.tasks.base.summary import Panel
from ostinato.tasks.base.task import Baselines, Model, Task
from ostinato.tasks.base.units import Units
from ostinato.tasks.music.baselines import TYPES, baselines_of
from ostinato.tasks.music.batches import MusicBatches
from ostinato.tasks.music.encoding import STEPS, Examples, MusicEncoder, encode, say_left_out
from ostinato.tasks.music.network import EventNetwork, FrameNetwork, make_network, objective
from ostinato.tasks.music.panels import music_panels
from ostinato.tasks.music.parameters import MusicParameters
from ostinato.tasks.music.reading import (
    AT_CHANGES,
    FRAME_ACCURACY,
    NATS,
    Judged,
    measures,
    piece_units,
    read_events,
    read_frames,
)
from ostinato.tasks.music.stream import EventStream, FrameStream
from ostinato.training.config import TrainingConfig
from ostinato.training.objective import BatchSource, Objective
from ostinato.words import counted

Composing: TypeAlias = "Model[MusicParameters, MusicEncoder]"
_A_STEP = 240  # steps of pieces that a step of the training reads, where its passes are counted
_EVENTS_A_QUARTER = 6


class MusicTask(Task[MusicParameters, Pieces, MusicEncoder, Examples, Judged]):
    """Pieces of music, step by step."""

    records = "pieces"
    content_name = "pieces"
    higher = frozenset({"accuracy", FRAME_ACCURACY, AT_CHANGES})
    decides = (NATS, "nats")
    encoder_type = MusicEncoder
    baseline_types = TYPES
    suited = Suited(steps=3000, least=5, most=100)
    kept = "the range of notes, the grid and the training pieces that copies are looked for in"

    def check(self, parameters: MusicParameters, *, tested: bool) -> None:
        if parameters.representation == "events" and (parameters.key or parameters.metre):
            raise UsageError(
                'key and metre are conditions of frames; leave them out, or choose representation="frames"'
            )

    def read(self, parameters: MusicParameters, source: Any, reading: Any = None, *, labelled: bool = True) -> Pieces:
        steps = parameters.steps_per_quarter or STEPS[parameters.representation]
        found = read_music(source, steps_per_quarter=steps, drums=parameters.drums)
        if not any(map(len, found.pieces)):
            raise DataError(f"{found.origin} has no notes; give pieces with some")
        return found

    def hold_out(self, parameters: MusicParameters, records: Pieces, shares: Shares) -> Held[Pieces]:
        """Return the parts that the source has; others are drawn at random, equal pieces all on one side."""
        asked = [shares.validation, shares.test]
        known = [records.part(name) if records.divided else records[:0] for name in ("validation", "test")]
        # what the source does not have, and is asked for, is drawn
        drawn = [0.0 if len(part) else value for part, value in zip(known, asked, strict=True)]
        free = [i for i, part in enumerate(records.parts) if part not in ("validation", "test")]
        rest = records[free] if records.divided else records
        train, *parts = (rest[each] for each in _drawn(rest, drawn, parameters.seed))
        if not len(train):
            raise DataError(f"{records.origin} leaves no piece to train on; give more, or hold less of it out")
        validation, test = (
            (had if len(had) else part) if share else None for had, part, share in zip(known, parts, asked, strict=True)
        )
        words = f"{percent(shares.test)} of the pieces, drawn at random"
        return Held(train, validation, test, f"the test part of {records.origin}" if len(known[1]) else words)

    def contents(self, records: Pieces) -> Iterable[Any]:
        """Return the notes of each piece in time."""
        return (_content(piece) for piece in records.pieces)

    def title(self, records: Pieces) -> str:
        return f"Composer, trained on {records.origin}"

    def config(self, parameters: MusicParameters, train: Pieces) -> TrainingConfig:
        """Return the settings; where the time is said, and not the passes, all of it is used."""
        if parameters.epochs is None and parameters.max_seconds is not None:
            return TrainingConfig.of(parameters, epochs=self.suited.most)
        return super().config(parameters, train)

    def steps_an_epoch(self, parameters: MusicParameters, train: Pieces) -> int:
        quarters = sum(piece.length for piece in train.pieces)
        if parameters.representation == "events":
            steps = sum(3 * len(piece) for piece in train.pieces) + quarters * _EVENTS_A_QUARTER
        else:
            steps = quarters * (parameters.steps_per_quarter or STEPS["frames"])
        return max(1, math.ceil(steps / _A_STEP))

    def encoder(self, parameters: MusicParameters, train: Pieces) -> MusicEncoder:
        return MusicEncoder.fit(parameters, train)

    def network(self, parameters: MusicParameters, encoder: MusicEncoder, train: Pieces | None) -> nn.Module:
        return make_network(parameters, encoder)

    def encode(self, model: Composing, records: Pieces) -> Examples:
        return encode(model.encoder, records)

    def batches(self, model: Composing, examples: Examples, *, training: bool) -> BatchSource | None:
        parameters = model.parameters
        if not len(examples):
            return None
        return MusicBatches(
            model.encoder, examples, batch_size=parameters.batch_size, steps=parameters.steps,
            transpose=parameters.transpose if training else 0, shuffle=training, seed=parameters.seed,
        )  # fmt: skip

    def objective(self, model: Composing, train: Examples) -> Objective:
        return objective

    def predict(self, model: Composing, examples: Examples) -> Judged:
        network: Any = model.network
        if isinstance(network, EventNetwork):
            return read_events(network, model.encoder, examples)
        assert isinstance(network, FrameNetwork)
        return read_frames(network, model.encoder, examples)

    def baselines(self, model: Composing, train: Examples, validation: Examples | None) -> Baselines:
        return baselines_of(model.encoder.kind, train, model.encoder.code.size)

    def measures(self, model: Composing, examples: Examples, predicted: Judged) -> dict[str, float]:
        return measures(predicted, model.encoder.kind)

    def units(self, model: Composing, examples: Examples, predicted: Judged) -> Units:
        return piece_units(predicted, model.encoder.kind)

    def counted(self, model: Composing, examples: Examples) -> tuple[int, str]:
        return sum(examples.lengths), model.encoder.kind

    def protocol(self, model: Composing, examples: Examples) -> str:
        if model.encoder.kind == "events":
            return f"{len(examples):,} pieces, each from its beginning; a mean over all events"
        lost = f"; {examples.left_out:,} notes out of the model's range left out" if examples.left_out else ""
        return (
            f"{len(examples):,} pieces, each from its beginning; notes of a frame summed, a mean over all frames{lost}"
        )

    def details(self, model: Composing, examples: Examples, predicted: Mapping[str, Judged]) -> Mapping[str, Any]:
        """Return the losses without each piece's first step, as some papers count them."""
        found = {name: value.losses[~value.first] for name, value in predicted.items()}
        lost = {"notes left out": examples.left_out} if examples.left_out else {}
        return {
            "without first steps": {name: float(value.mean()) for name, value in found.items() if len(value)},
            **lost,
        }

    def step_unit(self, model: Composing) -> StepUnit:
        encoder = model.encoder
        grid = f"steps of 1/{encoder.steps_per_quarter} quarter"
        return StepUnit("events" if encoder.kind == "events" else grid)

    def settings(self, model: Composing) -> Mapping[str, Any]:
        encoder = model.encoder
        found: dict[str, Any] = {"steps_per_quarter": encoder.steps_per_quarter}
        if encoder.kind == "frames":
            found["notes"] = f"{encoder.notes}, {note_name(encoder.low)} to {note_name(encoder.high)}"
        return found

    def facts(self, model: Composing, parts: Held[Pieces], examples: Held[Examples]) -> Iterable[tuple[str, str]]:
        encoder = model.encoder
        named = {name: part for name, part in examples.named().items() if part is not None}
        yield "pieces", ", ".join(f"{name} {len(part):,}" for name, part in named.items())
        yield encoder.kind, ", ".join(f"{name} {sum(part.lengths):,}" for name, part in named.items())
        yield "grid", f"{counted(encoder.steps_per_quarter, 'steps')} a quarter; notes begin and end at the nearest"
        yield (
            "notes of training",
            f"{note_name(encoder.found_low)} to {note_name(encoder.found_high)}, {encoder.most} at a time at most",
        )

    def panels(self, model: Composing, records: Pieces, examples: Examples, predicted: Judged) -> Iterable[Panel]:
        return music_panels(model, records, predicted)

    def answers(self, model: Composing, records: Pieces) -> Iterator[Mapping[str, Any]]:
        say_left_out(model.encoder, records)
        for piece in records.pieces:
            examples = encode(model.encoder, Pieces(piece.name, (piece,)), said=True)
            if not len(examples):
                yield {"piece": piece.name, "steps": 0}
                continue
            judged = self.predict(model, examples)
            yield {"piece": piece.name, "steps": len(judged.losses), **self.measures(model, examples, judged)}

    def pieces(self, model: Composing, source: Any) -> Iterator[Pieces]:
        """Yield the pieces of a source; lines are paths of files."""
        if isinstance(source, Iterator):
            for line in source:
                yield self.read(model.parameters, line)
            return
        yield self.read(model.parameters, source)

    def stream(self, model: Composing, **options: Any) -> FrameStream | EventStream:
        if model.encoder.kind == "frames":
            return FrameStream(model.network, model.encoder, **options)
        return EventStream(model.network, model.encoder, **options)


def _content(piece: Piece) -> tuple[Any, ...]:
    return np.round(piece.start, 3), np.round(piece.duration, 3), piece.pitch


def _drawn(records: Pieces, shares: list[float], seed: int) -> list[Any]:
    """Return the rows of the training part, and of the others, by their shares."""
    asked = [_at_least_one(len(records), share) for share in shares]
    return list(drawn_groups(content_keys(_content(piece) for piece in records.pieces), asked, seed))


def _at_least_one(count: int, share: float) -> float:
    """Return a share by which one piece is held out where there are few, but not the last ones."""
    return share if not share or round(count * share) or count < 3 else 1.0 / count
