"""The report: all of its parts there, nothing fetched from outside, hostile names escaped."""

from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from ostinato import files
from ostinato.errors import OutputError, UsageError
from ostinato.report import forecast_plot, training_plot, write_report
from ostinato.report.page import render
from ostinato.report.words import judge_gradients, judge_training, number
from ostinato.tasks.record import ColumnSummary, DataSummary, Diagnostics, Evaluation, FitRecord, ForecastExample

NAN = float("nan")


def make_record(epochs=5, horizon=12, examples=3, name="load") -> FitRecord:
    rng = np.random.default_rng(0)
    losses = np.linspace(1, 0.3, epochs)
    history = tuple(
        {
            "epoch": i + 1,
            "loss": v,
            "validation_loss": v + 0.1,
            "learning_rate": 1e-3,
            "gradient_norm": 1.0,
            "seconds": i,
        }
        for i, v in enumerate(losses)
    )
    scores = {
        "model": {"MAE": 1.234, "MASE": 0.81, "coverage 80 %": 79.3},
        "naive": {"MAE": 2.5, "MASE": 1.4, "coverage 80 %": 80.1},
        "seasonal naive": {"MAE": NAN, "MASE": NAN, "coverage 80 %": NAN},
    }
    steps = {key: tuple(np.linspace(0.5, 2, horizon)) for key in scores}
    example = ForecastExample(
        series_id=name,
        target=name,
        history_times=tuple(f"2020-01-{i + 1:02d}" for i in range(24)),
        history=rng.normal(size=24),
        times=tuple(f"2020-02-{i + 1:02d}" for i in range(horizon)),
        truth=np.where(np.arange(horizon) == 2, NAN, rng.normal(size=horizon)),
        point=np.zeros(horizon),
        levels=(0.1, 0.5, 0.9),
        quantiles=np.stack([np.full(horizon, v) for v in (-1.0, 0.0, 1.0)], -1),
        baselines={"seasonal naive": np.ones(horizon)},
    )
    column = ColumnSummary(name, "target", 990, 10, 3.25, 1.5, -1.0, 9.0)
    return FitRecord(
        title=f"Forecast of {name}",
        settings={"cell": "gru", "file": name},
        parameters=12345,
        seconds=12.3,
        data=DataSummary(
            f"{name}.csv", "ab" * 32, 1, 1000, "2020-01-01", "2020-02-11", "1 hour", 24, 3, "train 800 rows", (column,)
        ),
        history=history,
        best_epoch=epochs,
        stopped="all epochs done",
        evaluation=Evaluation("rolling origin", "test", 77, scores, steps, "The model beats every baseline."),
        examples=(example,) * examples,
        diagnostics=Diagnostics(np.geomspace(1, 1e-5, 20), rng.normal(size=(20, 16)), "1 hour"),
        versions={"torch": "2.13.0"},
    )


class Page(HTMLParser):
    """What a browser would fetch, and what a reader would read."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links, self.words, self.tags = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for key, value in attributes if key in ("src", "href", "xlink:href", "data", "srcset")]

    def handle_data(self, data):
        self.words.append(data)


def test_everything_is_in_one_file_that_fetches_nothing(tmp_path) -> None:
    path = write_report(make_record(), tmp_path / "report.html")
    text = path.read_text()
    page = Page(text)
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in page.links)
    assert "url(http" not in text
    assert "@import" not in text
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    words = " ".join(page.words)
    for part in (
        "The model beats every baseline.",
        "1.234",
        "n/a",
        "seasonal naive",
        "990",
        "2.13.0",
        "12,345",
        "vanishes",
    ):
        assert part in words
    assert page.tags.count("svg") == 3 + 4
    assert len(text) < 1_000_000


def test_the_best_of_each_column_is_marked() -> None:
    rows = render(make_record()).split('<tr class="model">')[1].split("</tr>")
    assert '<td class="best">1.234</td>' in rows[0]
    assert '<td class="best">80.1</td>' in rows[1]


def test_names_from_files_cannot_become_html() -> None:
    hostile = '"><script>alert(1)</script>&amp;</svg>'
    page = Page(render(make_record(name=hostile)))
    assert "script" not in page.tags
    assert page.tags.count("svg") == 7
    assert any("<script>alert(1)</script>" in word for word in page.words)


@pytest.mark.parametrize(
    "change",
    [
        {"evaluation": None},
        {"diagnostics": None},
        {"examples": ()},
        {"history": ()},
        {"diagnostics": Diagnostics(np.zeros(0), np.zeros((0, 0)), "1 row")},
        {"diagnostics": Diagnostics(np.zeros(5), np.zeros((5, 3)), "1 row")},
    ],
)
def test_a_report_without_a_part_is_still_a_report(change) -> None:
    page = Page(render(replace(make_record(), **change)))
    assert "Training" in page.words


def test_long_and_short_runs_are_drawn() -> None:
    for record in (make_record(epochs=10_000, horizon=720, examples=40), make_record(epochs=1, horizon=1)):
        text = render(record)
        assert Page(text).tags.count("figure") >= 6
        assert len(text) < 4_000_000
    point = replace(make_record().examples[0], levels=(), quantiles=np.zeros((12, 0)), history=np.full(24, NAN))
    assert "svg" in Page(render(replace(make_record(), examples=(point,)))).tags


def test_plots_are_png_files(tmp_path) -> None:
    for write in (forecast_plot, training_plot):
        assert write(make_record(), tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UsageError, match="no example forecast"):
        forecast_plot(make_record(examples=0), tmp_path / "none.png")


def test_a_full_disk_leaves_the_old_report(tmp_path, monkeypatch) -> None:
    path = write_report(make_record(), tmp_path / "report.html")
    before = path.read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OutputError, match="no space left"):
        write_report(make_record(name="other"), path)
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [before]


@pytest.mark.parametrize(
    ("norms", "word"),
    [
        (np.geomspace(1, 1e-4, 9), "vanishes"),
        (np.geomspace(1, 1e4, 9), "explodes"),
        (np.geomspace(1, 0.1, 9), "reaches all"),
        ([1.0], "too few"),
    ],
)
def test_gradients_are_judged(norms, word) -> None:
    assert word in judge_gradients(Diagnostics(np.array(norms), np.zeros((9, 2)), "1 row"))


def test_overfitting_is_named() -> None:
    record = make_record()
    rows = [
        {**row, "loss": 1 - 0.1 * i, "validation_loss": v}
        for i, (row, v) in enumerate(zip(record.history, [3, 2, 2.5, 3, 4], strict=True))
    ]
    assert "overfitting; the weights of that epoch" in judge_training(
        replace(record, history=tuple(rows), best_epoch=2)
    )
    assert "no overfitting" in judge_training(record)


def test_numbers_have_sensible_digits() -> None:
    assert [number(v) for v in (1234.5678, 0.0001234, 1234567.8, 0.0, NAN, 12345.6)] == [
        "1,235",
        "0.000123",
        "1.23e+06",
        "0",
        "n/a",
        "12,346",
    ]


def test_a_baseline_that_lacks_a_measure_leaves_the_best_of_it_to_the_others() -> None:
    from ostinato.tasks.base.summary import best_of

    scores = {"model": {"accuracy": 0.7, "days": 3.0}, "mean": {"days": 2.0}, "none": {"days": NAN}}
    better = {"accuracy": "higher", "days": "lower"}
    assert (best_of(scores, "accuracy", better), best_of(scores, "days", better)) == ("model", "mean")
