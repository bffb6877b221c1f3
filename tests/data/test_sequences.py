"""Sets of sequences and event logs: what was written is read, what is wrong is named, real files have their counts."""

import gzip
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.data import read_event_log, read_sequences, read_ts
from ostinato.errors import ColumnError, DataError


def put(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


# --- .ts files

HEADER = "# about\n@problemName Toy\n@TimeStamps FALSE\n@missing true\n@dimensions 2\n@classLabel true a b\n\n@DATA\n"


@pytest.mark.parametrize("packed", [False, True])
def test_sequences_of_unequal_length_with_missing_values(tmp_path, packed) -> None:
    text = (HEADER + "1, 2.5,?:4,NaN,-6e-1:a\n# between\n\n7:8: b \r\n").encode()
    found = read_ts(put(tmp_path / "Toy.ts", gzip.compress(text) if packed else text))
    expected = [np.array([[1, 4], [2.5, np.nan], [np.nan, -0.6]]), np.array([[7, 8]])]
    for sequence, values in zip(found.sequences, expected, strict=True):
        assert sequence.dtype == np.float32
        assert sequence.flags.c_contiguous
        np.testing.assert_array_equal(sequence, values.astype(np.float32))
    assert (found.labels, found.classes, found.ids) == (("a", "b"), ("a", "b"), ("1", "2"))
    assert (found.channels, found.targets, found.times) == (("channel_1", "channel_2"), None, None)


def test_targets_of_regression_are_numbers(tmp_path) -> None:
    found = read_ts(put(tmp_path / "a.ts", "@targetLabel true\n@data\n1,2:0.5\n3,4:-7\n"))
    assert (found.targets.tolist(), found.labels, found.classes) == ([0.5, -7.0], None, ())


def test_a_file_without_labels_is_all_values(tmp_path) -> None:
    found = read_ts(put(tmp_path / "a.ts", "@classLabel false\n@data\n1,2:3,4\n"))
    assert found.sequences[0].tolist() == [[1, 3], [2, 4]]
    assert found.labels is None


@settings(max_examples=40, deadline=None)
@given(lengths=st.lists(st.integers(1, 6), min_size=1, max_size=5), channels=st.integers(1, 3), labelled=st.booleans())
def test_what_was_written_to_a_ts_file_is_read_back(tmp_path_factory, lengths, channels, labelled) -> None:
    rng = np.random.default_rng(sum(lengths))
    data = [rng.normal(size=(n, channels)).astype(np.float32) for n in lengths]
    for values in data:
        values[rng.random(values.shape) < 0.2] = np.nan
    lines = [
        ":".join([",".join("?" if v != v else repr(float(v)) for v in column) for column in values.T])
        + (f":{number % 2}" if labelled else "")
        for number, values in enumerate(data)
    ]
    head = "@classLabel true 0 1\n" if labelled else ""
    found = read_ts(put(tmp_path_factory.mktemp("ts") / "a.ts", head + "@data\n" + "\n".join(lines)))
    assert len(found) == len(data)
    for sequence, values in zip(found.sequences, data, strict=True):
        np.testing.assert_array_equal(sequence, values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("@data\n", "no sequences behind @data"),
        ("", "no line @data"),
        ("1,2,3\n", "line 1 of a.ts comes before @data"),
        ("@timeStamps true\n@data\n(0,1):a\n", "time stamps"),
        ("@dimensions two\n@data\n", '"two" behind @dimensions is not a whole number'),
        (HEADER + "1,2:3:a\n", "line 9 of a.ts: its channels have from 1 to 2 steps"),
        (HEADER + "1,2:a\n", "line 9 of a.ts has 1 channels; expected 2"),
        (HEADER + "1:2:c\n", 'line 9 of a.ts: the class "c" is none of the header\'s: a, b'),
        (HEADER + "1:2:\n", 'the class "" is none'),
        (HEADER + "1:x:a\n", 'line 9 of a.ts: "x" is not a finite number'),
        (HEADER + "1:inf:a\n", '"inf" is not a finite number'),
        (HEADER + "1:1e39:a\n", '"1e39" is not a finite number'),
        (HEADER + "1,:2,3:a\n", '"" is not a finite number'),
        (HEADER + ":a\n", "has 1 channels; expected 2"),
        ("@seriesLength 3\n@data\n1,2\n", "line 3 of a.ts has 2 steps; expected 3"),
        ("@data\n1,2\n1:2\n", "line 3 of a.ts has 2 channels; expected 1"),
        ("@targetLabel true\n@data\n1:?\n", "line 3 of a.ts has no target"),
        ("@targetLabel true\n@data\n1:up\n", '"up" is not a finite number'),
    ],
)
def test_bad_ts_files_are_named_by_line(tmp_path, text, message) -> None:
    with pytest.raises(DataError, match=message):
        read_ts(put(tmp_path / "a.ts", text))


