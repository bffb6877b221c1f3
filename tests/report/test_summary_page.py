"""The report of a summary."""

from ostinato.report.summary_page import render_summary
from ostinato.tasks.summary import Summary


def test_a_measure_that_a_baseline_lacks_is_left_open() -> None:
    scores = {"model": {"accuracy": 0.9, "loss": 0.4}, "neighbours": {"accuracy": 0.95}, "other": {"loss": 0.3}}
    summary = Summary(
        "t", "text classifier", {}, 1, 1.0, (), (), 0, "", "test", scores, {"accuracy": "higher", "loss": "lower"}, "v"
    )
    page = render_summary(summary)
    assert "neighbours" in page
    assert page.count("n/a") == 2
