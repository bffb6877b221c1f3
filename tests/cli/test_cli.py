"""The command line as it is typed: what it prints, what it leaves, how it ends."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import ostinato
from ostinato import files
from ostinato.cli import main

QUICK = ["--context", "24", "--segment", "6", "--hidden-size", "8", "--epochs", "2", "--no-progress"]


def table(rows=300, **cells) -> str:
    times = np.datetime64("2022-01-01T00") + np.arange(rows)
    values = np.round(50 + 10 * np.sin(np.arange(rows) * np.pi / 12), 3)
    lines = [f"{t},{cells.get(f'r{i}', v)}" for i, (t, v) in enumerate(zip(times, values, strict=True))]
    return "time,load\n" + "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def fitted(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    (folder / "load.csv").write_text(table())
    out = folder / "model"
    assert (
        main(
            [
                "fit",
                "forecast",
                str(folder / "load.csv"),
                "--target",
                "load",
                "--horizon",
                "6",
                "--out",
                str(out),
                *QUICK,
            ]
        )
        == 0
    )
    return out


def test_fit_writes_a_model_its_history_and_its_report(fitted, capsys) -> None:
    names = {path.name.split("-")[0] for path in fitted.iterdir()}
    assert names == {"model.json", "weights", "history.csv", "report.html"}
    data = str(fitted.parent / "load.csv")
    assert main(["evaluate", str(fitted), data]) == 0
    text = capsys.readouterr().out
    for part in ("model", "seasonal naive", "drift", "linear autoregression", "MASE", "held-out end"):
        assert part in text
    assert main(["evaluate", str(fitted), data, "--json", "--stride", "3"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["scores"]["model"]["MAE"] >= 0
    assert "one every 3 rows" in found["protocol"]


def test_predict_prints_or_writes_a_table(fitted, capsys, tmp_path) -> None:
    assert main(["predict", str(fitted)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("time,target,forecast,q0.1")
    assert lines[1].startswith("2022-01-13T12:00:00")
    assert len(lines) == 7
    assert main(["predict", str(fitted), str(fitted.parent / "load.csv"), "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert float(lines[1].split(",")[2]) == pytest.approx(rows[0]["forecast"], rel=1e-6)
    for name in ("p.csv", "p.jsonl", "p.parquet"):
        assert main(["predict", str(fitted), "--out", str(tmp_path / name)]) == 0
        assert (tmp_path / name).stat().st_size > 100
    assert main(["predict", str(fitted), "--out", str(tmp_path / "p.xls")]) == 2
    assert 'ending ".xls"; expected .csv' in capsys.readouterr().err


def test_predict_writes_the_columns_of_nixtla_which_are_those_of_python(fitted, capsys, tmp_path) -> None:
    import polars as pl

    whole = ostinato.load(fitted).predict().to_polars()
    assert main(["predict", str(fitted), "--nixtla", "--out", str(tmp_path / "p.parquet")]) == 0
    assert pl.read_parquet(tmp_path / "p.parquet").equals(whole)
    assert main(["predict", str(fitted), str(fitted.parent / "load.csv"), "--nixtla"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("unique_id,ds,Ostinato,Ostinato-lo-")
    assert lines[1].startswith("load,2022-01-13T12:00:00")


def test_report_writes_the_page_and_the_plot(fitted, tmp_path, capsys) -> None:
    assert main(["report", str(fitted), "--out", str(tmp_path / "r.html"), "--plot", str(tmp_path / "p.png")]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / "r.html"), str(tmp_path / "p.png")]


@pytest.fixture
def stream(fitted, capsys, monkeypatch):
    """Run the verb in this process; `test_stream_answers_at_once` runs it in one of its own."""

    def run(text, *options) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8"))
        code = main(["stream", str(fitted), *options])
        return subprocess.CompletedProcess([], code, *capsys.readouterr())

    return run


def test_stream_answers_each_row_in_json_or_csv(stream) -> None:
    done = stream('{"load": 50}\n{"load": null, "time": "2022-01-13 14:00"}\n')
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["row"] for answer in answers] == [1, 2]
    assert answers[1]["time"][0].startswith("2022-01-13T15")
    assert len(answers[0]["quantiles"]["load"]["0.1"]) == 6
    with_header = stream("time,load\n2022-01-13 12:00,50\n")
    named = stream("50\n", "--columns", "load")
    for other in (with_header, named):
        assert json.loads(other.stdout)["forecast"] == answers[0]["forecast"]


@pytest.mark.slow
@pytest.mark.ci
def test_stream_answers_at_once(fitted) -> None:
    command = [sys.executable, "-m", "ostinato", "stream", str(fitted)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        for number in (1, 2, 3):
            child.stdin.write('{"load": 50}\n')
            child.stdin.flush()
            assert json.loads(child.stdout.readline())["row"] == number
        child.stdin.close()
        assert child.wait(30) == 0


def test_a_bad_row_ends_the_stream_or_is_skipped(stream) -> None:
    rows = '{"load": 50}\n{"lood": 50}\n{"load": 51}\n'
    done = stream(rows)
    assert (done.returncode, len(done.stdout.splitlines())) == (3, 1)
    assert done.stderr == 'ostinato: error: row 2 of stdin: the row lacks "load"; expected the columns load\n'
    skipped = stream(rows, "--skip-bad")
    assert (skipped.returncode, len(skipped.stdout.splitlines())) == (0, 2)
    assert "row 2 of stdin skipped" in skipped.stderr
    assert stream("{\n").returncode == 3
    assert stream("1,2\n3\n", "--columns", "time,load").returncode == 3


BAD = [
    (None, [], 3, "does not exist"),
    ("", [], 3, "is empty"),
    ("time,load\n2022-01-01,3\n", [], 3, "has one row of data"),
    (table().replace(",", ":"), [], 3, "delimiter"),
    (table(), ["--target", "laod"], 3, 'did you mean "load"'),
    (table(r7="warm"), [], 3, 'row 9 of load.csv: "warm" in column "load" is not a number'),
    (table(r7="inf"), [], 3, 'row 9 of load.csv: column "load" is infinite'),
    (
        table().replace("2022-01-01T05", "2022-01-01T04"),
        [],
        3,
        "row 7 of load.csv: the time 2022-01-01 04:00 is already in row 6",
    ),
    (table().replace("2022-01-01T05", "2021-12-01T05"), [], 3, "sort the rows by time"),
    ("time,load\n" + "".join(f"2022-01-{d:02d},\n" for d in range(1, 30)), [], 3, "has no value at all"),
    ("time,load\n" + "".join(f"2022-01-{d:02d},5\n" for d in range(1, 30)), [], 3, "is constant"),
    (table(30), [], 3, "30 rows, but 30 for training (context 24 + horizon 6)"),
    (table(), ["--horizon", "0"], 2, "horizon is 0"),
    (table(), ["--horizon", "-2"], 2, "horizon is -2"),
    (table(), ["--learning-rate", "0"], 2, "learning_rate is 0.0; expected more than 0"),
    (table(), ["--learning-rate", "1e30", "--gradient-clip", "none", "--optimizer", "sgd"], 4, "try a smaller"),
    (table(), ["--time", "when"], 3, 'no column "when"'),
    (table(), ["--frequency", "fortnight"], 2, 'frequency "fortnight" is not known'),
]


@pytest.mark.parametrize(("text", "options", "code", "words"), BAD)
def test_bad_input_gets_one_sentence_and_leaves_nothing(tmp_path, capsys, text, options, code, words) -> None:
    if text is not None:
        (tmp_path / "load.csv").write_text(text)
    before = sorted(tmp_path.iterdir())
    target = [] if "--target" in options else ["--target", "load"]
    command = ["fit", "forecast", str(tmp_path / "load.csv"), "--horizon", "6", "--out", str(tmp_path / "m"), *QUICK]
    assert main([*command, *target, *options]) == code
    said = capsys.readouterr().err
    assert words in said
    assert said.startswith("ostinato: error: ")
    assert said.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_a_disk_that_fills_up_during_the_fit_leaves_nothing(tmp_path, capsys, monkeypatch) -> None:
    (tmp_path / "load.csv").write_text(table())
    original, calls = os.fsync, []

    def full(handle):
        calls.append(handle)
        if len(calls) > 1:  # the empty history still fits, the checkpoint does not
            raise OSError(28, "No space left on device")
        original(handle)

    monkeypatch.setattr(files.os, "fsync", full)
    command = ["fit", "forecast", str(tmp_path / "load.csv"), "--horizon", "6", "--out", str(tmp_path / "m"), *QUICK]
    assert main(command) == 6
    assert "no space left on device" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["load.csv"]


def test_bad_models_and_folders_get_one_sentence(fitted, tmp_path, capsys) -> None:
    data = str(fitted.parent / "load.csv")
    (tmp_path / "file").write_text("")
    cases = [
        (["predict", str(tmp_path)], 5, "holds no model"),
        (["stream", str(tmp_path / "absent")], 5, "does not exist"),
        (
            ["fit", "forecast", data, "--horizon", "6", "--out", str(tmp_path / "file" / "m"), *QUICK],
            6,
            "cannot be made",
        ),
        (["fit", "forecast", data, "--horizon", "6", "--out", str(tmp_path / "file"), *QUICK], 6, "cannot be made"),
        (["predict", str(fitted), "--out", str(tmp_path / "no" / "p.csv")], 6, "cannot be written"),
        (["demo", "weather"], 2, 'no demo "weather"; choose one of humidity, stocks'),
        (["evaluate", str(fitted), data, "--stride", "0"], 2, "stride is 0"),
        (["stream", str(fitted), "--series-id", "x"], 2, 'knows no series "x"'),
    ]
    for command, code, words in cases:
        assert main(command) == code
        said = capsys.readouterr().err
        assert words in said
        assert said.count("\n") == 1


@pytest.mark.parametrize(
    "verb", [[], ["fit"], ["fit", "forecast"], ["predict"], ["evaluate"], ["stream"], ["report"], ["demo"]]
)
def test_help_has_examples(verb, capsys) -> None:
    with pytest.raises(SystemExit) as end:
        main([*verb, "--help"])
    assert end.value.code == 0
    if verb != ["fit"]:
        assert "example" in capsys.readouterr().out


def test_help_of_any_verb_imports_nothing_heavy() -> None:
    code = """
