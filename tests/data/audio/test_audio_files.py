"""Sound files: what is read of good ones, and one sentence for each bad one."""

import struct

import numpy as np
import pytest
import soundfile
from sounds import tone, write_sound

from ostinato.data.audio import SoundNotes, read_sound, read_utterances, sound_blocks, sound_info
from ostinato.errors import DataError, DataWarning, NotEnoughMemory, OstinatoError


@pytest.mark.parametrize(
    ("suffix", "subtype"), [("wav", "PCM_16"), ("wav", "FLOAT"), ("wav", "ULAW"), ("flac", "PCM_24")]
)
def test_a_file_is_read_as_soundfile_reads_it(tmp_path, suffix, subtype) -> None:
    path = write_sound(tmp_path / f"a.{suffix}", tone(), subtype=subtype)
    samples, rate = read_sound(path)
    assert rate == 16000
    assert np.array_equal(samples, soundfile.read(path, dtype="float32")[0])
    assert sound_info(path).seconds == pytest.approx(0.5)
    assert sound_info(path.read_bytes(), "a").frames == 8000


def test_channels_are_averaged_or_one_is_taken_and_a_part_is_that_part(tmp_path) -> None:
    both = np.stack([tone(), tone(pitch=900)], 1)
    path = write_sound(tmp_path / "a.wav", both, subtype="FLOAT")
    assert np.allclose(read_sound(path)[0], both.mean(1), atol=1e-7)
    assert np.array_equal(read_sound(path, channel=1)[0], both[:, 1])
    assert np.array_equal(read_sound(path, start=0.1, end=0.2, channel=0)[0], both[1600:3200, 0])
    for wrong in (
        {"channel": 2},
        {"start": 0.6},
        {"start": 0.1, "end": 0.7},
        {"start": 0.3, "end": 0.2},
        {"start": -1},
    ):
        with pytest.raises(DataError, match=r"a\.wav"):
            read_sound(path, **wrong)


def test_a_long_file_in_blocks_is_the_file_at_another_rate_too(tmp_path) -> None:
    path = write_sound(tmp_path / "a.flac", tone(9.0, 44100), 44100)
    blocks = list(sound_blocks(path, 16000))
    assert len(blocks) > 3
    assert np.array_equal(np.concatenate(blocks), read_sound(path, 16000)[0])
    assert max(map(len, blocks)) < 40000


def damaged(folder):
    good = write_sound(folder / "good.wav", tone()).read_bytes()
    flac = write_sound(folder / "good.flac", tone()).read_bytes()
    return {
        "empty.wav": b"",
        "text.wav": b"this is no sound, but some text that is longer than a header is",
        "cut.wav": good[: len(good) // 2],
        "header.wav": good[:44],
        "half a header.wav": good[:20],
        "cut.flac": flac[: len(flac) // 2],
        "rate.wav": good[:24] + struct.pack("<I", 4_000_000_000) + good[28:],
        "no rate.wav": good[:24] + struct.pack("<I", 0) + good[28:],
        "channels.wav": good[:22] + struct.pack("<H", 60000) + good[24:],
        "codec.wav": good[:20] + struct.pack("<H", 0x1234) + good[22:],
        "size.wav": good[:40] + struct.pack("<I", 0xFFFFFF00) + good[44:],
        # the number of samples in the header of a FLAC file: 36 bits
        "size.flac": flac[:21] + bytes([flac[21] | 0x0F]) + b"\xff\xff\xff\xff" + flac[26:],
    }


def test_every_damaged_file_is_refused_in_a_sentence_that_names_it(tmp_path) -> None:
    for name, content in damaged(tmp_path).items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(DataError) as caught:
            read_sound(path)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


def test_what_is_no_file_has_no_samples_or_numbers_is_refused(tmp_path) -> None:
    with pytest.raises(DataError, match=r"gone\.wav does not exist"):
        read_sound(tmp_path / "gone.wav")
    with pytest.raises(DataError, match="is a folder"):
        read_sound(tmp_path)
    with pytest.raises(DataError, match="no samples"):
        read_sound(write_sound(tmp_path / "none.wav", np.zeros(0, np.float32)))
    wrong = tone()
    wrong[4321] = np.nan
    with pytest.raises(DataError, match="sample 4,321 of .*is not a number"):
        read_sound(write_sound(tmp_path / "nan.wav", wrong, subtype="FLOAT"))


def test_a_length_that_was_not_known_when_the_header_was_written_is_no_damage(tmp_path) -> None:
    content = write_sound(tmp_path / "a.wav", tone()).read_bytes()
    path = tmp_path / "piped.wav"
    path.write_bytes(content[:4] + b"\xff\xff\xff\xff" + content[8:40] + b"\xff\xff\xff\xff" + content[44:])
    assert np.array_equal(read_sound(path)[0], read_sound(tmp_path / "a.wav")[0])


def test_a_file_too_long_to_be_read_whole_is_refused_but_comes_in_blocks(tmp_path, monkeypatch) -> None:
    path = write_sound(tmp_path / "long.wav", tone(5.0))
    monkeypatch.setattr("ostinato.data.audio.files._MOST", 70_000)
    with pytest.raises(NotEnoughMemory, match=r"long\.wav"):
        read_sound(path)
    assert sum(map(len, sound_blocks(path))) == 80_000


def test_silent_and_clipped_sounds_are_noted_once_with_their_number() -> None:
    notes = SoundNotes("clips.csv")
    for name, samples in (
        ("a", tone()), ("b", np.zeros(100)), ("c", np.sign(tone())), ("d", np.full(9, 1e-5)), ("e", 0.9 * tone()),
    ):  # fmt: skip
        notes.see(name, samples.astype(np.float32))
    with pytest.warns(DataWarning) as caught:
        notes.say()
    said = [str(one.message) for one in caught]
    assert len(said) == 2
    assert '2 of 5 sounds are silent throughout, the first of them "b"' in said[0]
    assert '1 of 5 sounds is clipped throughout (far too loud), the first of them "c"' in said[1]


def test_a_sound_is_not_decoded_to_tell_what_it_holds(tmp_path, monkeypatch) -> None:
    for name in ("a", "b", "c"):
        write_sound(tmp_path / f"{name}.wav", tone(seed=name == "c"))
    found = read_utterances(tmp_path, labelled=False)
    monkeypatch.setattr("ostinato.data.audio.sources.read_sound", None)
    first, second, third = found.contents()
    assert first == second != third


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_mutated_files_are_read_or_refused_by_errors_of_ours(tmp_path, kind) -> None:
    content = write_sound(tmp_path / f"good.{kind}", tone(0.2)).read_bytes()
    path = tmp_path / f"mutated.{kind}"
    for seed in range(200):
        rng = np.random.default_rng(seed)
        mutated = bytearray(content)
        for _ in range(int(rng.integers(1, 6))):
            mutated[int(rng.integers(0, 80 if rng.random() < 0.8 else len(mutated)))] = int(rng.integers(0, 256))
        if rng.random() < 0.2:
            mutated = mutated[: int(rng.integers(1, len(mutated)))]
        path.write_bytes(mutated)
        try:
            samples, _ = read_sound(path, 16000)
        except OstinatoError:  # anything else fails the test
            continue
        assert np.isfinite(samples).all()
