"""How the sets of the panel are read, each into one of five forms, split as its `SOURCE.md` says."""

from __future__ import annotations

import csv
import gzip
import io
import re
import tarfile
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from common import data_file


@dataclass(frozen=True)
class Labelled:
    """Records and their labels, for training and for the test; where the set has one, for validation too."""

    train: tuple[list[Any], list[Any]]
    test: tuple[list[Any], list[Any]]
    validation: tuple[list[Any], list[Any]] | None = None


@dataclass(frozen=True)
class Series:
    """One or many series in a long table, sorted by time.

    Args:
        frame: columns `id`, `value` and perhaps `time`.
        horizon: steps of a forecast; held: rows of the test part of each series; season: of the peers and of MASE.
    """

    frame: pl.DataFrame
    horizon: int
    held: int
    season: int


@dataclass(frozen=True)
class Text:
    """A text for a language model: a training and a test part, read as words or as characters."""

    train: str
    test: str
    level: str


@dataclass(frozen=True)
class Pairs:
    """Sentences and their translations."""

    train: list[tuple[str, str]]
    validation: list[tuple[str, str]]
    test: list[tuple[str, str]]


@dataclass(frozen=True)
class Log:
    """Events in the columns `case`, `activity` and perhaps `time`, cases apart for training and test."""

    train: pl.DataFrame
    test: pl.DataFrame


def _text(name: str) -> str:
    path = data_file(name)
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return content.decode("utf-8", "replace")


def _lines(name: str) -> list[str]:
    return [line.strip() for line in _text(name).splitlines() if line.strip()]


# --- classes of sequences --------------------------------------------------------------------------------------------


def read_tsv(folder: str, name: str) -> Labelled:
    """Read a set of the UCR archive: the class, then the values."""
    return Labelled(*(_tsv_part(_first(folder, f"{name}_{part}.tsv")) for part in ("TRAIN", "TEST")))


def _first(folder: str, name: str) -> str:
    return next(f"{folder}/{own}" for own in (name, f"{name}.gz") if (data_file(folder) / own).exists())


def _tsv_part(name: str) -> tuple[list[Any], list[Any]]:
    sequences, labels = [], []
    for line in _lines(name):
        label, *cells = line.split("\t")
        values = np.array([float(cell) for cell in cells], np.float32)
        sequences.append(values[: np.flatnonzero(~np.isnan(values))[-1] + 1])  # filled up with NaN at the end
        labels.append(label)
    return sequences, labels


def read_ts(folder: str, name: str) -> Labelled:
    """Read a set of the UEA archive."""
    return Labelled(*(_ts_part(_first(folder, f"{name}_{part}.ts")) for part in ("TRAIN", "TEST")))


def _ts_part(name: str) -> tuple[list[Any], list[Any]]:
    sequences, labels = [], []
    for line in _lines(name):
        if line[0] in "@#%":
            continue
        *channels, label = line.split(":")
        sequences.append(np.array([[float(cell) for cell in own.split(",")] for own in channels], np.float32).T)
        labels.append(label)
    return sequences, labels


def read_indoor_movement() -> Labelled:
    """Read the movements; the third group of rooms is the test part."""
    parts: dict[bool, tuple[list[Any], list[Any]]] = {False: ([], []), True: ([], [])}
    with zipfile.ZipFile(data_file("indoor_movement_rss/IndoorMovement.zip")) as archive:
        names = archive.namelist()
        targets = _csv_of(archive, next(name for name in names if name.endswith("MovementAAL_target.csv")))
        groups = _csv_of(archive, next(name for name in names if name.endswith("MovementAAL_DatasetGroup.csv")))
        group = {row[0]: row[1].strip() for row in groups}
        for number, label in targets:
            own = next(name for name in names if name.endswith(f"MovementAAL_RSS_{number.strip()}.csv"))
            into = parts[group[number] == "3"]
            into[0].append(np.array(_csv_of(archive, own), np.float32))
            into[1].append(label.strip())
    return Labelled(parts[False], parts[True])


def _csv_of(archive: zipfile.ZipFile, name: str) -> list[list[str]]:
    rows = csv.reader(io.TextIOWrapper(archive.open(name), "utf-8"))
    return [row for row in rows if row and not row[0].startswith("#")]


def read_wrist(least: int = 20) -> Labelled:
    """The activities with enough recordings; volunteers with even numbers are the test part."""
    found: dict[str, list[tuple[bool, Any]]] = {}
    with zipfile.ZipFile(data_file("hmp_wrist_accel/HMP_Dataset.zip")) as archive:
        for name in sorted(archive.namelist()):
            kind = name.split("/")[-2] if name.endswith(".txt") and name.count("/") == 2 else ""
            who = re.search(r"-([fm])(\d+)\.txt$", name)
            if kind and who and not kind.endswith("MODEL"):
                values = np.array([row.split() for row in archive.read(name).decode().splitlines() if row], np.float32)
                found.setdefault(kind, []).append((int(who[2]) % 2 == 0, values))
    parts: dict[bool, tuple[list[Any], list[Any]]] = {False: ([], []), True: ([], [])}
    for kind, rows in found.items():
        if len(rows) >= least:
            for tested, values in rows:
                parts[tested][0].append(values)
                parts[tested][1].append(kind)
    return Labelled(parts[False], parts[True])


