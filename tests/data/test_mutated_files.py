"""Damaged files of every kind: read, or refused by one sentence of ours; nothing else is raised."""

import bz2
import gzip
import io
import lzma
import sqlite3
import warnings
import zipfile
import zlib

import numpy as np
import polars as pl
import pytest

from books import write_ods, write_xls, write_xlsb, write_xlsx
from ostinato.data import load_panel, read_event_log, read_sequences, read_table, read_ts
from ostinato.data.arff_files import read_arff
from ostinato.data.text import (
    WordVocabulary,
    read_conllu,
    read_delimited,
    read_json_lines,
    read_lines,
    read_parallel,
    read_tagged,
    read_text,
    read_vectors,
)
from ostinato.data.wide_sequences import read_wide
from ostinato.errors import OstinatoError

FRAME = pl.DataFrame(
    {
        "time": [f"2024-01-{d:02d} {h:02d}:00" for d in range(1, 11) for h in range(24)],
        "load": [1.5 * i for i in range(240)],
        "temp": [i % 7 for i in range(240)],
        "shop": ["a" if i % 3 else "bé" for i in range(240)],
    }
)
TEXT = FRAME.write_csv().encode()
LINES = 'the cat sat\n\nà la carte, "so"\n' * 30
TS = (
    "# by us\n@univariate false\n@dimensions 2\n@classLabel true up down\n@data\n"
    + "1,2,3:4,?,6:up\n3,2:0,0:down\n" * 20
)
ARFF = "@relation r\n@attribute x real\n@attribute 'y z' real\n@attribute k {up,'so so'}\n@data\n" + "1,?,up\n" * 30
WIDE = "1\t0.5\t2\tNaN\t3\n2\t1\t2\t3\tNaN\n" * 20
CONLLU = "# text = a dog\n1\ta\ta\tDET\t_\t_\t2\tdet\t_\t_\n2\tdog\tdog\tNOUN\t_\t_\t0\troot\t_\t_\n\n" * 12


def _bytes(write) -> bytes:
    held = io.BytesIO()
    write(held)
    return held.getvalue()


def _database(path):
    base = sqlite3.connect(path)
    base.execute("CREATE TABLE measured (time TEXT, load REAL, temp INTEGER, shop TEXT)")
    base.executemany("INSERT INTO measured VALUES (?, ?, ?, ?)", FRAME.rows())
    base.commit()
    base.close()
    return path


def _duckdb(path):
    with pytest.importorskip("duckdb").connect(str(path)) as base:
        base.execute("CREATE TABLE measured (time TEXT, load REAL, temp INTEGER, shop TEXT)")
        base.executemany("INSERT INTO measured VALUES (?, ?, ?, ?)", FRAME.rows()[:40])
    return path


def _zst(content: bytes) -> bytes:
    return pytest.importorskip("zstandard").compress(content)


def _with_path(write):
    def made(folder) -> bytes:
        return write(folder / "whole").read_bytes()

    return made


ROWS = [list(FRAME.columns), *[list(row) for row in FRAME.rows()[:60]]]
panel = load_panel
FILES = {
    "a.csv": (lambda _: TEXT, panel),
    "a.csv.gz": (lambda _: gzip.compress(TEXT, mtime=0), panel),
    "a.csv.bz2": (lambda _: bz2.compress(TEXT), read_table),
    "a.csv.xz": (lambda _: lzma.compress(TEXT), read_table),
    "a.csv.zst": (lambda _: _zst(TEXT), read_table),
    "a.tsv": (lambda _: TEXT.replace(b",", b"\t"), read_table),
    "semicolons.txt": (lambda _: TEXT.replace(b",", b";").replace(b".", b","), read_table),
    "a.jsonl": (lambda _: FRAME.write_ndjson().encode(), panel),
    "a.json": (lambda _: FRAME.write_json().encode(), read_table),
    "a.parquet": (lambda _: _bytes(FRAME.write_parquet), panel),
    "a.feather": (lambda _: _bytes(FRAME.write_ipc), read_table),
    "a.xlsx": (_with_path(lambda path: write_xlsx(path, {"one": ROWS})), panel),
    "a.xls": (_with_path(write_xls), read_table),
    "a.xlsb": (_with_path(lambda path: write_xlsb(path, {"one": ROWS})), read_table),
    "a.ods": (_with_path(lambda path: write_ods(path, {"one": ROWS})), read_table),
    "a.sqlite": (_with_path(_database), read_table),
    "a.duckdb": (_with_path(_duckdb), read_table),
    "a.npy": (lambda _: _bytes(lambda held: np.save(held, np.arange(60.0).reshape(20, 3))), panel),
    "a.npz": (lambda _: _bytes(lambda held: np.savez_compressed(held, y=np.arange(60.0), z=np.arange(60))), panel),
    "events.csv": (lambda _: TEXT, lambda path: read_event_log(path, case="temp", activity="shop", time="time")),
    "sequences.csv": (lambda _: TEXT, lambda path: read_sequences(path, series_id="temp", time="time", label=None)),
    "a.ts": (lambda _: TS.encode(), read_ts),
    "a.arff": (lambda _: ARFF.encode(), lambda path: read_arff(path).sequences()),
    "wide.tsv": (lambda _: WIDE.encode(), read_wide),
    "b.ts.gz": (lambda _: gzip.compress(TS.encode(), mtime=0), read_ts),
    "lines.txt": (lambda _: LINES.encode(), lambda path: list(read_lines(path))),
    "lines.txt.gz": (lambda _: gzip.compress(LINES.encode(), mtime=0), read_text),
    "parallel.txt": (lambda _: LINES.encode(), lambda path: list(read_parallel(path, path))),
    "text.csv": (lambda _: TEXT, lambda path: list(read_delimited(path, ("shop", "load")))),
    "text.jsonl": (
        lambda _: FRAME.write_ndjson().encode(),
        lambda path: list(read_json_lines(path, ("shop", "load"))),
    ),
    "a.tagged": (
        lambda _: b"EU NNP B-ORG\nrejects VBZ O\n\n# # O\nHello UH O\n" * 20,
        lambda path: list(read_tagged(path)),
    ),
    "a.conllu": (lambda _: CONLLU.encode(), lambda path: list(read_conllu(path))),
    "a.vec": (
        lambda _: b"3 2\n" + b"the 0.5 -1\ncat 1 2\nunwanted 3 4\n" * 5,
        lambda path: read_vectors(path, WordVocabulary(("the", "cat"))),
    ),
}


