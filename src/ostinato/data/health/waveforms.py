"""WFDB records, as PhysioNet has them (`.hea`, `.dat`, `.atr`): slow numbers as measurements, beats as sequences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.notes import note
from ostinato.data.sequences import SequenceSet
from ostinato.errors import DataError, MissingExtra

BEATS: Mapping[str, str] = {
    **dict.fromkeys("NLRej", "N"), **dict.fromkeys("AaJS", "S"), **dict.fromkeys("VE", "V"), "F": "F",
    **dict.fromkeys("/fQ", "Q"),
}  # fmt: skip
"""Marks of beats, and the classes that the AAMI's EC57 makes of them: normal, supraventricular, ventricular, fusion,
unknown."""
_SLOW = 2.0  # samples a second: numbers of a monitor, rather than waveforms


def read_beats(
    records: str | Path | Sequence[str | Path],
    *,
    annotator: str = "atr",
    before: float = 0.25,
    after: float = 0.45,
    rate: float = 125.0,
    leads: Sequence[str] | None = None,
    begin: float = 0.0,
    end: float | None = None,
) -> SequenceSet:
    """Read the beats of WFDB records, each a short sequence with its class.

    Args:
        records: a folder of records, or paths of records without ending.
        annotator: the ending of the annotations.
        before: seconds before the mark of a beat that belong to it.
        after: seconds after it.
        rate: samples a second of the sequences, in which the records are resampled.
        leads: the signals to read; `None`: those that all records have, or else the first of each.
        begin: seconds from which on beats are read.
        end: seconds until which; `None`: all.

    Returns:
        Sequences `(time, leads + 2)` in units of each record's own spread; the last two channels are the time since
        the beat before and until the next one, over the median of the last ten, throughout. The id of a beat begins
        with its record, so that whole records can be held out; its label is one of N, S, V, F, Q.

    Raises:
        MissingExtra: `wfdb` is not installed.
        DataError: there is no record with annotations, or one cannot be read.
    """
    found: list[NDArray[np.float32]] = []
    ids: list[str] = []
    labels: list[str] = []
    paths = _records(records, annotator)
    opened = [_opened(path) for path in paths]
    wanted = list(leads) if leads is not None else _shared([each.sig_name for each in opened])
    for path, record in zip(paths, opened, strict=True):
        signal = _signal(record, wanted, path.name)
        places, symbols = _annotations(path, annotator)
        kept = np.array([each in BEATS for each in symbols], bool)
        places, symbols = places[kept], [each for each in symbols if each in BEATS]
        rhythm = _rhythm(places / record.fs)
        grid = np.arange(-round(before * rate), round(after * rate)) / rate
        clock = np.arange(len(signal)) / record.fs
        for place, (at, symbol) in enumerate(zip(places / record.fs, symbols, strict=True)):
            if at < max(begin, before) or at > clock[-1] - after or (end is not None and at >= end):
                continue
            wave = np.stack([np.interp(at + grid, clock, signal[:, lead]) for lead in range(signal.shape[1])], 1)
            beside = np.broadcast_to(rhythm[place], (len(grid), 2))
            found.append(np.concatenate([wave, beside], 1).astype(np.float32))
            ids.append(f"{path.name}/{place}")
            labels.append(BEATS[symbol])
    if not found:
        raise DataError(f"{', '.join(each.name for each in paths)}: no beat lies between the times asked for")
    channels = (*(wanted or ["first lead"]), "since the beat before", "until the next")
    return SequenceSet(
        f"the beats of {', '.join(each.name for each in paths)}", channels, tuple(found), tuple(ids), tuple(labels),
        tuple(sorted(set(labels))),
    )  # fmt: skip


def table_of_records(folder: str | Path) -> tuple[str, Any]:
    """Return slow WFDB records (the numbers of a monitor) as a wide table with `id`, `time` in hours and each signal.

    Raises:
        DataError: the records hold waveforms.
    """
    import polars as pl

    frames = []
    for path in _records(folder, None):
        record = _opened(path)
        if record.fs > _SLOW:
            raise DataError(
                f"{path.name} is a waveform of {record.fs:g} samples a second, not the numbers of a monitor; read its "
                "beats with ostinato.data.health.read_beats, for a SequenceClassifier"
            )
        columns = {
            name: np.asarray(record.p_signal[:, place], np.float64) for place, name in enumerate(record.sig_name)
        }
        hours = np.arange(len(record.p_signal)) / record.fs / 3600
        found = pl.DataFrame({"time": hours, **columns}).with_columns(pl.lit(path.name).alias("id"))
        frames.append(found)
    return Path(folder).name, pl.concat(frames, how="diagonal")


def _wfdb() -> Any:
    try:
        import wfdb
    except ImportError as error:
        raise MissingExtra("WFDB records need the package wfdb: pip install 'ostinato[health]'") from error
    return wfdb


def _records(given: str | Path | Sequence[str | Path], annotator: str | None) -> list[Path]:
    """Return the paths of records, without ending."""
    if isinstance(given, (str, Path)) and Path(given).is_dir():
        found = [each.with_suffix("") for each in sorted(Path(given).glob("*.hea")) if each.is_file()]
        if annotator is not None:
            found = [each for each in found if each.with_suffix(f".{annotator}").exists()]
    else:
        paths = [given] if isinstance(given, (str, Path)) else list(given)
        found = [
            Path(path).with_suffix("") if Path(path).suffix in (".hea", ".dat", ".atr") else Path(path)
            for path in paths
        ]
        absent = next((each for each in found if not each.with_name(each.name + ".hea").exists()), None)
        if absent is not None:
            raise DataError(f"{absent}.hea does not exist; expected the path of a WFDB record, without ending")
    if not found:
        of = "" if annotator is None else f" with annotations (.{annotator})"
        raise DataError(f"{given} holds no WFDB record{of}; expected .hea and .dat files")
    return found


def _opened(path: Path) -> Any:
    library = _wfdb()
    try:
        record = library.rdrecord(str(path))
    except Exception as error:
        raise DataError(f"{path.name} cannot be read as a WFDB record ({str(error)[:120]})") from error
    if record.p_signal is None or not len(record.p_signal):
        raise DataError(f"{path.name} holds no samples; expected a WFDB record of one segment")
    return record


def _annotations(path: Path, annotator: str) -> tuple[NDArray[np.int64], list[str]]:
    try:
        found = _wfdb().rdann(str(path), annotator)
    except Exception as error:
        raise DataError(f"the annotations {path.name}.{annotator} cannot be read ({str(error)[:120]})") from error
    return np.asarray(found.sample, np.int64), list(found.symbol)


def _shared(named: Sequence[Sequence[str]]) -> list[str]:
    found = [name for name in named[0] if all(name in other for other in named[1:])]
    if not found:
        note("the records have no lead in common; the first of each is read")
    return found


def _signal(record: Any, leads: Sequence[str], name: str) -> NDArray[np.float64]:
    """Return the leads of a record around their middle, in units of their spread; gaps are bridged."""
    absent = [each for each in leads if each not in record.sig_name]
    if absent:
        raise DataError(f'{name} has no lead "{absent[0]}"; it has {", ".join(record.sig_name)}')
    places = [record.sig_name.index(each) for each in leads] or [0]
    signal = np.array(record.p_signal[:, places], np.float64)
    for lead in range(signal.shape[1]):
        found = signal[:, lead]
        known = np.isfinite(found)
        if not known.any():
            raise DataError(f"a lead of {name} holds no samples")
        found[~known] = np.interp(np.flatnonzero(~known), np.flatnonzero(known), found[known])
        low, middle, high = np.quantile(found, (0.05, 0.5, 0.95))
        signal[:, lead] = (found - middle) / max(high - low, 1e-6)
    return signal


def _rhythm(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the time since the beat before and until the next, over a local median, `(beats, 2)`."""
    gaps = np.diff(times)
    if not len(gaps):
        return np.ones((len(times), 2))
    usual = np.array([np.median(gaps[max(0, at - 10) : at + 1]) for at in range(len(gaps))])
    before = np.append(1.0, gaps / np.maximum(usual, 1e-3))
    following = np.append(gaps / np.maximum(usual, 1e-3), 1.0)
    found: NDArray[np.float64] = np.clip(np.stack([before, following], 1), 0, 4)
    return found
