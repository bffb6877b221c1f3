"""A composer on the command line: a folder in, a file that plays out."""

import io
import json
import sys

import numpy as np
import pytest

pytest.importorskip("symusic")
from ostinato.cli import main
from ostinato.data.music import Piece, read_abc, read_midi, to_frames, write_abc, write_midi

MELODY = Piece.of([(i, 1, pitch) for i, pitch in enumerate([72, 74, 74, 76])], tempo=100.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with music, a model of chords, and one of melodies."""
    here = tmp_path_factory.mktemp("music")
    (here / "music").mkdir()
    rng = np.random.default_rng(0)
    for number in range(12):
        roots = rng.integers(55, 62, 8)
        notes = [(i, 1, int(root) + step) for i, root in enumerate(roots) for step in (0, 4, 7, 17)]
        write_midi(here / "music" / f"{number}.mid", Piece.of(notes))
    tunes = [Piece.of([(i, 1, int(p)) for i, p in enumerate(rng.integers(60, 72, 8))]) for _ in range(12)]
    (here / "tunes").mkdir()
    for number, tune in enumerate(tunes):
        write_abc(here / "tunes" / f"{number}.abc", tune)
    write_midi(here / "melody.mid", MELODY)
    small = ["--hidden-size", "8", "--head-size", "8", "--epochs", "2", "--steps-per-quarter", "1", "--no-progress"]
    for name, out in (("music", "chords"), ("tunes", "melodies")):
        assert main(["fit", "music", str(here / name), "--out", str(here / out), *small, "--no-report"]) == 0
    return here


def test_a_composer_writes_a_file_that_plays(folder, tmp_path, capsys) -> None:
    out = tmp_path / "a.mid"
    asked = ["--bars", "4", "--seed", "3", "--tempo", "90", "--metre", "3/4", "--program", "19", "--json"]
    assert main(["compose", str(folder / "chords"), "--out", str(out), *asked]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["file"], said["quarters"], said["seconds"]) == (str(out), 12.0, 8.0)
    piece = read_midi(out)
    assert (piece.tempo, piece.metre, len(piece)) == (90.0, (3, 4), said["notes"])
    assert main(["compose", str(folder / "chords"), "--out", str(tmp_path / "b.mid"), *asked]) == 0
    assert (tmp_path / "b.mid").read_bytes() == out.read_bytes()
    assert sorted(own.name for own in tmp_path.iterdir()) == ["a.mid", "b.mid"]


def test_several_pieces_around_a_melody_keep_it_note_for_note(folder, tmp_path, capsys) -> None:
    asked = ["--harmonize", str(folder / "melody.mid"), "--count", "3", "--drafts", "4"]
    assert main(["compose", str(folder / "chords"), "--out", str(tmp_path / "h.mid"), *asked]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    for number in (1, 2, 3):
        made = read_midi(tmp_path / f"h-{number}.mid")
        top = 127 - to_frames(made, 1)[:, ::-1].argmax(1)
        assert top.tolist() == MELODY.pitch.tolist()
        assert made.tempo == 100.0
        for start, lasts, pitch in zip(MELODY.start, MELODY.duration, MELODY.pitch, strict=True):
            assert ((made.start == start) & (made.duration == lasts) & (made.pitch == pitch)).any()


def test_an_opening_is_continued_and_a_melody_is_written_as_abc(folder, tmp_path, capsys) -> None:
    asked = ["--prime", str(folder / "melody.mid"), "--bars", "3"]
    assert main(["compose", str(folder / "melodies"), "--out", str(tmp_path / "t.abc"), *asked]) == 0
    (tune,) = read_abc(tmp_path / "t.abc")
    assert tune.pitch[:3].tolist() == [72, 74, 74]
    assert tune.start.max() >= 4
    capsys.readouterr()
    assert main(["compose", str(folder / "chords"), "--out", str(tmp_path / "u.abc"), "--bars", "4"]) == 2
    assert "write a MIDI file" in capsys.readouterr().err


def test_mistakes_get_one_sentence(folder, tmp_path, capsys) -> None:
    model, melody = str(folder / "chords"), str(folder / "melody.mid")
    high = write_midi(tmp_path / "high.mid", MELODY.transposed(45))
    two = write_midi(tmp_path / "two.mid", Piece.of([(0, 1, 60), (0, 1, 64)]))
    cut = tmp_path / "cut.mid"
    cut.write_bytes((folder / "melody.mid").read_bytes()[:-5])
    out = ["--out", str(tmp_path / "x.mid")]
    for arguments, code, said in [
        ([str(tmp_path / "none"), *out], 5, "does not exist"),
        ([model, "--out", str(tmp_path / "x.wav")], 2, "ends in .mid"),
        ([model, *out, "--bars", "0"], 2, "bars is 0"),
        ([model, *out, "--bars", "4", "--seconds", "3"], 2, "both say how long"),
        ([model, *out, "--bars", "1e8"], 2, "expected at most"),
        ([model, *out, "--count", "0"], 2, "--count is 0"),
        ([model, *out, "--temperature", "-1"], 2, "temperature is -1"),
        ([model, *out, "--top-p", "0"], 2, "top_p is 0"),
        ([model, *out, "--key", "H"], 2, 'key is "H"'),
        ([model, *out, "--metre", "3"], 2, 'metre is "3"'),
        ([model, *out, "--tempo", "0"], 2, "tempo is 0"),
        ([model, *out, "--program", "200"], 2, "--program is 200"),
        ([model, *out, "--harmonize", str(high)], 3, "beyond the model's range"),
        ([model, *out, "--harmonize", str(two)], 3, "sound together"),
        ([model, *out, "--harmonize", str(cut)], 3, "is cut short"),
        ([model, *out, "--harmonize", str(tmp_path / "no.mid")], 3, "does not exist"),
        ([model, *out, "--prime", melody, "--harmonize", melody], 2, "give one of them"),
        ([model, *out, "--prime", melody, "--bars", "1"], 2, "ask for a longer one"),
        ([model, "--out", str(tmp_path / "no" / "x.mid"), "--bars", "1"], 6, "cannot be written"),
    ]:
        assert main(["compose", *arguments]) == code, arguments
        error = capsys.readouterr().err
        assert error.startswith("ostinato: error: ")
        assert said in error
        assert error.count("\n") == 1
    assert not (tmp_path / "x.mid").exists()
    assert main(["fit", "music", str(cut), "--out", str(tmp_path / "m")]) == 3
    assert "is cut short" in capsys.readouterr().err
    assert not (tmp_path / "m").exists()


def test_notes_come_in_on_stdin_and_notes_go_out(folder, capsys, monkeypatch) -> None:
    rows = ['{"notes": [60, 64]}', "[62, 65]", "67 71", "[]"]
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(rows) + "\n"))
    assert main(["stream", str(folder / "chords"), "--temperature", "1", "--seed", "2"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [own["row"] for own in answers] == [1, 2, 3, 4]
    assert all(own["nats"] > 0 and all(21 <= note <= 108 for note in own["next"]) for own in answers)


def test_files_are_answered_and_judged(folder, capsys) -> None:
    assert main(["predict", str(folder / "chords"), str(folder / "melody.mid"), "--json"]) == 0
    (answer,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (answer["steps"], set(answer)) == (
        4,
        {"piece", "steps", "nats a frame", "frame accuracy", "accuracy at changes"},
    )
    assert main(["evaluate", str(folder / "chords"), str(folder / "music"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["count"] == 12 * 8
    assert "note frequencies" in found["scores"]


def test_other_models_do_not_compose(folder, tmp_path, capsys) -> None:
    from ostinato import LanguageModel

    text = ["the cat sat on the mat and looked at the dog"] * 30
    LanguageModel(hidden_size=4, epochs=1, progress=False).fit(text).save(tmp_path / "m")
    assert main(["compose", str(tmp_path / "m"), "--out", str(tmp_path / "x.mid")]) == 2
    assert "does not compose music" in capsys.readouterr().err


def test_a_person_is_told_what_was_written_and_what_was_taken(folder, tmp_path, capsys) -> None:
    many = tmp_path / "many.abc"
    many.write_text("\n".join(f"X:{i}\nT:Tune {i}\nM:4/4\nL:1/4\nK:C\nC D E F |]\n" for i in (1, 2, 3)))
    asked = ["--prime", str(many), "--bars", "4"]
    assert main(["compose", str(folder / "melodies"), "--out", str(tmp_path / "t.abc"), *asked]) == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"written to {tmp_path / 't.abc'}: ")
    assert "4 bars, 8 s, " in said.out
    assert "many.abc has 3 pieces; the first, " in said.err
    assert "is taken" in said.err
    assert "one note at a time" not in said.err
