"""Times with names of months in several languages, since 1970, in columns of any name, with a mistake in them."""

import datetime as dt

import numpy as np
import pytest

from ostinato.data import Schema
from ostinato.data.load import load_panel
from ostinato.data.month_names import NUMBERS
from ostinato.data.times import read_cell
from ostinato.errors import DataError, DataWarning

DAYS = [dt.date(2023, 1, 1) + dt.timedelta(days=7 * place) for place in range(52)]
MONTHS = {
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "it": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    "pt": "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
    "nl": "januari februari maart april mei juni juli augustus september oktober november december",
}
WAYS = (
    lambda day, name: f"{day.day}. {name} {day.year}",
    lambda day, name: f"{day.day} de {name} de {day.year}",
    lambda day, name: f"{day.day:02d}-{name[:4]}-{day:%y}",
    lambda day, name: f"{day.day} {name.upper()} {day.year} 10:30",
)


def write(path, times, values=None, name="observed_at"):
    values = values or [place % 7 + 0.5 for place in range(len(times))]
    path.write_text("\n".join([f"{name};y", *[f"{time};{value}" for time, value in zip(times, values, strict=True)]]))
    return path


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("language", MONTHS)
def test_months_are_known_by_their_names_in_a_column_and_in_a_streamed_row(tmp_path, language, way):
    names = MONTHS[language].split()
    texts = [way(day, names[day.month - 1]) for day in DAYS]
    panel = load_panel(write(tmp_path / "a.csv", texts))
    assert str(panel.series[0].start)[:10] == "2023-01-01"
    assert panel.frequency.describe() == "1 week"
    assert not panel.gaps
    for day, text in zip(DAYS, texts, strict=True):
        assert str(read_cell({"observed_at": text}, "observed_at", panel.time_format))[:10] == day.isoformat()


def test_no_short_name_is_of_two_months():
    assert "jui" not in NUMBERS
    assert {NUMBERS[name] for name in ("juin", "juni", "giugno", "june")} == {6}
    assert len(set(NUMBERS.values())) == 12


@pytest.mark.parametrize("unit", [1, 10**3, 10**6, 10**9])
def test_numbers_since_1970_are_times_if_said_in_a_column_and_a_row(tmp_path, unit):
    seconds = [1_700_000_000 + 3600 * place for place in range(30)]
    path = write(tmp_path / "a.csv", [each * unit for each in seconds], name="ts")
    panel = load_panel(path, Schema(time="ts", time_format="unix"))
    assert panel.frequency.describe() == "1 hour"
    assert panel.time_format.zone == "UTC"
    assert str(panel.series[0].start)[:19] == "2023-11-14T22:13:20"
    for cell in (seconds[3] * unit, str(seconds[3] * unit)):
        found = read_cell({"ts": cell}, "ts", panel.time_format)
        assert found == np.datetime64(seconds[3], "s")


def test_numbers_since_1970_keep_their_step_and_what_makes_dates_of_them_is_said(tmp_path):
    seconds = [1_700_000_000 + 3600 * place for place in range(30)]
    with pytest.warns(DataWarning, match='seems to count since 1970.*time_format="unix"'):
        panel = load_panel(write(tmp_path / "a.csv", seconds))
    assert panel.frequency.describe() == "3,600 units"
    assert int(panel.series[0].start) == seconds[0]


def test_what_is_no_number_since_1970_is_refused_by_its_row(tmp_path):
    path = write(tmp_path / "a.csv", [1_700_000_000, "soon", 1_700_007_200])
    with pytest.raises(DataError, match='row 3 of a.csv: "soon" .* is no number of seconds since 1970'):
        load_panel(path, Schema(time="observed_at", time_format="unix"))


@pytest.mark.parametrize("name", ["observed_at", "when", "t", "Stichtag"])
@pytest.mark.parametrize("wrong", ["2023-02-30", "Total", "2023-13-01", "soon"])
def test_a_column_of_times_with_a_mistake_is_never_left_out_unsaid(tmp_path, name, wrong):
    texts = [day.isoformat() for day in DAYS]
    texts[40] = wrong
    with pytest.raises(DataError, match=f'row 42 of a.csv: "{wrong}" in column "{name}" is not a time'):
        load_panel(write(tmp_path / "a.csv", texts, name=name))


def test_a_column_called_as_times_are_that_is_not_read_is_said(tmp_path):
    with pytest.warns(DataWarning, match='column "observed_at" of a.csv is not read as times'):
        load_panel(write(tmp_path / "a.csv", [f"shift {place}/x" for place in range(30)]))


