"""Scores as the terminal has them."""

from __future__ import annotations

import pytest

from ostinato.cli.show import print_scores
from ostinato.report.scores import score_table as table_of_report
from ostinato.tasks.base.judging import Scores
from ostinato.tasks.base.score_text import score_text

SCORES = {
    "model": {"accuracy": 0.9, "calibration error": 0.03, "alarms": 7.0, "coverage 80 %": 79.0},
    "majority": {"accuracy": 0.5, "calibration error": 0.01, "alarms": 0.0, "coverage 80 %": 95.0},
}
BETTER = {"accuracy": "higher"}


@pytest.mark.parametrize("wide", [20, 44, 52])
def test_columns_that_do_not_fit_go_below(wide) -> None:
    blocks = [block.splitlines() for block in score_text(SCORES, BETTER, wide=wide).split("\n\n")]
    assert len(blocks) > 1
    assert all([line.split()[0] for line in rows[1:]] == ["model", "majority"] for rows in blocks)
    assert max(len(line) for rows in blocks for line in rows) <= max(wide, len("majority  calibration error"))
    assert "  ".join(rows[0].strip() for rows in blocks).split() == score_text(SCORES, BETTER).splitlines()[0].split()


def test_what_has_no_better_side_has_no_best() -> None:
    _, model, majority = score_text(SCORES, BETTER).splitlines()
    assert model.split() == ["model", "0.9", "*", "0.03", "7", "79", "*"]
    assert "*" not in majority
    rows = table_of_report(SCORES, BETTER).rows
    assert [[cell.best for cell in cells] for _, cells in rows] == [[True, False, False, True], [False] * 4]


def test_a_terminal_has_narrow_tables_and_a_pipe_whole_ones(monkeypatch, capsys) -> None:
    scores = Scores("the test part", 4, "texts", SCORES, BETTER, "It is told.")
    print_scores(scores)
    whole = capsys.readouterr().out
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    print_scores(scores)
    folded = capsys.readouterr().out
    assert len(whole.splitlines()[0]) > 40 >= max(map(len, folded.splitlines()))
    assert "* best. the test part; 4 texts." in whole
