"""A language model on the command line."""

import json

import pytest

from ostinato.cli import main

TEXT = "the cat sat on the mat. the dog sat on the log.\n" * 80


@pytest.fixture
def folder(tmp_path, capsys):
    (tmp_path / "text.txt").write_text(TEXT)
    small = ["--hidden-size", "16", "--epochs", "2", "--steps", "16", "--batch-size", "8", "--no-progress"]
    assert main(["fit", "language", str(tmp_path / "text.txt"), "--out", str(tmp_path / "m"), *small]) == 0
    assert "unigram" in capsys.readouterr().out
    return tmp_path / "m"


def test_a_model_is_fitted_writes_and_is_evaluated(folder, capsys) -> None:
    assert {path.name for path in folder.iterdir()} >= {"model.json", "history.csv", "report.html"}
    assert main(["generate", str(folder), "--prompt", "the ", "--length", "20"]) == 0
    written = capsys.readouterr().out
    assert written.startswith("the ")
    assert len(written) == len("the ") + 20 + 1
    assert main(["evaluate", str(folder), str(folder.parent / "text.txt"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["tokens"] == len(TEXT) - 1


def test_the_report_is_written_again_from_the_model_alone(folder, tmp_path, capsys) -> None:
    assert main(["report", str(folder), "--out", str(tmp_path / "again.html")]) == 0
    assert "again.html" in capsys.readouterr().out
    page = (tmp_path / "again.html").read_text()
    assert page == (folder / "report.html").read_text()
    assert "Language model of text.txt" in page
    assert "5-gram" in page


def test_mistakes_get_one_sentence(folder, tmp_path, capsys) -> None:
    text = str(folder.parent / "text.txt")
    for arguments, code, said in [
        (["generate", str(tmp_path / "none")], 5, "holds no model"),
        (["generate", str(folder), "--top-k", "0"], 2, "top_k is 0"),
        (["generate", str(folder), "--length", "-1"], 2, "--length is -1"),
        (["evaluate", str(folder), text, "--stride", "2"], 2, "--stride is for forecasts"),
        (["predict", str(folder)], 2, "ostinato generate"),
        (["fit", "language", str(tmp_path / "no.txt"), "--out", str(tmp_path / "x")], 3, "does not exist"),
        (["fit", "language", text, "--out", str(tmp_path / "x"), "--cell", "elman"], 2, 'cell "elman"'),
    ]:
        assert main(arguments) == code
        error = capsys.readouterr().err
        assert error.startswith("ostinato: error: ")
        assert said in error
        assert error.count("\n") == 1
    assert not (tmp_path / "x").exists()
