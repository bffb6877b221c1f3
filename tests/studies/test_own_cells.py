"""Cells of a user's own, beside those of the catalogue, in comparisons and searches."""

import math

import pytest
from own_cells import plain_rnn, wide_gru

import ostinato
from ostinato import Forecaster
from ostinato.errors import UsageError

WAVE = {"y": [math.sin(i / 6) for i in range(200)]}


def model(**options):
    return Forecaster(4, context=16, segment=4, hidden_size=4, epochs=1, progress=False, **options)


@pytest.mark.slow
def test_a_cell_of_ones_own_is_compared_with_one_of_the_catalogue(tmp_path) -> None:
    found = ostinato.compare(model(), WAVE, ["gru", wide_gru, plain_rnn], parameters=600, directory=tmp_path)
    runs = {run.cell: run for run in found.runs}
    assert set(runs) == {"gru", "wide_gru", "plain_rnn"}
    assert not found.failures
    # the same cell by another name: the same width and the same numbers, in a process of its own
    assert runs["wide_gru"].scores == runs["gru"].scores
    assert runs["wide_gru"].hidden_size == runs["gru"].hidden_size
    again = ostinato.load(tmp_path / "runs" / "wide_gru-0", cell=wide_gru)
    assert again.scores_["MAE"] == runs["wide_gru"].scores["model"]["MAE"]


def test_a_cell_that_no_other_process_finds_is_fitted_in_this_one(tmp_path) -> None:
    def local(input_size, hidden_size):
        return wide_gru(input_size, hidden_size)

    found = ostinato.compare(model(), WAVE, [local], parameters=600, directory=tmp_path)
    assert [run.error for run in found.runs] == [""]
    assert found.runs[0].parameters == pytest.approx(600, rel=0.05)


def test_cells_are_named_once() -> None:
    with pytest.raises(UsageError, match="name each once"):
        ostinato.compare(model(), WAVE, [wide_gru, wide_gru])


def test_a_search_chooses_among_cells_of_ones_own(tmp_path) -> None:
    pytest.importorskip("optuna")
    space = {"cell": [wide_gru, "rnn"]}
    found = ostinato.tune(model(), WAVE, space, trials=3, directory=tmp_path)
    assert {trial.parameters["cell"] for trial in found.trials} <= {"wide_gru", "rnn"}
    chosen = found.best.parameters["cell"]
    assert found.model.cell is wide_gru if chosen == "wide_gru" else found.model.cell == "rnn"
    # the same call finds what is there, and fits nothing again
    again = ostinato.tune(model(), WAVE, space, trials=3, directory=tmp_path)
    assert again.best == found.best
    assert again.model.scores_.values == found.model.scores_.values


def test_workers_refuse_a_cell_that_they_cannot_import(tmp_path) -> None:
    pytest.importorskip("optuna")

    def local(input_size, hidden_size):
        return wide_gru(input_size, hidden_size)

    with pytest.raises(UsageError, match="write it in a module, or use workers=1"):
        ostinato.tune(model(), WAVE, {"cell": [local, "gru"]}, trials=2, workers=2, directory=tmp_path)
