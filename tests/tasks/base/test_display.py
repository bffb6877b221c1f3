"""What stands in a notebook: safe, whole, offline; and forecasts as tables of other libraries."""

import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from ostinato.data.frequency import Frequency
from ostinato.errors import UsageError
from ostinato.studies.comparing.result import CellRun, Comparison
from ostinato.studies.tuning.result import Search, Trial
from ostinato.tasks.base.display import pairs, shown, table
from ostinato.tasks.base.judging import Scores
from ostinato.tasks.base.summary import Summary
from ostinato.tasks.forecast.result import Forecast, Past
from ostinato.words import number
from whole_html import checked

EVIL = "<script>alert('&\"')</script>"


def forecast(**changes) -> Forecast:
    point = np.arange(12.0).reshape(2, 3, 2)
    whole = Forecast(
        series_ids=(EVIL, "north"),
        times=np.tile(np.datetime64("2024-01-31", "us") + np.arange(3) * np.timedelta64(1, "D"), (2, 1)),
        targets=("sold", "returned"),
        point=point,
        levels=(0.025, 0.1, 0.5, 0.9, 0.975),
        quantiles=np.stack([point - 2, point - 1, point, point + 1, point + 2], -1),
        past=(Past(np.array([[1.0, 2.0], [math.nan, 3.0]]), Frequency("integer"), 5),),
    )
    return replace(whole, **changes)


def summary(**changes) -> Summary:
    rows = tuple(
        {"epoch": i + 1.0, "loss": 1 / (i + 1), "validation_loss": math.nan, "learning_rate": 0.1} for i in range(3)
    )
    plain = Summary(
        title=EVIL, task="toy", settings={"cell": EVIL}, parameters=12, seconds=1.5, data=(("source", EVIL),),
        history=rows, best_epoch=2, stopped="the end", protocol=EVIL, better={"accuracy": "higher"}, verdict=EVIL,
        versions={},
        scores={"model": {"accuracy": 0.5}, EVIL: {"accuracy": math.nan, EVIL: 1.0}},
    )  # fmt: skip
    return replace(plain, **changes)


def comparison() -> Comparison:
    runs = (
        CellRun("gru", 0, 8, 100, {"model": {"accuracy": 0.5}, EVIL: {"accuracy": 0.4}}, {"accuracy": "higher"},
                curve=((0.1, 1.0), (0.2, 0.5)), verdict=EVIL, seconds=1.0, memory=2e6, latency=1e-3),
        CellRun("lstm", 0, 7, error=EVIL),
    )  # fmt: skip
    return Comparison("Toy", EVIL, 100, 1, {}, runs)


def search() -> Search:
    trials = (
        Trial(0, "complete", 0.5, {"size": 4}, 2, 10, 0.1),
        Trial(1, "failed", math.nan, {"size": 8}, 0, 0, 0.1, EVIL),
    )
    return Search("Toy", EVIL, {"size": "4, 8"}, 0.6, trials, trials[0], {}, None)


SHOWN = {
    "summary": summary,
    "scores": lambda: Scores(EVIL, 3, "rows", {"model": {"a": 1.0}, EVIL: {}}, {"a": "higher"}, EVIL),
    "forecast": forecast,
    "comparison": comparison,
    "search": search,
}


@pytest.mark.parametrize("what", SHOWN)
def test_texts_are_escaped_and_nothing_is_run_or_asked_for(what) -> None:
    assert EVIL[:10] in checked(SHOWN[what]()._repr_html_())


@pytest.mark.parametrize("what", ["summary", "forecast", "comparison", "search"])
def test_plot_is_a_figure_that_a_notebook_shows(what) -> None:
    assert SHOWN[what]().plot()._repr_png_().startswith(b"\x89PNG")


def test_half_a_surrogate_a_missing_number_and_an_empty_table_are_shown() -> None:
    shown("\ud83d", pairs([("a", "\udc00")])).encode()
    assert "n/a" in checked(table(("", "x"), [("a", math.nan)]))
    assert table(("x",), []) == ""
    assert [number(value) for value in (math.inf, -3.0, 1e-7, 123456.7)] == ["n/a", "-3", "1e-07", "123,457"]


