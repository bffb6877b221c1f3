"""The same data gives the same panel, sequences and labels, whichever way it is written or held."""

import json
import sqlite3
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from books import write_ods, write_xlsx
from ostinato.data import Schema, load_panel, read_event_log, read_sequences, read_table
from ostinato.data.identities import labels
from ostinato.errors import DataError, DataWarning


def columns_of(count: int, seed: int, large: bool) -> dict[str, list]:
    rng = np.random.default_rng(seed)
    first = 2**53 if large else 7
    return {
        "unique_id": [first] * count + [first + 1] * count,
        "ds": [f"2024-03-{day + 1:02d}" for day in range(count)] * 2,
        "y": [round(float(own), 2) for own in rng.normal(0, 2000, 2 * count)],
        "open": [bool(own) for own in rng.random(2 * count) < 0.5],
        "temp": [None if own < 0.2 else round(float(own), 1) for own in rng.random(2 * count)],
        "wind": [str(own) for own in rng.choice(["N", "é,;", 'S "w"'], 2 * count)],
    }


def decimal_comma(text: str) -> str:
    return text.replace(".", ",")


def csv_text(columns: dict[str, list], mark: str, number, flags) -> str:
    def cell(value) -> str:
        if value is None:
            return ""
        if isinstance(value, bool):
            return flags[value]
        if isinstance(value, float):
            value = number(repr(value))
        text = str(value)
        return '"' + text.replace('"', '""') + '"' if any(own in text for own in (mark, '"', "\n")) else text

    rows = [list(columns), *zip(*columns.values(), strict=True)]
    return "".join(mark.join(cell(own) for own in row) + "\n" for row in rows)


def database(path, columns):
    path.unlink(missing_ok=True)
    base = sqlite3.connect(path)
    base.execute(f"CREATE TABLE measured ({', '.join(columns)})")
    base.executemany(
        f"INSERT INTO measured VALUES ({','.join('?' * len(columns))})", zip(*columns.values(), strict=True)
    )
    base.commit()
    base.close()
    return path


