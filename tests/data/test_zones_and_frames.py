"""Times with zones, times of data frames, and the coming rows that are matched by their times."""

import io
from datetime import date, datetime, timedelta, timezone
from datetime import time as clock

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.data import Schema, TimeFormat, load_future, load_panel
from ostinato.data.table import Table
from ostinato.data.times import decide_times
from ostinato.errors import DataError, UsageError


def read(*cells, time_zone):
    table = Table("t.csv", pl.DataFrame({"when": list(cells)}), first_row=2)
    return decide_times(table, "when", TimeFormat.wanted(day_first=None, time_format=None, time_zone=time_zone))


# --- zones ------------------------------------------------------------------------------------------------------------

ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "+05:30",
]
ALIASES = ["h", "15min", "6h", "D", "2D", "W-SUN", "B", "MS", "ME", "QS", "QE", "YS", "BME", "BMS", "2MS"]


def frame_of(index):
    return pd.DataFrame({"y": np.arange(len(index), dtype=float)}, index=index)


@settings(max_examples=80, deadline=None)
@given(
    zone=st.sampled_from([None, *ZONES]),
    alias=st.sampled_from(ALIASES),
    start=st.dates(date(2015, 1, 1), date(2030, 1, 1)),
    rows=st.integers(30, 90),
    drop=st.sets(st.integers(3, 25), max_size=4),
)  # fmt: skip
@pytest.mark.slow
@pytest.mark.ci
def test_frames_files_and_texts_give_one_grid_that_goes_on_as_pandas_does(zone, alias, start, rows, drop) -> None:
    start = datetime.combine(start, clock(12 if alias not in ("h", "15min", "6h") else 0))
    walls = pd.date_range(start, periods=rows + 5, freq=alias)
    if alias in ("h", "15min", "6h"):
        whole = walls.tz_localize("UTC").tz_convert(zone) if zone else walls
    else:
        whole = walls.tz_localize(zone) if zone else walls
    seen = np.delete(whole[:rows], list(drop))
    expected = [str(own) for own in whole[rows:].to_pydatetime()]
    buffer = io.StringIO()
    frame_of(seen).rename_axis("ds").to_csv(buffer)
    sources = {
        "index": frame_of(seen),
        "column": frame_of(seen).rename_axis("ds").reset_index(),
        "objects": pd.DataFrame({"ds": pd.Series(list(seen.to_pydatetime()), dtype=object), "y": np.arange(len(seen))}),
        "texts": pd.read_csv(io.StringIO(buffer.getvalue())),
    }
    for name, source in sources.items():
        panel = load_panel(source, Schema(target=("y",), time_zone=zone))
        found = [str(own) for own in np.asarray(panel.times(0, rows, 5), object)]
        assert found == expected, name
        assert panel.gaps == len(drop)


def test_a_clock_that_goes_back_shows_an_hour_twice_and_forward_one_never() -> None:
    cells = [
        "2024-10-27 01:30",
        "2024-10-27 02:00",
        "2024-10-27 02:30",
        "2024-10-27 02:00",
        "2024-10-27 02:30",
        "2024-10-27 03:00",
    ]
    times = read(*cells, time_zone="Europe/Berlin")[0]
    assert (np.diff(times) == np.timedelta64(30, "m")).all()
    with pytest.raises(DataError, match="clocks in Europe/Berlin never show 2024-03-31 02:30"):
        read("2024-03-31 01:30", "2024-03-31 02:30", time_zone="Europe/Berlin")
    with pytest.raises(UsageError, match='time zone "Mars" is not known'):
        read("2024-03-31", time_zone="Mars")


def test_days_that_begin_at_one_are_days() -> None:
    index = pd.DatetimeIndex(pd.date_range("2018-10-20", periods=30)).tz_localize(
        "America/Sao_Paulo", nonexistent="shift_forward"
    )
    panel = load_panel(frame_of(index))
    assert (panel.frequency.describe(), panel.gaps, len(panel.series[0])) == ("1 day", 0, 30)


@pytest.mark.parametrize(
    "zone", ["Europe/Berlin", "UTC", timezone(timedelta(hours=5, minutes=30)), timezone(timedelta(hours=-3))]
)
def test_times_of_one_zone_come_back_in_it_from_polars_arrow_and_python(zone) -> None:
    index = pd.date_range("2024-03-25", periods=40, tz=zone)
    arrow = None
    if _arrow_type(index):
        arrow = pd.DataFrame({"ds": pd.array(list(index), dtype=pd.ArrowDtype(_arrow_type(index))), "y": range(40)})
    sources = [frame_of(index), {"ds": list(index.to_pydatetime()), "y": np.arange(40.0)}, arrow]
    if isinstance(zone, str):
        sources.append(pl.DataFrame({"ds": list(index.to_pydatetime()), "y": np.arange(40.0)}))
    for source in filter(lambda own: own is not None, sources):
        panel = load_panel(source)
        after = panel.times(0, 40, 1)[0]
        assert after == (index[-1] + pd.Timedelta(days=1)).to_pydatetime()
        assert after.utcoffset() == (index[-1]).utcoffset()


