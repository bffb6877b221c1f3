"""How a file is read, said on the command line: marks, delimiters, missing cells, sheets."""

import argparse
import io
import json
import sys
from pathlib import Path

import pytest

from ostinato.cli import main
from ostinato.cli.reading import with_reading
from ostinato.tasks.base.registry import load

ROWS = [f"2024-{month:02d}-{day:02d};{1000 + day}.{month}" for month in range(1, 5) for day in range(1, 29)]
FEW = [
    "--horizon",
    "3",
    "--epochs",
    "1",
    "--hidden-size",
    "4",
    "--context",
    "8",
    "--segment",
    "1",
    "--frequency",
    "rows",
]
QUIET = ["--epochs", "1", "--hidden-size", "4", "--no-report", "--no-progress"]


@pytest.fixture
def german(tmp_path):
    path = tmp_path / "last.csv"
    lines = [row.replace(".", ",") for row in ROWS]
    lines[9] = lines[9].partition(";")[0] + ";k.A."
    path.write_text("# Export\nsep=;\nTag;Last\n" + "\n".join(lines) + "\n")
    return path


def fit(path, out, *options):
    return main(["fit", "forecast", str(path), "--out", str(out), *FEW, "--no-report", "--no-progress", *options])


def test_a_cell_that_is_no_number_is_named_and_the_option_it_names_takes_it_as_missing(
    tmp_path, german, capsys
) -> None:
    assert fit(german, tmp_path / "m") == 3
    said = capsys.readouterr().err
    assert 'row 13 of last.csv: "k.A." in column "Last" is not a number' in said
    assert "--missing" in said
    assert said.count("\n") == 1
    assert fit(german, tmp_path / "m", "--missing", "k.A.") == 0
    capsys.readouterr()
    assert main(["predict", str(tmp_path / "m"), str(german), "--json"]) == 0  # the model remembers it
    values = [json.loads(line)["forecast"] for line in capsys.readouterr().out.splitlines()]
    assert len(values) == 3
    assert all(900 < value < 1100 for value in values)


def test_another_file_may_have_cells_of_its_own_that_are_missing(tmp_path, german, capsys) -> None:
    assert fit(german, tmp_path / "m", "--missing", "k.A.") == 0
    other = tmp_path / "other.csv"
    other.write_text("Tag|Last\n" + "\n".join(ROWS).replace(";", "|").replace("1010.1", "#DIV/0!"))
    capsys.readouterr()
    assert main(["predict", str(tmp_path / "m"), str(other)]) == 3
    assert '"#DIV/0!" in column "Last"' in capsys.readouterr().err
    more = ["--missing", "#DIV/0!", "--delimiter", "|", "--decimal", "."]
    assert main(["predict", str(tmp_path / "m"), str(other), *more]) == 0
    assert main(["evaluate", str(tmp_path / "m"), str(other), "--json", *more]) == 0
    assert "NaN" not in capsys.readouterr().out


def test_a_sheet_is_chosen(tmp_path, capsys, monkeypatch) -> None:
    pytest.importorskip("fastexcel")
    monkeypatch.syspath_prepend(Path(__file__).parent.parent / "data")
    sys.modules.pop("books", None)
    from books import write_xlsx

    rows = [["Tag", "Last"], *[[row.partition(";")[0], float(row.partition(";")[2])] for row in ROWS]]
    book = write_xlsx(tmp_path / "last.xlsx", {"cover": [["about"], ["us"]], "data": rows})
    assert fit(book, tmp_path / "m", "--sheet", "data") == 0
    assert fit(book, tmp_path / "m2", "--sheet", "none") == 2
    assert 'has no sheet "none"' in capsys.readouterr().err