# packed files whose content is damaged before it is packed, so that the package itself is whole
INNER = {
    "a.xlsx": "xl/worksheets/sheet1.xml",
    "a.xlsb": "xl/worksheets/sheet1.bin",
    "a.ods": "content.xml",
    "a.npz": "y.npy",
}


def _mutated_within(whole: bytes, member: str, rng: np.random.Generator) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as before, zipfile.ZipFile(held, "w") as after:
        for name in before.namelist():
            content = before.read(name)
            after.writestr(name, _mutated(content, rng) if name == member else content)
    return held.getvalue()


def _mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """Return a file damaged in one to three ways."""
    for _ in range(int(rng.integers(1, 4))):
        size = len(content)
        if size < 2:
            return content
        place, other = (int(own) for own in np.sort(rng.integers(0, size, 2)))
        how = int(rng.integers(0, 8))
        if how == 0:  # flipped bytes
            flipped = bytearray(content)
            for at in rng.integers(0, size, int(rng.integers(1, 8))):
                flipped[at] ^= 1 << int(rng.integers(0, 8))
            content = bytes(flipped)
        elif how == 1:  # cut short
            content = content[:place]
        elif how == 2:  # a part is missing
            content = content[:place] + content[other:]
        elif how == 3:  # a part comes again
            content = content[:other] + content[place : min(other, place + 4096)] + content[other:]
        elif how == 4:  # zero bytes, returns
            put = (b"\0", b"\r", b"\0\0\0\0", b'"', b"\xff\xfe", b"9" * 400)[int(rng.integers(0, 6))]
            content = content[:place] + put + content[place:]
        elif how == 5:  # another encoding
            codec = ("utf-16", "utf-16-le", "utf-32", "cp1252", "utf-8-sig")[int(rng.integers(0, 5))]
            content = content.decode("latin-1").encode(codec, "replace")
        elif how == 6:  # other bytes
            drawn = rng.integers(0, 256, min(16, size - place), dtype=np.uint8).tobytes()
            content = content[:place] + drawn + content[place + len(drawn) :]
        else:  # lines in another order, or of another end
            lines = content.split(b"\n")
            rng.shuffle(lines)
            content = (b"\n", b"\r", b"\r\n", b"\r\r\n")[int(rng.integers(0, 4))].join(lines)
    return content


def _try_all(name: str, folder, count: int) -> None:
    make, read = FILES[name]
    if name.endswith((".xlsx", ".xls", ".xlsb", ".ods")):
        pytest.importorskip("fastexcel")
    whole = make(folder)
    path = folder / name
    path.write_bytes(whole)
    read(path)  # as it was written, it is read
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    for number in range(count):
        within = name in INNER and number % 2
        path.write_bytes(_mutated_within(whole, INNER[name], rng) if within else _mutated(whole, rng))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                read(path)
        except OstinatoError as error:
            message = str(error)
            assert "\n" not in message, (number, message)
            assert name in message or "column" in message or "step" in message, (number, message)
            assert len(message) < 1500, (number, message)
        except BaseException as error:
            path.rename(folder / f"found-{number}")
            raise AssertionError(f"file {number} of {name}: {type(error).__name__}: {error}") from error


@pytest.mark.parametrize("name", FILES)
@pytest.mark.slow
@pytest.mark.ci
def test_a_damaged_file_is_read_or_refused(tmp_path, name) -> None:
    # a process of its own reads each .xls and .xlsb, which takes its time; below are more
    _try_all(name, tmp_path, 12 if name in ("a.xls", "a.xlsb") else 50)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_a_thousand_damaged_files_are_read_or_refused(tmp_path, name) -> None:
    _try_all(name, tmp_path, 300 if name == "a.xlsb" else 1000)
