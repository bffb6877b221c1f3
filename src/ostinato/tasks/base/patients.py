"""What tasks of patients share: parts drawn by outcome, and streams of many patients at once."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.health import Patients
from ostinato.data.health.rows import Measured, RowReader
from ostinato.data.health.summaries import COUNTS, Running, width
from ostinato.errors import UsageError
from ostinato.streaming import Row, Stream, refused, shared_steps
from ostinato.tasks.base.holding_out import Held, Shares
from ostinato.tasks.base.irregular import StepCell
from ostinato.tasks.base.task import Model


def drawn_by_outcome(
    records: Patients, outcomes: Iterable[float], shares: Shares, seed: int, words: str
) -> Held[Patients]:
    """Return patients in parts that are drawn, of each outcome as large a share.

    Args:
        records: with their outcomes.
        outcomes: that there may be, in the order in which they are drawn.
        shares: of the parts.
        seed: of the draw.
        words: how they were drawn.
    """
    assert records.outcomes is not None
    rng = np.random.default_rng(seed)
    parts: dict[str, list[NDArray[np.int64]]] = {"train": [], "validation": [], "test": []}
    for outcome in outcomes:
        rows = rng.permutation(np.flatnonzero(records.outcomes == outcome))
        test = round(len(rows) * shares.test)
        validation = round((len(rows) - test) * shares.validation)
        parts["test"].append(rows[:test])
        parts["validation"].append(rows[test : test + validation])
        parts["train"].append(rows[test + validation :])
    found = {name: records.take(np.sort(np.concatenate(rows))) for name, rows in parts.items()}
    return Held(found["train"], found["validation"], found["test"], words)


class PatientRows(Stream):
    """A stream of rows of many patients: those it holds, and their state; a task says what a row does.

    Args:
        model: fitted.
        most: patients held at a time; of more, the one that has been still for longest is forgotten.

    Raises:
        UsageError: `most` is not positive.
    """

    option: tuple[str, str]
    """What a state must have been made with: the name of an attribute that is a number, and its unit in messages."""

    def __init__(self, model: Model[Any, Any], *, most: int) -> None:
        if most < 1:
            raise UsageError(f"max_patients is {most}; expected one or more")
        self.model, self.encoder, self.most = model, model.encoder, most
        size = width(len(self.encoder.variables))
        self._shared = shared_steps(model.network, lambda: StepCell(model.network, size))
        self._rows = RowReader(
            self.encoder.reading, self.encoder.variables, self.encoder.scales, model.parameters.limits
        )
        self._patients: OrderedDict[str, Any] = OrderedDict()

    @property
    def bare(self) -> tuple[str, ...]:
        """The patient, the time, and what else a row that names nothing has."""
        return self._rows.bare

    @property
    def header(self) -> tuple[str, ...]:
        """The names that a row may have."""
        return self._rows.header

    def __len__(self) -> int:
        """Return how many patients are held."""
        return len(self._patients)

    def slot(self, row: Any) -> str:
        """Return the patient of a row."""
        return self._rows.patient(row)

    def discharge(self, patient: Any) -> bool:
        """Forget a patient who has left; return whether they were there."""
        return self._patients.pop(str(patient), None) is not None

    def reset(self) -> None:
        """Forget all patients."""
        self._patients.clear()

    def mark(self) -> str:
        """Return what tells the model from others."""
        return self._shared.mark

    def _admitted(self, moment: float) -> float:
        """Return the moment from which the hours of a patient count who is first heard of at a moment."""
        return moment if self.encoder.reading.clock.kind == "dates" else 0.0

    def _new_running(self) -> Running:
        return Running(len(self.encoder.variables), self.encoder.scale)

    def _hold(self, name: str, patient: Any) -> None:
        """Keep a patient as the newest; forget the oldest where there are too many."""
        self._patients[name] = patient
        self._patients.move_to_end(name)
        if len(self._patients) > self.most:
            self._patients.popitem(last=False)

    # --- states ----------------------------------------------------------------------------------------------------

    @abstractmethod
    def _plain(self, name: str, patient: Any) -> dict[str, Any]:
        """Return a patient as plain data, with the name as `"id"`."""

    @abstractmethod
    def _restored(self, kept: Mapping[str, Any]) -> Any:
        """Return the patient of plain data."""

    def kept(self) -> dict[str, Any]:
        """Return all patients, the one that has been still for longest first."""
        name = self.option[0]
        patients = [self._plain(patient, kept) for patient, kept in self._patients.items()]
        return {name: getattr(self, name), "patients": patients}

    def accept(self, kept: Mapping[str, Any]) -> None:
        """Resume with the patients of a state."""
        given = kept.get("patients")
        if not isinstance(given, list) or not all(isinstance(patient, Mapping) for patient in given):
            raise refused("holds no patients")
        option, unit = self.option
        if kept.get(option) != getattr(self, option):
            raise refused(
                f"is of a stream with {option}={kept.get(option)!r}{unit}, and this one has {getattr(self, option):g}"
            )
        found: OrderedDict[str, Any] = OrderedDict()
        for patient in given:
            name = patient.get("id")
            if not isinstance(name, str) or name in found:
                raise refused("holds a patient without a name, or one twice")
            found[name] = self._restored(patient)
        while len(found) > self.most:
            found.popitem(last=False)
        self._patients = found

    def _row_of(self, state: Any) -> Row:
        row = Row(self._shared)
        row.restore(state)
        return row

    def _running_of(self, summaries: Any, hour: Any) -> Running:
        """Return summaries as they were kept, at an hour."""
        running = self._new_running()
        if (
            not isinstance(summaries, np.ndarray)
            or summaries.shape != running.kept.shape
            or summaries.dtype != running.kept.dtype
            or not np.isfinite(summaries).all()
        ):
            raise refused("holds no summaries of a patient")
        if (summaries[COUNTS] < 0).any():
            raise refused("holds summaries of fewer than no measurements")
        running.restore(summaries, number_of(hour))
        return running

    def _measured_of(self, codes: Any, values: Any, what: str) -> Measured:
        """Return what was measured at a time: the places of variables, and their values."""
        if (
            not isinstance(codes, np.ndarray)
            or not isinstance(values, np.ndarray)
            or codes.dtype.kind != "i"
            or values.dtype.kind != "f"
            or codes.shape != values.shape
            or codes.ndim != 1
            or not np.isfinite(values).all()
            or (len(codes) and (codes.min() < 0 or codes.max() >= len(self.encoder.variables)))
        ):
            raise refused(f"holds a {what} that was not measured so")
        return dict(zip(codes.tolist(), values.tolist(), strict=True))


def plain_measured(measured: Measured) -> dict[str, NDArray[Any]]:
    """Return what was measured at a time as the `codes` and `values` of a state."""
    return {
        "codes": np.array(list(measured), np.int64),
        "values": np.array(list(measured.values()), np.float64),
    }


def number_of(value: Any) -> float:
    """Return a number of a state, refused where it is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise refused("holds something else where a number belongs")
    return float(value)
