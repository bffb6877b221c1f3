"""Sequences in the files of the archives, texts in any encoding, cells of any length."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ostinato.data import TableFile, read_table
from ostinato.data.archived import read_archived
from ostinato.data.text import read_delimited, read_lines
from ostinato.data.wide_sequences import is_wide
from ostinato.errors import DataError, UsageError

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
FLAT = "% of us\n@RELATION two\n\n@ATTRIBUTE att1 NUMERIC\n@attribute 'att 2' real\n@attribute target {1,-1}\n\n@DATA\n"
NESTED = (
    "@relation two\n@attribute both relational\n  @attribute t0 numeric\n  @attribute t1 numeric\n@end both\n"
    "@attribute what {'stand still',walk}\n@data\n"
)


@pytest.mark.parametrize("mark", ["\t", ",", "  "])
@pytest.mark.parametrize("name", ["Two_TRAIN.tsv", "Two_TRAIN.txt", "Two_TRAIN", "Two_TRAIN.csv"])
def test_a_text_file_of_the_ucr_archive_is_sequences_by_their_class(tmp_path, name, mark):
    rows = [[1, *np.arange(9)], [2, *np.arange(6), "NaN", "NaN", "NaN"], [1, *np.arange(4), "?", 1, 2, 3, 4]]
    text = "\n".join(
        mark.join(f"{float(cell):.7e}" if cell not in ("NaN", "?") else cell for cell in row) for row in rows
    )
    (tmp_path / name).write_text(text + "\n")
    found = read_archived(tmp_path / name, "series_id")
    assert found.labels == (1, 2, 1)
    assert [own.shape for own in found.sequences] == [(9, 1), (6, 1), (9, 1)]
    assert np.isnan(found.sequences[2][4, 0])


def test_a_long_table_and_a_table_of_few_columns_are_no_archive(tmp_path):
    (tmp_path / "long.csv").write_text("series_id,x\na,1\na,2\n")
    (tmp_path / "few.tsv").write_text("1\t2\t3\n2\t3\t4\n")
    (tmp_path / "halves.tsv").write_text("\t".join(["0.5"] * 12) + "\n")
    assert not any(is_wide(tmp_path / name) for name in ("long.csv", "few.tsv", "halves.tsv", "absent.tsv"))


def test_a_bad_cell_of_a_row_is_named_by_its_line(tmp_path):
    rows = ["\t".join(["1"] * 10)] * 30
    (tmp_path / "x.tsv").write_text("\n".join([*rows, "\t".join(["1"] * 9 + ["ouch"])]))
    with pytest.raises(DataError, match=r'line 31 of x.tsv: "ouch"'):
        read_archived(tmp_path / "x.tsv", None)


def test_an_arff_file_is_sequences_of_one_channel_or_of_several_or_a_table(tmp_path):
    (tmp_path / "flat.arff").write_text(FLAT + "1.5,2,1\n?,4, -1 % \n".replace(" % ", ""))
    flat = read_archived(tmp_path / "flat.arff", "series_id")
    assert flat.labels == (1, -1)
    assert flat.sequences[0].tolist() == [[1.5], [2.0]]
    assert np.isnan(flat.sequences[1][0, 0])
    (tmp_path / "nested.arff").write_text(NESTED + "'1,2\\n3,4','stand still'\n\"5,6\\n7,8\",walk\n")
    nested = read_archived(tmp_path / "nested.arff", "series_id")
    assert nested.labels == ("stand still", "walk")
    assert nested.sequences[1].tolist() == [[5, 7], [6, 8]]
    table = read_table(tmp_path / "flat.arff")
    assert table.columns == ("att1", "att 2", "target")
    assert table.frame["att1"].to_list() == ["1.5", None]
    assert read_archived(tmp_path / "flat.arff", "target") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (FLAT + "1,2\n", "line 9 of bad.arff has 2 cells; expected 3"),
        (FLAT + "{0 1, 2 -1}\n", "sparse"),
        (FLAT, "no rows"),
        ("hello\n", "is no part of an .arff header"),
        (FLAT + "1,two,1\n", '"two" is not a finite number'),
        (FLAT.replace("{1,-1}", "real") + "1,2,3\n", "no attribute of classes"),
    ],
)
def test_what_is_wrong_in_an_arff_file_is_said(tmp_path, text, said):
    (tmp_path / "bad.arff").write_text(text)
    with pytest.raises(DataError, match=said.replace("{", r"\{")):
        read_archived(tmp_path / "bad.arff", "series_id")


@pytest.mark.parametrize("name", ["ucr_trace/Trace_TRAIN.tsv", "ucr_gesturepebblez1/GesturePebbleZ1_TRAIN.tsv"])
def test_real_files_of_the_archive_are_read(name):
    if not (DATA / name).exists():
        pytest.skip("real data is absent")
    found = read_archived(DATA / name, "series_id")
    assert len(found.classes) in (4, 6)
    assert len({len(own) for own in found.sequences}) == (1 if "Trace" in name else len({*map(len, found.sequences)}))


TEXT = "größe,naïve\n1,é\n2,ü\n"


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "utf-8", "utf-16", "cp850", "mac-roman"])
def test_a_table_is_read_in_the_encoding_that_is_said(tmp_path, encoding):
    path = tmp_path / "x.csv"
    path.write_bytes(TEXT.encode(encoding))
    table = read_table(TableFile(path, encoding=encoding))
    assert table.columns == ("größe", "naïve")
    assert table.frame["naïve"].to_list() == ["é", "ü"]
    if encoding != "utf-16":
        assert list(read_lines(TableFile(path, encoding=encoding)))[1] == "1,é"


def test_an_encoding_that_does_not_fit_or_is_not_known_is_said(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(TEXT.encode("cp1252"))
    with pytest.raises(DataError, match="line 1 of x.csv: the byte 0xf6 is not utf-8; say another encoding"):
        read_table(TableFile(path, encoding="utf-8"))
    with pytest.raises(UsageError, match='the encoding "utf-9" is not known'):
        read_table(TableFile(path, encoding="utf-9"))
    pl.DataFrame({"a": [1, 2]}).write_parquet(tmp_path / "x.parquet")
    with pytest.raises(UsageError, match="--encoding"):
        read_table(TableFile(tmp_path / "x.parquet", encoding="utf-8"))


def test_a_cell_may_be_of_any_length(tmp_path):
    path, long = tmp_path / "x.csv", "word " * 60_000
    path.write_text(f'text,label\n"{long}",1\n"short, ""one""",0\n')
    assert read_table(path).frame["text"].to_list() == [long, 'short, "one"']
    assert next(iter(read_delimited(path, ("text", "label"))))[0] == long


def test_capitals_of_a_category_are_told_apart_or_said_to_be_folded():
    from ostinato.data.categories import category_codes
    from ostinato.errors import DataWarning

    table = read_table({"wind": ["NW", "nw", "SE"], "on": ["TRUE", "false", "true"]})
    with pytest.warns(DataWarning, match=r'"nw" is not taken as "NW": write them alike'):
        assert category_codes(table, "wind", (), ("NW", "SE")).tolist() == [0, -2, 1]
    with pytest.warns(DataWarning, match=r'column "on" of .*: "TRUE" is taken as "true", as in the training data'):
        assert category_codes(table, "on", (), ("false", "true")).tolist() == [1, 0, 1]
