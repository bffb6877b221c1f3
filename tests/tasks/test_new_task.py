"""The task that the guide writes: as it stands there, in Python and on the command line, in a package of its own."""

import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs/guide/16-a-new-task.md"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the file of the guide as an installed package, and data."""
    folder = tmp_path_factory.mktemp("walks")
    code = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), flags=re.DOTALL | re.MULTILINE)[0]
    assert len(code.splitlines()) <= 140
    assert sum(bool(line.strip()) for line in code.splitlines()) < 120
    (folder / "walks.py").write_text(code)
    home = folder / "walks-1.0.dist-info"
    home.mkdir()
    (home / "METADATA").write_text("Metadata-Version: 2.1\nName: walks\nVersion: 1.0\n")
    points = re.findall(r"^```toml\n\[project\.(.*?)^```", PAGE.read_text(), flags=re.DOTALL | re.MULTILINE)[0]
    name, line = points.split("\n")[:2]
    assert name == 'entry-points."ostinato.tasks"]'
    (home / "entry_points.txt").write_text("[ostinato.tasks]\n" + line.replace('"', "") + "\n")
    random.seed(0)
    for file in ("walks.tsv", "other.tsv"):
        walks = ["".join(random.choices("ud", k=random.choice([3, 5, 7]))) for _ in range(200)]
        rows = [f"{walk}\t{'above' if walk.count('u') > walk.count('d') else 'below'}" for walk in walks]
        (folder / file).write_text("\n".join(rows) + "\n")
    return folder


def python(folder, *words):
    paths = os.pathsep.join([str(folder), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": paths}, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def ostinato(folder, *words):
    return python(folder, "-m", "ostinato", *words)


_VERBS = """
import contextlib, io, json, sys
from ostinato.cli.main import main
said = []
for given, *words in json.loads(sys.argv[1]):
    sys.stdin, out = io.TextIOWrapper(io.BytesIO(given.encode())), io.StringIO()
    with contextlib.redirect_stdout(out):
        try:
            assert main(words) == 0, words
        except SystemExit as end:
            assert not end.code, words
    said.append(out.getvalue())
print(json.dumps(said))
"""


def verbs(folder, *commands):
    """Return what some commands say, `(standard input, *words)` each, one after the other in one new process."""
    return json.loads(python(folder, "-c", _VERBS, json.dumps(commands)))


@pytest.mark.slow
@pytest.mark.ci
def test_it_has_every_verb_of_the_command_line(place) -> None:
    few = ["--epochs", "15", "--learning-rate", "0.01", "--no-progress"]
    found = json.loads(ostinato(place, "fit", "walks", "walks.tsv", "--out", "model", "--json", *few))
    assert found["task"] == "walk reader"
    assert found["scores"]["model"]["accuracy"] > found["scores"]["the last step"]["accuracy"]
    judged, predicted, streamed, report, options = verbs(
        place,
        ("", "evaluate", "model", "other.tsv", "--json"),
        ("uud\nddduu\n", "predict", "model"),
        ("u\nd\nd\n", "stream", "model"),
        ("", "report", "model"),
        ("", "fit", "walks", "--help"),
    )
    assert json.loads(judged)["count"] == 200
    assert set(json.loads(judged)["scores"]) == {"model", "the last step"}
    assert predicted.split()[::2] == ["above", "below"]
    answers = [json.loads(line) for line in streamed.splitlines()]
    assert [answer["row"] for answer in answers] == [1, 2, 3]
    assert answers[0]["label"] == "above"
    assert answers[2]["label"] == "below"
    assert (place / report.strip()).read_text().startswith("<!doctype html>")
    assert "--hidden-size" in options


@pytest.mark.slow
def test_it_is_compared_and_tuned(place) -> None:
    pytest.importorskip("optuna")
    few = ["--epochs", "2", "--no-progress"]
    found = ostinato(place, "compare", "walks", "walks.tsv", "--cells", "gru,rnn", "--out", "cells", *few)
    assert "the last step" in found
    found = ostinato(
        place, "tune", "walks", "walks.tsv", "--search", "hidden_size=4,8", "--trials", "2", "--out", "tuned", *few
    )
    assert "hidden_size" in found
    assert (place / "tuned" / "model.json").exists()
