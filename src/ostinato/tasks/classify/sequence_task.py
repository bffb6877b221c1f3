"""What is a sequence classifier's own."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from torch import nn

from ostinato.errors import DataError
from ostinato.tasks.base.summary import Panel
from ostinato.tasks.base.task import Baseline, Model
from ostinato.tasks.classify.baselines import MOST_FREQUENT, MostFrequent, joined
from ostinato.tasks.classify.channel_front import sequence_front
from ostinato.tasks.classify.channels import ChannelEncoder, SequenceReading, read_examples
from ostinato.tasks.classify.encoding import Part, Prediction
from ostinato.tasks.classify.examples import Examples
from ostinato.tasks.classify.network import ClassifierNetwork
from ostinato.tasks.classify.panels import sequence_panels
from ostinato.tasks.classify.parameters import SequenceParameters
from ostinato.tasks.classify.sequence_baselines import NEIGHBOURS, STATISTICS, Neighbours, Statistics
from ostinato.tasks.classify.stream import SequenceStream
from ostinato.tasks.classify.task import ClassTask, answer_of, calibrated


class SequenceTask(ClassTask[SequenceParameters, ChannelEncoder]):
    """Numeric sequences, each of a class."""

    records = "sequences"
    encoder_type = ChannelEncoder
    baseline_types = (Neighbours, Statistics, MostFrequent)

    def read(
        self, parameters: SequenceParameters, source: Any, reading: SequenceReading | None = None, *,
        labelled: bool = True,
    ) -> Examples:  # fmt: skip
        return read_examples(parameters, source, reading, labelled=labelled)

    def encoder(self, parameters: SequenceParameters, train: Examples) -> ChannelEncoder:
        return ChannelEncoder.fit(train, hidden=parameters.value_dropout > 0)

    def network(self, parameters: SequenceParameters, encoder: ChannelEncoder, train: Examples | None) -> nn.Module:
        return ClassifierNetwork(parameters, sequence_front(parameters, encoder), len(encoder.classes))

    def calibrate(self, model: Model[SequenceParameters, ChannelEncoder], validation: Part | None) -> ChannelEncoder:
        found: ChannelEncoder = calibrated(model, validation)
        return found

    def baselines(
        self, model: Model[SequenceParameters, ChannelEncoder], train: Part, validation: Part | None
    ) -> Mapping[str, Baseline]:
        """Return neighbours and statistics; as they need no validation part, they learn from it too."""
        encoder, own, whole = model.encoder, model.parameters, joined([train, validation])
        name = NEIGHBOURS + (f" (window {own.dtw_window:g})" if own.dtw_window < 1 else "")
        found: dict[str, Baseline] = {
            name: Neighbours.fit(whole, encoder.center, encoder.scale, own.dtw_window, own.seed)
        }
        if len(encoder.channels) > 1:  # the scale of a single channel changes no neighbour
            zeros = np.zeros(len(encoder.channels))
            found[f"{name}, not standardised"] = Neighbours.fit(whole, zeros, zeros + 1, own.dtw_window, own.seed)
        found[STATISTICS] = Statistics.fit(encoder, whole)
        return {**found, MOST_FREQUENT: MostFrequent.fit(train, len(encoder.classes))}

    def described(self, encoder: ChannelEncoder) -> Iterable[tuple[str, str]]:
        count = len(encoder.channels)
        yield "channels", f"{count}: {', '.join(encoder.channels[:12])}" + (", ..." if count > 12 else "")
        yield "missing values", "marked" if encoder.masked else "none in training"
        if encoder.gap is not None:
            yield "median time gap", f"{encoder.gap:g}"

    def show(self, part: Part, row: int) -> str:
        return f"sequence {row + 1} of {part.examples.origin}"

    def panels(
        self, model: Model[SequenceParameters, ChannelEncoder], records: Examples, examples: Part, predicted: Prediction
    ) -> Iterable[Panel]:
        yield from super().panels(model, records, examples, predicted)
        yield from sequence_panels(model, examples, lambda row: self.show(examples, row))

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
        return SequenceStream(model, lambda own: answer_of(model.encoder.classes, own))
