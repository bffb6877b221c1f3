"""Tables of predictions, as `predict` writes them."""

from datetime import UTC, datetime, timedelta

import pytest

from ostinato.cli.predict import _as_table

DAY = datetime(2024, 5, 1)


@pytest.mark.parametrize(
    ("times", "written"),
    [
        ([DAY, DAY + timedelta(days=31)], ["2024-05-01", "2024-06-01"]),
        ([DAY, DAY + timedelta(hours=1)], ["2024-05-01T00:00:00", "2024-05-01T01:00:00"]),
        ([DAY + timedelta(microseconds=2500)], ["2024-05-01T00:00:00.002500"]),
        ([DAY.replace(tzinfo=UTC)], ["2024-05-01T00:00:00+00:00"]),
    ],
)
def test_times_are_written_as_finely_as_they_are(times, written) -> None:
    lines = _as_table([{"time": time, "forecast": 1.5} for time in times], ".csv").decode().splitlines()
    assert lines == ["time,forecast", *(f"{each},1.5" for each in written)]
