"""Measurements of patients, however they are recorded, are read as the same; what is wrong is said in a sentence."""

import io
import tarfile
import warnings
import zipfile

import numpy as np
import pytest

from ostinato.data.health import Clock, read_beats, read_patients, with_outcomes, with_statics
from ostinato.data.health.folders import outcomes_beside
from ostinato.errors import ColumnError, DataError, DataWarning, OstinatoError, UsageError

LONG = {
    "patient": ["a", "a", "b", "a"],
    "time": [0, 90, 30, 30],
    "variable": ["HR", "K", "HR", "HR"],
    "value": [80.0, 4.1, 70.0, 85.0],
}
MINUTES = Clock(unit="minutes")
FILES = {
    "a": "Time,Parameter,Value\n00:00,RecordID,1\n00:00,HR,80\n00:30,HR,85\n01:30,K,4.1\n",
    "b": "Time,Parameter,Value\n00:00,HR,-1\n00:30,HR,70\n",
}


def told(patients):
    return [
        (patients.ids[row], float(hour), patients.variables[code], float(value))
        for row in range(len(patients))
        for hour, code, value in zip(
            patients.hours[patients.of(row)],
            patients.codes[patients.of(row)],
            patients.values[patients.of(row)],
            strict=True,
        )
    ]


EXPECTED = [("a", 0.0, "HR", 80.0), ("a", 0.5, "HR", 85.0), ("a", 1.5, "K", 4.1), ("b", 0.5, "HR", 70.0)]


def packed(folder, kind):
    if kind == "folder":
        own = folder / "set"
        own.mkdir()
        for name, text in FILES.items():
            (own / f"{name}.txt").write_text(text)
        return own
    path = folder / f"set.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, text in FILES.items():
                archive.writestr(f"set/{name}.txt", text)
    else:
        with tarfile.open(path, "w:gz") as archive:
            for name, text in FILES.items():
                own = tarfile.TarInfo(f"set/{name}.txt")
                own.size = len(text)
                archive.addfile(own, io.BytesIO(text.encode()))
    return path


@pytest.mark.parametrize("kind", ["folder", "tar.gz", "zip"])
def test_a_folder_and_an_archive_of_files_by_patient_are_a_long_table(tmp_path, kind) -> None:
    assert told(read_patients(packed(tmp_path, kind))) == EXPECTED


def test_times_in_every_unit_and_form_are_the_same_hours() -> None:
    assert told(read_patients(LONG, clock=MINUTES)) == EXPECTED
    hours = {**LONG, "time": [0, 1.5, 0.5, 0.5]}
    assert told(read_patients(hours)) == EXPECTED
    gone_by = {**LONG, "time": ["0:00", "01:30", "00:30", "0:30"]}
    assert told(read_patients(gone_by)) == EXPECTED
    dates = {**LONG, "time": ["2024-01-31 23:00", "2024-02-01 00:30", "2024-03-01 10:30", "2024-01-31 23:30"]}
    first = [(*own[:1], 0.0 if own[0] == "b" else own[1], *own[2:]) for own in EXPECTED]
    assert told(read_patients(dates)) == first
    admitted = {**dates, "in": ["2024-01-31 23:00", "2024-01-31 23:00", "2024-03-01 10:00", "2024-01-31 23:00"]}
    assert told(read_patients(admitted, admission="in")) == EXPECTED


def test_a_wide_table_is_a_long_one_without_what_is_missing() -> None:
    wide = {
        "id": ["a", "a", "a", "b"],
        "time": [0, 0.5, 1.5, 0.5],
        "HR": [80, 85, None, 70],
        "K": [None, None, 4.1, None],
    }
    assert told(read_patients(wide)) == EXPECTED


def test_texts_of_a_wide_table_are_a_variable_for_each_level() -> None:
    wide = {"id": [1, 2, 3], "time": [0, 0, 0], "HR": [80, 90, 70], "unit": ["ICU", "ward", "step-down"]}
    found = read_patients(wide)
    assert set(found.variables) == {"HR", "unit: ICU", "unit: ward", "unit: step-down"}
    again = read_patients({**wide, "unit": ["ward", "ward", "other"]}, reading=found.reading)
    assert ("1", 0.0, "unit: ward", 1.0) in told(again)