def test_sequences_and_events_have_the_options_too(tmp_path, capsys) -> None:
    cells = [(number, step) for number in range(20) for step in range(6)]
    lines = [f"{i};{t};{'?!' if t == 2 else f'{t * (1 + i % 2)},5'};{i % 2}" for i, t in cells]
    path, out = tmp_path / "s.csv", tmp_path / "m"
    path.write_text("id;t;x;label\n" + "\n".join(lines))
    command = ["fit", "sequences", str(path), "--time", "t", "--test", "0", "--out", str(out), *QUIET]
    assert main(command) == 3
    assert '"?!" in column "x" is not a number' in capsys.readouterr().err
    assert main([*command, "--missing", "?!", "--delimiter", ";"]) == 0
    assert main(["predict", str(out), str(path)]) == 0
    path.write_text("case|activity\n" + "".join(f"{case}|{name}\n" for case in range(30) for name in "abc"))
    command = ["fit", "events", str(path), "--time", "none", "--out", str(tmp_path / "e"), *QUIET]
    assert main([*command, "--delimiter", "|"]) == 0


def test_a_sheet_of_a_text_file_is_refused_and_of_two_files_each_is_told_its_own(tmp_path, german, capsys) -> None:
    assert fit(german, tmp_path / "m", "--sheet", "2") == 2
    assert "--sheet) is for spreadsheets and databases, and last.csv is none" in capsys.readouterr().err
    given = argparse.Namespace(file="a.csv", future="b.xlsx", sheet="2", delimiter=";", header=False, categorical=["c"])
    told = with_reading(given)
    assert (told.file.sheet, told.file.delimiter, told.file.header, told.file.categorical) == (None, ";", False, ("c",))
    assert (told.future.sheet, told.future.delimiter, told.future.header) == ("2", None, False)


def test_headers_and_codes_are_said(tmp_path, capsys) -> None:
    path = tmp_path / "codes.csv"
    lines = [f"2024-{1 + i // 28:02d}-{1 + i % 28:02d},{i % 7},{'A' if i % 9 == 0 else i % 3}" for i in range(110)]
    path.write_text("\n".join(lines))
    columns = ["--target", "column_2", "--past-covariates", "column_3"]
    assert fit(path, tmp_path / "m", *columns) == 3
    assert "--categorical column_3" in capsys.readouterr().err
    assert fit(path, tmp_path / "m", "--categorical", "column_3", "--no-header", *columns) == 0
    assert main(["predict", str(tmp_path / "m"), str(path)]) == 0


@pytest.mark.parametrize(
    ("rows", "options"),
    [
        ("Tag;Last\n2024-05-01;1.103,5\n", []),
        ("Tag\tLast\n2024-05-01\t1.103,5\n", []),
        ("2024-05-01;1.103,5\n", ["--columns", "Tag,Last"]),
        ("2024-05-01:1.103,5\n", ["--columns", "Tag,Last", "--delimiter", ":"]),
        ("Tag:Last\n2024-05-01:1.103,5\n", ["--delimiter", ":"]),
        ('{"Tag": "2024-05-01", "Last": 1103.5}\n', []),
    ],
)
def test_a_stream_is_split_as_its_first_line_is(tmp_path, german, capsys, monkeypatch, rows, options) -> None:
    assert fit(german, tmp_path / "m", "--missing", "k.A.") == 0
    model = load(tmp_path / "m")
    expected = model.stream().push({"Tag": "2024-05-01", "Last": 1103.5}).point[0, :, 0]
    capsys.readouterr()
    monkeypatch.setattr(sys, "stdin", io.StringIO(rows))
    assert main(["stream", str(tmp_path / "m"), *options]) == 0
    assert json.loads(capsys.readouterr().out)["forecast"]["Last"] == pytest.approx(expected.tolist())


def test_a_model_too_large_for_memory_is_one_sentence(tmp_path, german, capsys) -> None:
    assert fit(german, tmp_path / "m", "--missing", "k.A.", "--hidden-size", "10000000") == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("ostinato: error: there is not enough memory (")
    assert "fault" not in said
    assert not (tmp_path / "m" / "model.json").exists()