# --- texts -----------------------------------------------------------------------------------------------------------


def read_sst2() -> Labelled:
    """Read sentences and whether they praise."""
    return _three(*(_split(_lines(f"sst2/{part}.tsv"), "\t", last=True) for part in ("train", "dev", "test")))


def read_sst5() -> Labelled:
    """Read sentences and how much they praise."""
    return _three(*(_split(_lines(f"sst5/stsa.fine.{part}"), " ", last=False) for part in ("train", "dev", "test")))


def _split(lines: list[str], mark: str, *, last: bool) -> tuple[list[Any], list[Any]]:
    pairs = [line.rsplit(mark, 1) if last else line.split(mark, 1)[::-1] for line in lines]
    return [text for text, _ in pairs], [label for _, label in pairs]


def _three(train: Any, validation: Any, test: Any) -> Labelled:
    return Labelled(train, test, validation)


def read_two_files(first: str, second: str) -> Labelled:
    """Every tenth line of each is the test, without those that training has too."""
    rows = [(line, label) for label, name in (("a", first), ("b", second)) for line in _lines(name)]
    test = rows[::10]
    known = {line for line, _ in test}
    train = [row for number, row in enumerate(rows) if number % 10 and row[0] not in known]
    return Labelled(*(([line for line, _ in own], [label for _, label in own]) for own in (train, test)))


def read_reviews() -> Labelled:
    """Read whole film reviews; the last tenth is the test part."""
    parts: dict[bool, tuple[list[Any], list[Any]]] = {False: ([], []), True: ([], [])}
    with tarfile.open(data_file("movie_review_documents/review_polarity.tar.gz")) as archive:
        for member in sorted(archive.getmembers(), key=lambda own: own.name):
            found = re.search(r"(pos|neg)/cv(\d)\d\d_", member.name)
            if found and (file := archive.extractfile(member)):
                into = parts[found[2] == "9"]
                into[0].append(file.read().decode("utf-8", "replace"))
                into[1].append(found[1])
    return Labelled(parts[False], parts[True])


def read_news() -> Labelled:
    """Read articles; file numbers that end in 0 or 5 are the test part, without repeats in training."""
    rows = list(csv.DictReader(io.StringIO(_text("bbc_news/bbc.csv.gz"))))
    tested = [row for row in rows if row["file"][2] in "05"]
    known = {row["text"] for row in tested}
    train = [row for row in rows if row["file"][2] not in "05" and row["text"] not in known]
    return Labelled(*(([row["text"] for row in own], [row["category"] for row in own]) for own in (train, tested)))


def read_intents() -> Labelled:
    """Read requests and what they ask for."""
    return _three(*((_sentences(part), _lines(f"atis_slots/{part}.intent.txt")) for part in ("train", "valid", "test")))


def _sentences(part: str) -> list[str]:
    blocks = _text(_first("atis_slots", f"{part}.conll")).strip().split("\n\n")
    return [" ".join(line.split("\t")[0] for line in block.splitlines()) for block in blocks]


# --- language and translation ----------------------------------------------------------------------------------------


def read_treebank(level: str) -> Text:
    """Read the Penn Treebank: all of it as words, or its smaller parts as characters."""
    if level == "word":
        return Text(_text("ptb/ptb.train.txt.gz"), _text("ptb/ptb.test.txt"), level)
    return Text(_text("ptb/ptb.valid.txt"), _text("ptb/ptb.test.txt")[:100_000], level)


