"""Folders and archives with a file for each patient, such as those of PhysioNet's challenges of 2012 and 2019.

A file is named by its patient. One with the columns `Time,Parameter,Value` is long; any other is wide, a row an hour or
with a column of times.
"""

from __future__ import annotations

import io
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from ostinato.errors import DataError

_ARCHIVES = (".tar.gz", ".tgz", ".tar", ".tar.bz2", ".tar.xz", ".zip")
_FILES = (".txt", ".csv", ".psv", ".tsv")
_LONG = "time,parameter,value"
_DAMAGED = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError)
_LARGEST = 2**32  # bytes of all files of an archive


def is_folder_of_patients(source: Any) -> bool:
    """Tell whether a source is a folder, or an archive of one."""
    if not isinstance(source, (str, Path)):
        return False
    return Path(source).is_dir() or str(source).lower().endswith(_ARCHIVES)


def outcomes_beside(source: Any) -> Path | None:
    """Return the table of outcomes that PhysioNet ships beside a set: `Outcomes-a.txt` beside `set-a`."""
    if not isinstance(source, (str, Path)):
        return None
    path = Path(source)
    stem = path.name.split(".")[0].lower()
    if not stem.startswith("set-"):
        return None
    return next(
        (
            each
            for each in sorted(path.parent.glob("Outcomes-*.txt"))
            if each.stem.lower() == f"outcomes-{stem[4:]}" and each.is_file()
        ),
        None,
    )


def table_of_folder(source: str | Path) -> tuple[str, Any]:
    """Return the files of a folder or archive as one table, with the name of each one's patient in column `id`.

    Returns:
        What to call it, and a polars frame: `id, time, variable, value` of long files, else the columns of wide ones.

    Raises:
        DataError: there is no file of a patient, or one cannot be read.
    """
    import polars as pl

    path = Path(source)
    files = sorted(_read(path), key=lambda each: each[0])
    if not files:
        raise DataError(
            f"{path.name} holds no file of a patient; expected one for each, {', '.join(_FILES)}, named by the patient"
        )
    head = files[0][1].split(b"\n", 1)[0].decode("utf-8", "replace").strip()
    if head.lower() == _LONG:
        return path.name, _long(path.name, files)
    mark = "|" if "|" in head else "\t" if "\t" in head else ";" if ";" in head else ","
    frames = []
    for name, content in files:
        try:
            found = pl.read_csv(
                io.BytesIO(content), separator=mark, infer_schema_length=None, null_values=["NaN", "NA", ""]
            )
        except (pl.exceptions.PolarsError, OSError) as error:
            raise DataError(f"{name} of {path.name} is no table ({str(error).splitlines()[0][:120]})") from error
        frames.append(found.with_columns(pl.lit(name).alias("id")))
    try:
        return path.name, pl.concat(frames, how="diagonal_relaxed")
    except pl.exceptions.PolarsError as error:
        raise DataError(f"the files of {path.name} do not have the same kinds of columns ({error})") from error


def _long(origin: str, files: list[tuple[str, bytes]]) -> Any:
    import polars as pl

    lines: list[bytes] = []
    counts: list[int] = []
    for name, content in files:
        head, *own = content.replace(b"\r", b"").split(b"\n")
        if head.strip().lower() != _LONG.encode():
            raise DataError(f"{name} of {origin} does not begin with Time,Parameter,Value, as the others do")
        own = [line for line in own if line]
        lines += own
        counts.append(len(own))
    ids = pl.Series("id", [name for name, _ in files]).to_frame().select(
        pl.col("id").repeat_by(pl.Series(counts)).list.explode()
    )  # fmt: skip
    schema = {"time": pl.String, "variable": pl.String, "value": pl.String}
    try:
        found = pl.read_csv(io.BytesIO(b"\n".join(lines)), has_header=False, schema=schema, null_values=["NaN", ""])
    except pl.exceptions.PolarsError as error:
        raise DataError(
            f"a line of {origin} does not have the three cells of Time,Parameter,Value "
            f"({str(error).splitlines()[0][:120]})"
        ) from error
    ids = ids.filter(pl.col("id").is_not_null())
    if len(found) != len(ids):
        raise DataError(f"{origin} has {len(ids):,} lines, of which {len(found):,} can be read")
    # what the set says of itself is no measurement, and -1 stands for unknown
    return found.with_columns(ids["id"]).filter(pl.col("variable").is_null() | (pl.col("variable") != "RecordID"))


def _read(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the name of each patient and the file's bytes."""
    if path.is_dir():
        for each in path.iterdir():
            if each.suffix.lower() in _FILES and not _is_other(each.name) and each.is_file():
                yield each.stem, each.read_bytes()
        return
    if not path.exists():
        raise DataError(f"{path} does not exist; expected a folder or archive with a file for each patient")
    try:
        yield from _zipped(path) if path.suffix.lower() == ".zip" else _tarred(path)
    except _DAMAGED as error:
        raise DataError(f"{path.name} cannot be unpacked ({error}); it may be cut short: fetch it again") from error


def _zipped(path: Path) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        if sum(each.file_size for each in archive.infolist()) > _LARGEST:
            raise DataError(
                f"{path.name} unpacks to more than {_LARGEST / 2**30:.0f} GiB; unpack it and give the folder"
            )
        for each in archive.infolist():
            name = PurePosixPath(each.filename)
            if not each.is_dir() and name.suffix.lower() in _FILES and not _is_other(name.name):
                yield name.stem, archive.read(each)


def _tarred(path: Path) -> Iterator[tuple[str, bytes]]:
    total = 0
    with tarfile.open(path) as archive:
        for each in archive:
            name = PurePosixPath(each.name)
            if not each.isfile() or name.suffix.lower() not in _FILES or _is_other(name.name):
                continue
            total += each.size
            if total > _LARGEST:
                raise DataError(
                    f"{path.name} unpacks to more than {_LARGEST / 2**30:.0f} GiB; unpack it and give the folder"
                )
            file = archive.extractfile(each)
            if file is not None:
                yield name.stem, file.read()


def _is_other(name: str) -> bool:
    lower = name.lower()
    return lower.startswith((".", "_", "outcomes", "readme", "source", "licen", "records", "index"))
