"""EDF and BDF files, of monitors and sleep laboratories: slow signals as measurements, all of them as arrays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.notes import note
from ostinato.errors import DataError, MissingExtra

SUFFIXES = (".edf", ".bdf")
_SLOW = 2.0  # samples a second: numbers of a monitor, rather than waveforms


@dataclass(frozen=True)
class Signal:
    """One signal of a file.

    Args:
        name: its label.
        unit: of its values, as the file has it.
        rate: samples a second.
        values: `(samples,)`, in that unit.
    """

    name: str
    unit: str
    rate: float
    values: NDArray[np.float64]


def is_edf(source: Any) -> bool:
    """Tell whether a source is the path of an EDF file, or of a folder that holds some."""
    if not isinstance(source, (str, Path)):
        return False
    path = Path(source)
    return path.suffix.lower() in SUFFIXES or (path.is_dir() and bool(_files(path)))


def read_signals(file: str | Path) -> tuple[Signal, ...]:
    """Read the signals of an EDF or BDF file.

    Raises:
        MissingExtra: `pyedflib` is not installed.
        DataError: it cannot be read.
    """
    with _opened(Path(file)) as reader:
        return tuple(_signals(reader))


def table_of_edf(source: str | Path) -> tuple[str, Any]:
    """Return the slow signals of EDF files (the numbers of a monitor) as a wide table with `id` and `time` in hours.

    Raises:
        MissingExtra: `pyedflib` is not installed.
        DataError: a file cannot be read, or all its signals are waveforms.
    """
    import polars as pl

    path, frames = Path(source), []
    for file in _files(path) if path.is_dir() else [path]:
        with _opened(file) as reader:
            rates = [float(reader.getSampleFrequency(place)) for place in range(reader.signals_in_file)]
            slow = [place for place, rate in enumerate(rates) if rate <= _SLOW]
            if not slow:
                raise DataError(
                    f"{file.name} holds waveforms alone ({max(rates, default=0):g} samples a second), not the numbers "
                    "of a monitor; read them with ostinato.data.health.edf.read_signals"
                )
            if len(slow) < len(rates):
                note(f"{file.name}: {len(rates) - len(slow)} of {len(rates)} signals are waveforms, and are left out")
            parts: dict[float, dict[str, Any]] = {}
            for signal in _signals(reader, slow):
                found = parts.setdefault(signal.rate, {"time": np.arange(len(signal.values)) / signal.rate / 3600})
                found[signal.name] = signal.values
        frame = pl.concat([pl.DataFrame(part) for part in parts.values()], how="diagonal")
        names = [name for name in frame.columns if name != "time"]
        frame = frame.group_by("time").agg(pl.col(names).drop_nulls().first()).sort("time")
        frames.append(frame.with_columns(pl.lit(file.stem).alias("id")))
    return path.name, pl.concat(frames, how="diagonal")


def _files(folder: Path) -> list[Path]:
    return sorted(each for each in folder.iterdir() if each.suffix.lower() in SUFFIXES and each.is_file())


def _signals(reader: Any, places: list[int] | None = None) -> Iterator[Signal]:
    for place in range(reader.signals_in_file) if places is None else places:
        yield Signal(
            reader.getLabel(place).strip() or f"signal {place + 1}",
            reader.getPhysicalDimension(place).strip(),
            float(reader.getSampleFrequency(place)),
            np.asarray(reader.readSignal(place), np.float64),
        )


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    try:
        from pyedflib import EdfReader
    except ImportError as error:
        raise MissingExtra("EDF files need the package pyedflib: pip install 'ostinato[health]'") from error
    if not file.is_file():
        raise DataError(f"{file} does not exist; expected an EDF file, or a folder of them")
    try:
        reader = EdfReader(str(file))
    except Exception as error:
        said = str(error).replace("\n", " ")[:160]
        raise DataError(f"{file.name} cannot be read as EDF ({said})") from error
    try:
        yield reader
    finally:
        reader.close()
