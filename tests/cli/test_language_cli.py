"""A language model on the command line."""

import contextlib
import io
import json

import pytest

from ostinato.cli import main

TEXT = "the cat sat on the mat. the dog sat on the log.\n" * 80


@pytest.fixture(scope="module")
def fit(tmp_path_factory):
    """A fitted model's folder, and what the fit printed."""
    here, printed = tmp_path_factory.mktemp("language"), io.StringIO()
    (here / "text.txt").write_text(TEXT)
    small = ["--hidden-size", "16", "--epochs", "2", "--steps", "16", "--batch-size", "8", "--no-progress"]
    with contextlib.redirect_stdout(printed):
        assert main(["fit", "language", str(here / "text.txt"), "--out", str(here / "m"), *small]) == 0
    return here / "m", printed.getvalue()


@pytest.fixture
def folder(fit):
    """The model that all tests read and none changes."""
    folder, _ = fit
    before = sorted(folder.iterdir()), (folder / "model.json").read_bytes()
    yield folder
    assert (sorted(folder.iterdir()), (folder / "model.json").read_bytes()) == before


def test_a_fit_prints_the_baselines(fit) -> None:
    assert "unigram" in fit[1]


def test_a_model_is_fitted_writes_and_is_evaluated(folder, capsys) -> None:
    assert {path.name for path in folder.iterdir()} >= {"model.json", "history.csv", "report.html"}
    assert main(["generate", str(folder), "--prompt", "the ", "--length", "20"]) == 0
    written = capsys.readouterr().out
    assert written.startswith("the ")
    assert len(written) == len("the ") + 20 + 1
    assert main(["evaluate", str(folder), str(folder.parent / "text.txt"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["count"] == len(TEXT) - 1


@pytest.mark.slow
@pytest.mark.ci
def test_the_report_is_written_again_from_the_model_alone(folder, tmp_path, capsys) -> None:
    assert main(["report", str(folder), "--out", str(tmp_path / "again.html")]) == 0
    assert "again.html" in capsys.readouterr().out
    page = (tmp_path / "again.html").read_text()
    assert page == (folder / "report.html").read_text()
    assert "Language model of text.txt" in page
    assert "gram, Kneser-Ney" in page


def test_mistakes_get_one_sentence(folder, tmp_path, capsys) -> None:
    text = str(folder.parent / "text.txt")
    for arguments, code, said in [
        (["generate", str(tmp_path / "none")], 5, "does not exist"),
        (["generate", str(folder), "--top-k", "0"], 2, "top_k is 0"),
        (["generate", str(folder), "--length", "-1"], 2, "--length is -1"),
        (["evaluate", str(folder), text, "--stride", "2"], 2, "--stride is for a forecaster"),
        (["evaluate", str(folder), text, "--dynamic", "-1"], 2, "learning_rate is -1"),
        (["evaluate", str(folder), text, "--cache", "-3"], 2, "window is -3"),
        (["predict", str(folder), "--future", text], 2, "--future is for a forecaster"),
        (["predict", str(folder), str(tmp_path / "no.txt")], 3, "does not exist"),
        (["fit", "language", str(tmp_path / "no.txt"), "--out", str(tmp_path / "x")], 3, "does not exist"),
        (["fit", "language", text, "--out", str(tmp_path / "x"), "--cell", "elman"], 2, 'cell "elman"'),
    ]:
        assert main(arguments) == code
        error = capsys.readouterr().err
        assert error.startswith("ostinato: error: ")
        assert said in error
        assert error.count("\n") == 1
    assert not (tmp_path / "x").exists()


def test_lines_are_answered_by_how_well_they_were_predicted(folder, tmp_path, capsys, monkeypatch) -> None:
    (tmp_path / "lines.txt").write_text("the cat sat on the mat.\n\n[zebra]\n")
    assert main(["predict", str(folder), str(tmp_path / "lines.txt")]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[2] for line in lines] == ["24", "1", "8"]
    monkeypatch.setattr("sys.stdin", io.StringIO("the cat sat on the mat.\n[zebra\n" + '{"text": "the dog"}\n'))
    assert main(["stream", str(folder)]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["tokens"] for row in rows] == [24, 7, 8]
    assert float(lines[0][0]) == pytest.approx(rows[0]["perplexity"], rel=1e-3)
    assert [token for token, _ in rows[2]["surprisal"]] == [*"the dog", "\n"]
    assert rows[0]["perplexity"] < rows[1]["perplexity"]


def test_what_is_written_ends_at_a_stop_word_and_depends_on_the_seed(folder, capsys) -> None:
    def written(*options):
        assert main(["generate", str(folder), "--prompt", "the ", "--length", "40", *options]) == 0
        return capsys.readouterr().out

    first = written("--seed", "1")
    assert first == written("--seed", "1") != written("--seed", "2")
    middle = first[24:26]
    assert written("--seed", "1", "--stop", middle) == first[: first.index(middle, 4)] + "\n"
    assert len(written("--cache")) == len(first)


def test_evaluation_may_adapt_to_the_text(folder, capsys) -> None:
    text = str(folder.parent / "text.txt")
    assert main(["evaluate", str(folder), text, "--dynamic", "1e-3", "--cache", "50"]) == 0
    found = capsys.readouterr().out
    assert "with dynamic evaluation and a cache" in found
    assert "model as trained" in found


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        (b"", [], "to train on"),
        (b"one line only", ["--level", "word"], None),
        (b"tiny", ["--level", "subword"], None),
        (b"x", [], "to train on"),
        (bytes(range(256)) * 4, [], "text.txt"),
        (b"\n\n\n", ["--level", "word"], "to train on"),
    ],
    ids=["empty", "one line", "tiny subwords", "one character", "binary", "blank"],
)
@pytest.mark.slow
@pytest.mark.ci
def test_odd_files_are_fitted_or_refused_in_one_sentence(content, options, said, tmp_path, capsys) -> None:
    (tmp_path / "text.txt").write_bytes(content)
    small = ["--hidden-size", "8", "--epochs", "1", "--no-progress", "--no-report"]
    code = main(["fit", "language", str(tmp_path / "text.txt"), "--out", str(tmp_path / "m"), *small, *options])
    error = capsys.readouterr().err
    if said is None:
        assert code == 0
        assert main(["generate", str(tmp_path / "m"), "--prompt", "☃ zz", "--length", "3"]) == 0
        return
    assert code == 3
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "m").exists()
