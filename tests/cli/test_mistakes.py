"""Wrong commands: one sentence that comes first, an exit code, and nothing left behind."""

import io
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import IO

import numpy as np
import polars as pl
import pytest

from laws import CASES
from ostinato import report
from ostinato.cli import main
from ostinato.errors import MissingExtra

GUIDE = Path(__file__).parents[2] / "docs/guide/15-the-command-line.md"
QUICK = ["--context", "24", "--segment", "6", "--hidden-size", "8", "--epochs", "2", "--no-progress"]
FIT = ["fit", "forecast", "load.csv", "--target", "load", "--horizon", "6", *QUICK]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with `load.csv` and a forecaster, `model`."""
    folder = tmp_path_factory.mktemp("cli")
    times = np.datetime64("2022-01-01T00") + np.arange(300)
    values = np.round(50 + 10 * np.sin(np.arange(300) * np.pi / 12), 3)
    rows = [f"{time},{value}" for time, value in zip(times, values, strict=True)]
    (folder / "load.csv").write_text("\n".join(["time,load", *rows]) + "\n")
    here = Path.cwd()
    os.chdir(folder)
    try:
        assert main([*FIT, "--out", "model", "--no-report"]) == 0
    finally:
        os.chdir(here)
    return folder


@pytest.fixture
def folder(made, monkeypatch) -> Path:
    monkeypatch.chdir(made)
    return made


def documented() -> list[tuple[str, str]]:
    return re.findall(r"^\$ (.*)\n(ostinato: .*)$", GUIDE.read_text(), flags=re.MULTILINE)


def test_the_guide_shows_ten_mistakes() -> None:
    assert len(documented()) == 10


@pytest.mark.parametrize(("command", "said"), documented())
def test_the_sentences_of_the_guide_are_those_that_are_said(folder, capsys, monkeypatch, command, said) -> None:
    before, model = sorted(folder.iterdir()), (folder / "model/model.json").read_bytes()
    given, _, rest = command.rpartition(" | ")
    monkeypatch.setattr(sys, "stdin", io.StringIO(given.removeprefix("echo ") + "\n"))
    assert main(shlex.split(rest)[1:]) in (2, 3, 6)
    assert capsys.readouterr().err == said + "\n"
    assert sorted(folder.iterdir()) == before
    assert (folder / "model/model.json").read_bytes() == model


NAMES = ["", "x" * 300, "a/" + "é" * 200, "nul\0byte"]


@pytest.mark.parametrize("name", NAMES, ids=["empty", "long", "long in bytes", "zero byte"])
@pytest.mark.parametrize(
    "command",
    [
        [*FIT, "--out", "NAME"],
        ["fit", "forecast", "NAME", "--horizon", "6", "--out", "new"],
        ["fit", "language", "NAME", "--out", "new"],
        ["fit", "language", "load.csv", "--test-file", "NAME", "--out", "new"],
        ["predict", "NAME"],
        ["predict", "model", "NAME"],
        ["predict", "model", "--future", "NAME"],
        ["predict", "model", "--out", "NAME"],
        ["evaluate", "model", "NAME"],
        ["stream", "NAME"],
        ["generate", "NAME"],
        ["compose", "NAME", "--out", "x.mid"],
        ["compose", "model", "--out", "NAME"],
        ["update", "model", "NAME"],
        ["report", "model", "--out", "NAME"],
        ["report", "model", "--plot", "NAME"],
        ["compare", "language", "load.csv", "--out", "NAME"],
        ["tune", "language", "load.csv", "--out", "NAME"],
        ["demo", "--out", "NAME"],
    ],
    ids=lambda command: " ".join(command[:2]) + f" {command.index('NAME')}",
)
def test_a_name_that_no_system_has_is_refused(folder, capsys, command, name) -> None:
    before = sorted(folder.iterdir())
    assert main([name if part == "NAME" else part for part in command]) == 2
    said = capsys.readouterr().err
    assert said.startswith("ostinato: error: ")
    assert said.count("\n") == 1
    assert sorted(folder.iterdir()) == before


WRONG = [
    (["fit", "forecast", "load.csv", "--hor", "6", "--out", "new"], "no option --hor; did you mean --horizon?"),
    (["predict", "model", "--series_id", "x"], "there is no option --series_id"),
    (["stream", "model", "--series_id", "x"], "did you mean --series-id?"),
    (["stream", "model", "-series-id", "x"], "did you mean --series-id?"),
    (["predict", "model", "a.csv", "b.csv"], '"b.csv" is one argument too many'),
    (["evluate", "model", "load.csv"], 'no verb "evluate"; did you mean evaluate?'),
    (["fit", "clasification", "load.csv"], 'no task "clasification"; did you mean classification?'),
    (["fit", "events", "load.csv", "--refit", "maybe", "--out", "new"], '"maybe" is one argument too many'),
    (["fit", "events", "load.csv", "--order", "end", "--out", "new"], '--order is "end"; choose one of start, file'),
    (["fit", "language", "load.csv", "--optimizer", "adm", "--out", "new"], "did you mean adam?"),
    (["fit", "sequences", "load.csv", "--convolutions", "8,x", "--out", "new"], "expected numbers joined by commas"),
    (
        ["fit", "forecast", "load.csv", "--quantiles", "low", "--horizon", "6", "--out", "new"],
        "expected numbers joined",
    ),
    (
        ["fit", "forecast", "load.csv", "--patience", "soon", "--horizon", "6", "--out", "n"],
        "whole number of one or more, or none",
    ),
    (["fit"], "required: TASK"),
    ([], "required: VERB"),
    (["fit", "--horizon", "3", "forecast", "load.csv"], "no option --horizon before the task; options of tasks stand"),
    (
        ["--out", "new", "fit", "forecast", "load.csv"],
        "no option --out before the verb; options of verbs stand",
    ),
    (["train", "forecast", "load.csv"], 'no verb "train"; did you mean ostinato fit?'),
    (["fit", "forecast", "load.csv", "--horizon"], "--horizon has no value; expected one behind it"),
    (["fit", "forecast", "load.csv", "--horizon", "6", "--no-combine=3"], '--no-combine takes no value; "3" came'),
    (["stream", "model", "--cold", "--cold-start"], "no option --cold-start; did you mean --cold?"),
]


@pytest.mark.parametrize(("command", "words"), WRONG)
def test_what_was_probably_meant_is_said(folder, capsys, command, words) -> None:
    assert main(command) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.startswith("ostinato: error: ")
    assert said.count("\n") == 1


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("kinds")
    for name, case in CASES.items():
        case.make().set_params(epochs=1).fit(case.data(False, 0)).save(folder / name)
    return folder


VERBS = [
    ["generate"],
    ["compose", "--out", "x.mid", "--bars", "2"],
    ["compose", "--out", "x.mid", "--prime", "load.csv"],
    ["stream", "--series-id", "x"],
    ["stream", "--columns", "a,b"],
    ["stream", "--cold"],
    ["stream"],
    ["predict", "--future", "load.csv"],
    ["predict", "load.csv"],
    ["evaluate", "load.csv"],
    ["evaluate", "load.csv", "load.csv"],
    ["evaluate", "load.csv", "--stride", "2"],
    ["evaluate", "load.csv", "--cache"],
    ["update", "load.csv"],
    ["update", "load.csv", "load.csv"],
    ["report", "--out", "missing/report.html"],
]


@pytest.mark.parametrize("kind", CASES)
@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_any_verb_on_any_model_does_its_work_or_says_one_sentence(
    folder, models, capsys, monkeypatch, verb, kind
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("[1, 2, 3]\n"))
    code = main([verb[0], str(models / kind), *verb[1:]])
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert "fault in ostinato itself" not in said
    refused = code in (2, 3, 6) and said.startswith("ostinato: error: ")
    assert refused or (code == 0 and all(line.startswith("ostinato: note: ") for line in said.splitlines()))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_behind_stdout_is_one_sentence(folder, capsys, monkeypatch) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123, a device
        monkeypatch.setattr(sys, "stdout", full)
        assert main(["predict", "model"]) == 6
        # closing, as the interpreter does at its end, must not fail on what is left in the buffer
    assert capsys.readouterr().err == "ostinato: error: the output cannot be written: no space left on device\n"


@pytest.mark.slow
@pytest.mark.ci
def test_a_reader_that_goes_away_ends_a_command_without_a_word(folder, capsys, monkeypatch) -> None:
    with _without_a_reader() as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        assert main(["predict", "model"]) == 0
    assert capsys.readouterr().err == ""
    with _without_a_reader() as pipe:
        done = subprocess.run(
            [sys.executable, "-m", "ostinato", "stream", "model"], input='{"load": 50}\n' * 50, stdout=pipe,
            stderr=subprocess.PIPE, text=True, timeout=120, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def _without_a_reader() -> IO[str]:
    reading, writing = os.pipe()
    os.close(reading)
    return os.fdopen(writing, "w")


def test_a_stream_says_when_there_was_no_row(folder, capsys, monkeypatch) -> None:
    for text, words in (("time,load\n", 'one line, the header "time,load", and no row below it'), ("\n\n", "")):
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        assert main(["stream", "model"]) == (3 if words else 0)
        assert words in capsys.readouterr().err


def test_text_that_is_not_utf8_is_one_sentence(models, capsys, monkeypatch) -> None:
    for verb in ("predict", "stream"):
        for errors in ("strict", "surrogateescape"):  # of a locale of UTF-8, and of the locale C
            stdin = io.TextIOWrapper(io.BytesIO(b"caf\xe9\n"), encoding="utf-8", errors=errors)
            monkeypatch.setattr(sys, "stdin", stdin)
            assert main([verb, str(models / "text classifier")]) == 3
            assert "stdin is not UTF-8 text (it has the byte 0xe9)" in capsys.readouterr().err


def test_a_model_is_saved_and_shown_where_the_library_of_the_report_is_missing(folder, capsys, monkeypatch) -> None:
    def missing(*_):
        raise MissingExtra("reports and plots need the extra report: pip install 'ostinato[report]'")

    monkeypatch.setattr(report, "write_report", missing)
    assert main([*FIT, "--out", "plain"]) == 0
    printed = capsys.readouterr()
    assert "report.html is not written: reports and plots need the extra report" in printed.err
    assert "MASE" in printed.out
    assert main(["predict", "plain"]) == 0
    (folder / "text.txt").write_text("the cat sat on the mat\n" * 60)
    small = ["--hidden-size", "8", "--epochs", "1", "--steps", "8", "--no-progress"]
    assert main(["fit", "language", "text.txt", "--out", "writer", *small]) == 0
    assert (folder / "writer/model.json").exists()


def test_resume_leaves_a_finished_model_and_a_diverged_fit_does_too(folder, capsys) -> None:
    before = (folder / "model/model.json").read_bytes()
    (folder / "other.csv").write_text((folder / "load.csv").read_text().replace("50.0", "51.0"))
    other = [*FIT, "--out", "model"]
    other[2] = "other.csv"
    assert main([*other, "--resume"]) == 2
    assert main([*other, "--learning-rate", "1000"]) == 4
    said = capsys.readouterr().err
    assert "ostinato update model FILE" in said
    assert "training diverged: the best loss" in said
    assert (folder / "model/model.json").read_bytes() == before
    assert not (folder / "model/checkpoint").exists()


@pytest.mark.slow
@pytest.mark.ci
def test_update_replaces_the_model_only_by_a_better_one(folder, capsys) -> None:
    rows = (folder / "load.csv").read_text().splitlines()
    later = np.datetime64("2022-01-01T00") + np.arange(300, 500)
    more = [f"{time},{80 + 20 * (number % 6 < 3)}" for number, time in enumerate(later)]
    (folder / "newer.csv").write_text("\n".join([*rows, *more]) + "\n")
    before = (folder / "model/model.json").read_bytes()
    assert main(["update", "model", "newer.csv", "--learning-rate", "1e-30", "--epochs", "1"]) == 0
    assert "model is not written" in capsys.readouterr().out
    assert (folder / "model/model.json").read_bytes() == before
    assert main(["update", "model", "newer.csv", "--out", "updated", "--learning-rate", "0.01", "--json"]) == 0
    assert '"improved": true' in capsys.readouterr().out
    assert (folder / "model/model.json").read_bytes() == before
    assert main(["evaluate", "updated", "newer.csv"]) == 0
    assert "held out" not in capsys.readouterr().err
    assert {path.name.split("-")[0] for path in (folder / "updated").iterdir()} == {
        "model.json",
        "weights",
        "report.html",
    }


def test_a_file_is_taken_whether_options_stand_before_or_behind_it(models, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("log.csv").write_text("case,activity,time\n1,open,2024-01-01\n1,check,2024-01-02\n2,open,2024-01-01\n")
    model, expected = str(models / "event predictor"), ["1", "2"]
    assert main(["predict", model, "log.csv", "--out", "a.csv"]) == 0
    assert main(["predict", model, "--out", "a.tsv", "log.csv"]) == 0
    assert main(["predict", "--out", "a.jsonl", model, "log.csv"]) == 0
    assert main(["predict", "--out=a.parquet", "--delimiter", ",", model, "--", "log.csv"]) == 0
    lines = [json.loads(line) for line in Path("a.jsonl").read_text().splitlines()]
    assert [own["case"] for own in lines] == expected
    for file, read in (("a.csv", {}), ("a.tsv", {"separator": "\t"})):
        assert pl.read_csv(file, **read, infer_schema=False)["case"].to_list() == expected
    whole = pl.read_parquet("a.parquet")
    assert whole.columns == list(lines[0])
    assert whole["range_days"].to_list() == [own["range_days"] for own in lines]
    assert main(["predict", model, "log.csv", "--out", "a.xlsx"]) == 2
    assert sorted(own.name for own in tmp_path.iterdir()) == ["a.csv", "a.jsonl", "a.parquet", "a.tsv", "log.csv"]


def test_a_line_of_spaces_is_answered_in_its_place(models, capsys, monkeypatch) -> None:
    for kind in ("text classifier", "sequence tagger", "language model", "translator"):
        answers = []
        for text in ("the dog\n   \nthe cat\n", "the dog\n", "   \n", "the cat\n"):
            monkeypatch.setattr(sys, "stdin", io.StringIO(text))
            assert main(["predict", str(models / kind), "--json"]) == 0
            answers.append(capsys.readouterr().out.splitlines())
        assert answers[0] == [line for alone in answers[1:] for line in alone], kind


def test_rows_of_events_come_with_a_header_of_any_columns_or_with_none(models, capsys, monkeypatch) -> None:
    rows = ["1,open,2024-01-01", "1,check,2024-01-02"]
    forms = ["\n".join(rows), "\n".join(["case,activity,time", *rows])]
    forms.append("\n".join(["note;time;case;activity", "x;2024-01-01;1;open", "y;2024-01-02;1;check"]))
    found = []
    for text in forms:
        monkeypatch.setattr(sys, "stdin", io.StringIO(text + "\n"))
        assert main(["stream", str(models / "event predictor")]) == 0
        found.append(capsys.readouterr().out)
    assert found[0].count("\n") == 2
    assert found[0] == found[1] == found[2]


def test_a_temperature_that_is_no_number_is_refused_before_anything_is_written(models, capsys) -> None:
    for given in ("nan", "inf", "-inf", "-1"):
        assert main(["generate", str(models / "language model"), "--prompt", "the", f"--temperature={given}"]) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.startswith("ostinato: error: temperature is ")


def test_the_folder_that_was_probably_meant_is_said(folder, models, capsys) -> None:
    assert main(["predict", "modle"]) == 5
    assert capsys.readouterr().err == "ostinato: error: modle does not exist; did you mean model?\n"
    assert main(["predict", "model", "--horizon", "6"]) == 2
    assert "no option --horizon here: a model keeps what it was fitted with" in capsys.readouterr().err
    assert main(["--vesion"]) == 2
    assert "did you mean --version?" in capsys.readouterr().err
    assert main(["predict", str(models / "event predictor"), "--case", "id"]) == 2
    assert "no option --case here" in capsys.readouterr().err
