"""Tables with a column for each time become series."""

import warnings

import pytest

from ostinato.data import Schema
from ostinato.data.load import load_panel
from ostinato.errors import DataWarning

MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
LONG = [
    "Januar",
    "Februar",
    "März",
    "April",
    "Mai",
    "Juni",
    "Juli",
    "August",
    "September",
    "Oktober",
    "November",
    "Dezember",
]


def read(path, text, schema=None):
    path.write_text(text, encoding="utf-8")
    with pytest.warns(DataWarning, match='is read as one value "y" a time'):
        return load_panel(path, schema)


def by_year(names, before=(), last="", years=6):
    rows = []
    for place, series in enumerate(before or [""]):
        for year in range(years):
            start = [series] if before else []
            cells = [str(place * 100 + year * len(names) + part) for part in range(len(names))]
            rows.append(",".join([*start, str(2000 + year), *cells, *([last] if last else [])]))
    head = ",".join([*(["Station"] if before else []), "Year", *names, *(["Annual"] if last else [])])
    return "\n".join([head, *rows])


@pytest.mark.parametrize(
    ("names", "unit", "last"),
    [
        (MONTHS, "1 month", ""),
        (MONTHS, "1 month", "7"),
        (LONG, "1 month", ""),
        (["Q1", "Q2", "Q3", "Q4"], "1 quarter", ""),
    ],
)
def test_a_row_a_year_is_one_series(tmp_path, names, unit, last):
    panel = read(tmp_path / "a.csv", by_year(names, last=last))
    assert panel.frequency.describe() == unit
    assert panel.series[0].values[:, 0].tolist() == list(range(6 * len(names)))
    assert str(panel.series[0].start)[:10] == "2000-01-01"


def test_a_row_a_year_and_station_is_as_many_series_and_months_to_come_are_no_values(tmp_path):
    text = by_year(MONTHS, before=("A", "B"))
    text = text.rsplit(",", 5)[0] + ",,,,,"
    panel = read(tmp_path / "a.csv", text)
    assert [(each.id, len(each)) for each in panel.series] == [("A", 72), ("B", 67)]
    assert panel.series[1].values[-1, 0] == 166


DATES = {
    "iso": [f"2023-01-{day:02d}" for day in range(1, 29)],
    "us": [f"1/{day}/23" for day in range(1, 29)],
    "years": [str(year) for year in range(1990, 2018)],
    "months": [f"{year}M{month:02d}" for year in (2001, 2002) for month in range(1, 13)],
    "counts": [f"V{place}" for place in range(2, 30)],
}


@pytest.mark.parametrize("times", DATES.values(), ids=DATES.keys())
@pytest.mark.slow
@pytest.mark.ci
def test_a_row_a_series_is_as_many_series(tmp_path, times):
    rows = [f"p{row},same,1.5," + ",".join(str(10 * row + place) for place in range(len(times))) for row in range(3)]
    panel = read(tmp_path / "a.csv", "\n".join(["page,kind,Lat," + ",".join(times), *rows]))
    assert [each.id for each in panel.series] == ["p0", "p1", "p2"]
    for row, each in enumerate(panel.series):
        assert each.values[:, 0].tolist() == [10 * row + place for place in range(len(times))]
    assert panel.frequency.describe().startswith("1 ")


def test_the_column_of_the_series_and_what_does_not_change_in_it_may_be_named(tmp_path):
    rows = [f"p{row},c{row},{row}.5," + ",".join(str(place) for place in range(28)) for row in range(3)]
    text = "\n".join(["page,country,Lat," + ",".join(DATES["iso"]), *rows])
    panel = read(tmp_path / "a.csv", text, Schema(series_id="country", static_covariates=("Lat",)))
    assert [each.id for each in panel.series] == ["c0", "c1", "c2"]
    assert [each.static.tolist() for each in panel.series] == [[0.5], [1.5], [2.5]]


@pytest.mark.parametrize(
    "text",
    [
        "time," + ",".join(f"s{place}" for place in range(8)) + "\n" + "\n".join(
            ",".join(str(row * 9 + place) for place in range(9)) for row in range(20)
        ),
        "date,May,June\n" + "\n".join(f"2023-01-{day:02d},{day * day},{day % 5}.5" for day in range(1, 29)),
    ],
)  # fmt: skip
def test_columns_of_measures_stay_columns(tmp_path, text):
    (tmp_path / "a.csv").write_text(text)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        panel = load_panel(tmp_path / "a.csv", Schema(time=text.split(",")[0]))
    assert len(panel.columns) >= 2


@pytest.mark.parametrize("times", ["2023-01-{:02d}", "{:02d}.01.2023 10:00", "{}", "{}.5"])
def test_sensors_that_count_beside_times_stay_columns(tmp_path, times):
    rows = [[times.format(day), *(str(day * day % 7 + place * day) for place in range(8))] for day in range(1, 29)]
    text = "\n".join(",".join(row) for row in [["time", *(f"s{place}" for place in range(8))], *rows])
    (tmp_path / "a.csv").write_text(text)
    panel = load_panel(tmp_path / "a.csv")
    assert len(panel.series) == 1
    assert [name for name in panel.columns if name != "time"] == [f"s{place}" for place in range(8)]


