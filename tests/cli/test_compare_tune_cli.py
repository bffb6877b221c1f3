"""`ostinato compare` and `ostinato tune` as they are typed: what is refused, what is left, what continues."""

import csv
import json
import math

import pytest

from ostinato.cli import main
from ostinato.studies.comparing import CellRun
from ostinato.studies.comparing import comparing as course

QUICK = ["--horizon", "4", "--context", "16", "--segment", "4", "--hidden-size", "6", "--epochs", "2"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "load.csv"
    path.write_text("load\n" + "\n".join(f"{math.sin(i / 6) + math.sin(i / 17):.4f}" for i in range(260)))
    return str(path)


def instead_of_a_process(job):
    """Return what a fit would: quickly, and by the cell's name."""
    if job.cell == "lstm":
        return CellRun(job.cell, job.seed, job.hidden_size, error="it broke")
    scores = {"model": {"MAE": 0.5 + 0.1 * len(job.cell)}, "naive": {"MAE": 2.0}}
    return CellRun(
        job.cell, job.seed, job.hidden_size, 500, scores, {"MAE": "lower"}, "test", 2, 1, "done", 1.0, 1e6, 0.1
    )


def test_compare_prints_and_writes_its_table(data, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(course, "_in_process", instead_of_a_process)
    out = tmp_path / "cells"
    command = ["compare", "forecast", data, *QUICK, "--cells", "gru, lstm,rnn", "--seeds", "2", "--out", str(out)]
    assert main(command) == 0
    said = capsys.readouterr()
    assert "lstm failed: it broke" in said.out
    assert "naive" in said.out
    assert "gru, seed 1: MAE 0.8, 1.0 s of training" in said.err
    assert {"compare.json", "compare.md", "compare.html", "compare.png", "plan.json"} <= {p.name for p in out.iterdir()}
    assert json.loads((out / "compare.json").read_text())["failures"] == {"lstm": "it broke"}
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"][0]["name"] == "gru"
    only = ["compare", "forecast", data, *QUICK, "--cells", "lstm", "--out", str(tmp_path / "broken")]
    assert main(only) == 4  # nothing to compare


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--cells", "gru,grru"], 2, 'cell "grru" is not known'),
        (["--cells", ","], 2, "no cells to compare"),
        (["--parameters", "900"], 2, "--parameters and --hidden-size both say how large"),
        (["--seeds", "0"], 2, "seeds is 0"),
        (["--target", "wind"], 3, '"wind"'),
    ],
)
def test_compare_refuses_what_cannot_be_meant(data, tmp_path, capsys, options, code, said) -> None:
    assert main(["compare", "forecast", data, *QUICK, *options, "--out", str(tmp_path / "new")]) == code
    assert said in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
@pytest.mark.ci
def test_tune_searches_fits_and_goes_on(data, tmp_path, capsys) -> None:
    pytest.importorskip("optuna")
    out = tmp_path / "tuned"
    command = ["tune", "forecast", data, *QUICK, "--search", "learning_rate=1e-3:1e-1:log", "--out", str(out)]
    assert main([*command, "--trials", "2"]) == 0
    said = capsys.readouterr()
    assert "of 2 trials" in said.out.lower()
    assert "trial 0: validation loss" in said.err
    assert {"model.json", "report.html", "search.html", "trials.csv"} <= {path.name for path in out.iterdir()}
    assert main([*command, "--trials", "3", "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["best"]["parameters"]["learning_rate"] > 0
    assert "trial 0" not in said.err
    assert len(list(csv.DictReader((out / "trials.csv").open()))) == 3
    assert main(["predict", str(out)]) == 0


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--search", "width=1:2"], 2, 'has no parameter "width" to search'),
        (["--search", "dropout=0.5"], 2, "which is one value"),
        (["--search", "dropout=1:0"], 2, "no numbers from a low to a high one"),
        (["--search", "dropout"], 2, "is no NAME=RANGE"),
        (["--search", "hidden-size=4:8"], 2, "--hidden-size sets hidden_size and --search hidden_size searches it"),
        (["--trials", "0"], 2, "trials is 0"),
        (["--validation", "0"], 3, "needs a validation part"),
        (["--target", "wind"], 3, '"wind"'),
    ],
)
def test_tune_refuses_what_cannot_be_meant(data, tmp_path, capsys, options, code, said) -> None:
    pytest.importorskip("optuna")
    assert main(["tune", "forecast", data, *QUICK, *options, "--out", str(tmp_path / "new")]) == code
    assert said in capsys.readouterr().err


def test_a_folder_of_something_else_is_left_alone(data, tmp_path, capsys) -> None:
    pytest.importorskip("optuna")
    (tmp_path / "letters.txt").write_text("mine")
    for verb in ("compare", "tune"):
        assert main([verb, "forecast", data, *QUICK, "--out", str(tmp_path)]) == 2
        assert "is not empty and holds no study" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["letters.txt"]


def test_every_task_can_be_compared_and_tuned(capsys) -> None:
    from ostinato.cli.command import commands

    for task in commands().values():
        needed = {"horizon": 1} if task.name == "forecast" else {}
        assert {"cell", "hidden_size", "seed"} <= set(task.make(**needed).get_params())
        for verb in ("compare", "tune"):
            with pytest.raises(SystemExit) as end:
                main([verb, task.name, "--help"])
            assert end.value.code == 0
            assert f"ostinato {verb} {task.name}" in capsys.readouterr().out