@pytest.mark.parametrize(
    ("name", "channels", "shortest", "longest", "classes", "train", "test"),
    [
        ("JapaneseVowels", 12, 7, 29, 9, 270, 370),
        ("BasicMotions", 6, 100, 100, 4, 40, 40),
        ("ItalyPowerDemand", 1, 24, 24, 2, 67, 1_029),
        ("GunPoint", 1, 150, 150, 2, 50, 150),
    ],
)
def test_the_archive_is_read(shared_data, name, channels, shortest, longest, classes, train, test) -> None:
    parts = [read_ts(shared_data / f"ucr_uea/{name}/{name}_{part}.ts") for part in ("TRAIN", "TEST")]
    sizes = [len(sequence) for part in parts for sequence in part.sequences]
    assert [len(part) for part in parts] == [train, test]
    assert (min(sizes), max(sizes)) == (shortest, longest)
    assert all(sequence.shape[1] == channels for part in parts for sequence in part.sequences)
    assert not any(np.isnan(sequence).any() for part in parts for sequence in part.sequences)
    assert parts[0].classes == parts[1].classes
    assert set(parts[0].labels) == set(parts[0].classes)
    assert len(parts[0].classes) == classes


# --- long tables

LONG = "id,when,x,y,kind\nb,2024-01-01 00:00:00,1,?,on\na,2024-01-01 00:00:00,5,6,off\nb,2024-01-01 00:01:30,2,3,on\n"


def test_a_long_table_becomes_sequences_in_the_order_of_their_first_rows(tmp_path) -> None:
    found = read_sequences(put(tmp_path / "a.csv", LONG), series_id="id", time="when", label="kind")
    assert (found.ids, found.channels, found.labels) == (("b", "a"), ("x", "y"), ("on", "off"))
    assert found.classes == ("off", "on")
    np.testing.assert_array_equal(found.sequences[0], np.array([[1, np.nan], [2, 3]], np.float32))
    assert [times.tolist() for times in found.times] == [[0.0, 90.0], [0.0]]
    assert found.sequences[1].dtype == np.float32


def test_channels_may_be_named_and_times_left_out(tmp_path) -> None:
    found = read_sequences(put(tmp_path / "a.csv", LONG), series_id="id", channels=("y",))
    assert (found.times, found.labels, found.channels) == (None, None, ("y",))
    assert found.sequences[1].tolist() == [[6.0]]


@pytest.mark.parametrize(
    ("text", "options", "error", "message"),
    [
        (LONG + "b,2024-01-01 00:01:30,1,1,on\n", {"time": "when"}, DataError, "row 5 of a.csv: .* row 4.* sort"),
        (LONG + "b,2023-01-01 00:00:00,1,1,on\n", {"time": "when"}, DataError, 'sequence "b" does not come'),
        (LONG + "b,2025-01-01 00:00:00,1,1,off\n", {"label": "kind"}, DataError, 'row 5 .* is "off", but sequence "b"'),
        (LONG + "c,2025-01-01 00:00:00,1,1,\n", {"label": "kind"}, DataError, 'row 5 of a.csv: column "kind" is empty'),
        (LONG + ",2025-01-01 00:00:00,1,1,on\n", {}, DataError, 'row 5 of a.csv: column "id" is empty'),
        (LONG + "c,2025-01-01 00:00:00,1e39,1,on\n", {}, DataError, "row 5 .* too large"),
        (LONG + "c,2025-01-01 00:00:00,x,1,on\n", {"channels": ("x",)}, DataError, 'row 5 of a.csv: "x" in column "x"'),
        (LONG, {"channels": ("z",)}, ColumnError, 'no column "z"'),
        (LONG, {"time": "what"}, ColumnError, 'no column "what"'),
        ("id,kind\na,b\n", {"label": "kind"}, ColumnError, "no numeric column"),
    ],
)
def test_bad_long_tables_are_named_by_row(tmp_path, text, options, error, message) -> None:
    with pytest.raises(error, match=message):
        read_sequences(put(tmp_path / "a.csv", text), series_id="id", **options)


