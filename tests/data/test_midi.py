"""MIDI files: what is written is read; what is damaged, empty or absurd is refused in one sentence."""

import struct
import time
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("symusic")
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.data.music import Piece, from_frames, midi_bytes, read_midi, read_music, to_frames, write_midi
from ostinato.errors import DataError, OstinatoError, UsageError

NOTES = [(0, 1, 60), (1, 0.5, 64), (1, 2, 67), (3, 1, 60)]
PIECE = Piece.of(NOTES, tempo=96.0, metre=(3, 4), sharps=-2)
END = b"\x00\xff\x2f\x00"


def chunk(events: bytes) -> bytes:
    return b"MTrk" + struct.pack(">I", len(events)) + events


def file(*tracks: bytes, kind: int = 1, ticks: int = 480, count: int | None = None) -> bytes:
    head = struct.pack(">HHH", kind, len(tracks) if count is None else count, ticks)
    return b"MThd" + struct.pack(">I", 6) + head + b"".join(map(chunk, tracks))


def note(pitch: int, ticks: bytes = b"\x83\x60", channel: int = 0) -> bytes:
    return bytes([0, 0x90 | channel, pitch, 80]) + ticks + bytes([0x80 | channel, pitch, 0])


def test_a_piece_that_is_written_is_read_as_it_was(tmp_path) -> None:
    back = read_midi(write_midi(tmp_path / "a.mid", PIECE))
    for name in ("start", "duration", "pitch", "velocity"):
        np.testing.assert_array_equal(getattr(back, name), getattr(PIECE, name))
    assert (back.tempo, back.metre, back.sharps, back.length) == (96.0, (3, 4), -2, 4.0)
    assert [own.name for own in tmp_path.iterdir()] == ["a.mid"]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 200), st.integers(1, 40), st.integers(0, 127), st.integers(1, 127)),
        min_size=1,
        max_size=30,
    )
)
def test_notes_come_back_from_midi_and_frames_from_notes(rows) -> None:
    # one note of a pitch at a time: MIDI cannot say which of two ends
    own, free = [], {}
    for start, lasts, pitch, velocity in sorted(rows):
        if start >= free.get(pitch, 0):
            own.append((start / 8, lasts / 8, pitch, velocity))
            free[pitch] = start + lasts
    piece = Piece.of(own)
    back = read_midi(midi_bytes(piece))
    for name in ("start", "duration", "pitch", "velocity"):
        np.testing.assert_array_equal(getattr(back, name), getattr(piece, name))
    frames = to_frames(piece, 8)
    np.testing.assert_array_equal(to_frames(from_frames(frames, 8), 8), frames)
    assert frames.sum() <= sum(round(lasts * 8) for _, lasts, _, _ in own)


def test_types_0_and_1_tempo_changes_and_running_status_are_read() -> None:
    tempo = b"\x00\xff\x51\x03\x07\xa1\x20" + note(60) + b"\x00\xff\x51\x03\x0f\x42\x40" + END
    # the second event has no status byte of its own
    running = b"\x00\x90\x40\x50" + b"\x83\x60\x40\x00" + END
    one = read_midi(file(tempo, running))
    assert (one.tempo, one.pitch.tolist(), one.duration.tolist()) == (120.0, [60, 64], [1.0, 1.0])
    zero = read_midi(file(note(60) + note(62) + END, kind=0))
    assert zero.pitch.tolist() == [60, 62]
    assert zero.start.tolist() == [0.0, 1.0]


def test_drums_are_left_out_unless_they_are_asked_for() -> None:
    both = file(note(60) + END, note(36, channel=9) + END)
    assert read_midi(both).pitch.tolist() == [60]
    assert sorted(read_midi(both, drums=True).pitch.tolist()) == [36, 60]
    with pytest.raises(DataError, match=r"only drums, which .*--drums"):
        read_midi(file(note(36, channel=9) + END))