import contextlib, sys
from ostinato.cli.main import main
for verb in ([], ["fit"], ["fit", "forecast"], ["predict"], ["evaluate"], ["stream"], ["report"], ["demo"], ["tune"]):
    with contextlib.suppress(SystemExit):
        main([*verb, "--help"])
print("loaded:", sorted(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.split("loaded:")[1]
    for name in ("torch", "numpy", "polars", "matplotlib", "lightning_fabric"):
        assert f"'{name}'" not in loaded


@pytest.mark.slow
@pytest.mark.ci
def test_a_fit_killed_at_any_moment_leaves_a_resumable_checkpoint_or_none(tmp_path) -> None:
    (tmp_path / "load.csv").write_text(table())
    base = [sys.executable, "-m", "ostinato", "fit", "forecast", str(tmp_path / "load.csv"), "--target", "load"]
    options = ["--horizon", "6", *QUICK, "--epochs", "25", "--patience", "none", "--no-report", "--json"]
    whole = subprocess.run([*base, *options, "--out", str(tmp_path / "whole")], capture_output=True, check=True)
    out = tmp_path / "killed"
    for wait in (1.5, 3.0, 4.0):
        with subprocess.Popen([*base, *options, "--out", str(out), "--resume"], stdout=subprocess.DEVNULL) as child:
            time.sleep(wait)
            child.send_signal(signal.SIGKILL)
        assert not (out / "model.json").exists() or main(["predict", str(out)]) == 0
    resumed = subprocess.run([*base, *options, "--out", str(out), "--resume"], capture_output=True, check=True)
    assert json.loads(resumed.stdout)["scores"] == json.loads(whole.stdout)["scores"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["humidity", pytest.param("stocks", marks=pytest.mark.ci)])
def test_the_demo_runs_from_data_to_stream(tmp_path, name) -> None:
    command = [sys.executable, "-m", "ostinato", "demo", name, "--out", str(tmp_path / "m")]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, env={**os.environ, "COLUMNS": "80"}, check=True
    )
    for part in ("seasonal naive", "streamed one by one", "ms a row", "Try next"):
        assert part in done.stdout
    if name == "humidity":
        assert "The model beats every baseline" in done.stdout
    assert "step/s" in done.stderr
    names = {path.name for path in (tmp_path / "m").iterdir()}
    assert {"model.json", "report.html", "forecast.png", "history.csv"} <= names
