"""`EventPredictor`: fit, evaluate, answer, stream, continue and judge cases, in the scikit-learn manner."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from numpy.typing import NDArray

from ostinato.artifact import Artifact
from ostinato.tasks.estimator import SavedEstimator
from ostinato.tasks.events.answering import Answer, answers_of, columns_of, is_path, whole_case_scores
from ostinato.tasks.events.cases import Log, encode_log, read_log
from ostinato.tasks.events.continuation import continue_case
from ostinato.tasks.events.evaluation import Protocol, score_events
from ostinato.tasks.events.fitting import Outcome, fit_events
from ostinato.tasks.events.saving import pack, unpack
from ostinato.tasks.events.stream import EventStream
from ostinato.tasks.events.times import TimeLoss
from ostinato.tasks.events.updating import new_cases
from ostinato.tasks.scores import Scores
from ostinato.tasks.summary import Summary
from ostinato.tasks.updating import NewRows
from ostinato.training import History
from ostinato.training.config import Optimizer, Schedule


class EventPredictor(SavedEstimator[Outcome]):
    """What happens next in a case, and when, learned from an event log.

    A recurrent network reads the events of a case in order: the activity, the time since the event before and since
    the first, the time of day and the weekday. After each it foretells the next activity, or the end of the case, and
    if the case goes on the time until the next event and until the last one.

    Args:
        case, activity, time: the columns of a log; `time=None` if it has none: rows are then in order.
        day_first, time_format, time_zone: see `ostinato.data.Schema`; found when `None`, and kept for all later events.
        order: what "last" means when cases are held out: by their `"start"`, or in the `"file"`.
        test: the share of cases, the last ones, that is held out for `scores_`, where `fit` is not given a log for it.
        validation: likewise of the cases that are left, to decide when to stop.
        refit: train once more, on the cases that decided as well, for as many epochs as were best: the newest cases are
            then learned from too.
        first_prefix: events that a prefix has, at least, to be judged; count_end: whether the end of a case is judged.
        cell: a name from `ostinato.cells.PLAIN`, or `"transformer"` (causal, over the last `context` events).
        embedding_size: features of an activity; hidden_size, num_layers: of the stack; dropout: of its outputs.
        activity_dropout: the share of activities that training takes for unknown ones, so that these can be met.
        time_loss: `"lognormal"` (with quantiles), `"log_mae"` or `"mae"`; see `TimeScale`. time_weight: of these losses
            beside the cross-entropy of the activity, 0: times are not learned.
        batch_size: cases.
        epochs, optimizer, learning_rate, momentum, schedule, warmup_steps, weight_decay, gradient_clip, patience,
        max_seconds, seed, device, precision, progress, tensorboard: see `ostinato.training.TrainingConfig`.

    After `fit`, `history_` has the epochs, `scores_` how held-out cases are foretold, beside baselines, and `summary_`
    what a report shows.

    Source: N. Tax, I. Verenich, M. La Rosa and M. Dumas, "Predictive business process monitoring with LSTM neural
    networks", CAiSE 2017.

    >>> from ostinato import EventPredictor
    >>> log = {"case": [], "activity": [], "time": []}
    >>> for number in range(60):
    ...     for hour, what in enumerate(["open", "check", "close"]):
    ...         for name, value in (("case", number), ("activity", what), ("time", f"2024-01-31 {hour + 8}:00")):
    ...             log[name].append(value)
    >>> model = EventPredictor(hidden_size=16, epochs=20, learning_rate=0.01, progress=False).fit(log)
    >>> stream = model.stream()
    >>> stream.push({"case": "new", "activity": "open", "time": "2024-02-01 08:00"})["next"]
    'check'
    """

    KIND = "event predictor"

    def __init__(
        self,
        *,
        case: str = "case",
        activity: str = "activity",
        time: str | None = "time",
        day_first: bool | None = None,
        time_format: str | None = None,
        time_zone: str | None = None,
        order: Literal["start", "file"] = "start",
        validation: float = 0.2,
        test: float = 1 / 3,
        refit: bool = True,
        first_prefix: int = 1,
        count_end: bool = True,
        cell: str = "lstm",
        embedding_size: int = 16,
        hidden_size: int = 64,
        num_layers: int = 1,
        context: int = 64,
        dropout: float = 0.2,
        activity_dropout: float = 0.02,
        time_loss: TimeLoss = "lognormal",
        time_weight: float = 0.2,
        batch_size: int = 32,
        epochs: int = 30,
        optimizer: Optimizer = "adamw",
        learning_rate: float = 3e-3,
        momentum: float = 0.0,
        schedule: Schedule = "one_cycle",
        warmup_steps: int = 0,
        weight_decay: float = 0.0,
        gradient_clip: float | None = 1.0,
        patience: int | None = 8,
        max_seconds: float | None = None,
        seed: int = 0,
        device: str = "cpu",
        precision: str = "32-true",
        progress: bool | Literal["auto"] = "auto",
        tensorboard: bool = False,
    ) -> None:
        values = dict(locals())
        for name in self._names():
            setattr(self, name, values[name])

    def fit(
        self,
        data: Log,
        *,
        validation: Log | None = None,
        test: Log | None = None,
        directory: str | Path | None = None,
        resume: bool = False,
    ) -> Self:
        """Train on an event log.

        Args:
            data: a path, an `ostinato.data.EventLog`, or anything else that `ostinato.data.read_table` takes; one
                event a row.
            validation: a log that decides which epoch is best; `None`: a share of the last cases of `data`.
            test: a log for `scores_`; likewise.
            directory: where the history and the checkpoint of the run are kept; `None`: nowhere.
            resume: go on from the directory's checkpoint if there is one.

        Raises:
            DataError: something in a log is wrong, or there is too little of it.
            UsageError: a parameter is out of range.
            NonFiniteLoss: training broke off; with an epoch done before, the model is fitted with its weights.
        """
        folder = None if directory is None else Path(directory)
        self._keep(fit_events(self.get_params(), data, validation, test, folder, resume))
        if self.fitted_.run.failure is not None:
            raise self.fitted_.run.failure
        return self

    def evaluate(self, data: Log, *, first_prefix: int | None = None, count_end: bool | None = None) -> Scores:
        """Return how well what comes next, and when, is foretold in a log.

        Args:
            data: as in `fit`; all of its cases are judged.
            first_prefix: as in the model's parameters, unless given.
            count_end: likewise.

        Raises:
            DataError: the log cannot be read, or there is nothing to judge.
        """
        reader, own = self._checked().reader, self.get_params()
        log = read_log(own, data, reader.time_format)
        cases = encode_log(log, reader.known, reader.features)
        protocol = Protocol(
            own["first_prefix"] if first_prefix is None else first_prefix,
            own["count_end"] if count_end is None else count_end,
        )
        return score_events(cases, reader.read(cases), reader.unit, protocol, split=f"all cases of {log.origin}")

    def score(self, data: Log) -> float:
        """Return the accuracy on a log: higher is better, as scikit-learn has it."""
        return self.evaluate(data).values["model"]["accuracy"]

    def answers(self, source: Log | Iterable[str]) -> Iterator[Answer]:
        """Yield what comes next in each case of a log, in the order in which the cases first come.

        Args:
            source: a log as in `fit`, or lines: JSON objects, or CSV with a header.

        Yields:
            `next`, the most probable activity or `"(end of case)"`; its `probability`; if the case goes on, the median
            of the time until the next event, `in_days`, and until the last one, `left_days`; with the log-normal
            loss, `range_days`, where four of five waits lie; the `case`; the `probabilities` of all activities.

        Raises:
            DataError: the log cannot be read.
        """
        yield from answers_of(self._checked().reader, self._read(source))

    def stream(self, *, max_cases: int = 100_000) -> EventStream:
        """Return a stream that takes events of many cases as they come; see `EventStream`."""
        return EventStream(self._checked().reader, self._columns(), max_cases)

    def continue_case(
        self, events: Sequence[Mapping[str, Any]], *, length: int = 50, sample: bool = False, seed: int = 0
    ) -> list[Answer]:
        """Return how a case is expected to go on.

        Args:
            events: of the case so far, as `stream` takes them.
            length: events to add at most.
            sample: draw each activity by its probability, rather than take the most probable.
            seed: of what is drawn.

        Returns:
            Events as they were given, each with its `probability`; times are medians. The last is `"(end of case)"`
            if it comes within `length`.

        Raises:
            UsageError: there are no events.
            StreamRowError: an event does not fit the model.
        """
        stream = EventStream(self._checked().reader, self._columns(), 1)
        return continue_case(stream, events, length=length, sample=sample, seed=seed)

    def score_cases(self, source: Log | Iterable[str]) -> Iterator[Answer]:
        """Yield how strange each case of a log is.

        Args:
            source: as in `answers`.

        Yields:
            `score`: the mean negative log-likelihood, in nats, of the case's activities and of its end: higher is
            stranger; the `case`; the `strangest` of its activities, and its `place` from 1. An activity that was not
            seen in training counts as less than once among all training cases.

        Raises:
            DataError: the log cannot be read.
        """
        fitted = self._checked()
        yield from whole_case_scores(fitted.reader, fitted.firsts, self._read(source))

    def _read(self, source: Any) -> Any:
        names = tuple(name for name in self._columns() if name)
        source = source if is_path(source) else columns_of(source, names)
        return read_log(self.get_params(), source, self._checked().reader.time_format)

    def _columns(self) -> tuple[str, str, str | None]:
        own = self.get_params()
        return own["case"], own["activity"], own["time"] or None

    def _new_rows(self, data: Any) -> NewRows[Outcome]:
        return new_cases(self.get_params(), self._checked(), data)

    @classmethod
    def _pack(cls, fitted: Outcome) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        return pack(fitted)

    @classmethod
    def _unpack(cls, artifact: Artifact) -> Outcome:
        return unpack(artifact)

    def _keep(self, fitted: Outcome) -> None:
        super()._keep(fitted)
        self.history_: History = fitted.run.history
        self.scores_: Scores | None = fitted.scores
        self.summary_: Summary = fitted.summary
