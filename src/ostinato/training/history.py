"""What happened in each epoch, on disk as CSV and, if wished, as TensorBoard logs."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from ostinato.errors import MissingExtra, OutputError
from ostinato.files import reason, write_atomically

TIME_LIMIT = "the time limit"
"""How the reason begins where training stopped because its time was over."""


@dataclass(frozen=True)
class EpochRow:
    """One epoch: mean losses, the learning rate at its end, the mean gradient norm before clipping, seconds so far.

    Where a time limit is short for an epoch, there are several rows of one, each of the steps since the one before;
    their `epoch` is the share that was done: 0.25, 0.5.
    """

    epoch: int | float
    loss: float
    validation_loss: float
    learning_rate: float
    gradient_norm: float
    seconds: float
    steps_per_second: float


@dataclass(frozen=True)
class History:
    """All epochs, which of them (counted from 1) gave the weights that were kept, and why training stopped."""

    rows: tuple[EpochRow, ...]
    best_epoch: int | float
    stopped: str

    def within(self, seconds: float | None) -> History:
        """Return it with the time limit that was asked for as its end, where training had less than all of it."""
        if seconds is None or not self.stopped.startswith(TIME_LIMIT):
            return self
        return replace(self, stopped=f"{TIME_LIMIT} of {seconds:g} s was reached")

    @property
    def cut_short(self) -> bool:
        """Whether the time limit ended it while its validation loss was still falling."""
        best = bool(self.rows) and self.rows[-1].epoch == self.best_epoch
        return self.stopped.startswith(TIME_LIMIT) and best


class Log:
    """`history.csv` and TensorBoard logs in a run's folder; nothing without a folder."""

    def __init__(self, directory: Path | None, rows: list[EpochRow], tensorboard: bool) -> None:
        self.path = directory / "history.csv" if directory else None
        self._writer = _tensorboard(directory / "tensorboard") if directory and tensorboard else None
        if self.path:
            write_atomically(self.path, _as_csv(rows, header=True))

    def add(self, row: EpochRow) -> None:
        """Append an epoch."""
        if self.path:
            try:
                with self.path.open("ab") as file:
                    file.write(_as_csv([row], header=False))
            except OSError as error:
                raise OutputError(f"{self.path} cannot be written ({reason(error)}); free the disk") from error
        if self._writer is not None:
            for name, value in asdict(row).items():
                if name != "epoch" and not math.isnan(value):
                    self._writer.add_scalar(name, value, row.epoch)

    def close(self) -> None:
        """Finish the logs."""
        if self._writer is not None:
            self._writer.close()


def _as_csv(rows: list[EpochRow], *, header: bool) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if header:
        writer.writerow([field.name for field in fields(EpochRow)])
    writer.writerows([list(asdict(row).values()) for row in rows])
    return text.getvalue().encode()


def _tensorboard(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingExtra(
            "TensorBoard logs need the extra tensorboard: pip install 'ostinato[tensorboard]'"
        ) from error
    return SummaryWriter(str(folder))