def sources(folder, columns: dict[str, list]):
    """Yield the same table in every form that is read."""
    words = ("False", "True")
    plain = csv_text(columns, ",", str, words)
    texts = {
        "comma.csv": plain.encode(),
        "yes.csv": csv_text(columns, ",", str, ("no", "yes")).encode(),
        "ones.csv": csv_text(columns, "|", str, ("0", "1")).encode(),
        "german.csv": csv_text(columns, ";", decimal_comma, ("FALSCH", "WAHR")).encode("cp1252"),
        "sep.csv": ("sep=;\n" + csv_text(columns, ";", str, words)).encode(),
        "notes.csv": ("# made by us, with care; so\n#\n\n" + plain).encode(),
        "named.csv": ("# a note\n#" + plain).encode(),
        "a.tsv": csv_text(columns, "\t", decimal_comma, words).encode(),
        "wide.csv": plain.encode("utf-16"),
        "marked.csv": plain.encode("utf-8-sig"),
        "mac.csv": plain.replace("\n", "\r").encode(),
        "windows.csv": plain.replace("\n", "\r\n").encode("cp1252"),
        "a.jsonl": "".join(
            json.dumps(dict(zip(columns, row, strict=True))) + "\n" for row in zip(*columns.values(), strict=True)
        ).encode(),
        "a.json": json.dumps(
            [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        ).encode(),
    }
    for name, content in texts.items():
        (folder / name).write_bytes(content)
        yield name, folder / name
    frame = pl.DataFrame(columns)
    frame.write_parquet(folder / "a.parquet")
    frame.write_ipc(folder / "a.feather")
    yield from (("parquet", folder / "a.parquet"), ("feather", folder / "a.feather"), ("polars", frame))
    yield "sqlite", database(folder / "a.sqlite", columns)
    yield "lazy", frame.lazy()
    yield "arrow", frame.to_arrow()
    yield "lists", columns
    yield "rows", [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    pandas = pd.DataFrame(columns)
    yield "pandas", pandas
    yield "nullable", pandas.convert_dtypes()
    yield "objects", pandas.astype(object)
    yield "arrow in pandas", pandas.convert_dtypes(dtype_backend="pyarrow")
    yield "categories", pandas.astype({"unique_id": "category", "wind": "category", "open": "category"})
    yield "pandas texts", pandas.astype({"wind": "string", "unique_id": "string[pyarrow]"})
    rows = [list(columns), *[list(row) for row in zip(*columns.values(), strict=True)]]
    if columns["unique_id"][0] < 2**53:  # a spreadsheet has no larger whole numbers
        yield "xlsx", write_xlsx(folder / "a.xlsx", {"one": rows})
        yield "ods", write_ods(folder / "a.ods", {"one": rows})


ROLES = Schema(target=("y",), past_covariates=("temp", "wind"), known_covariates=("open",))


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(count=st.integers(5, 12), seed=st.integers(0, 2**31), large=st.booleans())
@pytest.mark.slow
@pytest.mark.ci
def test_the_same_data_gives_the_same_panel(tmp_path, count, seed, large) -> None:
    pytest.importorskip("fastexcel")
    columns = columns_of(count, seed, large)
    expected = None
    for name, source in sources(tmp_path, columns):
        panel = load_panel(source, ROLES)
        found = [(series.id, str(series.start), series.values) for series in panel.series]
        expected = expected or (panel.columns, found)
        assert panel.columns == expected[0], name
        for (own, start, values), (other, begun, wanted) in zip(found, expected[1], strict=True):
            assert (own, start) == (other, begun), name
            np.testing.assert_array_equal(values, wanted, err_msg=name)
    assert expected is not None
    assert [own for own, _, _ in expected[1]] == [str(columns["unique_id"][0]), str(columns["unique_id"][-1])]


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(count=st.integers(4, 9), seed=st.integers(0, 2**31), kind=st.sampled_from(["int", "bool", "text"]))
@pytest.mark.slow
@pytest.mark.ci
def test_the_same_data_gives_the_same_sequences_labels_and_cases(tmp_path, count, seed, kind) -> None:
    pytest.importorskip("fastexcel")
    columns = columns_of(count, seed, large=False)
    wanted = {"int": (3, 4), "bool": (True, False), "text": ("on", "0ff")}[kind]
    columns["open"] = [wanted[0]] * count + [wanted[1]] * count
    for name, source in sources(tmp_path, columns):
        if kind == "bool" and name in ("yes.csv", "ones.csv", "german.csv", "sqlite"):
            continue  # a label is what is written: "yes", 1 and WAHR are names of their own
        found = read_sequences(source, series_id="unique_id", time="ds", channels=("y", "temp"), label="open")
        assert found.ids == ("7", "8"), name
        assert found.labels == wanted, name
        assert [type(label) for label in found.labels] == [type(own) for own in wanted], name
        np.testing.assert_array_equal(found.sequences[1][:, 0], np.float32(columns["y"][count:]), err_msg=name)
        log = read_event_log(source, case="unique_id", activity="wind", time="ds")
        assert log.cases == ("7", "8"), name
        assert [own for case in log.activities for own in case] == columns["wind"], name


@pytest.mark.parametrize(
    ("ids", "names"),
    [
        (["007", "7", "7.0"], ["007", "7", "7.0"]),
        ([7, 8, 9], ["7", "8", "9"]),
        ([7.0, 8.5, 9.0], ["7.0", "8.5", "9.0"]),
        ([0.1 + 0.2, 0.3, 1e-300], ["0.30000000000000004", "0.3", "1e-300"]),
        ([2**60, 2**60 + 1, -(2**62)], [str(2**60), str(2**60 + 1), str(-(2**62))]),
        ([10**30, 10**30 + 1, 1], [str(10**30), str(10**30 + 1), "1"]),
        ([7, "7.0", 7.5], ["7", "7.0", "7.5"]),
        ([True, False, True], ["True", "False", "True"]),
    ],
)
def test_a_name_is_never_rounded_nor_merged(ids, names) -> None:
    for made in (list, lambda own: np.array(own, object), lambda own: pd.Series(own, dtype=object)):
        source = {"case": made(ids), "activity": ["a", "b", "c"]}
        assert read_event_log(source, case="case", activity="activity", time=None).cases == tuple(dict.fromkeys(names))


def test_floats_too_large_to_be_names_are_refused() -> None:
    for ids in (np.array([2.0**53, 2.0**53 + 2]), pd.array([2.0**60, 1], "Float64"), np.float32([2**24, 1])):
        with pytest.raises(DataError, match=r'row 1 of the data: column "case" holds \d+ as a float'):
            read_event_log({"case": ids, "activity": ["a", "b"]}, case="case", activity="activity", time=None)
    with pytest.raises(DataError, match="row 1 of the data frame"):
        read_event_log(pd.DataFrame({"c": [2.0**53, 1], "a": "a"}), case="c", activity="a", time=None)


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA, pd.NaT, "", "  ", "NaN", "nan", "None", "<NA>", np.nan])
@pytest.mark.parametrize("kind", ["object", "mapping"])
def test_a_missing_name_is_an_error_that_names_its_row(missing, kind) -> None:
    def source(**columns):
        return pd.DataFrame(columns, dtype=object) if kind == "object" else columns

    with pytest.raises(DataError, match=r'row 3 of the data( frame)?: column "unique_id" is empty'):
        load_panel(source(unique_id=["a", "a", missing, "b"], y=[1.0, 2, 3, 4]))
    with pytest.raises(DataError, match=r'row 3 of the data( frame)?: column "activity" is empty'):
        read_event_log(
            source(case=[1, 1, 1], activity=["x", "y", missing]), case="case", activity="activity", time=None
        )
    table = read_table(source(label=[1, 2, missing], x=[1, 2, 3]))
    with pytest.raises(DataError, match=r'row 3 of the data( frame)?: column "label" is empty'):
        labels(table, "label", "needs its label")