def read_shakespeare() -> Text:
    """Read the characters of plays; the last tenth is the test part."""
    text = _text("tinyshakespeare/input.txt")
    return Text(text[: len(text) * 9 // 10], text[len(text) * 9 // 10 :], "character")


def read_captions() -> Text:
    """Read captions as words."""
    return Text(_text("multi30k_en_de/train.en.gz"), _text("multi30k_en_de/test_2016_flickr.en.gz"), "word")


def read_pairs(count: int) -> Pairs:
    """Read so many captions in German and English."""
    sides = {part: [_lines(f"multi30k_en_de/{part}.{side}.gz") for side in ("de", "en")] for part in _PARTS}
    train, validation, test = (list(zip(*sides[part], strict=True)) for part in _PARTS)
    return Pairs(train[:count], validation[:500], test)


_PARTS = ("train", "val", "test_2016_flickr")


# --- forecasting -----------------------------------------------------------------------------------------------------


def read_one(file: str, value: str, time: str | None, horizon: int, held: int, season: int) -> Series:
    """Read a single series."""
    frame = pl.read_csv(io.StringIO(_text(file)), null_values=["NA"], infer_schema_length=None)
    columns = [pl.lit("").alias("id"), pl.col(value).cast(pl.Float64).alias("value")]
    return Series(frame.select(*columns, *([pl.col(time).alias("time")] if time else [])), horizon, held, season)


def _whole(frame: pl.DataFrame, every: str) -> pl.DataFrame:
    """Return a table with a row for every step of time, so that rows before the end are steps before the end."""
    parts = [own.sort("time").upsample("time", every=every) for own in frame.partition_by("id", maintain_order=True)]
    return pl.concat([own.with_columns(pl.col("id").fill_null(strategy="forward")) for own in parts])


def read_views() -> Series:
    """Read daily page views; the last year is the test part."""
    frame = pl.read_csv(io.StringIO(_text("wp_log_peyton_manning/example_wp_log_peyton_manning.csv")))
    frame = frame.select(
        pl.lit("").alias("id"), pl.col("y").alias("value"), pl.col("ds").str.to_datetime().alias("time")
    )
    return Series(_whole(frame, "1d"), 30, 365, 7)


def read_beijing() -> Series:
    """Read particles in the air by the hour; the last year is the test part."""
    frame = pl.read_csv(io.StringIO(_text("beijing_pm25/pollution.csv")), null_values=["NA"], infer_schema_length=None)
    time = pl.datetime("year", "month", "day", "hour").alias("time")
    return Series(
        frame.select(pl.lit("").alias("id"), pl.col("pm2.5").cast(pl.Float64).alias("value"), time), 24, 8760, 24
    )


def read_bikes() -> Series:
    """Read rentals by the hour; the last three months are the test part."""
    frame = pl.read_csv(io.StringIO(_text("bike_sharing_hourly/hour.csv.gz")))
    time = (pl.col("dteday").str.to_datetime() + pl.duration(hours="hr")).alias("time")
    frame = frame.select(pl.lit("").alias("id"), pl.col("cnt").cast(pl.Float64).alias("value"), time)
    return Series(_whole(frame, "1h"), 24, 2184, 24)


def read_weather() -> Series:
    """Read temperatures of three stations; the last two months are the test part."""
    text = io.StringIO(_text("nyc_weather_hourly/weather.csv.gz"))
    frame = pl.read_csv(text, null_values=["NA"], infer_schema_length=None)
    time = pl.col("time_hour").str.slice(0, 19).str.to_datetime(strict=False).alias("time")
    frame = frame.select(pl.col("origin").alias("id"), pl.col("temp").cast(pl.Float64).alias("value"), time)
    return Series(_whole(frame.drop_nulls("time").unique(["id", "time"]).sort("id", "time"), "1h"), 24, 1464, 24)


def read_exchange() -> Series:
    """Read eight rates by the day; the last fifth is the test part."""
    values = np.array([line.split(",") for line in _lines("exchange_rate/exchange_rate.txt.gz")], float)
    frames = [pl.DataFrame({"id": [f"{n}"] * len(values), "value": values[:, n]}) for n in range(values.shape[1])]
    return Series(pl.concat(frames), 12, len(values) // 5, 1)


def read_shares() -> Series:
    """Read monthly prices of firms; the last two years are the test part."""
    frame = pl.read_csv(io.StringIO(_text("stocks/stocks.csv")))
    time = pl.col("date").str.to_datetime("%b %d %Y").alias("time")
    own = frame.select(pl.col("symbol").alias("id"), pl.col("price").cast(pl.Float64).alias("value"), time)
    own = own.filter(pl.len().over("id") > 100)
    return Series(own, 6, 24, 12)


def read_m4(name: str, horizon: int, season: int, every: int = 1) -> Series:
    """Read a part of the M4 competition, one of `every` series; its own test part is the last horizon."""
    rows = []
    for part in ("train.csv.gz", "test.csv"):
        reader = csv.reader(io.StringIO(_text(f"m4_{name.lower()}/{name}-{part}")))
        next(reader)
        rows.append({row[0]: [float(cell) for cell in row[1:] if cell] for row in reader})
    names = [name for name in rows[0] if name in rows[1]][::every]
    values = [rows[0][name] + rows[1][name] for name in names]
    frame = pl.DataFrame({"id": names, "value": values}, schema={"id": pl.String, "value": pl.List(pl.Float64)})
    return Series(frame.explode("value"), horizon, horizon, season)


# --- events ----------------------------------------------------------------------------------------------------------


def read_helpdesk() -> Log:
    """Read the help desk's log; the last third of its cases is the test part."""
    frame = pl.read_csv(io.StringIO(_text("helpdesk_events/helpdesk.csv")))
    frame = frame.rename({"CaseID": "case", "ActivityID": "activity", "CompleteTimestamp": "time"})
    frame = frame.with_columns(pl.col("activity").cast(pl.String), pl.col("time").str.to_datetime())
    cases = frame["case"].unique(maintain_order=True).to_list()
    first = set(cases[: 2 * len(cases) // 3])
    return Log(frame.filter(pl.col("case").is_in(first)), frame.filter(~pl.col("case").is_in(first)))


def read_sessions() -> Log:
    """Read sessions of a file system; all after the first 4,000 are the test part."""
    lines = _lines("hdfs_log_keys/hdfs_train")
    rows = [(case, key) for case, line in enumerate(lines) for key in line.split()]
    frame = pl.DataFrame(rows, schema={"case": pl.Int64, "activity": pl.String}, orient="row")
    return Log(frame.filter(pl.col("case") < 4000), frame.filter(pl.col("case") >= 4000))
