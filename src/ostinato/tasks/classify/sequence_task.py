"""What a classifier of numeric sequences knows of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ostinato.errors import UsageError
from ostinato.tasks.classify.baselines import STATISTICS, nearest, statistics
from ostinato.tasks.classify.channels import ChannelEncoder, SequenceColumns
from ostinato.tasks.classify.examples import Classes, Examples
from ostinato.tasks.classify.looking import attended, step_weights
from ostinato.tasks.classify.metrics import Prediction
from ostinato.tasks.classify.network import ClassifierNetwork
from ostinato.tasks.classify.parts import Part, Parts
from ostinato.tasks.base.summary import Curve, Panel

_SHOWN = 4
Sequences: TypeAlias = "list[NDArray[Any]]"


class SequenceTask:
    """Numeric sequences; see `Task`. `parameters` are those of `SequenceClassifier`, by name."""

    kind = "sequence classifier"

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        self.parameters = parameters

    def check(self, tested: bool) -> None:  # noqa: ARG002
        """See `Task`."""
        window = self.parameters["dtw_window"]
        if not 0 <= window <= 1:
            raise UsageError(f"dtw_window is {window}; expected a share of the length from 0 to 1")

    def read(self, data: Any, *, labelled: bool = True, channels: tuple[str, ...] = ()) -> Examples:
        """See `Task`."""
        own = self.parameters
        more = (own["missing"],) if isinstance(own["missing"], str) else tuple(own["missing"])
        columns = SequenceColumns(own["series_id"], own["label"], own["time"], tuple(own["channels"]), more)
        return columns.read(data, labelled=labelled, channels=channels)

    def encoder(self, training: Examples) -> ChannelEncoder:
        """See `Task`."""
        return ChannelEncoder.fit(training, hidden=self.parameters["value_dropout"] > 0)

    def vectors(self, encoder: ChannelEncoder) -> NDArray[np.float32] | None:  # noqa: ARG002
        """Return none: there are no tokens."""
        return None

    def sizes(self, encoder: ChannelEncoder, vectors: NDArray[np.float32] | None) -> dict[str, Any]:  # noqa: ARG002
        """See `Task`."""
        return {
            "channels": len(encoder.channels),
            "masked": encoder.masked,
            "timed": encoder.gap is not None,
            "convolutions": tuple(self.parameters["convolutions"]),
        }

    def baselines(self, parts: Parts, encoder: ChannelEncoder) -> dict[str, Prediction]:
        """See `Task`; as they need no validation part, they learn from it too."""
        assert parts.test is not None
        known = [part for part in (parts.train, parts.validation) if part is not None]
        targets = np.concatenate([part.targets for part in known])
        options = self.parameters["dtw_window"], self.parameters["seed"]

        def read(values: Callable[[Examples], Sequences]) -> tuple[Sequences, Sequences]:
            assert parts.test is not None
            return [own for part in known for own in values(part.examples)], values(parts.test.examples)

        train, test = read(encoder.standard)
        found = {STATISTICS: statistics(train, targets, test, len(parts.classes))}
        name, told = nearest(train, targets, test, *options)
        if len(encoder.channels) == 1:  # the scale of a single channel changes no neighbour
            return {name: told, **found}
        raw, raw_test = read(lambda examples: [own.values for own in examples.items])
        raw_name, raw_told = nearest(raw, targets, raw_test, *options)
        return {name: told, f"{raw_name}, not standardised": raw_told, **found}

    def described(self, encoder: ChannelEncoder) -> list[tuple[str, str]]:
        """See `Task`."""
        count = len(encoder.channels)
        listed = ", ".join(encoder.channels[:12]) + (", ..." if count > 12 else "")
        found = [("channels", f"{count}: {listed}")]
        found.append(("missing values", "marked" if encoder.masked else "none in training"))
        return found + ([] if encoder.gap is None else [("median time gap", f"{encoder.gap:g}")])

    def show(self, part: Part, row: int) -> str:
        """See `Task`."""
        return f"sequence {row + 1} of {part.examples.origin}"

    def panels(
        self,
        network: ClassifierNetwork,
        part: Part,
        classes: Classes,
        encoder: ChannelEncoder,  # noqa: ARG002
    ) -> list[Panel]:
        """Return which steps weighed most in some answers, one example of each of the first classes."""
        rows = [int(np.flatnonzero(part.targets == own)[0]) for own in np.unique(part.targets)[:_SHOWN]]
        weights = {row: step_weights(network, part.arrays[row]) for row in rows}
        longest = max(map(len, weights.values()))
        lines = {
            f'{self.show(part, row)}, class "{classes.names[part.targets[row]]}"': (
                *own.round(4).tolist(),
                *[float("nan")] * (longest - len(own)),
            )
            for row, own in weights.items()
        }
        steps = tuple(float(step) for step in range(1, longest + 1))
        return [Curve("Which steps it looked at", steps, lines, "step", attended(network))]
