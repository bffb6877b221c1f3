"""EDF files: slow signals become measurements of patients, fast ones arrays."""

import numpy as np
import pytest

from ostinato.data.health import read_patients
from ostinato.data.health.edf import is_edf, read_signals
from ostinato.errors import DataError, DataWarning

pyedflib = pytest.importorskip("pyedflib", reason="pyedflib is not installed (the extra health)")


def write(path, rates, seconds=20):
    with pyedflib.EdfWriter(str(path), len(rates), file_type=pyedflib.FILETYPE_EDFPLUS) as writer:
        for place, rate in enumerate(rates):
            writer.setSignalHeader(place, {
                "label": f"S{place}", "dimension": "bpm", "sample_frequency": rate, "physical_max": 300.0,
                "physical_min": -300.0, "digital_max": 32767, "digital_min": -32768, "transducer": "", "prefilter": "",
            })  # fmt: skip
        writer.writeSamples([np.arange(seconds * rate, dtype=float) for rate in rates])
    return path


def test_slow_signals_of_a_folder_are_measurements_by_file(tmp_path) -> None:
    for name in ("a", "b"):
        write(tmp_path / f"{name}.edf", [1, 100])
    assert is_edf(tmp_path)
    with pytest.warns(DataWarning, match="1 of 2 signals are waveforms"):
        found = read_patients(tmp_path)
    assert found.ids == ("a", "b")
    assert found.variables == ("S0",)
    own = found.of(0)
    np.testing.assert_allclose(found.values[own], np.arange(20), atol=0.02)
    np.testing.assert_allclose(found.hours[own] * 3600, np.arange(20), atol=1e-3)


def test_signals_come_as_they_were_written(tmp_path) -> None:
    slow, fast = read_signals(write(tmp_path / "x.edf", [1, 50]))
    assert (fast.name, fast.unit, fast.rate, len(fast.values)) == ("S1", "bpm", 50.0, 1000)
    np.testing.assert_allclose(slow.values, np.arange(20), atol=0.02)


def test_bad_files_are_refused_in_one_sentence(tmp_path) -> None:
    (tmp_path / "bad.edf").write_bytes(b"no edf at all" * 50)
    write(tmp_path / "fast.edf", [100])
    for name, message in (("bad", "cannot be read as EDF"), ("fast", "waveforms alone"), ("none", "does not exist")):
        with pytest.raises(DataError, match=message) as caught:
            read_patients(tmp_path / f"{name}.edf")
        assert "\n" not in str(caught.value)