def test_a_masked_or_a_pandas_column_of_numbers_with_gaps_has_no_name_nan() -> None:
    for ids in (pd.array([1, 2, None], "Int64"), [1.0, 2.0, np.nan], np.ma.masked_array([1, 2, 3], [0, 0, 1])):
        with pytest.raises(DataError, match='row 3 of the data: column "case" is empty'):
            read_event_log({"case": ids, "activity": ["a"] * 3}, case="case", activity="activity", time=None)


def test_doubled_columns_are_one_sentence() -> None:
    frame = pd.DataFrame([[1, 2], [3, 4]], columns=["y", "y"])
    with pytest.raises(DataError, match='the data frame has two columns named "y"'):
        load_panel(frame)
    with pytest.raises(DataError, match='two columns named "1"'):
        load_panel(pd.DataFrame([[1, 2], [3, 4]], columns=[1, "1"]))


def test_series_lists_and_tensors_are_columns() -> None:
    torch = pytest.importorskip("torch")
    wave = [1.0, 2.5, 3.0, 2.0]
    held = [
        wave,
        tuple(wave),
        pd.Series(wave),
        pl.Series(wave),
        torch.tensor(wave),
        pd.Series(wave, name="y", dtype="Float64"),
    ]
    for source in (*held, *[{"y": own} for own in held], torch.tensor(wave, dtype=torch.bfloat16)):
        panel = load_panel(source)
        assert panel.columns == ("y",)
        assert panel.series[0].rows(0, 4).ravel().tolist() == wave
    masked = np.ma.masked_array(np.array(wave), [0, 1, 0, 0])
    assert np.isnan(load_panel(masked).series[0].rows(0, 4)[1, 0])


@pytest.mark.parametrize(
    "rows",
    [
        ["Zeit;Last, kWh", *[f"2024-01-{d:02d};{100 + d},{d % 7}" for d in range(1, 20)]],
        ["Zeit;Last", *[f"2024-01-{d:02d};{100 + d},{d % 7}" for d in range(1, 20)]],
        ["Zeit\tLast", *[f"2024-01-{d:02d}\t{100 + d},{d % 7}" for d in range(1, 20)]],
        ["Zeit|Last; a", *[f"2024-01-{d:02d}|{100 + d}.{d % 7}" for d in range(1, 20)]],
        ['"Zeit","Last; kWh"', *[f'"2024-01-{d:02d}","{100 + d}.{d % 7}"' for d in range(1, 20)]],
        ["Zeit,Last;", *[f"2024-01-{d:02d},{100 + d}.{d % 7}" for d in range(1, 20)]],
        ['Zeit;"Last\nin kWh"', *[f"2024-01-{d:02d};{100 + d},{d % 7}" for d in range(1, 20)]],
        ["Zeit;Last;", *[f"2024-01-{d:02d};{100 + d},{d % 7};" for d in range(1, 20)]],
    ],
)
def test_the_delimiter_is_the_one_by_which_all_rows_agree(tmp_path, rows) -> None:
    (tmp_path / "a.csv").write_text("\n".join(rows))
    panel = load_panel(tmp_path / "a.csv")
    assert len(panel.columns) == 1
    np.testing.assert_allclose(panel.series[0].values[:, 0], [100 + d + d % 7 / 10 for d in range(1, 20)])


def test_rows_are_numbered_as_an_editor_does_whatever_stands_before_the_header(tmp_path) -> None:
    (tmp_path / "a.csv").write_text(
        "# by us\n\nds,y\n" + "".join(f"2024-01-{d:02d},{d}\n" for d in range(1, 9)) + "x,1\n"
    )
    with pytest.raises(DataError, match="row 12 of a.csv"):
        load_panel(tmp_path / "a.csv", Schema(time="ds"))


