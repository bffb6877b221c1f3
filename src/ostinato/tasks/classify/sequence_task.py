"""What is a sequence classifier's own."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from torch import nn

from ostinato.errors import DataError
from ostinato.tasks.base.class_task import MOST_FREQUENT
from ostinato.tasks.base.class_weights import loss_weights
from ostinato.tasks.base.holding_out import Held
from ostinato.tasks.base.labels import Prediction
from ostinato.tasks.base.lines import is_path
from ostinato.tasks.base.summary import Panel
from ostinato.tasks.base.task import Baseline, Baselines, Model
from ostinato.tasks.base.weighing import drawn_folds
from ostinato.tasks.classify.baselines import MostFrequent, joined
from ostinato.tasks.classify.channels import ChannelEncoder, read_examples
from ostinato.tasks.classify.encoding import ExampleBatches, Part
from ostinato.tasks.classify.examples import Examples
from ostinato.tasks.classify.folds import FoldedBatches, FoldedObjective
from ostinato.tasks.classify.panels import sequence_panels
from ostinato.tasks.classify.parameters import SequenceParameters
from ostinato.tasks.classify.plan import FOLDS, Plan
from ostinato.tasks.classify.rocket import MINIROCKET, MiniRocket
from ostinato.tasks.classify.sequence_baselines import NEIGHBOURS, STATISTICS, Neighbours, Statistics
from ostinato.tasks.classify.sequence_network import SequenceNetwork
from ostinato.tasks.classify.steps import SequenceReading
from ostinato.tasks.classify.stream import SequenceStream
from ostinato.tasks.classify.task import ClassTask
from ostinato.tasks.classify.weighing import left_out_scores, set_shares, starts, unseen_scores
from ostinato.training import TrainingConfig

_WEIGHING = 0.1  # of a time limit, to weigh the branches in
_LEAST_SHARE = 0.01  # that a branch of a model which is updated begins with


class SequenceTask(ClassTask[SequenceParameters, ChannelEncoder]):
    """Numeric sequences, each of a class."""

    records = "sequences"
    content_name = "sequences"
    encoder_type = ChannelEncoder
    baseline_types = (MiniRocket, Neighbours, Statistics, MostFrequent)

    def read(
        self, parameters: SequenceParameters, source: Any, reading: SequenceReading | None = None, *,
        labelled: bool = True,
    ) -> Examples:  # fmt: skip
        return read_examples(parameters, source, reading, labelled=labelled)

    def encoder(self, parameters: SequenceParameters, train: Examples) -> ChannelEncoder:
        return ChannelEncoder.fit(train, hidden=parameters.value_dropout > 0)

    def config(self, parameters: SequenceParameters, train: Examples) -> TrainingConfig:
        encoder = self.encoder(parameters, train)
        plan = Plan.of(parameters, encoder)
        epochs = parameters.epochs or plan.epochs(parameters, encoder, len(train))
        return TrainingConfig.of(parameters, epochs=epochs, max_seconds=plan.training_seconds)

    def network(self, parameters: SequenceParameters, encoder: ChannelEncoder, train: Examples | None) -> nn.Module:
        """Return a network whose branches that are not trained are fitted to the training part, if it is given."""
        network = SequenceNetwork(parameters, encoder)
        if network.wide is not None and train is not None and not network.shares.is_meta:  # shapes alone, at first
            targets = encoder.classes.numbers(train)
            weights = loss_weights(parameters.class_weights, encoder.classes, targets)
            counts = np.ones(len(targets)) if weights is None else weights.double().numpy()[targets]
            arrays, limited = encoder.encode(train), parameters.max_seconds is not None
            network.left_out = [network.wide.fit(arrays, targets, parameters.seed, counts, limited=limited)]
            if network.near is not None:
                network.left_out.append(network.near.fit(arrays, targets, counts, network.wide.telling))
        return network

    def batches(
        self, model: Model[SequenceParameters, ChannelEncoder], examples: Part, *, training: bool
    ) -> ExampleBatches:
        parameters = model.parameters
        if not training:
            return super().batches(model, examples, training=False)
        folds = drawn_folds(examples.targets, FOLDS, parameters.seed)
        return FoldedBatches(examples, folds, batch_size=parameters.batch_size, seed=parameters.seed)

    def objective(self, model: Model[SequenceParameters, ChannelEncoder], train: Part) -> Any:
        weights = loss_weights(model.parameters.class_weights, model.encoder.classes, train.targets)
        return FoldedObjective(weights, model.parameters.label_smoothing)

    def finished(self, model: Model[SequenceParameters, ChannelEncoder], examples: Held[Part]) -> ChannelEncoder:
        """Weigh the branches by the examples that they have not seen: those left out, and the validation part."""
        given, train = model.parameters, examples.train
        seconds = math.inf if given.max_seconds is None else _WEIGHING * given.max_seconds
        unseen = [left_out_scores(model.network, train, given.seed, seconds)]
        if examples.validation is not None:
            unseen.append(unseen_scores(model.network, examples.validation))
        set_shares(model.network, unseen, starts(model.network, train.targets))
        judged = sum(len(each.targets) for each in unseen)
        return replace(model.encoder, judged=judged, near=model.network.near is not None)

    def calibrate(self, model: Model[SequenceParameters, ChannelEncoder], validation: Part | None) -> ChannelEncoder:
        """Weigh the branches by a validation part, as after an update; both start from what they were."""
        if validation is not None:
            branches = 1 + len(model.network.beside)
            began = [max(share, _LEAST_SHARE) for share in model.network.shares.tolist()[:branches]]
            set_shares(model.network, [unseen_scores(model.network, validation)], began)
        return model.encoder

    def calibration(self, model: Model[SequenceParameters, ChannelEncoder], examples: Held[Part]) -> str:
        if not model.encoder.judged:
            return "none: there are no examples that the networks have not seen"
        return f"branches weighed on {model.encoder.judged:,} examples that they have not seen"

    def settings(self, model: Model[SequenceParameters, ChannelEncoder]) -> Mapping[str, Any]:
        network = model.network
        names = ("networks", "random convolutions", "nearest neighbours")
        shares = zip(names, network.shares.tolist(), strict=False)
        weights = {f"weight of the {name}": round(share, 3) for name, share in shares}
        sound = model.encoder.reading.sound
        read = {} if sound is None else {"sample rate": sound.rate, "bands of pitch": sound.bins}
        return {**read, **Plan.of(model.parameters, model.encoder).settings(), **weights}

    def facts(
        self, model: Model[SequenceParameters, ChannelEncoder], parts: Held[Examples], examples: Held[Part]
    ) -> Iterable[tuple[str, str]]:
        yield from super().facts(model, parts, examples)
        limit, wide = model.parameters.max_seconds, model.network.wide
        smaller = list(Plan.of(model.parameters, model.encoder).smaller)
        if wide is not None and 0 < wide.solved < wide.plan.solved:
            smaller.append(f"the random convolutions fitted to {wide.solved:,} of {wide.plan.count:,} examples")
        if limit is not None and smaller:
            yield f"smaller, to keep {limit:g} s", "; ".join(smaller)

    def baselines(
        self, model: Model[SequenceParameters, ChannelEncoder], train: Part, validation: Part | None
    ) -> Baselines:
        """Return what stands beside; as none of it needs a validation part, it learns from that too."""
        encoder, given, whole = model.encoder, model.parameters, joined([train, validation])
        name = NEIGHBOURS + (f" (window {given.dtw_window:g})" if given.dtw_window < 1 else "")
        found: dict[str, Callable[[], Baseline]] = {
            MINIROCKET: lambda: MiniRocket.fit(whole, len(encoder.classes), encoder.center, given.seed)
        }
        found[name] = lambda: Neighbours.fit(whole, encoder.center, encoder.scale, given.dtw_window, given.seed)
        if len(encoder.channels) > 1:  # the scale of a single channel changes no neighbour
            zeros = np.zeros(len(encoder.channels))
            found[f"{name}, not standardised"] = lambda: Neighbours.fit(
                whole, zeros, zeros + 1, given.dtw_window, given.seed
            )
        found[STATISTICS] = lambda: Statistics.fit(encoder, whole)
        return {**found, MOST_FREQUENT: lambda: MostFrequent.fit(train, len(encoder.classes))}

    def described(self, encoder: ChannelEncoder) -> Iterable[tuple[str, str]]:
        count = len(encoder.channels)
        yield "channels", f"{count}: {', '.join(encoder.channels[:12])}" + (", ..." if count > 12 else "")
        yield "missing values", "marked" if encoder.masked else "none in training"
        if encoder.gap is not None:
            yield "median time gap", f"{encoder.gap:g}"

    def show(self, part: Part, row: int) -> str:
        names = part.examples.names
        return names[row] if names else f"sequence {row + 1} of {part.examples.origin}"

    def panels(
        self, model: Model[SequenceParameters, ChannelEncoder], records: Examples, examples: Part, predicted: Prediction
    ) -> Iterable[Panel]:
        yield from super().panels(model, records, examples, predicted)
        yield from sequence_panels(model, examples, lambda row: self.show(examples, row))

    def pieces(self, model: Model[SequenceParameters, ChannelEncoder], source: Any) -> Iterator[Examples]:
        if isinstance(source, tuple) and source and all(map(is_path, source)):  # several files
            for path in source:
                yield from self.pieces(model, path)
        elif is_path(source) or isinstance(source, (list, tuple)) or model.encoder.reading.sound is None:
            yield from super().pieces(model, source)
        else:  # lines, each the path of a sound
            for line in source:
                if not isinstance(line, str) or line.strip():
                    yield from self.pieces(model, line.strip() if isinstance(line, str) else line)

    def parsed(self, line: Any, number: int) -> Any:
        """Return a sequence as JSON: a list of steps, or of values."""
        try:
            return json.loads(line) if isinstance(line, str) else line
        except ValueError as error:
            raise DataError(
                f"line {number} is no sequence ({error}); expected JSON, such as [[0.5, 1], [0.7, 2]]: a list of "
                "steps, each a list of channels"
            ) from error

    def stream(self, model: Model[SequenceParameters, ChannelEncoder], **options: Any) -> SequenceStream:
        return SequenceStream(model, lambda each: model.encoder.classes.answer(each))
