"""A translator on the command line."""

import io
import json

import pytest

from ostinato.cli import main

WORDS = {"eins": "one", "zwei": "two", "drei": "three", "rot": "red"}
LINES = [f"{a} {b}" for a in WORDS for b in WORDS] * 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("translation")
    (path / "a.de").write_text("".join(line + "\n" for line in LINES))
    (path / "a.en").write_text("".join(" ".join(WORDS[word] for word in line.split()) + "\n" for line in LINES))
    small = ["--level", "word", "--hidden-size", "32", "--epochs", "12", "--learning-rate", "0.02", "--dropout", "0"]
    files = [str(path / "a.de"), str(path / "a.en")]
    more = ["--batch-tokens", "96", "--no-progress", "--validation-file", *files]
    assert main(["fit", "translation", *files, *more, *small, "--out", str(path / "m")]) == 0
    return path


def test_a_model_is_fitted_translates_and_is_evaluated(folder, capsys, monkeypatch) -> None:
    model = str(folder / "m")
    assert {path.name for path in (folder / "m").iterdir()} >= {"model.json", "history.csv", "report.html"}
    (folder / "new.de").write_text("rot zwei\n\ndrei eins\n")
    assert main(["predict", model, str(folder / "new.de")]) == 0
    assert capsys.readouterr().out == "red two\n\nthree one\n"
    assert main(["predict", model, str(folder / "new.de"), "--json"]) == 0
    first = json.loads(capsys.readouterr().out.splitlines()[0])
    assert first["translation"] == first["alternatives"][0]["translation"] == "red two"
    for verb, said in (("predict", "red two\n"), ("stream", '{"row": 1, "translation": "red two"}\n')):
        monkeypatch.setattr("sys.stdin", io.StringIO("rot zwei\n"))
        assert main([verb, model]) == 0
        assert capsys.readouterr().out == said
    assert main(["evaluate", model, str(folder / "a.de"), str(folder / "a.en"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["scores"]["model"]["chrF"] > 95
    assert main(["evaluate", model, str(folder / "a.de"), str(folder / "a.en")]) == 0
    assert "IBM model 1" in capsys.readouterr().out
    assert main(["report", model, "--out", str(folder / "r.html")]) == 0


def test_mistakes_get_one_sentence(folder, tmp_path, capsys) -> None:
    model, files, out = str(folder / "m"), [str(folder / "a.de"), str(folder / "a.en")], ["--out", str(tmp_path / "x")]
    (tmp_path / "short").write_text("one\n")
    for arguments, code, said in [
        (["evaluate", model, *files, files[0]], 2, "there are 3 files; a translator is evaluated on 2 at most"),
        (["evaluate", model, *files, "--stride", "2"], 2, "--stride is for a forecaster"),
        (["predict", model, str(tmp_path / "no.txt")], 3, "does not exist"),
        (["fit", "translation", files[0], str(tmp_path / "short"), *out], 3, "has 96 lines but short has 1"),
        (["fit", "translation", *files, "--attention", "dot", "--cell", "elman", *out], 2, 'cell "elman"'),
        (["fit", "translation", files[0], *out], 3, "no column 1"),
    ]:
        assert main(arguments) == code
        error = capsys.readouterr().err
        assert error.startswith("ostinato: error: ")
        assert said in error
        assert error.count("\n") == 1
    assert not (tmp_path / "x").exists()