# --- event logs

LOG = (
    "case,what,when\n1,open,2024-01-01 10:00\n2,open,2024-01-01 09:00\n"
    "1,close,2024-01-02 10:00\n1,ask,2024-01-01 10:00\n"
)


def test_events_are_put_in_order_of_time_and_ties_stay_as_they_stood(tmp_path) -> None:
    log = read_event_log(put(tmp_path / "a.csv", LOG), case="case", activity="what", time="when")
    assert (log.cases, len(log)) == (("1", "2"), 2)
    assert log.activities == (("open", "ask", "close"), ("open",))
    assert [gaps.tolist() for gaps in log.gaps] == [[0.0, 0.0, 86400.0], [0.0]]
    assert log.starts.astype("datetime64[h]").astype(str).tolist() == ["2024-01-01T10", "2024-01-01T09"]
    assert log.kinds == ("ask", "close", "open")
    assert [ids.tolist() for ids in log.encode()] == [[3, 1, 2], [3]]
    assert [ids.tolist() for ids in log.encode(("open",))] == [[1, 0, 0], [1]]


def test_times_may_be_whole_numbers() -> None:
    log = read_event_log({"c": ["a", "a"], "w": ["x", "y"], "t": [7, 4]}, case="c", activity="w", time="t")
    assert (log.activities, log.gaps[0].tolist(), log.starts.tolist()) == ((("y", "x"),), [0.0, 3.0], [4])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("3,,2024-01-01 10:00\n", 'row 6 of a.csv: column "what" is empty'),
        (",open,2024-01-01 10:00\n", 'row 6 of a.csv: column "case" is empty'),
        ("3,open,\n", 'row 6 of a.csv: column "when" has no time'),
        ("3,open,soon\n", 'row 6 of a.csv: "soon" in column "when" is not a time'),
    ],
)
def test_bad_events_are_named_by_row(tmp_path, row, message) -> None:
    with pytest.raises(DataError, match=message):
        read_event_log(put(tmp_path / "a.csv", LOG + row), case="case", activity="what", time="when")


def test_the_help_desk_log_has_its_events(shared_data) -> None:
    columns = {"case": "CaseID", "activity": "ActivityID", "time": "CompleteTimestamp"}
    log = read_event_log(shared_data / "helpdesk_events/helpdesk.csv", **columns)
    assert (len(log), sum(map(len, log.activities)), len(log.kinds)) == (3_804, 13_710, 9)
    assert all((gaps >= 0).all() and gaps[0] == 0 for gaps in log.gaps)
    assert log.activities[0] == ("1", "8", "6")
    assert log.gaps[0].tolist() == [0.0, 15.0, 2 * 86400 + 20 * 60 - 1]


def test_the_data_room_is_imported_without_torch() -> None:
    code = "import sys, ostinato.data; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_times_with_decimals_are_seconds(tmp_path) -> None:
    path = put(tmp_path / "a.csv", "id,second,x\na,0.25,1\na,1.5,2\nb,7.125,3\n")
    found = read_sequences(path, series_id="id", time="second")
    assert [times.tolist() for times in found.times] == [[0, 1.25], [0]]
    put(path, "id,second,x\na,0.25,1\na,0.25,2\n")
    with pytest.raises(DataError, match=r"the time 0.25 of sequence \"a\" does not come after that of row 2, 0.25"):
        read_sequences(path, series_id="id", time="second")
    put(path, "id,second,x\na,0.25,1\na,,2\n")
    with pytest.raises(DataError, match="second"):
        read_sequences(path, series_id="id", time="second")
