"""Model folders: whole, or refused with a sentence; never half-written."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from ostinato import files
from ostinato.artifact import load_artifact, save_artifact
from ostinato.errors import ArtifactError, CorruptArtifact, NewerArtifact, OutputError

BODY = {"name": "load", "numbers": [1, 2.5, float("nan"), float("-inf")], "deep": {"flag": True, "none": None}}
TENSORS = {
    "w": np.arange(12.0).reshape(3, 4),
    "i": np.array([1, 2], np.int64),
    "e": np.zeros((0, 3)),
    "scalar": np.array(3.0),
}


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
    for name in ("notes.txt", "weights-mine.safetensors"):
        (tmp_path / name).write_text("mine")
    save_artifact(tmp_path, "toy", BODY, {"w": np.ones(2)})
    assert len(list(tmp_path.iterdir())) == 4
    for name in ("notes.txt", "weights-mine.safetensors"):
        assert (tmp_path / name).read_text() == "mine"
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


GOOD = save({"w": np.ones(2)})
BFLOAT = b'{"w":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}'
DEEP = json.loads('{"a":' * 600 + "1" + "}" * 600)
ODD_CORES = {
    "no weights": {"weights": None},
    "weights that are a list": {"weights": []},
    "a file that is a number": {"weights": {"file": 3, "sha256": "x"}},
    "a file with a zero byte": {"weights": {"file": "a\0b", "sha256": "x"}},
    "a file with half a character": {"weights": {"file": "\ud800", "sha256": "x"}},
    "a file of another folder": {"weights": {"file": "../weights-000000000000.safetensors", "sha256": "x"}},
    "a file without checksum": {"weights": {"file": "weights-000000000000.safetensors"}},
    "a body that is a list": {"body": []},
    "a body that is a number": {"body": {"$float": "1"}},
    "a body with a float of a list": {"body": {"a": {"$float": []}}},
    "a body with a float of a word": {"body": {"a": {"$float": "abc"}}},
    "a body that is very deep": {"body": DEEP},
    "versions that are a list": {"versions": ["1"]},
    "versions that are numbers": {"versions": {"numpy": 1}},
    "a kind that is no text": {"kind": {"a": 1}},
}


def write_foreign(folder: Path, content: bytes = GOOD, **changes: object) -> None:
    """Write a model folder whose checksums all fit, whatever it holds."""
    file = {"file": "weights-000000000000.safetensors", "sha256": hashlib.sha256(content).hexdigest()}
    core = {"kind": "toy", "versions": {}, "weights": file, "body": {}, **changes}
    checked = json.dumps({key: core[key] for key in ("kind", "versions", "weights", "body")}, sort_keys=True)
    whole = {"format": 1, "sha256": hashlib.sha256(checked.encode()).hexdigest(), **core}
    (folder / file["file"]).write_bytes(content)
    (folder / "model.json").write_text(json.dumps(whole))


def test_a_foreign_folder_made_right_loads(tmp_path) -> None:
    write_foreign(tmp_path)
    assert load_artifact(tmp_path, "toy").tensors["w"].tolist() == [1, 1]


@pytest.mark.parametrize("changes", ODD_CORES.values(), ids=ODD_CORES.keys())
def test_a_manifest_of_odd_types_is_no_model(tmp_path, changes) -> None:
    write_foreign(tmp_path, **changes)
    with pytest.raises(CorruptArtifact, match="does not say what a model needs.*no model of this package"):
        load_artifact(tmp_path, "toy")


@pytest.mark.parametrize("number", ["true", "0", "-1", "1.0", "null", '"1"'])
def test_an_odd_format_is_no_model(tmp_path, number) -> None:
    (tmp_path / "model.json").write_text(f'{{"format": {number}}}')
    with pytest.raises(CorruptArtifact, match="does not say its format"):
        load_artifact(tmp_path, "toy")


@pytest.mark.parametrize(
    "text", ["[]", "null", '"x"', "[" * 100000, '{"format": 1, "body": NaN}', '{"a": 1e999}', "\xff"]
)
def test_a_manifest_that_is_no_object_of_strict_json_is_no_model(tmp_path, text) -> None:
    (tmp_path / "model.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(CorruptArtifact, match="model.json"):
        load_artifact(tmp_path, "toy")


@pytest.mark.parametrize(
    "weights", [b"", b"hello", GOOD[:20], len(BFLOAT).to_bytes(8, "little") + BFLOAT + b"\0\0"], ids=len
)
def test_weights_that_are_no_safetensors_are_refused(tmp_path, weights) -> None:
    write_foreign(tmp_path, weights)
    with pytest.raises(CorruptArtifact, match="is no safetensors file"):
        load_artifact(tmp_path, "toy")


def test_a_path_that_cannot_be_read_is_an_artifact_error(tmp_path) -> None:
    (tmp_path / "m/model.json").mkdir(parents=True)
    for path in (tmp_path / "m", tmp_path / ("x" * 300), Path("a\0b")):
        with pytest.raises(ArtifactError, match="cannot be read|holds no model"):
            load_artifact(path, "toy")


def test_a_full_disk_leaves_the_old_model(tmp_path, monkeypatch) -> None:
    save_artifact(tmp_path, "toy", BODY, TENSORS)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OutputError, match="no space left on device"):
        save_artifact(tmp_path, "toy", BODY, {"w": np.ones(5)})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("writes", [0, 1], ids=["at the weights", "at the manifest"])
def test_a_disk_that_fills_up_leaves_nothing_of_a_new_model(tmp_path, monkeypatch, writes) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own/notes.txt").write_text("mine")
    for folder in (tmp_path / "a/b", tmp_path / "own"):
        monkeypatch.setattr(files.os, "fsync", fails_after(writes))
        with pytest.raises(OutputError, match="no space left on device"):
            save_artifact(folder, "toy", BODY, TENSORS)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["notes.txt", "own"]


def test_a_body_that_is_not_plain_data_leaves_nothing(tmp_path) -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        save_artifact(tmp_path / "m", "toy", {"a": object()}, TENSORS)
    assert not (tmp_path / "m").exists()


def fails_after(writes: int):
    """Return an `fsync` of a disk that is full after so many files."""
    left = iter(range(writes))

    def fsync(_):
        if next(left, None) is None:
            raise OSError(28, "No space left on device")

    return fsync


def test_what_killed_saves_left_is_swept_and_nothing_else(tmp_path) -> None:
    ours = [".model.json.ab12cd_4.ostinato", ".weights-0123456789ab.safetensors.abcdefgh.ostinato"]
    others = [".model.json.original", ".notes.txt.abcdefgh.ostinato", ".weights-mine.safetensors.abcdefgh.ostinato"]
    young = ".model.json.zzzzzzzz.ostinato"
    for name in [*ours, *others, young]:
        (tmp_path / name).write_text("half")
    for name in [*ours, *others]:
        os.utime(tmp_path / name, (1, 1))
    (tmp_path / ".model.json.afolder0.ostinato").mkdir()
    os.utime(tmp_path / ".model.json.afolder0.ostinato", (1, 1))
    save_artifact(tmp_path, "toy", BODY, TENSORS)
    hidden = {path.name for path in tmp_path.iterdir() if path.name.startswith(".")}
    assert hidden == {*others, young, ".model.json.afolder0.ostinato"}
    load_artifact(tmp_path, "toy")


HALF = """
import os, sys
from pathlib import Path
from ostinato import files
files.os.fsync = lambda _: os._exit(9)
files.write_atomically(Path(sys.argv[1]), b"half")
"""


def test_a_write_that_is_killed_leaves_a_file_that_a_later_one_sweeps(tmp_path) -> None:
    assert subprocess.run([sys.executable, "-c", HALF, str(tmp_path / "a.txt")], check=False).returncode == 9
    (left,) = tmp_path.iterdir()
    files.write_atomically(tmp_path / "a.txt", b"whole")
    assert left.exists()  # young: its writer might live
    os.utime(left, (1, 1))
    files.write_atomically(tmp_path / "a.txt", b"whole")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_an_interrupted_write_leaves_nothing_aside(tmp_path, monkeypatch) -> None:
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(files.os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        files.write_atomically(tmp_path / "a.txt", b"half")
    assert not list(tmp_path.iterdir())


def test_folders_that_cannot_all_be_made_are_taken_away_again(tmp_path) -> None:
    with pytest.raises(OutputError, match="cannot be made"):
        files.make_folder(tmp_path / "a" / ("x" * 300))
    assert not list(tmp_path.iterdir())


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