def test_a_later_table_of_a_model_is_read_alike(tmp_path):
    rows = [f"p{row}," + ",".join(str(place) for place in range(28)) for row in range(3)]
    text = "\n".join(["page," + ",".join(DATES["us"]), *rows])
    first = read(tmp_path / "a.csv", text)
    with pytest.warns(DataWarning, match="a column for each time"):
        again = load_panel(
            tmp_path / "a.csv", first.schema, frequency=first.frequency, time_format=first.time_format, fitting=False
        )
    assert [each.id for each in again.series] == ["p0", "p1", "p2"]
    assert again.series[0].start == first.series[0].start


def test_years_may_stand_with_the_newest_first_and_series_between_each_other(tmp_path):
    head, *rows = by_year(MONTHS, before=("A", "B")).split("\n")
    mixed = [row for pair in zip(rows[:6][::-1], rows[6:][::-1], strict=True) for row in pair]
    panel = read(tmp_path / "a.csv", "\n".join([head, *mixed]))
    assert [each.id for each in panel.series] == ["A", "B"]
    assert panel.series[0].values[:, 0].tolist() == list(range(72))
    assert panel.series[1].values[:, 0].tolist() == list(range(100, 172))


@pytest.mark.parametrize("back", [False, True])
def test_a_row_a_month_and_a_column_a_year_is_one_series(tmp_path, back):
    years = list(range(2019, 2024))[:: -1 if back else 1]
    rows = [f"{name}.,{','.join(str(12 * year + month) for year in years)},9" for month, name in enumerate(MONTHS)]
    panel = read(tmp_path / "a.csv", "\n".join([f"Month,{','.join(map(str, years))},Mean", *rows]))
    assert panel.frequency.describe() == "1 month"
    assert len(panel.series) == 1
    assert panel.series[0].values[:, 0].tolist() == list(range(12 * 2019, 12 * 2024))


def test_numbers_name_the_rows_where_texts_are_of_several(tmp_path):
    rows = [f"00{row}7,{'EU' if row % 2 else 'US'}," + ",".join(str(row) for _ in range(28)) for row in range(4)]
    panel = read(tmp_path / "a.csv", "\n".join(["SKU,Region," + ",".join(DATES["iso"]), *rows]))
    assert [each.id for each in panel.series] == ["0007", "0017", "0027", "0037"]


def test_that_nothing_names_the_rows_of_a_column_for_each_date_is_said(tmp_path):
    rows = ["EU," + ",".join(str(place * place) for place in range(row, row + 28)) for row in range(4)]
    (tmp_path / "a.csv").write_text("\n".join(["Region," + ",".join(DATES["iso"]), *rows]))
    with pytest.warns(DataWarning, match="none that names each row"):
        load_panel(tmp_path / "a.csv")


@pytest.mark.parametrize(
    "first",
    [
        ("date", [f"2024-01-{day:02d}" for day in range(1, 29)]),
        ("sec", [str(3 * row) for row in range(28)]),
        ("Date", [f"{day}. Mai 2024" for day in range(1, 29)]),
    ],
    ids=lambda first: first[1][0],
)
@pytest.mark.parametrize("names", [[f"s{place}" for place in range(1, 9)], [str(place) for place in range(12)]])
def test_sensors_that_are_numbered_are_columns_where_each_row_is_a_time(tmp_path, first, names):
    name, times = first
    rows = [
        f"{time}," + ",".join(str((row * 7 + place) % 13) for place in range(len(names)))
        for row, time in enumerate(times)
    ]
    (tmp_path / "a.csv").write_text("\n".join([f"{name}," + ",".join(names), *rows]))
    panel = load_panel(tmp_path / "a.csv")
    assert set(names) <= set(panel.columns)
    assert len(panel.series) == 1
    assert len(panel.series[0]) == 28


def test_the_header_below_a_title_may_be_wider_than_its_rows_or_have_years_in_it(tmp_path):
    days = [f"2024-01-{day:02d}" for day in range(1, 29)]
    rows = [f"{day},{place},{'holiday' if place == 3 else ''}" for place, day in enumerate(days)]
    (tmp_path / "a.csv").write_text("\n".join(["Acme Corp", "made 2025-01-05", "", "Day,Net,Remark", *rows]))
    with pytest.warns(DataWarning, match="title above"):
        panel = load_panel(tmp_path / "a.csv")
    assert panel.series[0].values[:, 0].tolist() == list(range(28))
    countries = [
        f'"{name}","{name[0]}",' + ",".join(f'"{year / 7}"' for year in range(1990, 2021))
        for name in ("France", "Japan")
    ]
    years = ",".join(f'"{year}"' for year in range(1990, 2021))
    bank = [
        '"Data Source","World Bank",',
        "",
        '"Country","Code",' + years + ",",
        *[row + "," for row in [*countries, '"Peru","P",' + years]],
    ]
    panel = read(tmp_path / "b.csv", "\n".join(bank))
    assert [each.id for each in panel.series] == ["France", "Japan", "Peru"]
    assert panel.series[2].values[:, 0].tolist() == list(range(1990, 2021))
