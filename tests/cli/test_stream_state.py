"""`ostinato stream MODEL --state FILE`: it resumes where it ended, however that came."""

import io
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from ostinato import EventPredictor, Forecaster, LanguageModel
from ostinato.cli.main import main

FEW = {"hidden_size": 4, "epochs": 1, "progress": False}
LOG = {"case": np.repeat(np.arange(12), 3), "activity": ["a", "b", "c"] * 12, "time": np.arange(36)}
ROWS = {
    "events": [json.dumps({"case": f"c{i % 2}", "activity": "abc"[i % 3], "time": 40 + i}) for i in range(9)],
    "forecaster": [json.dumps({"value": float(np.sin(i))}) for i in range(9)],
    "language": ["the cat sat", "the dog sat", "a mat", "the cat", "the mat", "sat", "dog", "cat", "mat"],
}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    made = {
        "events": EventPredictor(**FEW).fit(LOG),
        "forecaster": Forecaster(3, context=12, segment=1, **FEW).fit(np.sin(np.arange(120) / 3)),
        "language": LanguageModel(**FEW).fit(["the cat sat on the mat and looked at the dog"] * 30),
    }
    name = made["forecaster"].stream().header[0]
    ROWS["forecaster"] = [row.replace("value", name) for row in ROWS["forecaster"]]
    return {name: own.save(folder / name) for name, own in made.items()}


def stream(monkeypatch, capsys, folder, rows, *options, code=0):
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(row + "\n" for row in rows)))
    assert main(["stream", str(folder), *map(str, options)]) == code
    out, err = capsys.readouterr()
    answers = [json.loads(line) for line in out.splitlines()]
    return [{key: own for key, own in answer.items() if key != "row"} for answer in answers], err


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("cut", [0, 1, 5, 9])
def test_a_stream_in_two_runs_answers_as_in_one(models, tmp_path, monkeypatch, capsys, name, cut) -> None:
    run = [monkeypatch, capsys, models[name]]
    whole, _ = stream(*run, ROWS[name])
    first, _ = stream(*run, ROWS[name][:cut], "--state", tmp_path / "s")
    second, _ = stream(*run, ROWS[name][cut:], "--state", tmp_path / "s")
    assert first + second == whole
    assert [own.name for own in tmp_path.iterdir()] == ["s"]  # nothing is left aside


def test_a_bad_row_ends_the_run_and_the_state_is_that_before_it(models, tmp_path, monkeypatch, capsys) -> None:
    run = [monkeypatch, capsys, models["events"]]
    whole, _ = stream(*run, ROWS["events"])
    first, err = stream(*run, [*ROWS["events"][:4], "{}"], "--state", tmp_path / "s", code=3)
    assert "row 5 of stdin" in err
    second, _ = stream(*run, ROWS["events"][4:], "--state", tmp_path / "s")
    assert first + second == whole


def test_a_state_that_is_none_is_refused_and_stays_as_it_was(models, tmp_path, monkeypatch, capsys) -> None:
    file = tmp_path / "s"
    stream(monkeypatch, capsys, models["events"], ROWS["events"], "--state", file)
    good = file.read_bytes()
    for wrong, name in ((b"", "events"), (good[:-1], "events"), (b"x" + good[1:], "events"), (good, "forecaster")):
        file.write_bytes(wrong)
        _, err = stream(monkeypatch, capsys, models[name], ROWS[name], "--state", file, code=2)
        assert str(file) in err
        assert len(err.splitlines()) == 1
        assert file.read_bytes() == wrong
    _, err = stream(monkeypatch, capsys, models["events"], ROWS["events"], "--state", tmp_path / "no" / "s", code=6)
    assert "cannot be written" in err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.slow
@pytest.mark.ci
def test_a_signal_ends_the_run_and_the_state_is_that_of_the_last_answer(
    models, tmp_path, monkeypatch, capsys, number
) -> None:
    whole, _ = stream(monkeypatch, capsys, models["events"], ROWS["events"])
    file = tmp_path / "s"
    command = [sys.executable, "-m", "ostinato", "stream", str(models["events"]), "--state", str(file)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ)
    assert process.stdin is not None
    assert process.stdout is not None
    answers = []
    for row in ROWS["events"][:4]:
        process.stdin.write(row + "\n")
        process.stdin.flush()
        answers.append(json.loads(process.stdout.readline()))
    time.sleep(0.1)
    process.send_signal(number)
    assert process.wait(60) == 130
    second, _ = stream(monkeypatch, capsys, models["events"], ROWS["events"][4:], "--state", file)
    first = [{key: own for key, own in answer.items() if key != "row"} for answer in answers]
    assert first + second == whole
