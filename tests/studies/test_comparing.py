"""Cells compared: sizes that match, runs that are kept, failures that stay their own."""

import gzip
import json
import math
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ostinato
from ostinato import Forecaster, LanguageModel
from ostinato.cells import PLAIN
from ostinato.errors import DataError, UsageError
from ostinato.report.comparison import write_comparison
from ostinato.studies.comparing import CellRun, Comparison
from ostinato.studies.comparing import comparing as course
from ostinato.studies.comparing.measuring import _latency
from ostinato.studies.comparing.result import run_from
from ostinato.studies.comparing.showing import markdown, summary_of, verdict
from ostinato.studies.comparing.sizes import TOLERANCE, count_weights, match_size

TEXT = ["the cat sat on the mat. the dog sat on the log.\n" * 20]
WAVE = {"y": [math.sin(i / 6) + 0.01 * i for i in range(260)]}
SMALL = {"context": 16, "hidden_size": 8, "epochs": 2, "segment": 4}


# --- sizes ---


def test_weights_are_counted_without_training() -> None:
    model = LanguageModel(hidden_size=24, epochs=2, progress=False, steps=8, batch_size=2)
    counted = count_weights(model, {"data": TEXT})
    fitted = model.fit(TEXT)
    assert counted == sum(p.numel() for p in fitted.fitted_.model.network.parameters())
    assert not hasattr(model.unfitted(), "fitted_")


@given(
    a=st.floats(0, 12), b=st.floats(0, 500), c=st.integers(0, 3000), wanted=st.integers(500, 500_000),
    start=st.integers(1, 512), even=st.booleans(),
)  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_a_size_is_near_enough_or_the_nearest_there_is(a, b, c, wanted, start, even) -> None:
    def count(width):
        if even and width % 2:
            raise UsageError("heads need an even width")
        return int((a + 0.01) * width * width + b * width + c) + 1

    found = match_size(count, wanted, start)
    assert count(found.hidden_size) == found.parameters
    gap = abs(found.parameters / wanted - 1)
    if gap > TOLERANCE:
        nearest = min(abs(count(w) / wanted - 1) for w in range(2, 3000, 2 if even else 1))
        assert gap <= nearest + 1e-9 or found.hidden_size > 3000


@pytest.mark.parametrize("cell", ["lstm", "gru", "mingru", "lru", "mlstm", "transformer"])
def test_every_kind_of_cell_can_have_as_many_weights(cell) -> None:
    model = LanguageModel(steps=8, batch_size=2)

    def count(width):
        return count_weights(model.unfitted(cell=cell, hidden_size=width), {"data": TEXT})

    # heads need even widths, which are up to 6 % of so few weights apart
    assert match_size(count, 20_000, 64).parameters == pytest.approx(20_000, rel=0.06)
    assert match_size(count, 500_000, 64).parameters == pytest.approx(500_000, rel=TOLERANCE)
    assert cell == "transformer" or cell in PLAIN


# --- runs ---


class Deadly(Forecaster):
    """A forecaster whose process is killed where it has one cell, and that fails where it has another."""

    def fit(self, data, *, directory=None, resume=False):
        if directory is not None and self.cell == "rnn":
            os.kill(os.getpid(), signal.SIGKILL)
        if directory is not None and self.cell == "mgu":
            raise ZeroDivisionError("no gate is open")
        with pytest.MonkeyPatch.context() as patch:  # in another process than that of the tests' own fixtures
            patch.setattr("ostinato.tasks.forecast.classical._library", None)
            return super().fit(data, directory=directory, resume=resume)


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare") / "cells"
    heard = []
    found = ostinato.compare(
        Deadly(4, **SMALL), WAVE, ["gru", "rnn", "mgu"], parameters=900, directory=folder, on_run=heard.append
    )
    return folder, found, heard


def test_a_cell_that_fails_is_told_of_and_stops_no_other(compared) -> None:
    _, found, heard = compared
    assert [run.cell for run in heard] == ["gru", "rnn", "mgu"]
    assert [run.cell for run in found.done] == ["gru"]
    assert "signal 9" in found.failures["rnn"]
    assert found.failures["mgu"] == "ZeroDivisionError: no gate is open"
    assert "rnn failed: its process ended (signal 9" in str(found)


def test_a_run_is_measured(compared) -> None:
    folder, found, _ = compared
    run = found.done[0]
    assert run.parameters == pytest.approx(900, rel=0.04)
    assert run.epochs == len(run.curve) == 2
    assert 0 < run.latency < 1
    assert 0 < run.seconds < 60
    assert run.memory >= 0
    assert run.latency_of == "one forecast"
    own = Deadly.load(folder / "runs" / "gru-0")
    assert sum(p.numel() for p in own.fitted_.model.network.parameters()) == run.parameters
    assert own.scores_["MAE"] == run.scores["model"]["MAE"]
    assert not (folder / "runs" / "gru-0" / "checkpoint").exists()


