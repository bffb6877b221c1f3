"""Measures are explained in a line each; that those of all tasks are is among the laws of tasks."""

from __future__ import annotations

from ostinato.report.glossary import explain, glossary
from ostinato.studies.comparing.result import COSTS, VALIDATION


def test_costs_are_explained_and_unknown_measures_left_out() -> None:
    assert all(explain(measure) for measure in (*COSTS, VALIDATION))
    assert explain("coverage 95 %").endswith("promises 95 %")
    assert explain("MAE next, days").endswith("in days")
    assert not explain("my own measure")
    assert glossary(["my own measure", "MAE"]) == [("MAE", explain("MAE"))]