def test_what_is_left_out_of_a_long_table_is_said() -> None:
    text = checked(table([f"c{i}" for i in range(12)], [range(12)] * 40, limit=5))
    assert "not shown: 35 more rows, 3 more columns" in text


def test_a_summary_of_nothing_is_shown_and_plot_says_that_there_is_nothing() -> None:
    nothing = summary(history=(), scores={}, verdict="", protocol="", data=())
    checked(nothing._repr_html_())
    with pytest.raises(UsageError, match="to plot"):
        nothing.plot()
    with pytest.raises(UsageError, match="no cell was fitted"):
        Comparison("Toy", "x", 1, 1, {}, ()).plot()


# --- forecasts as tables of other libraries ---------------------------------------------------------------------------


def test_columns_are_those_of_nixtla_and_pandas_has_what_polars_has() -> None:
    found, other = forecast().to_polars(), forecast().to_pandas()
    assert found.columns == [
        "unique_id", "ds", "Ostinato", "Ostinato-lo-80", "Ostinato-hi-80", "Ostinato-lo-95", "Ostinato-hi-95"
    ]  # fmt: skip
    assert list(other.columns) == found.columns
    for name in found.columns:
        assert found[name].to_list() == other[name].tolist(), name
    rows = found.filter(pl.col("unique_id") == "north/returned")
    assert rows["Ostinato"].to_list() == [7.0, 9.0, 11.0]
    assert rows["Ostinato-hi-95"].to_list() == [9.0, 11.0, 13.0]
    assert rows["ds"].to_list() == forecast().times[0].tolist()
    assert forecast().to_polars("GRU").columns[2:4] == ["GRU", "GRU-lo-80"]


def test_a_series_without_a_name_is_called_after_its_target_and_one_target_adds_nothing_to_a_name() -> None:
    one = forecast()
    alone = replace(one, targets=("sold",), point=one.point[..., :1], quantiles=one.quantiles[..., :1, :])
    assert alone.to_polars()["unique_id"].to_list() == [EVIL] * 3 + ["north"] * 3
    assert replace(alone, series_ids=("", "b")).to_polars()["unique_id"].unique().sort().to_list() == ["b", "sold"]


def test_a_point_forecast_and_times_of_a_zone_and_rows_are_columns_too() -> None:
    from ostinato.data.zones import aware

    plain = forecast(levels=(), quantiles=np.zeros((2, 3, 2, 0)))
    assert plain.to_polars().columns == ["unique_id", "ds", "Ostinato"]
    checked(plain._repr_html_())
    zoned = replace(plain, times=aware(plain.times, "Europe/Berlin"))
    assert str(zoned.to_polars()["ds"].dtype) == "Datetime(time_unit='us', time_zone='Europe/Berlin')"
    assert zoned.to_pandas()["ds"].dt.tz is not None
    assert zoned.to_pandas()["ds"].tolist() == zoned.to_polars()["ds"].to_list()
    counted = replace(plain, times=np.arange(6).reshape(2, 3))
    assert counted.to_pandas()["ds"].tolist() == [0, 1, 2] * 2 + [3, 4, 5] * 2


def test_a_series_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(UsageError, match='no series "south"; it has "<script>'):
        forecast().plot("south")
    with pytest.raises(UsageError, match='no target "x"; it has "sold", "returned"'):
        forecast().plot(target="x")
    assert forecast().plot(EVIL, "returned").get_suptitle().endswith("/returned")


def test_columns_are_what_nixtla_evaluates() -> None:
    """Its own function of interval names reads ours."""
    losses = pytest.importorskip("utilsforecast.losses")
    table_ = forecast().to_pandas().assign(y=1.0)
    found = losses.coverage(table_, models=["Ostinato"], level=80)
    assert set(found.columns) == {"unique_id", "Ostinato"}