def test_what_is_finished_is_not_done_again_and_what_failed_is(compared, monkeypatch) -> None:
    folder, found, _ = compared
    tried = []

    def instead(job):
        tried.append((job.cell, job.seed))
        return CellRun(job.cell, job.seed, job.hidden_size, error="not now")

    monkeypatch.setattr(course, "_in_process", instead)
    again = ostinato.compare(Deadly(4, **SMALL), WAVE, ["gru", "rnn"], parameters=900, seeds=2, directory=folder)
    assert tried == [("rnn", 0), ("gru", 1), ("rnn", 1)]
    assert again.done == found.done


def test_the_folder_of_another_study_is_refused(compared, tmp_path) -> None:
    folder, _, _ = compared
    with pytest.raises(UsageError, match="holds another study: its epochs is 2, here it is 3"):
        ostinato.compare(Deadly(4, **{**SMALL, "epochs": 3}), WAVE, ["gru"], parameters=900, directory=folder)
    with pytest.raises(UsageError, match="another study: its fingerprint of data"):
        ostinato.compare(Deadly(4, **SMALL), {"y": WAVE["y"][1:]}, ["gru"], parameters=900, directory=folder)
    (tmp_path / "mine.txt").write_text("something")
    with pytest.raises(UsageError, match="is not empty and holds no study"):
        ostinato.compare(Forecaster(4, **SMALL), WAVE, ["gru"], directory=tmp_path)


@pytest.mark.parametrize(
    ("cells", "options", "said"),
    [
        (["grru"], {}, 'cell "grru" is not known; did you mean "gru"'),
        ([], {}, "no cells to compare"),
        (["gru", "gru"], {}, "name each once"),
        (["gru"], {"seeds": 0}, "seeds is 0"),
        (["gru"], {"parameters": -5}, "parameters is -5"),
    ],
)
def test_what_cannot_be_compared_is_refused(cells, options, said, tmp_path) -> None:
    with pytest.raises(UsageError, match=said):
        ostinato.compare(Forecaster(4, **SMALL), WAVE, cells, directory=tmp_path / "new", **options)
    assert not (tmp_path / "new").exists()


