"""A tagger and an event predictor on the command line: fit, predict, stream, evaluate, report; mistakes named."""

import io
import json

import pytest

from ostinato.cli import main

SMALL = ["--hidden-size", "16", "--embedding-size", "8", "--epochs", "12", "--batch-size", "8"]
SMALL += ["--learning-rate", "0.01", "--no-progress"]
COLUMNS = ["--case", "id", "--activity", "what", "--time", "when"]


@pytest.fixture(scope="module")
def tagger(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tagger")
    rows = ["the DET\ndog NOUN\nbarks VERB\n", "a DET\ncat NOUN\nsleeps VERB\n", "dogs NOUN\nbark VERB\n"] * 20
    (folder / "train.txt").write_text("\n".join(rows))
    (folder / "lines.txt").write_text("the cat barks\n\na dog sleeps\n")
    assert main(["fit", "tagging", str(folder / "train.txt"), "--out", str(folder / "m"), *SMALL]) == 0
    return folder


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    folder = tmp_path_factory.mktemp("events")
    rows = [
        f"{case},{what},2024-01-{1 + case % 28:02} {hour}:00"
        for case in range(60)
        for hour, what in ((10, "open"), (12, "check"), (15, "close"))
    ]
    (folder / "log.csv").write_text("\n".join(["id,what,when", *rows]) + "\n")
    assert main(["fit", "events", str(folder / "log.csv"), *COLUMNS, "--out", str(folder / "m"), *SMALL]) == 0
    return folder


def test_a_tagger_is_fitted_tags_lines_and_is_evaluated(tagger, capsys, monkeypatch) -> None:
    assert {path.name for path in (tagger / "m").iterdir()} >= {"model.json", "history.csv", "report.html"}
    assert "Tags of train.txt" in (tagger / "m" / "report.html").read_text()
    capsys.readouterr()
    assert main(["predict", str(tagger / "m"), str(tagger / "lines.txt")]) == 0
    found = capsys.readouterr().out.splitlines()
    assert found[0] == "DET NOUN VERB"
    assert found[-1] == "DET NOUN VERB"
    monkeypatch.setattr("sys.stdin", io.StringIO("dogs bark\n\n"))
    assert main(["predict", str(tagger / "m"), "--json"]) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["tokens"], second["tags"]) == (["dogs", "bark"], "")
    monkeypatch.setattr("sys.stdin", io.StringIO('dogs bark\n["the", "dog"]\n{"tokens": ["a"]}\n'))
    assert main(["stream", str(tagger / "m")]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [own["tags"] for own in answers] == ["NOUN VERB", "DET NOUN", "DET"]
    assert main(["evaluate", str(tagger / "m"), str(tagger / "train.txt"), "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores["count"] == 160
    assert scores["scores"]["model"]["accuracy"] > 0.9
    assert main(["report", str(tagger / "m")]) == 0


def test_an_event_predictor_is_fitted_and_tells_what_comes_next(events, capsys, monkeypatch) -> None:
    assert {path.name for path in (events / "m").iterdir()} >= {"model.json", "history.csv", "report.html"}
    assert not (events / "m" / "checkpoint").exists()
    capsys.readouterr()
    (events / "running.csv").write_text(
        "id,what,when\n7,open,2024-02-01 10:00\n8,open,2024-02-01 10:00\n8,check,2024-02-01 12:00\n"
    )
    assert main(["predict", str(events / "m"), str(events / "running.csv")]) == 0
    first, second = (line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert (first[0], first[-1], second[0], second[-1]) == ("check", "7", "close", "8")
    rows = ['{"id": 1, "what": "open", "when": "2024-02-01 10:00"}', "2,open,2024-02-01", "oh", "1,check,2024-02-02"]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(rows) + "\n"))
    assert main(["stream", str(events / "m"), "--skip-bad"]) == 0
    printed = capsys.readouterr()
    answers = [json.loads(line) for line in printed.out.splitlines()]
    assert [(own["row"], own["case"]) for own in answers] == [(1, "1"), (2, "2"), (4, "1")]
    assert "row 3 of stdin skipped: it has 1 cell;" in printed.err
    monkeypatch.setattr("sys.stdin", io.StringIO((events / "running.csv").read_text()))
    assert main(["predict", str(events / "m"), "--json"]) == 0
    assert [json.loads(line)["next"] for line in capsys.readouterr().out.splitlines()] == ["check", "close"]
    assert main(["evaluate", str(events / "m"), str(events / "log.csv")]) == 0
    assert "180 prefixes" in capsys.readouterr().out
    assert main(["report", str(events / "m")]) == 0


def test_mistakes_get_one_sentence(tagger, events, tmp_path, capsys, monkeypatch) -> None:
    text, log, out = str(tagger / "train.txt"), str(events / "log.csv"), ["--out", str(tmp_path / "x")]
    monkeypatch.setattr("sys.stdin", io.StringIO('{"text": "a"}\n'))
    (tmp_path / "bad.csv").write_text("id,what,when\n1,open,soon\n")
    capsys.readouterr()
    for arguments, code, said in [
        (["fit", "tagging", str(tmp_path / "no.txt"), *out], 3, "does not exist"),
        (["fit", "tagging", text, "--cell", "elman", *out], 2, 'cell "elman"'),
        (["fit", "tagging", text, "--tag", "upos", *out], 2, "does not end in .conllu"),
        (["fit", "tagging", text, "--vectors", str(tmp_path / "no.vec"), *out], 3, "does not exist"),
        (["fit", "events", log, *out], 3, 'no column "case"'),
        (["fit", "events", str(tmp_path / "bad.csv"), *COLUMNS, *out], 3, '"soon" in column "when" is not a time'),
        (["fit", "events", log, *COLUMNS, "--first-prefix", "0", *out], 2, "first_prefix is 0"),
        (["predict", str(events / "m"), text], 3, 'no column "id"'),
        (["stream", str(tagger / "m")], 3, "row 1 of stdin: it is no sentence"),
        (["evaluate", str(events / "m"), log, "--stride", "2"], 2, "--stride is for a forecaster"),
    ]:
        assert main(arguments) == code, arguments
        lines = capsys.readouterr().err.splitlines()
        error = [line for line in lines if not line.startswith("ostinato: note: ")]  # of how a file was read
        assert len(error) == 1
        assert error[0].startswith("ostinato: error: ")
        assert said in error[0]
    assert not (tmp_path / "x").exists()