def _arrow_type(index):
    pa = pytest.importorskip("pyarrow")
    return pa.timestamp("us", tz=str(index.tz)) if index.tz is not None and "/" in str(index.tz) else None


# --- frames -----------------------------------------------------------------------------------------------------------


def test_every_index_of_pandas_gives_its_series_and_times() -> None:
    y = np.arange(48.0)
    days = pd.date_range("2024-01-01", periods=24)
    cases = {
        "MS": pd.date_range("2020-01-01", periods=48, freq="MS"),
        "QS": pd.period_range("2010Q1", periods=48, freq="Q"),
        "W": pd.period_range("2020-01-06", periods=48, freq="W-SUN"),
        "D": pd.Index(pd.date_range("2024-01-01", periods=48).date),
        "h": pd.date_range("2024-01-01", periods=48, freq="h").strftime("%d.%m.%Y %H:%M"),
        "min": pd.timedelta_range("0s", periods=48, freq="min"),
        "3": pd.Index(np.arange(48) * 3, name="t"),
    }
    for alias, index in cases.items():
        panel = load_panel(pd.DataFrame({"y": y}, index=index))
        assert (panel.frequency.alias(), [series.id for series in panel.series], panel.gaps) == (alias, [""], 0)
    for names in (["unique_id", "ds"], ["shop", "date"], [None, None]):
        index = pd.MultiIndex.from_product([["a", "b"], days], names=names)
        panel = load_panel(pd.DataFrame({"y": y, "x": y}, index=index))
        assert [(series.id, len(series)) for series in panel.series] == [("a", 24), ("b", 24)]
        assert panel.frequency.alias() == "D"
    index = pd.Index(np.repeat(["a", "b"], 24), name="unique_id")
    assert len(load_panel(pd.DataFrame({"ds": [*days, *days], "y": y}, index=index)).series) == 2
    assert load_panel(pd.DataFrame({"y": y}, index=y.astype(int)[::-1])).frequency.alias() == "rows"


def test_times_gone_by_have_their_step_and_no_calendar() -> None:
    panel = load_panel(frame_of(pd.timedelta_range("1h", periods=30, freq="15min")))
    assert panel.frequency.describe() == "15 minutes"
    assert panel.times(0, 30, 1)[0] == np.timedelta64(60 + 30 * 15, "m")
    text = {"t": [str(own) for own in pd.timedelta_range("1h", periods=30, freq="15min")], "y": np.arange(30.0)}
    again = load_panel(text)
    assert (again.frequency, again.series[0].start) == (panel.frequency, panel.series[0].start)


@pytest.mark.parametrize("name", ["", "rownames", "Unnamed: 0", "index"])
@pytest.mark.parametrize("first", [0, 1])
def test_row_numbers_are_no_target(tmp_path, name, first) -> None:
    lines = [f"{at + first},2024-01-{at + 1:02d},{at * at % 7}" for at in range(20)]
    (tmp_path / "a.csv").write_text(f"{name},date,load\n" + "\n".join(lines))
    assert load_panel(tmp_path / "a.csv").target_columns == ("load",)


def test_a_date_and_a_time_of_day_in_two_columns_are_one_time(tmp_path) -> None:
    hours = pd.date_range("2024-01-31", periods=50, freq="h")
    frame = pd.DataFrame({"Date": hours.strftime("%d/%m/%Y"), "Time": hours.strftime("%H:%M:%S"), "y": np.arange(50)})
    frame.to_csv(tmp_path / "a.csv", index=False)
    panel = load_panel(tmp_path / "a.csv")
    assert (panel.schema.time, panel.frequency.alias(), str(panel.series[0].start)[:10]) == (
        "Date+Time",
        "h",
        "2024-01-31",
    )


# --- the coming rows --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frequency", [None, "rows"])
@pytest.mark.parametrize("kind", ["stamps", "integers", "columns"])
def test_a_future_that_holds_the_past_too_is_matched_by_time(kind, frequency) -> None:
    days = pd.date_range("2024-01-01", periods=60)
    clock = {
        "stamps": {"t": days.astype(str)},
        "integers": {"t": np.arange(60) * 5},
        "columns": {"year": days.year, "month": days.month, "day": days.day},
    }[kind]
    data = pd.DataFrame({**clock, "y": np.random.default_rng(0).normal(size=60), "plan": np.arange(60.0)})
    time = "year+month+day" if kind == "columns" else "t"
    schema = Schema(target=("y",), time=time, known_covariates=("plan",), frequency=frequency)
    panel = load_panel(data.head(50), schema)
    for rows in (data, data.tail(10), data.sample(frac=1, random_state=1)):
        np.testing.assert_array_equal(load_future(rows, panel, 4)[0, :, 0], [50, 51, 52, 53])
    with pytest.raises(DataError, match="has no row for"):
        load_future(data.head(52), panel, 4)
    if frequency is None:
        with pytest.raises(DataError, match="already that of row"):
            load_future(pd.concat([data, data.tail(10)]), panel, 4)
