"""The demo of speech: what it makes, and what it says where it cannot make it."""

import random
import shutil

import numpy as np
import pytest

from ostinato.data.audio import read_utterances
from ostinato.errors import DataError, MissingExtra
from ostinato.tasks.speech import demo


def test_a_machine_without_espeak_is_told_what_to_install_or_to_name(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv(demo.FOLDER, raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(MissingExtra, match=f"install it.*or name a folder.*{demo.FOLDER}"):
        demo.run(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_with_too_little_speech_is_refused(tmp_path, monkeypatch) -> None:
    from ostinato.data.audio import sound_bytes

    (tmp_path / "a.wav").write_bytes(sound_bytes(np.zeros(800, np.float32), 8000))
    (tmp_path / "a.txt").write_text("one")
    monkeypatch.setenv(demo.FOLDER, str(tmp_path))
    with pytest.raises(DataError, match="holds 1 utterances; the demo needs ten"):
        demo.run(tmp_path / "out")


def test_an_espeak_that_fails_is_named(tmp_path) -> None:
    program = shutil.which("false")
    if program is None:
        pytest.skip("there is no program that fails")
    with pytest.raises(DataError, match='espeak-ng did not say "one" with the voice en-us'):
        demo._speak(program, tmp_path, "0.wav", "one", "en-us", 150, 50)


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
def test_what_espeak_says_lies_in_a_table_that_can_be_read(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(demo, "_UTTERANCES", 6)
    found = read_utterances(demo._made(tmp_path))
    assert len(found) == 6
    assert found.usual_rate() == 8000
    assert all(set(text.split()) <= set(demo._WORDS) for text in found.texts)
    assert all(0.5 < seconds < 6 for seconds in found.durations)
    assert float(np.abs(found.samples(0, 8000)).max()) > 0.1
    assert "6 numbers" in capsys.readouterr().out


def test_what_is_said_is_set_into_a_quiet_room() -> None:
    said = np.full(1000, 0.5, np.float32)
    found = demo.in_a_room(said, 8000, random.Random(0))
    assert 1000 + 2 * 800 <= len(found) <= 1000 + 2 * 3200
    assert np.abs(found[:700]).max() < 0.05
    assert float((found > 0.4).mean()) == pytest.approx(1000 / len(found), abs=0.01)