def test_wrong_data_is_said_once_and_leaves_no_folder(tmp_path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        ostinato.compare(Forecaster(4), tmp_path / "nothing.csv", ["gru", "lstm"], directory=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_cell_that_cannot_be_built_is_a_failure_of_its_own(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(course, "_in_process", lambda job: CellRun(job.cell, job.seed, job.hidden_size, 1))
    model = LanguageModel(weight_drop=0.2, hidden_size=16)
    found = ostinato.compare(model, TEXT, ["gru", "transformer"], directory=tmp_path / "new")
    assert "a transformer has none" in found.failures["transformer"]


class Answering:
    """A model that answers lines, and refuses a file without its data."""

    def one_answer(self):
        return None

    def answers(self, source):
        lines = [line for line in Path(source).read_text().splitlines() if line[0] not in "#@"]
        if not lines:
            raise DataError("no data")
        return [{"label": line} for line in lines]


def test_the_latency_of_a_task_that_does_not_say_is_that_of_its_first_lines(tmp_path) -> None:
    (tmp_path / "a.ts").write_text("#by hand\n" + "@head\n" * 5 + "@data\n1,2:a\n3,4:b\n5,6:c\n")
    with gzip.open(tmp_path / "b.txt.gz", "wt") as file:
        file.write("ein Hund\nzwei\ndrei\n")
    (tmp_path / "c.txt").write_text("#nothing\n#more\n@")
    (tmp_path / "d.npy").write_bytes(b"\0\1\2")
    for data, what in (
        (tmp_path / "a.ts", "2 items read from a file"),
        ((tmp_path / "b.txt.gz", tmp_path / "a.ts"), "2 items read from a file"),
        (tmp_path / "c.txt", ""),
        (tmp_path / "d.npy", ""),
        ([1, 2], ""),
    ):
        found, latency = _latency(Answering(), data)
        assert found == what
        assert math.isnan(latency) == (not what)


# --- what is shown ---


def run_of(cell, seed, score, seconds=1.0, **more):
    scores = {"model": {"accuracy": score, "coverage 80 %": 79.0}, "majority | class": {"accuracy": 0.5}}
    values = {
        "parameters": 1000, "scores": scores, "better": {"accuracy": "higher"}, "protocol": "test: all", "epochs": 2,
        "seconds": seconds, "memory": 2.0**20, "latency": 1e-3, "latency_of": "one answer",
        "curve": ((0.5, 0.9), (seconds, 0.8)), **more,
    }  # fmt: skip
    return CellRun(cell, seed, 16, **values)


def comparison_of(*runs, seeds=1):
    return Comparison("Forecaster", "a<b>.csv", 1000, seeds, {"epochs": "2"}, runs)


def test_rows_are_means_over_seeds_with_their_spread() -> None:
    scores = (0.7, 0.8, 0.9)
    found = comparison_of(*[run_of("gru", seed, score) for seed, score in enumerate(scores)], seeds=3)
    row, baseline = found.rows()
    assert row.means["accuracy"] == pytest.approx(np.mean(scores))
    assert row.spreads["accuracy"] == pytest.approx(np.std(scores, ddof=1))
    assert row.means["memory MB"] == 1
    assert (baseline.name, baseline.spreads) == ("majority | class", {})
    assert "0.8 ± 0.1" in str(found)
    assert "majority \\| class" in markdown(found)


def losing(cell, seed, loss, score=0.8, **more):
    """A run with a validation loss."""
    return run_of(cell, seed, score, curve=((0.5, 2 * loss), (1.0, loss)), **more)


def test_a_cell_is_chosen_by_validation_and_never_by_the_test_part() -> None:
    found = comparison_of(losing("gru", 0, 0.5, score=0.7), losing("lstm", 0, 0.6, score=0.9))
    assert found.chosen == "gru"
    assert verdict(found).startswith("gru has the lowest validation loss (0.5); 1 seed cannot tell")
    marked = [line for line in str(found).splitlines() if "0.9" in line]
    assert "0.9 *" not in marked[0]
    without = comparison_of(*[replace(run, curve=()) for run in found.runs])
    assert without.chosen is None
    assert "No cell is chosen: there is no validation loss to choose by" in verdict(without)


def test_the_verdict_does_not_say_more_than_the_seeds_do() -> None:
    two = comparison_of(*[losing(c, s, v) for c, v in (("a", 0.1), ("b", 0.9)) for s in (0, 1)], seeds=2)
    assert "2 seeds cannot tell whether by more than chance (--seeds 5)" in verdict(two)
    noise = (0.05, -0.04, 0.02, -0.03)
    near = [losing(c, s, 0.5 + sign * noise[s] + d) for c, d, sign in (("a", 0.01, 1), ("b", 0, -1)) for s in range(4)]
    assert "b has the lowest validation loss" in verdict(comparison_of(*near, seeds=4))
    assert "but a cannot be told apart from it over 4 seeds" in verdict(comparison_of(*near, seeds=4))
    far = [losing(c, s, v + noise[s] / 9 * (c == "a")) for c, v in (("a", 0.6), ("b", 0.9)) for s in range(4)]
    assert "by more than 4 seeds differ" in verdict(comparison_of(*far, seeds=4))
    assert "No cell was fitted" in verdict(comparison_of(CellRun("gru", 0, 8, error="broke")))


def test_seeds_that_differ_by_chance_alone_choose_no_winner() -> None:
    rng, told = np.random.default_rng(0), 0
    for _ in range(200):
        runs = [losing(cell, seed, float(rng.lognormal())) for cell in "abcde" for seed in range(5)]
        told += "by more than 5 seeds differ" in verdict(comparison_of(*runs, seeds=5))
    assert told / 200 <= 0.05


def test_cells_are_compared_on_the_test_part_unit_by_unit() -> None:
    rng = np.random.default_rng(0)
    right = (rng.random(400) < 0.9).astype(float)

    def judged(values):
        return {"measure": "accuracy", "of": "texts", "values": list(values), "weights": [1.0] * len(values)}

    found = comparison_of(
        losing("a", 0, 0.1, judged=judged(right), verdict="The model beats every baseline."),
        losing("b", 0, 0.2, judged=judged(right * (rng.random(400) < 0.7))),
        losing("c", 0, 0.2, judged=judged(right)),
    )
    assert "better than b (" in verdict(found)
    assert "level with c (no difference" in verdict(found)
    assert "over 400 texts" in verdict(found)
    assert "a beside the baselines, seed 0: The model beats every baseline." in verdict(found)
    few = [replace(run, judged=judged(np.asarray(run.judged["values"])[:20])) for run in found.runs]
    assert "not clearly different from c" in verdict(comparison_of(*few))


def test_a_comparison_is_written_whole(tmp_path) -> None:
    found = comparison_of(run_of("gru", 0, 0.8), CellRun("<b>lstm</b>", 0, 8, error="it & broke"))
    names = [path.name for path in write_comparison(found, tmp_path)]
    assert sorted(names) == ["compare.html", "compare.md", "compare.png"]
    page = (tmp_path / "compare.html").read_text()
    assert "<b>lstm" not in page
    assert "it &amp; broke" in page
    assert (tmp_path / "compare.png").read_bytes().startswith(b"\x89PNG")
    nothing = comparison_of(CellRun("gru", 0, 8, error="broke"))
    assert write_comparison(nothing, tmp_path)
    assert summary_of(nothing).scores == {}


def test_a_run_comes_back_from_json_as_it_was() -> None:
    for run in (run_of("gru", 1, 0.5), CellRun("gru", 0, 3, error="x")):
        plain = json.loads(json.dumps(course_plain(run)))
        again = run_from(plain)
        assert str(again) == str(run)
    with pytest.raises(UsageError, match="not whole"):
        run_from({"cell": "gru"})


def course_plain(run):
    from dataclasses import asdict

    from ostinato.studies.study import _finite

    return _finite(asdict(run))