GOOD = file(note(60) + END, note(64) + END)
BAD = {
    "empty": (b"", "is empty"),
    "another kind of file": (b"PK\x03\x04" + bytes(40), "is no MIDI file: it begins with"),
    "cut within the header": (GOOD[:11], "cut short within its header"),
    "cut within a track": (GOOD[:-6], "is cut short: track 2 says"),
    "cut between tracks": (GOOD[: len(GOOD) // 2 + 7], "is cut short: it says that it has 2 tracks"),
    "no notes": (file(END, END), "has no notes"),
    "no tracks": (file(), "has no tracks"),
    "format 2": (file(note(60) + END, kind=2), "is of format 2"),
    "no ticks": (file(note(60) + END, ticks=0), "says 0 ticks"),
    "SMPTE frames": (file(note(60) + END, ticks=0xE728), "SMPTE"),
    "a time of five bytes, as a negative one is written": (
        file(b"\x8f\xff\xff\xff\x7f\x90\x40\x50" + END), "a time of more than four bytes",
    ),
    "ticks that no clock has": (file(b"\xff\xff\xff\x7f\x90\x40\x50" * 9 + END), "expected 2,147,483,647 at most"),
    "a piece of years": (file(note(60, b"\xff\xff\xff\x7f") + END, ticks=1), "quarters; expected at most"),
    "an event without a kind": (file(b"\x00\x40\x50" + END), "a byte 64 where an event begins"),
    "an event cut short": (file(b"\x00\x90\x40"), "ends within an event"),
    "a value above 127": (file(b"\x00\x90\x40\xf0" + END), "above 127"),
    "a text longer than its track": (file(b"\x00\xff\x01\x7fabc"), "ends within an event"),
    "a tempo of 0": (file(b"\x00\xff\x51\x03\x00\x00\x00" + note(60) + END), "a tempo of 0"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_whole_midi_file_is_refused_in_one_sentence(name, tmp_path) -> None:
    content, said = BAD[name]
    path = tmp_path / "bad.mid"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_midi(path)
    assert said in str(caught.value)
    assert "bad.mid" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_ten_thousand_tracks_are_read_in_seconds() -> None:
    began = time.process_time()
    piece = read_midi(file(*[note(40 + i % 40) + END for i in range(10_000)]))
    assert len(piece) == 10_000
    assert time.process_time() - began < 20


def test_a_folder_is_read_with_its_parts_and_without_what_is_damaged(tmp_path) -> None:
    for part in ("train", "valid", "test"):
        (tmp_path / part).mkdir()
        write_midi(tmp_path / part / "a.mid", PIECE)
    (tmp_path / "train" / "b.mid").write_bytes(GOOD[:-6])
    with pytest.warns(UserWarning, match=r"1 of 4 files .* cut short"):
        found = read_music(tmp_path)
    assert found.parts == ("test", "train", "validation")
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="has no music"):
        read_music(tmp_path / "none")
    with pytest.raises(DataError, match="does not exist"):
        read_music(tmp_path / "nowhere")
    (tmp_path / "none" / "a.mid").write_bytes(b"")
    with pytest.raises(DataError, match=r"has 1 file, of which none can be read: .* is empty"):
        read_music(tmp_path / "none")


def test_a_midi_file_in_a_riff_wrapper_is_read() -> None:
    wrapped = b"RIFF" + struct.pack("<I", len(GOOD) + 12) + b"RMIDdata" + struct.pack("<I", len(GOOD)) + GOOD
    assert read_midi(wrapped).pitch.tolist() == read_midi(GOOD).pitch.tolist()


def test_a_program_that_there_is_not_is_refused() -> None:
    with pytest.raises(UsageError, match="program is 128"):
        midi_bytes(PIECE, program=128)


NAN = float("nan")
NO_PIECE = {
    "slow": (lambda: Piece.of(NOTES, tempo=3.5), "a tempo of 3.5; expected quarters a minute, 3.58 to 10,000"),
    "still": (lambda: Piece.of(NOTES, tempo=0), "a tempo of 0"),
    "backwards": (lambda: Piece.of(NOTES, tempo=-120.0), "a tempo of -120"),
    "no tempo": (lambda: Piece.of(NOTES, tempo=NAN), "a tempo of nan"),
    "digits": (lambda: Piece.of(NOTES, tempo=10**5000), "a number beyond all bounds"),
    "replaced": (lambda: replace(PIECE, tempo=0.0), "a tempo of 0"),
    "metre": (lambda: Piece.of(NOTES, metre=(300, 4)), r"the metre \(300, 4\)"),
    "metre of thirds": (lambda: Piece.of(NOTES, metre=(4, 3)), "a power of two, 1 to 64"),
    "sharps": (lambda: Piece.of(NOTES, sharps=9), "has 9 sharps"),
    "duration 0": (lambda: Piece.of([(0, 0, 60)]), "lasts 0 quarters; expected more than 0"),
    "duration below 0": (lambda: Piece.of([(0, -1, 60)]), "lasts -1 quarters"),
    "fraction": (lambda: Piece.of([(0, 1, 60.5)]), "a note 60.5; expected pitches from 0 to 127, whole numbers"),
    "velocity": (lambda: Piece.of([(0, 1, 60, NAN)]), "a velocity that is no number"),
    "words": (lambda: Piece.of([("a", 1, 60)]), "a note that is none"),
    "two numbers": (lambda: Piece.of([(0, 1)]), "a note that is none|whole numbers"),
    "length": (lambda: Piece.of(NOTES, length=NAN), "lasts nan quarters"),
    "transposed": (lambda: midi_bytes(PIECE.transposed(100)), "transposed by 100, has a note 160"),
    "far": (lambda: PIECE.transposed(-(10**5000)), "expected pitches from 0 to 127"),
}  # fmt: skip


@pytest.mark.parametrize("name", NO_PIECE)
def test_a_piece_that_no_file_could_say_is_refused_when_it_is_made(name) -> None:
    make, said = NO_PIECE[name]
    with pytest.raises(DataError, match=said):
        make()


def test_the_slowest_tempo_comes_back_and_a_slower_one_of_a_file_is_read_as_it() -> None:
    assert read_midi(midi_bytes(Piece.of(NOTES, tempo=3.58))).tempo == 3.58
    assert read_midi(file(b"\x00\xff\x51\x03\xff\xff\xff" + note(60) + END)).tempo == 3.58


def test_a_metre_that_is_none_is_said() -> None:
    data = file(b"\x00\xff\x58\x04\x04\x07\x18\x08" + note(60) + END)
    with pytest.warns(UserWarning, match="has the metre 4/128; 4/4 is taken"):
        assert read_midi(data).metre == (4, 4)


def test_a_note_that_is_struck_again_ends_there() -> None:
    back = read_midi(midi_bytes(Piece.of([(0, 4, 60), (1, 2, 60), (1, 1, 60), (0, 4, 64)])))
    rows = list(zip(back.start.tolist(), back.duration.tolist(), back.pitch.tolist(), strict=True))
    assert rows == [(0, 1, 60), (0, 4, 64), (1, 2, 60)]


@pytest.mark.slow
@pytest.mark.ci
def test_mutated_midi_files_raise_only_errors_of_ours() -> None:
    rng = np.random.default_rng(0)
    seeds = [midi_bytes(PIECE), GOOD, midi_bytes([PIECE, PIECE.transposed(-12)], program=40)]
    read = refused = 0
    began = time.process_time()
    for _ in range(6000):
        data = bytearray(seeds[int(rng.integers(len(seeds)))])
        for _ in range(int(rng.integers(1, 6))):
            at = int(rng.integers(len(data)))
            kind = int(rng.integers(4))
            if kind == 0:
                data[at] = int(rng.integers(256))
            elif kind == 1:
                del data[at : at + int(rng.integers(1, 9))]
            elif kind == 2:
                data[at:at] = rng.integers(0, 256, int(rng.integers(1, 9)), np.uint8).tobytes()
            else:
                data[at] ^= 1 << int(rng.integers(8))
            data = data or bytearray(b"M")
        try:
            read_midi(bytes(data))
            read += 1
        except OstinatoError as error:
            assert "\n" not in str(error)  # noqa: PT017
            refused += 1
    assert min(read, refused) > 100
    assert time.process_time() - began < 120