@pytest.mark.parametrize("name", ["t", "observed_at", "period_code"])
@pytest.mark.parametrize(
    ("texts", "unit"),
    [
        ([f"{2019 + place // 12}{place % 12 + 1:02d}" for place in range(30)], "1 month"),
        ([f"{dt.date(2023, 1, 20) + dt.timedelta(days=place):%Y%m%d}" for place in range(30)], "1 day"),
    ],
)
def test_days_and_months_in_digits_are_times_whatever_their_column_is_called(tmp_path, name, texts, unit):
    panel = load_panel(write(tmp_path / "a.csv", texts, name=name))
    assert panel.frequency.describe() == unit
    assert not panel.gaps
    assert len(panel.series[0]) == 30


def test_numbers_that_only_look_like_days_stay_numbers(tmp_path):
    values = [200_000 + 7 * place for place in range(30)]
    panel = load_panel(write(tmp_path / "a.csv", values, name="amount"), Schema(target=("amount",)))
    assert panel.frequency.describe() == "1 row"


def test_a_counter_that_rises_at_no_pace_is_no_time(tmp_path):
    values = [331_000_000 + 81_234 * place + place * place % 97 for place in range(40)]
    panel = load_panel(write(tmp_path / "a.csv", values, name="population"), Schema(target=("population",)))
    assert panel.frequency.describe() == "1 row"
    assert len(load_panel(write(tmp_path / "b.csv", values, name="population")).series[0]) == 40


def test_zones_by_their_short_names(tmp_path):
    texts = [f"{day.isoformat()} 10:00 EST" for day in DAYS]
    panel = load_panel(write(tmp_path / "a.csv", texts))
    assert panel.time_format.zone == "-05:00"
    assert str(panel.series[0].start)[:16] == "2023-01-01T15:00"
    assert str(read_cell({"observed_at": texts[1]}, "observed_at", panel.time_format))[:16] == "2023-01-08T15:00"


@pytest.mark.parametrize("form", ["%Y-%m-%d", "%d/%m/%Y", "%m/%d/%Y"])
def test_a_file_with_the_newest_row_first_is_read_from_the_oldest_on(tmp_path, form):
    days = [dt.date(2023, 1, 1) + dt.timedelta(days=place) for place in range(40)]
    values = [place % 7 + 0.5 for place in range(40)]
    path = write(tmp_path / "a.csv", [f"{day:{form}}" for day in reversed(days)], values[::-1])
    with pytest.warns(DataWarning, match='a.csv has the newest row first in column "observed_at"'):
        panel = load_panel(path)
    assert str(panel.series[0].start)[:10] == "2023-01-01"
    assert panel.series[0].values[:, 0].tolist() == values


def test_newest_first_in_every_series_or_in_none(tmp_path):
    rows = [f"{name},2023-01-{day:02d},{day % 5}" for name in "ab" for day in range(20, 0, -1)]
    (tmp_path / "a.csv").write_text("\n".join(["unique_id,ds,y", *rows]))
    with pytest.warns(DataWarning, match="newest row first"):
        panel = load_panel(tmp_path / "a.csv")
    assert [each.values[:3, 0].tolist() for each in panel.series] == [[1, 2, 3]] * 2
    (tmp_path / "b.csv").write_text("\n".join(["unique_id,ds,y", *rows[:20], *rows[:19:-1]]))
    with pytest.raises(DataError, match='row 3 of b.csv: the time 2023-01-19 of series "a" comes before'):
        load_panel(tmp_path / "b.csv")


def test_half_precision_is_read_without_a_warning(recwarn):
    assert len(load_panel(np.sin(np.arange(30)).astype(np.float16)).series[0]) == 30
    assert not [each for each in recwarn if issubclass(each.category, RuntimeWarning)]


def test_times_with_decimals_are_rows_where_they_are_even_and_that_is_said(tmp_path):
    even = [f"{place * 0.02:.2f}" for place in range(40)]
    with pytest.warns(DataWarning, match="numbers with decimals, 0.02 apart; the rows count as equally spaced"):
        panel = load_panel(write(tmp_path / "a.csv", even, name="time"))
    assert (panel.frequency.describe(), panel.columns, len(panel.series[0])) == ("1 row", ("y",), 40)
    uneven = even[:20] + [f"{0.5 + place * 0.02:.2f}" for place in range(20)]
    with pytest.raises(DataError, match="numbers with decimals, which are no grid; pass frequency=.rows."):
        load_panel(write(tmp_path / "b.csv", uneven, name="time"))
