"""A measure that only some of the scored have."""

from ostinato.report.page import render
from ostinato.tasks.base.summary import Summary


def test_a_measure_that_a_baseline_lacks_is_shown_as_missing() -> None:
    scores = {"model": {"BLEU": 30.0, "loss": 1.5}, "baseline": {"BLEU": 31.0}}
    summary = Summary(
        title="t", task="translator", settings={}, parameters=1, seconds=1.0, data=(), history=(), best_epoch=1,
        stopped="", protocol="", scores=scores, better={"BLEU": "higher", "loss": "lower"}, verdict="",
    )  # fmt: skip
    page = render(summary)
    assert "30" in page
    assert "1.5" in page
