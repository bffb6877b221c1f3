"""Raw logs: lines to templates and sequences, and what is strange in them, live and in files."""

import gzip
import io
import json
import warnings
from dataclasses import replace

import numpy as np
import pytest

import ostinato
from ostinato import AnomalyDetector
from ostinato.cli.main import main
from ostinato.data.logs import LogReading, masked, read_raw_log
from ostinato.errors import ColumnError, DataError, DataWarning, StreamRowError, UsageError
from ostinato.tasks.anomaly.key_scoring import KeyEncoder, say_if_unheard
from ostinato.tasks.base.tail import Tail

pytest.importorskip("drain3", reason="drain3 is not installed (the extra anomaly)")
FEW = {"hidden_size": 12, "epochs": 4, "learning_rate": 1e-2, "progress": False, "false_alarm_rate": 0.05, "seed": 0}


def lines(rounds=60, seed=0):
    rng, found, second = np.random.default_rng(seed), [], 0
    for _ in range(rounds):
        job = int(rng.integers(1000, 9999))
        said = [f"INFO queue: job job_{job} taken by 10.0.0.{rng.integers(1, 9)}:8080"]
        said += [f"INFO worker: job_{job} wrote {rng.integers(1, 999)} rows"] * int(rng.integers(1, 4))
        said += [f"INFO queue: job job_{job} done in {rng.random():.2f}s"]
        for own in said:
            second += 1
            found.append(f"2024-05-01 10:{second // 60 % 60:02d}:{second % 60:02d},120 {own}")
    return found


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("logs") / "app.log"
    path.write_text("\n".join(lines()) + "\n\n")
    return path


@pytest.fixture(scope="module")
def model(file):
    return AnomalyDetector(log_run=10, **FEW).fit(file)


@pytest.fixture(scope="module")
def by_job(file):
    return AnomalyDetector(id=r"job_\d+", **FEW).fit(str(file))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("took 3.5s, 10ms, -2 or 1.5e-05 of 1,234 (5GB, 20°C)", "took <*>s, <*>ms, <*> or <*> of <*> (<*>GB, <*>°C)"),
        ("in 1h20m3.5s to 2m10s", "in <*> to <*>"),
        ("host-4 and host42 of rack-12_3", "host-<*> and host<*> of rack-<*>"),
        ("E1042 of v1.2.3 at s3 by log4j, 3fa2", "E1042 of v<*> at s3 by log4j, 3fa2"),
        ("x=-4.25 at 1-2, 3.", "x=<*> at <*>, <*>."),
        ("card aa:bb:cc:11:22:33", "card <*>"),
    ],
)
def test_numbers_are_masked_whole_with_units_signs_and_names_left(line: str, expected: str) -> None:
    assert " ".join(masked(line)) == expected


def test_what_changes_each_time_is_masked_and_the_rest_is_a_template(file) -> None:
    assert masked("Nov 12 09:01:02 host sshd[311]: from 10.1.2.3 port 22") == masked(
        "Dec  3 19:11:42 host sshd[9]: from 192.168.0.1 port 60022"
    )
    assert " ".join(masked("read blk_-1608999687919862906 of /data/7")) == "read blk_<*> of /data/<*>"
    log = read_raw_log(file, pattern=None, run=10)
    assert len(log.reading.templates) == 3
    assert [len(own) for own in log.activities[:-1]] == [10] * (len(log) - 1)
    assert log.cases[:2] == ("line 1", "line 11")


def test_lines_are_put_in_sequences_by_what_names_them(file) -> None:
    log = read_raw_log(file, pattern=r"job_(\d+)", run=10)
    assert all(3 <= len(own) <= 5 for own in log.activities)
    assert all(own.isdigit() for own in log.cases)
    assert log.take(np.array([1])).joined(log.take(np.array([0]))).reading == log.reading


def test_a_strange_line_is_an_alarm_with_its_words(model, by_job) -> None:
    assert model.summary_.settings["method"] == by_job.summary_.settings["method"] == "logs"
    strange = lines(6, seed=1)
    strange[7] = "2024-05-01 10:00:09,120 ERROR worker: disk full on host 7"
    rows = list(model.answers(strange))
    assert rows[7]["alarm"]
    assert "ERROR worker: disk full" in rows[7]["reason"]
    assert len(rows) == len(strange)
    assert not any(row["event"].startswith("(end") for row in rows)  # that a run of lines ends says nothing
    job = "2024-05-01 11:00:00,000 INFO queue: job job_1 taken by 10.0.0.1:8080"
    assert any(row["alarm"] for row in by_job.answers([job]) if row["event"] == "(end of sequence)")


