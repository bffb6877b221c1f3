"""Classifiers on the command line."""

import io
import json

import numpy as np
import pytest

from ostinato.cli import main

pytest.importorskip("sklearn")
ROWS = [("a fine film", "good"), ("fine acting", "good"), ("a dull film", "bad"), ("dull acting", "bad")] * 15
SMALL = ["--hidden-size", "8", "--learning-rate", "0.01", "--no-progress", "--no-report"]


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    (folder / "a.tsv").write_text("".join(f"{text}\t{label}\n" for text, label in ROWS))
    named = ["--text", "0", "--label", "1", "--unquoted", "--epochs", "8", "--no-bidirectional", *SMALL]
    assert main(["fit", "classification", str(folder / "a.tsv"), "--out", str(folder / "m"), *named]) == 0
    return folder


@pytest.fixture(scope="module")
def waves(tmp_path_factory):
    folder = tmp_path_factory.mktemp("waves")
    rng = np.random.default_rng(0)
    lines = ["@classLabel true slow fast", "@dimensions 2", "@data"]
    for number in range(40):
        steps = np.arange(rng.integers(12, 20)) * (0.9 if number % 2 else 0.3)
        rows = [",".join(f"{value:.3f}" for value in wave(steps)) for wave in (np.sin, np.cos)]
        lines.append(":".join([*rows, "fast" if number % 2 else "slow"]))
    (folder / "a.ts").write_text("\n".join(lines) + "\n")
    named = ["--epochs", "15", "--members", "2", "--no-bidirectional", "--test-file", str(folder / "a.ts"), *SMALL]
    assert main(["fit", "sequences", str(folder / "a.ts"), "--out", str(folder / "m"), *named]) == 0
    return folder


def test_texts_are_told_from_stdin_a_file_and_a_stream(texts, capsys, monkeypatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("fine\ndull\n"))
    assert main(["predict", str(texts / "m")]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in lines] == ["good", "bad"]
    assert all(0.5 <= float(line[1]) <= 1 for line in lines)
    assert main(["predict", str(texts / "m"), str(texts / "a.tsv"), "--json"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["label"] for answer in answers] == [label for _, label in ROWS]
    assert set(answers[0]["probabilities"]) == {"good", "bad"}
    monkeypatch.setattr("sys.stdin", io.StringIO('fine\n[sic] fine\n{"text": "dull"}\n'))
    assert main(["stream", str(texts / "m")]) == 0
    told = [json.loads(line)["label"] for line in capsys.readouterr().out.splitlines()]
    assert told == ["good", "good", "bad"]


def test_sequences_are_told_and_streamed_row_by_row(waves, capsys, monkeypatch) -> None:
    assert main(["predict", str(waves / "m"), str(waves / "a.ts")]) == 0
    assert [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()][:2] == ["slow", "fast"]
    rows = "".join(f"[{np.sin(0.9 * step):.3f}, {np.cos(0.9 * step):.3f}]\n" for step in range(15))
    monkeypatch.setattr("sys.stdin", io.StringIO(rows))
    assert main(["stream", str(waves / "m")]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["row"] for answer in answers] == list(range(1, 16))
    assert answers[-1]["label"] == "fast"


def test_an_evaluation_shows_each_class(texts, waves, capsys) -> None:
    assert main(["evaluate", str(texts / "m"), str(texts / "a.tsv")]) == 0
    said = capsys.readouterr().out
    assert "calibration error" in said
    assert "precision" in said
    assert main(["evaluate", str(waves / "m"), str(waves / "a.ts"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["scores"]["model"]["accuracy"] > 0.9
    assert np.sum(found["details"]["confusion"]) == 40


def test_a_fit_is_reported(texts, tmp_path, capsys) -> None:
    pytest.importorskip("matplotlib")
    named = ["--text", "0", "--label", "1", "--epochs", "2", *SMALL[:-1]]
    assert main(["fit", "classification", str(texts / "a.tsv"), "--out", str(tmp_path / "m"), "--json", *named]) == 0
    scores = json.loads(capsys.readouterr().out)["scores"]
    assert {"model", "most frequent class"} < set(scores)
    assert "Classes of a.tsv" in (tmp_path / "m" / "report.html").read_text()
    assert {path.name for path in (tmp_path / "m").iterdir()} >= {"model.json", "history.csv", "report.html"}


def test_mistakes_get_one_sentence(texts, waves, tmp_path, capsys, monkeypatch) -> None:
    table = str(texts / "a.tsv")
    (tmp_path / "one.csv").write_text("text,label\na,x\nb,x\n")
    for arguments, code, said in [
        (["fit", "classification", table, "--text", "review"], 3, 'no column "review"'),
        (["fit", "classification", table, "--text", "0", "--label", "7"], 3, "there is no column 7"),
        (["fit", "classification", str(tmp_path / "one.csv")], 3, 'all 2 have the label "x"'),
        (["fit", "classification", str(tmp_path / "no.csv")], 3, "does not exist"),
        (["fit", "sequences", str(waves / "a.ts"), "--pooling", "top"], 2, "pooling is 'top'"),
        (["fit", "sequences", str(waves / "a.ts"), "--cell", "elman"], 2, 'cell "elman"'),
        (["fit", "sequences", table], 3, "id"),
    ]:
        assert main([*arguments, "--out", str(tmp_path / "x"), *SMALL]) == code
        error = capsys.readouterr().err
        assert error.startswith("ostinato: error: ")
        assert said in error
        assert error.count("\n") == 1
    assert not (tmp_path / "x").exists()
    for row, said in [("[1]", "it has 1 values; expected 2"), ('{"a": 1}', 'it has no "channel_1"')]:
        monkeypatch.setattr("sys.stdin", io.StringIO(row + "\n"))
        assert main(["stream", str(waves / "m")]) == 3
        assert said in capsys.readouterr().err