def test_impossible_values_are_left_out_and_counted_by_variable() -> None:
    rows = {**LONG, "value": [700.0, 4.1, 70.0, 85.0]}
    found = read_patients(rows, clock=MINUTES)
    assert found.impossible == {"HR": 1}
    assert len(told(found)) == 3
    assert read_patients(rows, clock=MINUTES, limits={"HR": (0, 1000)}).impossible == {}


def test_bounds_count_as_the_number_in_them() -> None:
    with pytest.warns(DataWarning, match="bounds"):
        found = read_patients({**LONG, "value": ["80", "<4.1", "70", "85"]}, clock=MINUTES)
    assert told(found) == EXPECTED


def test_what_is_before_admission_or_is_nothing_is_left_out_and_said() -> None:
    with pytest.warns(DataWarning, match="before the admission of 1 patient"):
        found = read_patients({**LONG, "time": [-5, 90, 30, 30]}, clock=MINUTES)
    assert len(told(found)) == 3
    with pytest.warns(DataWarning, match='without a measurement left out: "b"'):
        found = read_patients({**LONG, "value": [80, 4.1, None, 85]}, clock=MINUTES)
    assert found.ids == ("a",)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"value": ["80", "high", "70", "85"]}, '"high" in column "value" is not a number'),
        ({"time": [0, None, 30, 30]}, "every measurement needs its time"),
        ({"time": ["now", "then", "soon", "late"]}, "now"),
        ({"patient": ["a", None, "b", "a"]}, "must name its patient"),
        ({"variable": ["HR", None, "HR", "HR"]}, "needs its variable"),
        ({"value": [None] * 4}, "has no measurement"),
        ({"time": [0, 1e12, 30, 30]}, "years after admission"),
        ({"value": [np.inf, 1, 1, 1]}, "value"),
    ],
)
def test_what_cannot_be_read_is_refused_in_a_sentence(changes, said) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(DataError) as caught:
            read_patients({**LONG, **changes}, clock=MINUTES)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_none_are_refused_in_a_sentence(tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "cut.tar.gz").write_bytes(packed(tmp_path, "tar.gz").read_bytes()[:40])
    (tmp_path / "cut.zip").write_bytes(b"PK")
    (tmp_path / "no.csv").write_text("a,b\n1,2\n")
    for name in ("empty", "cut.tar.gz", "cut.zip", "gone.zip", "no.csv", "gone.csv"):
        with pytest.raises(OstinatoError) as caught:
            read_patients(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_outcomes_stand_beside_by_patient_or_in_the_table_itself() -> None:
    patients = read_patients(LONG, clock=MINUTES)
    beside = with_outcomes(
        patients, {"id": ["b", "a"], "died": ["no", "yes"], "at": [None, 120]}, outcome="died", outcome_time="at"
    )
    assert beside.outcomes.tolist() == [1.0, 0.0]
    assert beside.outcome_hours[0] == 2.0
    inside = read_patients({**LONG, "died": [1, 1, 0, 1]}, clock=MINUTES, outcome="died")
    assert inside.outcomes.tolist() == [1.0, 0.0]
    assert np.isnan(inside.outcome_hours).all()
    rising = read_patients({**LONG, "died": [0, 1, 0, 0]}, clock=MINUTES, outcome="died")
    assert rising.outcomes.tolist() == [1.0, 0.0]
    assert rising.outcome_hours[0] == 1.5


def test_outcomes_that_are_none_are_refused_or_said() -> None:
    patients = read_patients(LONG, clock=MINUTES)
    with pytest.raises(DataError, match="expected one outcome for each patient"):
        with_outcomes(patients, {"id": ["a", "a", "b"], "died": [1, 0, 0]}, outcome="died")
    with pytest.raises(DataError, match="expected 1 where it came"):
        with_outcomes(patients, {"id": ["a", "b"], "died": [1, 2]}, outcome="died")
    with pytest.raises(ColumnError, match="died"):
        with_outcomes(patients, {"id": ["a", "b"], "dead": [1, 0]}, outcome="died")
    with pytest.raises(ColumnError, match=r"--outcome COLUMN"):
        with_outcomes(patients, {"id": ["a", "b"], "dead": [1, 0], "x": [1, 0]}, outcome="died", or_only=True)
    with pytest.raises(ColumnError, match=r"--id COLUMN"):
        with_outcomes(patients, {"who": ["a", "b"], "died": [1, 0]}, outcome="died")
    with pytest.warns(DataWarning, match='the outcome is column "dead"'):
        found = with_outcomes(patients, {"id": ["a", "b"], "dead": [1, 0]}, outcome="died", or_only=True)
    assert found.outcomes.tolist() == [1.0, 0.0]
    with pytest.raises(DataError, match="no patient of"):
        with_outcomes(patients, {"id": ["x", "y"], "died": [1, 0]}, outcome="died")
    with pytest.warns(DataWarning, match="1 patient without an outcome"):
        assert with_outcomes(patients, {"id": ["a"], "died": [1]}, outcome="died").ids == ("a",)
    with pytest.warns(DataWarning, match="has no measurement in"):
        with_outcomes(patients, {"id": ["a", "b", "c"], "died": [1, 0, 0]}, outcome="died")


def beside(at, died=(1, 1, 0)):
    patients, outcomes = read_patients(LONG, clock=MINUTES), {"id": ["a", "a", "b"], "died": died, "at": at}
    return with_outcomes(patients, outcomes, outcome="died", outcome_time="at")


def inside(at, died=(1, 1, 0, 1)):
    return read_patients({**LONG, "died": died, "at": at}, clock=MINUTES, outcome="died", outcome_time="at")


@pytest.mark.parametrize(("read", "more"), [(beside, []), (inside, [None])])
def test_the_outcome_of_a_patient_has_one_time_in_whichever_row(read, more) -> None:
    for at in ([120, None, None], [None, 120, None], [120, 120, 7]):
        found = read([*at, *more])
        assert found.outcome_hours.tolist() == pytest.approx([2.0, np.nan], nan_ok=True)
    with pytest.raises(DataError, match='row 2 of .*patient "a" has another "at" than in row 1'):
        read([120, 60, None, *more])
    with pytest.raises(DataError, match='every time in column "at" .* lies before the admission'):
        read([-60] * (3 + len(more)), died=[1] * (3 + len(more)))
    with pytest.warns(DataWarning, match='the outcome of 1 patient lies before admission .* left out: "a"'):
        assert read([-60, None, None, *more]).ids == ("b",)


def test_a_folder_in_a_folder_is_no_file_of_a_patient(tmp_path) -> None:
    folder = packed(tmp_path, "folder")
    for name in ("sub.txt", "sub.hea", "sub.csv"):
        (folder / name).mkdir()
    (tmp_path / "Outcomes-a.txt").mkdir()
    assert told(read_patients(folder)) == EXPECTED
    assert outcomes_beside(tmp_path / "set-a") is None


def test_what_is_known_at_admission_is_measured_then() -> None:
    patients = with_statics(read_patients(LONG, clock=MINUTES), {"id": ["a", "b"], "age": [70, 50], "sex": ["f", "m"]})
    assert ("a", 0.0, "age", 70.0) in told(patients)
    assert ("b", 0.0, "sex: m", 1.0) in told(patients)
    with pytest.raises(DataError, match="a second row"):
        with_statics(patients, {"id": ["a", "a"], "age": [70, 50]})


def test_parts_joined_are_the_whole() -> None:
    whole = read_patients(LONG, clock=MINUTES)
    assert told(whole.take([0]).joined(whole.take([1]))) == told(whole)
    assert told(whole.until(0.5)) == [own for own in EXPECTED if own[1] <= 0.5]


def test_limits_that_are_none_are_refused() -> None:
    from ostinato.data.health.plausible import read_limits

    for text in ("HR", "HR=1", "HR=5:1", "HR=a:b"):
        with pytest.raises(UsageError, match="HR=20:300"):
            read_limits(text)


def test_the_set_of_physionet_is_read_as_it_comes(shared_data) -> None:
    path = shared_data / "physionet2012_set_a" / "set-a.tar.gz"
    if not path.exists():
        pytest.skip("set A is not there")
    with tarfile.open(path) as archive:
        member = next(own for own in archive if own.name.endswith(".txt"))
        text = archive.extractfile(member).read().decode()
    assert text.startswith("Time,Parameter,Value")


def test_beats_of_records_have_classes_and_their_record_in_their_name(shared_data) -> None:
    pytest.importorskip("wfdb")
    beats = read_beats(shared_data / "wfdb_samples", end=60)
    assert set(beats.labels) <= set("NSVFQ")
    assert {own.split("/")[0] for own in beats.ids} == {"100", "207"}
    assert all(own.shape == (88, 3) or own.shape == (87, 3) for own in beats.sequences)
    with pytest.raises(DataError, match="holds no WFDB record"):
        read_beats(shared_data / "pbcseq")
