"""The report: all of its parts there, nothing fetched from outside, hostile names escaped."""

from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest

from ostinato import files
from ostinato.errors import OutputError, UsageError
from ostinato.report import summary_figure, summary_plot, training_plot, write_report
from ostinato.report.page import render
from ostinato.report.panels import fan_figure
from ostinato.report.words import judge_training
from ostinato.tasks.base.summary import Curve, Fan, Matrix, Summary, Table, summary_from
from ostinato.words import number

NAN = float("nan")


def make_fan(horizon=12, name="load") -> Fan:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=horizon)
    truth[2:3] = NAN
    return Fan(
        title=f"Forecast of {name} from 2020-02-01",
        target=name,
        history_times=tuple(f"2020-01-{i + 1:02d}" for i in range(24)),
        history=tuple(rng.normal(size=24)),
        times=tuple(f"2020-02-{i + 1:02d}" for i in range(horizon)),
        truth=tuple(truth),
        point=(0.0,) * horizon,
        levels=(0.1, 0.5, 0.9),
        quantiles=((-1.0, 0.0, 1.0),) * horizon,
        baselines={"seasonal naive": (1.0,) * horizon},
    )


def make_summary(epochs=5, horizon=12, examples=3, name="load") -> Summary:
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
    units = tuple(f"unit {i}" for i in range(16))
    panels = (
        *(make_fan(horizon, name),) * examples,
        Curve(
            "Gradients", tuple(range(20)), {"norm": tuple(np.geomspace(1, 1e-5, 20))}, "back", "norm", logarithmic=True
        ),
        Matrix("Hidden states", units, tuple(map(str, range(20))), tuple(map(tuple, rng.normal(size=(16, 20))))),
        Table("The data", ("column", "observed"), ((name, 990),)),
    )
    return Summary(
        title=f"Forecast of {name}", task="forecaster", settings={"cell": "gru", "file": name}, parameters=12345,
        seconds=12.3, data=(("source", f"{name}.csv"), ("split", "train 800 rows")), history=history,
        best_epoch=epochs, stopped="all epochs done", protocol="test; 77 forecasts", scores=scores,
        better={"MAE": "lower", "MASE": "lower"}, verdict="The model beats every baseline.", panels=panels,
        versions={"torch": "2.13.0"},
    )  # fmt: skip


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
    path = write_report(make_summary(), tmp_path / "report.html")
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
    ):
        assert part in words
    assert page.tags.count("svg") == 2 * (3 + 3)  # wide, and for a phone
    assert len(text) < 1_000_000


def test_the_best_of_each_column_is_marked() -> None:
    rows = render(make_summary()).split('<tr class="model">')[1].split("</tr>")
    assert '<td class="best">1.234</td>' in rows[0]
    assert '<td class="best">80.1</td>' in rows[1]


def test_names_from_files_cannot_become_html() -> None:
    hostile = '"><script>alert(1)</script>&amp;</svg>'
    page = Page(render(make_summary(name=hostile)))
    assert "script" not in page.tags
    assert page.tags.count("svg") == 12
    assert any("<script>alert(1)</script>" in word for word in page.words)


@pytest.mark.parametrize("change", [{"scores": {}, "better": {}}, {"panels": ()}, {"history": ()}, {"data": ()}])
def test_a_report_without_a_part_is_still_a_report(change) -> None:
    page = Page(render(replace(make_summary(), **change)))
    assert "The model beats every baseline." in page.words


@pytest.mark.slow
@pytest.mark.ci
def test_long_and_short_runs_are_drawn() -> None:
    for record in (make_summary(epochs=10_000, horizon=720, examples=40), make_summary(epochs=1, horizon=1)):
        text = render(record)
        assert Page(text).tags.count("figure") >= 6
        assert len(text) < 4_000_000
    point = replace(make_fan(), levels=(), quantiles=(), history=(NAN,) * 24)
    assert "svg" in Page(render(replace(make_summary(), panels=(point,)))).tags


def test_a_forecast_comes_back_from_a_file() -> None:
    own = make_summary()
    np.testing.assert_equal(summary_from(own.plain()).plain(), own.plain())


def test_plots_are_png_files(tmp_path) -> None:
    for write in (summary_plot, training_plot):
        assert write(make_summary(), tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    nothing = replace(make_summary(), panels=(), scores={}, history=())
    with pytest.raises(UsageError, match="no panel, score or epoch"):
        summary_plot(nothing, tmp_path / "none.png")


def test_a_full_disk_leaves_the_old_report(tmp_path, monkeypatch) -> None:
    path = write_report(make_summary(), tmp_path / "report.html")
    before = path.read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OutputError, match="no space left"):
        write_report(make_summary(name="other"), path)
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [before]


def test_overfitting_is_named() -> None:
    record = make_summary()
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
        "0.0001234",
        "1,234,568",
        "0",
        "n/a",
        "12,346",
    ]


def test_a_baseline_that_lacks_a_measure_leaves_the_best_of_it_to_the_others() -> None:
    from ostinato.tasks.base.summary import best_of

    scores = {"model": {"accuracy": 0.7, "days": 3.0}, "mean": {"days": 2.0}, "none": {"days": NAN}}
    better = {"accuracy": "higher", "days": "lower"}
    assert (best_of(scores, "accuracy", better), best_of(scores, "days", better)) == ("model", "mean")


@pytest.mark.parametrize(
    ("offset", "axis"), [("", ""), ("+00:00", "time in UTC"), ("Z", "time in UTC"), ("+05:30", "time in UTC+05:30")]
)
def test_labels_of_times_do_not_overlap_and_an_offset_is_said_once(offset, axis) -> None:
    times = tuple(f"2020-01-{1 + i // 24:02d} {i % 24:02d}:00{offset}" for i in range(200))
    fan = replace(make_fan(), history_times=times[:188], history=(0.0,) * 188, times=times[188:])
    figure = fan_figure(fan)
    figure.canvas.draw()
    (axes,) = figure.axes
    boxes = [label.get_window_extent() for label in axes.get_xticklabels()]
    assert len(boxes) >= 4
    assert all(one.x1 < two.x0 for one, two in pairwise(boxes))
    assert axes.get_xlabel() == axis
    assert not any(offset and label.get_text().endswith(offset) for label in axes.get_xticklabels())


def test_offsets_that_change_stay_with_their_times() -> None:
    times = ("2020-03-29 00:00+01:00", "2020-03-29 01:00+01:00", "2020-03-29 03:00+02:00")
    figure = fan_figure(replace(make_fan(3), history_times=times[:2], history=(1.0, 2.0), times=times[2:] * 3))
    (axes,) = figure.axes
    assert axes.get_xticklabels()[0].get_text() == times[0]
    assert axes.get_xlabel() == ""


def test_a_plot_shows_the_forecast_of_median_error(monkeypatch) -> None:
    fans = [replace(make_fan(), title=str(shift), point=(float(shift),) * 12) for shift in (9, 1, 40)]
    shown = []
    monkeypatch.setattr("ostinato.report.plots.panel_figure", shown.append)
    summary_figure(replace(make_summary(), panels=tuple(fans)))
    assert [fan.title for fan in shown] == ["9"]
