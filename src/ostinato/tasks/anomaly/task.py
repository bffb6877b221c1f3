"""Anomaly detection: series or sequences of events, each a task of its own behind one name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ostinato.data import EventLog, EventReading
from ostinato.data.logs import is_raw_log
from ostinato.errors import ColumnError, UsageError
from ostinato.nn.by_name import TRANSFORMER
from ostinato.tasks.anomaly.baselines import SimpleDetector
from ostinato.tasks.anomaly.encoder import SeriesEncoder
from ostinato.tasks.anomaly.key_baselines import KnownSequences, LastKey
from ostinato.tasks.anomaly.key_scoring import KeyEncoder
from ostinato.tasks.anomaly.key_task import KeyTask
from ostinato.tasks.anomaly.measuring import ALARMS
from ostinato.tasks.anomaly.parameters import AnomalyParameters
from ostinato.tasks.anomaly.series_rows import Labelled
from ostinato.tasks.anomaly.series_task import SeriesTask
from ostinato.tasks.base.holding_out import Held, Shares
from ostinato.tasks.base.lines import is_path
from ostinato.tasks.base.steps import StepUnit
from ostinato.tasks.base.summary import Panel
from ostinato.tasks.base.task import Baselines, Model, Task
from ostinato.tasks.base.units import Units
from ostinato.training.config import TrainingConfig

Watching: TypeAlias = "Model[AnomalyParameters, Any]"


class AnomalyTask(Task[AnomalyParameters, Any, Any, Any, Any]):
    """What is strange: every method is that of the kind of data that the parameters are about."""

    records = "records"
    descriptive = Task.descriptive | {ALARMS}  # one that raises no alarm has the fewest
    higher = frozenset({
        "AUROC", "AUPRC", "VUS-PR", "range precision", "range recall", "range F1", "NAB score", "point-adjusted F1",
        "F1", "precision", "recall",
    })  # fmt: skip
    decides = ("VUS-PR", "F1", "cross-entropy", "MAE")
    matters: ClassVar[Mapping[str, str]] = {
        "MAE": "in expecting the next value", "cross-entropy": "in expecting the next event",
    }  # fmt: skip
    encoder_type: ClassVar[Any] = SeriesEncoder | KeyEncoder
    baseline_types = (SimpleDetector, LastKey, KnownSequences)
    kept = "scales, season, keys"
    _series, _keys = SeriesTask(), KeyTask()

    def _of(self, data: Any) -> Task[AnomalyParameters, Any, Any, Any, Any]:
        """Return what takes records, or what was fitted on them."""
        return self._keys if isinstance(data, (EventLog, KeyEncoder)) else self._series

    def check(self, parameters: AnomalyParameters, *, tested: bool) -> None:
        given = parameters
        if given.cell == TRANSFORMER:
            raise UsageError(
                "the state of a transformer grows, and that of an anomaly detector must not; choose a recurrent cell"
            )
        if given.event is not None and given.method in ("forecast", "reconstruct"):
            raise UsageError(
                f'method "{given.method}" is for series, but a column of events is named; leave one of them out'
            )
        if given.top is not None and not given.of_events:
            raise UsageError(
                "top counts expected events; name the column of events (--event), say what the file is (--method "
                "events or logs), or leave it out"
            )
        if given.method == "logs" and (given.event is not None or given.labels is not None):
            raise UsageError("a raw log has no columns; leave event and labels out, or give a table with method events")
        if given.threshold == "labels" and given.labels is None:
            raise UsageError('threshold "labels" needs labels; name their column, or a file of windows (--labels)')

    def joined(self, data: Any, labels: Any) -> Any:
        return Labelled(data, labels)

    def read(self, parameters: AnomalyParameters, source: Any, reading: Any = None, *, labelled: bool = True) -> Any:
        bare = source.data if isinstance(source, Labelled) else source
        events = parameters.of_events or isinstance(reading, EventReading) or isinstance(bare, EventLog)
        if reading is None and parameters.method == "auto" and is_raw_log(bare):
            events = True
        if isinstance(source, Labelled) and events:
            raise UsageError("labels of sequences are a column of the log; name it with labels (--labels)")
        if events and reading is None and parameters.target:
            raise UsageError("target is for series, and this is a log of events; leave target out (--target)")
        if events:
            return self._keys.read(parameters, source, reading, labelled=labelled)
        try:
            return self._series.read(parameters, source, reading, labelled=labelled)
        except ColumnError as error:
            if reading is None and is_path(bare) and str(bare).lower().endswith(".txt"):
                raise ColumnError(f'{error}; if it is a log, say so with method="logs" (--method logs)') from error
            raise

    def reading(self, records: Any) -> Any:
        return records.reading if hasattr(records, "reading") else self._series.reading(records)

    def hold_out(self, parameters: AnomalyParameters, records: Any, shares: Shares) -> Held[Any]:
        return self._of(records).hold_out(parameters, records, shares)

    def join(self, first: Any, second: Any) -> Any:
        return self._of(first).join(first, second)

    def title(self, records: Any) -> str:
        return self._of(records).title(records)

    def config(self, parameters: AnomalyParameters, train: Any) -> TrainingConfig:
        return self._of(train).config(parameters, train)

    def steps_an_epoch(self, parameters: AnomalyParameters, train: Any) -> int:
        return self._of(train).steps_an_epoch(parameters, train)

    def encoder(self, parameters: AnomalyParameters, train: Any) -> Any:
        return self._of(train).encoder(parameters, train)

    def network(self, parameters: AnomalyParameters, encoder: Any, train: Any) -> nn.Module:
        return self._of(encoder).network(parameters, encoder, train)

    def encode(self, model: Watching, records: Any) -> Any:
        return self._of(model.encoder).encode(model, records)

    def batches(self, model: Watching, examples: Any, *, training: bool) -> Any:
        return self._of(model.encoder).batches(model, examples, training=training)

    def objective(self, model: Watching, train: Any) -> Any:
        return self._of(model.encoder).objective(model, train)

    def calibrate(self, model: Watching, validation: Any) -> Any:
        return self._of(model.encoder).calibrate(model, validation)

    def carried(self, first: Watching, renewed: Watching) -> Any:
        return self._of(first.encoder).carried(first, renewed)

    def finished(self, model: Watching, examples: Held[Any]) -> Any:
        return self._of(model.encoder).finished(model, examples)

    def predict(self, model: Watching, examples: Any) -> Any:
        return self._of(model.encoder).predict(model, examples)

    def embed(self, model: Watching, examples: Any) -> NDArray[np.float32]:
        return self._of(model.encoder).embed(model, examples)

    def baselines(self, model: Watching, train: Any, validation: Any) -> Baselines:
        return self._of(model.encoder).baselines(model, train, validation)

    def measures(self, model: Watching, examples: Any, predicted: Any) -> dict[str, float]:
        return self._of(model.encoder).measures(model, examples, predicted)

    def units(self, model: Watching, examples: Any, predicted: Any) -> Units | None:
        return self._of(model.encoder).units(model, examples, predicted)

    def counted(self, model: Watching, examples: Any) -> tuple[int, str]:
        return self._of(model.encoder).counted(model, examples)

    def protocol(self, model: Watching, examples: Any) -> str:
        return self._of(model.encoder).protocol(model, examples)

    def remarks(self, values: Mapping[str, Mapping[str, float]], count: int = 0) -> list[str]:
        """Say what the point-adjusted F1 is worth, where there is one."""
        random = values.get("random scores", {}).get("point-adjusted F1")
        if random is None:
            return []
        return [
            f"Point-adjusted F1 inflates: scores drawn at random have {random:.2f} of it; it is shown because others "
            "report it, and decides nothing."
        ]

    def facts(self, model: Watching, parts: Held[Any], examples: Held[Any]) -> Iterable[tuple[str, str]]:
        return self._of(model.encoder).facts(model, parts, examples)

    def step_unit(self, model: Watching) -> StepUnit:
        return self._of(model.encoder).step_unit(model)

    def settings(self, model: Watching) -> Mapping[str, Any]:
        return self._of(model.encoder).settings(model)

    def panels(self, model: Watching, records: Any, examples: Any, predicted: Any) -> Iterable[Panel]:
        return self._of(model.encoder).panels(model, records, examples, predicted)

    def pieces(self, model: Watching, source: Any) -> Iterator[Any]:
        return self._of(model.encoder).pieces(model, source)

    def answers(self, model: Watching, records: Any) -> Iterator[Mapping[str, Any]]:
        return self._of(model.encoder).answers(model, records)

    def stream(self, model: Watching, **options: Any) -> Any:
        return self._of(model.encoder).stream(model, **options)

    def updated(self, model: Watching, parts: Held[Any]) -> Any:
        return self._of(model.encoder).updated(model, parts)