def test_sheets_and_tables_are_chosen_by_name_or_number(tmp_path) -> None:
    from ostinato.data import TableFile
    from ostinato.errors import UsageError

    pytest.importorskip("fastexcel")
    book = write_xlsx(tmp_path / "a.xlsx", {"Jan": [["y"], [1], [2]], "Feb": [["y"], [3], ["#N/A"], [5]]})
    with pytest.warns(DataWarning, match=r'2 sheets \("Jan", "Feb"\); the first, "Jan", is read'):
        assert load_panel(book).series[0].values.ravel().tolist() == [1, 2]
    for sheet in ("Feb", 2, "2"):
        np.testing.assert_array_equal(load_panel(TableFile(book, sheet=sheet)).series[0].values.ravel(), [3, np.nan, 5])
    with pytest.raises(UsageError, match='has no sheet "Mar"; it has "Jan", "Feb"'):
        load_panel(TableFile(book, sheet="Mar"))


def test_an_error_of_a_spreadsheet_is_named_by_its_row(tmp_path) -> None:
    pytest.importorskip("fastexcel")
    rows = [["ds", "y"], *[[f"2024-01-{d:02d}", "#DIV/0!" if d == 4 else d * 1.5] for d in range(1, 20)]]
    with pytest.raises(DataError, match='row 5 of a.xlsx: "#DIV/0!" in column "y" is not a number'):
        load_panel(write_xlsx(tmp_path / "a.xlsx", {"one": rows}))


def test_without_its_library_a_spreadsheet_names_the_extra(tmp_path, monkeypatch) -> None:
    from ostinato.errors import MissingExtra

    monkeypatch.setitem(__import__("sys").modules, "fastexcel", None)
    with pytest.raises(MissingExtra, match=r"ostinato\[excel\]"):
        load_panel(write_xlsx(tmp_path / "a.xlsx", {"one": [["y"], [1]]}))


def test_what_unpacks_to_more_than_can_be_believed_is_refused(tmp_path, monkeypatch) -> None:
    import bz2
    import gzip
    import lzma

    from ostinato.data import lines, unpacking
    from ostinato.data.text import read_lines

    monkeypatch.setattr(unpacking, "_LEAST", 1 << 16)
    monkeypatch.setattr(lines, "_LEAST", 1 << 16)
    bomb = b"y\n" + b"0" * (1 << 24)
    for suffix, pack in ((".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)):
        path = tmp_path / f"a.csv{suffix}"
        path.write_bytes(pack(bomb))
        with pytest.raises(DataError, match=rf"a.csv{suffix} unpacks to more than .* MiB"):
            load_panel(path)
    for content in (bomb, b"a\n" * (1 << 24)):
        (tmp_path / "a.txt.gz").write_bytes(gzip.compress(content))
        with pytest.raises(DataError, match="unpacks to more"):
            for _ in read_lines(tmp_path / "a.txt.gz"):
                pass


def test_a_numpy_file_that_claims_more_than_it_holds_is_refused_at_once(tmp_path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.zeros(10))
    whole = path.read_bytes()
    for shape in (b"(1000000000000,)", b"(9999999999,99)", b"(-1,)", b"(1,1,1.5)", b"('a',)"):
        header = b"{'descr': '<f8', 'fortran_order': False, 'shape': " + shape + b", }"
        path.write_bytes(whole[:8] + len(header).to_bytes(2, "little") + header + whole[-80:])
        with pytest.raises(DataError, match=r"a\.npy"):
            load_panel(path)
    for kind in (b"|O", b"<V8", b"[('a', '<f8')]", b"<f8\\0"):
        header = b"{'descr': '" + kind + b"', 'fortran_order': False, 'shape': (10,), }"
        path.write_bytes(whole[:8] + len(header).to_bytes(2, "little") + header + whole[-80:])
        with pytest.raises(DataError, match=r"a\.npy"):
            load_panel(path)


def test_pickles_are_refused(tmp_path) -> None:
    (tmp_path / "a.pkl").write_bytes(b"anything")
    with pytest.raises(DataError, match="could run code"):
        load_panel(tmp_path / "a.pkl")
    np.save(tmp_path / "a.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(DataError, match="pickle"):
        load_panel(tmp_path / "a.npy")


@pytest.mark.slow
@pytest.mark.ci
def test_warnings_of_the_reader_are_for_what_is_not_plain_only(tmp_path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        for _, source in sources(tmp_path, columns_of(6, 0, large=False)):
            load_panel(source, ROLES)
