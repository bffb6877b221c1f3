"""Utterances from tables, folders, archives and memory; what is wrong with them in one sentence."""

import json
import tarfile
import zipfile

import numpy as np
import polars as pl
import pytest
from sounds import tone, write_sound

from ostinato.data.audio import read_utterances
from ostinato.errors import ColumnError, DataError, DataWarning, OstinatoError, UsageError


@pytest.fixture
def folder(tmp_path):
    for number, name in enumerate(("a", "b", "c")):
        write_sound(tmp_path / f"clips/{name}.wav", tone(0.3 + 0.1 * number, seed=number))
    return tmp_path


def test_tables_of_all_kinds_say_the_same(folder) -> None:
    frame = pl.DataFrame({"path": [f"clips/{name}.wav" for name in "abc"], "sentence": ["one", "two  three", "four"],
                          "speaker": ["x", "y", "x"]})  # fmt: skip
    frame.write_csv(folder / "t.csv")
    frame.write_csv(folder / "t.tsv", separator="\t")
    frame.write_ndjson(folder / "t.jsonl")
    frame.write_parquet(folder / "t.parquet")
    for name in ("t.csv", "t.tsv", "t.jsonl", "t.parquet"):
        found = read_utterances(folder / name)
        assert found.texts == ("one", "two three", "four")
        assert found.speakers == ("x", "y", "x")
        assert found.durations == pytest.approx([0.3, 0.4, 0.5])
        assert found.usual_rate() == 16000
        assert found.ids == ("clips/a.wav", "clips/b.wav", "clips/c.wav")
    part = found[1:]
    assert part.texts == ("two three", "four")
    assert len(part.samples(0, 8000)) == 3200
    assert part.samples(0, 8000) is part.samples(0, 8000)
    assert part.part([1]).joined(found.part([0])).ids == ("clips/c.wav", "clips/a.wav")


def test_paths_are_found_beside_the_table_without_ending_from_the_working_folder_and_in_archives(
    folder, monkeypatch
) -> None:
    with zipfile.ZipFile(folder / "all.zip", "w") as archive:
        archive.write(folder / "clips/a.wav", "deep/a.wav")
    with tarfile.open(folder / "all.tar", "w") as archive:
        archive.add(folder / "clips/b.wav", "b.wav")
    monkeypatch.chdir(folder)
    paths = ["a", "b.wav", "clips/c", "all.zip/deep/a.wav", "all.tar/b.wav", str(folder / "clips/a.wav")]
    (folder / "sub").mkdir()
    table = folder / "t.csv"
    pl.DataFrame({"audio": paths, "text": list("abcdef")}).write_csv(table)
    found = read_utterances(table)
    assert [len(found.samples(row, 16000)) for row in range(6)] == [4800, 6400, 8000, 4800, 6400, 4800]
    keys = list(found.contents())
    assert keys[0] == keys[3] == keys[5] != keys[1] == keys[4]