@pytest.mark.parametrize("name", ["model", "by_job"])
def test_a_stream_of_lines_says_what_a_file_says(name, request, tmp_path) -> None:
    own = request.getfixturevalue(name)
    again = ostinato.load(own.save(tmp_path / "m"))
    new = lines(8, seed=2)
    whole = [row for row in again.answers(new) if not row["event"].startswith("(end")]
    stream, said = again.stream(), []
    for place, line in enumerate(new):
        if place == 13:
            kept = stream.state()
            stream = again.stream()
            stream.restore(kept)
        said.append(stream.push(line))
    assert sorted(map(json.dumps, said)) == sorted(map(json.dumps, whole))
    before = stream.state()
    for bad in ("", 7, {"id": "a"}):
        with pytest.raises(StreamRowError, match="expected a line"):
            stream.push(bad)
    assert stream.state() == before


def test_the_command_line_takes_a_log_as_it_is(file, tmp_path, capsys, monkeypatch) -> None:
    options = ["--hidden-size", "8", "--epochs", "2", "--log-run", "10", "--no-progress"]
    assert main(["fit", "anomaly", str(file), "--out", str(tmp_path / "m"), *options]) == 0
    capsys.readouterr()
    packed = tmp_path / "new.log.gz"
    packed.write_bytes(gzip.compress("\n".join(lines(4, seed=3)).encode()))
    assert main(["predict", str(tmp_path / "m"), str(packed)]) == 0
    assert capsys.readouterr().out.count("\n") >= 12
    monkeypatch.setattr("sys.stdin", io.StringIO("{odd line}\n" + "\n".join(lines(1, seed=4))))
    assert main(["stream", str(tmp_path / "m")]) == 0
    first, *_ = capsys.readouterr().out.splitlines()
    assert json.loads(first)["event"] == "{odd line}"


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (b"", {}, "no lines"),
        (b"\n \n", {}, "no lines"),
        (b"\x00\x01\x02", {}, "is no text"),
        (None, {}, "cannot be read"),
        (b"one line", {"id": "("}, "no regular expression"),
        (b"one line\ntwo", {"id": "job"}, "no line of x.log has"),
        (b"one line", {"labels": "bad", "method": "logs"}, "has no columns"),
    ],
)
def test_bad_logs_are_refused_in_one_sentence(content, options, message, tmp_path) -> None:
    path = tmp_path / "x.log"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises((DataError, UsageError), match=message) as caught:
        AnomalyDetector(**options, **FEW).fit(path)
    assert "\n" not in str(caught.value)


def test_lines_that_name_no_sequence_are_left_out_and_said(by_job) -> None:
    with pytest.warns(ostinato.errors.DataWarning, match="1 of 4 lines"):
        rows = list(by_job.answers([*lines(1, seed=5)[:3], "a line of nobody"]))
    assert len({row["id"] for row in rows}) == 1
    with pytest.raises(StreamRowError, match="names its sequence"):
        by_job.stream().push("a line of nobody")


def test_templates_come_back_as_they_were() -> None:
    reading = LogReading(templates=("a <*> c", "a b c"), run=5)
    assert reading.template_of("a b c") == "a b c"
    assert reading.template_of("a 7 c") == "a <*> c"
    assert reading.template_of("never seen") == "never seen"
    assert reading.case_of("x", 7) == "line 6"


@pytest.mark.parametrize("scale", [0.5, 2.0, 6.0])
def test_that_a_line_which_never_came_is_no_alarm_by_itself_is_said_with_the_rate_at_which_it_is(scale) -> None:
    tail = Tail(2.0, 0.3, scale, 0.0)
    encoder = KeyEncoder(LogReading(), ("a",), 1950, None, tail, 0.0, "")
    unheard = replace(encoder, threshold=tail.threshold(1e-6))
    with pytest.warns(DataWarning, match=r"of 1,950 events .* accept (\S+) \(--false-alarm-rate \1\)") as said:
        say_if_unheard(unheard, 1e-6)
    rate = float(str(said[0].message).split("accept ")[1].split()[0])
    assert tail.threshold(rate) <= encoder.loudest
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        say_if_unheard(replace(encoder, threshold=tail.threshold(rate)), rate)


def test_a_fit_asks_whether_a_line_that_never_came_is_heard_where_a_rate_decides(file, monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(
        "ostinato.tasks.anomaly.key_task.say_if_unheard", lambda encoder, rate: asked.append((encoder.events > 0, rate))
    )
    AnomalyDetector(log_run=10, **FEW | {"epochs": 1}).fit(file)
    assert set(asked) == {(True, 0.05)}
    asked.clear()
    AnomalyDetector(log_run=10, top=3, method="logs", **FEW | {"epochs": 1}).fit(file)
    assert not asked


def test_what_is_of_series_is_refused_for_a_log_and_a_log_in_a_text_file_is_told_how_it_is_read(file, tmp_path) -> None:
    with pytest.raises(UsageError, match="target is for series"):
        AnomalyDetector(target="load", **FEW).fit(file)
    (tmp_path / "app.txt").write_text(file.read_text())
    with pytest.warns(DataWarning), pytest.raises(ColumnError, match="--method logs"):
        AnomalyDetector(**FEW).fit(tmp_path / "app.txt")


def test_a_model_of_logs_is_diagnosed(model, file) -> None:
    found = ostinato.diagnose(model, file, max_seconds=5)
    assert " lines" in found.text()
