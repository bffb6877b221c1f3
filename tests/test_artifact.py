"""Model folders: whole, or refused with a sentence; never half-written."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from ostinato import files
from ostinato.artifact import load_artifact, save_artifact
from ostinato.errors import ArtifactError, CorruptArtifact, NewerArtifact, OutputError

BODY = {"name": "load", "numbers": [1, 2.5, float("nan"), float("-inf")], "deep": {"flag": True, "none": None}}
TENSORS = {"w": np.arange(12.0).reshape(3, 4), "i": np.array([1, 2], np.int64), "e": np.zeros((0, 3))}


def test_what_is_saved_comes_back(tmp_path) -> None:
    save_artifact(tmp_path / "m", "toy", BODY, TENSORS)
    back = load_artifact(tmp_path / "m", "toy")
    np.testing.assert_equal(back.body, BODY)
    for name, array in TENSORS.items():
        np.testing.assert_array_equal(back.tensors[name], array)
        assert back.tensors[name].dtype == array.dtype
    assert "numpy" in back.versions
    json.loads((tmp_path / "m/model.json").read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_saving_again_replaces_the_weights_and_nothing_else(tmp_path) -> None:
    save_artifact(tmp_path, "toy", BODY, TENSORS)
    (tmp_path / "notes.txt").write_text("mine")
    save_artifact(tmp_path, "toy", BODY, {"w": np.ones(2)})
    assert len(list(tmp_path.glob("weights-*"))) == 1
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert load_artifact(tmp_path, "toy").tensors["w"].tolist() == [1, 1]


def test_any_file_cut_short_or_changed_is_refused(tmp_path) -> None:
    save_artifact(tmp_path, "toy", BODY, TENSORS)
    for path in sorted(tmp_path.iterdir()):
        whole = path.read_bytes()
        for keep in {0, 1, 7, 8, 9, len(whole) // 2, len(whole) - 1}:
            path.write_bytes(whole[:keep])
            with pytest.raises(CorruptArtifact, match=path.name):
                load_artifact(tmp_path, "toy")
        for place in range(0, len(whole), max(1, len(whole) // 40)):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            with pytest.raises(ArtifactError):
                load_artifact(tmp_path, "toy")
        path.write_bytes(whole)
        load_artifact(tmp_path, "toy")


def test_missing_newer_and_foreign_models_are_told_apart(tmp_path) -> None:
    with pytest.raises(ArtifactError, match="holds no model"):
        load_artifact(tmp_path / "absent", "toy")
    save_artifact(tmp_path, "toy", BODY, TENSORS)
    with pytest.raises(ArtifactError, match='kind "toy"; expected "forecaster"'):
        load_artifact(tmp_path, "forecaster")
    manifest = json.loads((tmp_path / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps({**manifest, "format": 99}))
    with pytest.raises(NewerArtifact, match="written in format 99, but this version reads up to 1; upgrade"):
        load_artifact(tmp_path, "toy")
    (tmp_path / "model.json").write_text(json.dumps(manifest))
    next(tmp_path.glob("weights-*")).unlink()
    with pytest.raises(CorruptArtifact, match="is missing or cannot be read"):
        load_artifact(tmp_path, "toy")


def test_a_full_disk_leaves_the_old_model(tmp_path, monkeypatch) -> None:
    save_artifact(tmp_path, "toy", BODY, TENSORS)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OutputError, match="no space left on device"):
        save_artifact(tmp_path, "toy", BODY, {"w": np.ones(5)})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_file_in_the_place_of_the_folder_is_an_output_error(tmp_path) -> None:
    (tmp_path / "m").write_text("a file")
    with pytest.raises(OutputError, match="cannot be made"):
        save_artifact(tmp_path / "m", "toy", BODY, TENSORS)


SAVER = """
import sys, numpy as np
from pathlib import Path
from ostinato.artifact import save_artifact
n = 0
while True:
    save_artifact(Path(sys.argv[1]), "toy", {"n": n}, {"w": np.full(20000, float(n))})
    print(n, flush=True)
    n += 1
"""


@pytest.mark.slow
@pytest.mark.ci
def test_a_save_killed_at_any_moment_leaves_a_whole_model(tmp_path) -> None:
    rng = np.random.default_rng(0)
    for _ in range(6):
        with subprocess.Popen([sys.executable, "-c", SAVER, str(tmp_path)], stdout=subprocess.PIPE) as child:
            child.stdout.readline()
            time.sleep(rng.uniform(0, 0.05))
            os.kill(child.pid, signal.SIGKILL)
        back = load_artifact(tmp_path, "toy")
        assert (back.tensors["w"] == back.body["n"]).all()