def test_a_manifest_of_offsets_and_durations_gives_parts(folder) -> None:
    rows = [{"audio_filepath": "clips/c.wav", "offset": 0.1, "duration": 0.2, "text": "x"},
            {"audio_filepath": "clips/c.wav", "offset": 0.3, "duration": 0.1, "text": "y"}]  # fmt: skip
    (folder / "m.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = read_utterances(folder / "m.jsonl")
    assert found.durations == pytest.approx([0.2, 0.1])
    assert len(found.samples(1, 16000)) == 1600
    assert len(set(found.ids)) == 2


def test_folders_with_texts_beside_as_librispeech_and_in_archives_say_the_same(folder) -> None:
    for name, text in zip("abc", ("one", "two\n", "three"), strict=True):
        (folder / f"clips/{name}.txt").write_text(text)
    expected = ("one", "two", "three")
    assert read_utterances(folder).texts == expected
    with zipfile.ZipFile(folder / "set.zip", "w") as archive:
        for path in sorted((folder / "clips").iterdir()):
            archive.write(path, f"set/{path.name}")
            if path.suffix == ".txt":
                path.unlink()
    assert read_utterances(folder / "set.zip").texts == expected
    (folder / "clips/1-2.trans.txt").write_text("a one\nb two\nc three\n")
    assert read_utterances(folder / "clips").texts == expected
    (folder / "clips/1-2.trans.txt").write_text("a one\n")
    with pytest.warns(DataWarning, match='2 of 3 sounds have no text and are left out, the first of them "b.wav"'):
        assert read_utterances(folder / "clips").texts == ("one",)


def test_folders_of_classes_name_them(tmp_path) -> None:
    write_sound(tmp_path / "yes/1.wav", tone())
    write_sound(tmp_path / "no/1.flac", tone())
    found = read_utterances(tmp_path, classes=True)
    assert dict(zip(found.ids, found.texts, strict=True)) == {"yes/1": "yes", "no/1": "no"}


def kaldi(folder, **files):
    home = folder / "data"
    home.mkdir(exist_ok=True)
    for name, text in files.items():
        (home / name.replace("_", ".")).write_text(text)
    return home


def test_a_folder_of_kaldis_is_read_with_segments_and_speakers(folder, monkeypatch) -> None:
    home = kaldi(folder, wav_scp="r1 ../clips/c.wav\nr2 ../clips/a.wav\n", text="u1 one two\nu2 three\nu9 nothing\n",
                 segments="u1 r1 0.1 0.3\nu2 r2 0 -1\nu3 r1 0.3 0.4\n", utt2spk="u1 s1\nu2 s2\n")  # fmt: skip
    with pytest.warns(DataWarning) as caught:
        found = read_utterances(home)
    assert [str(one.message).split(": ")[1] for one in caught] == [
        "1 of 3 sounds without a text left out",
        '1 text without a sound left out, the first of them "u9"',
    ]
    assert (found.ids, found.texts, found.speakers) == (("u1", "u2"), ("one two", "three"), ("s1", "s2"))
    assert found.durations == pytest.approx([0.2, 0.3])
    assert len(found.samples(0, 16000)) == 3200


@pytest.mark.parametrize(
    ("files", "match"),
    [
        ({"wav_scp": "a touch /tmp/ran |\n", "text": "a x\n"}, "line 1 of .*wav.scp has a command"),
        ({"wav_scp": "a\n", "text": "a x\n"}, "alone"),
        ({"wav_scp": "a x.wav\na y.wav\n", "text": "a x\n"}, "again"),
        ({"wav_scp": "a gone.wav\n", "text": "a x\n"}, 'the first "gone.wav"'),
        ({"wav_scp": "", "text": "a x\n"}, "empty"),
        ({"wav_scp": "a x.wav\n"}, "text is not there"),
        ({"wav_scp": "a x.wav\n", "text": "b x\n"}, "no utterance"),
        ({"wav_scp": "a x.wav\n", "text": "a x\n", "segments": "a b 0 1\n"}, "not in wav.scp"),
        ({"wav_scp": "a x.wav\n", "text": "a x\n", "segments": "a a 2 1\n"}, "start below end"),
        ({"wav_scp": "a x.wav\n", "text": "a x\n", "segments": "a a 2\n"}, "expected a name, a recording"),
    ],
)
def test_what_is_wrong_in_a_folder_of_kaldis_is_one_sentence(tmp_path, files, match) -> None:
    with pytest.raises(DataError, match=match):
        read_utterances(kaldi(tmp_path, **files))


def test_sounds_in_memory_in_all_their_forms_are_the_same() -> None:
    sound, whole = tone(), (tone() * 32767).astype(np.int16)
    for given in (
        ([(sound, 16000)], ["hi"]),
        [{"audio": {"array": sound, "sampling_rate": 16000}, "text": "hi"}],
        ([(np.stack([sound, sound], 1), 16000)], ["hi"]),
        ([(whole, 16000.0)], ["hi"]),
    ):
        found = read_utterances(given)
        assert found.texts == ("hi",)
        assert np.abs(found.samples(0, 16000) - sound).max() < 1e-4
    assert len(read_utterances((sound, 16000), labelled=False)) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        ([], []), ([(tone(), 16000)], []), ([(tone(), 16000)], [None]), ([(tone(), 0)], ["a"]),
        ([(tone(), 16000.5)], ["a"]), ([(np.zeros(0), 16000)], ["a"]), ([(np.full(9, np.nan), 16000)], ["a"]),
        ([(1000 * tone(), 16000)], ["a"]),
        ([(np.zeros((2, 8000)), 16000)], ["a"]), ([(np.zeros((2, 2, 2)), 16000)], ["a"]), ([(["x"], 16000)], ["a"]),
        ([3], ["a"]), 3, None, "gone.csv", "gone\0.csv", {"audio": []}, {"audio": ["gone.wav"], "text": ["a"]},
        {"audio": [None], "text": ["a"]}, {"x": ["a.wav"], "text": ["a"]}, {"audio": ["a.wav"]},
    ],
)  # fmt: skip
def test_what_cannot_be_utterances_is_refused(wrong, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((DataError, UsageError)) as caught:
        read_utterances(wrong)
    assert "\n" not in str(caught.value)


def test_sentences_say_how_many_are_wrong_and_which_is_the_first(folder, monkeypatch) -> None:
    table = folder / "t.csv"
    table.write_text("path,text,id,start,end\nclips/a.wav,x,1,0,0.1\nclips/gone.wav,y,1,0,0.2\nno.wav,z,2,0.3,0.2\n")
    with pytest.raises(DataError, match=r't\.csv: 2 of its 3 sound files are not there, the first "clips/gone\.wav"'):
        read_utterances(table)
    table.write_text("path,text,id,start,end\nclips/a.wav,x,1,0,0.1\nclips/b.wav,z,1,0.3,0.2\n")
    with pytest.raises(DataError, match=r"row 3 of t\.csv: the part from 0\.3 to 0\.2 s is none"):
        read_utterances(table)
    table.write_text("path,text,name\nclips/a.wav,x,1\nclips/b.wav,z,1\n")
    with pytest.raises(DataError, match='1 names that several utterances have, the first of them "1"'):
        read_utterances(table, id="name")
    with pytest.raises(ColumnError, match='no column "sound"'):
        read_utterances(table, audio="sound")
    (folder / "clips/a.txt").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(DataError, match=r"a\.txt is no text in UTF-8"):
        read_utterances(folder / "clips")
    (folder / "bare").mkdir()
    with pytest.raises(DataError, match="no sound files"):
        read_utterances(folder / "bare")


def test_damaged_archives_and_tables_that_are_sounds_are_refused(folder) -> None:
    with zipfile.ZipFile(folder / "good.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in "abc":
            archive.write(folder / f"clips/{name}.wav", f"k/{name}.wav")
    content = (folder / "good.zip").read_bytes()
    for seed in range(30):
        rng, mutated = np.random.default_rng(seed), bytearray(content)
        for place in rng.integers(0, len(mutated), 12):
            mutated[place] = int(rng.integers(0, 256))
        path = folder / f"bad{seed}.zip"
        path.write_bytes(mutated[: int(rng.integers(10, len(mutated)))] if seed % 2 else mutated)
        try:
            found = read_utterances(path, labelled=False)
            for row in range(len(found)):
                found.samples(row, 16000)
        except OstinatoError:  # anything else fails the test
            continue
    with pytest.raises(DataError, match="one sound without transcripts"):
        read_utterances(folder / "clips/a.wav")
