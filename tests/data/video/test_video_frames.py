"""Frames of video files, folders of pictures and arrays: what PyAV gives, in time, whole or in parts."""

import io
import shutil
import wave
import zipfile

import numpy as np
import pytest
from films import bare, film, moving
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ostinato.data.video import Clip, read_clip, stream_frames, write_video
from ostinato.data.video.frames import Moments
from ostinato.errors import DataError, NotEnoughMemory, OstinatoError, OutputError, UsageError

FRAMES = moving()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    where = tmp_path_factory.mktemp("films")
    film(where / "a.mp4", FRAMES)
    film(where / "a.mkv", FRAMES)
    film(where / "a.avi", FRAMES, codec="mjpeg")
    film(where / "a.ts", moving(60), codec="mpeg2video", rate=25)
    film(where / "uneven.mkv", FRAMES[:6], times=[0, 10, 15, 60, 130, 135])
    (where / "pictures").mkdir()
    for number, frame in enumerate(FRAMES[:12], 1):
        Image.fromarray(frame).save(where / "pictures" / f"frame{number}.png")
    return where


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.ts"])
def test_a_file_is_read_as_pyav_decodes_it(folder, name) -> None:
    clip = read_clip(folder / name)
    expected = bare(folder / name)
    assert len(clip) == len(expected) >= len(FRAMES)
    assert np.array_equal(clip.frames, expected)
    assert clip.warnings == ()
    assert np.allclose(np.diff(clip.times), 1 / clip.rate, atol=2e-3)


def test_pictures_come_in_the_order_that_a_person_puts_them_in(folder) -> None:
    clip = read_clip(folder / "pictures", native_rate=5)
    assert np.array_equal(clip.frames, FRAMES[:12])
    assert clip.times[-1] == pytest.approx(11 / 5)


@pytest.mark.parametrize("name", ["a.webp", "a.png", "a.tif"])
def test_a_picture_of_several_is_all_of_them(tmp_path, name) -> None:
    first, *others = (Image.fromarray(frame) for frame in FRAMES[:5])
    options = {} if name == "a.tif" else {"duration": [100, 300, 100, 100, 100]}
    options |= {"lossless": True} if name == "a.webp" else {}
    first.save(tmp_path / name, save_all=True, append_images=others, **options)
    clip = read_clip(tmp_path / name, native_rate=5)
    assert np.array_equal(clip.frames, FRAMES[:5])
    assert clip.times.tolist() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8] if name == "a.tif" else [0, 0.1, 0.4, 0.5, 0.6])
    assert len(read_clip(tmp_path / name, native_rate=5, start=0.45)) == 2


def test_one_bright_frame_of_many_says_what_white_is() -> None:
    array = np.full((120, 4, 6), 200, np.uint16)
    array[1] = 40_000
    assert read_clip(array).frames.max((1, 2, 3))[:3].tolist() == [1, 156, 1]


def test_a_dark_picture_of_16_bits_stays_dark(tmp_path) -> None:
    for number, value in enumerate((200, 30_000)):
        Image.fromarray(np.full((4, 6), value, np.uint16)).save(tmp_path / f"{number}.png")
    assert read_clip(tmp_path).frames.max((1, 2, 3)).tolist() == [0, 116]


def test_a_variable_rate_becomes_a_fixed_one_by_time(folder) -> None:
    clip = read_clip(folder / "uneven.mkv", rate=10)
    shown = [0, 1, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 4]  # by the times above, a tenth of a second apart
    expected = bare(folder / "uneven.mkv")
    assert [
        int(np.argmin([np.abs(frame.astype(int) - one).sum() for one in expected])) for frame in clip.frames
    ] == shown
    assert clip.times.tolist() == pytest.approx([number / 10 for number in range(14)])


@given(st.lists(st.floats(0, 1.5), min_size=1, max_size=20), st.sampled_from([1.0, 4.0, 10.0, 30.0]))
@settings(max_examples=60, deadline=None)
def test_each_moment_shows_one_frame_and_none_that_comes_much_later(gaps, rate) -> None:
    times = np.concatenate([[0.0], np.cumsum(gaps)])
    moments, found = Moments(rate), list[tuple[float, float]]()
    before = 0.0
    for time in times.tolist():
        missed, there = moments.until(time)
        found += [(moment, before) for moment in missed] + ([(there, time)] if there is not None else [])
        before = time
    assert [moment for moment, _ in found] == pytest.approx([number / rate for number in range(len(found))])
    for moment, shown in found:
        assert shown <= moment + 0.1 / rate + 1e-9
        assert not [time for time in times if shown < time < moment - 0.1 / rate - 1e-9]


@pytest.mark.parametrize(("start", "end"), [(0.0, None), (0.35, 1.2), (1.4, None)])
@pytest.mark.parametrize("name", ["a.mp4", "a.ts", "pictures"])
def test_a_part_is_the_part_of_the_whole(folder, name, start, end) -> None:
    if name == "pictures" and start > 1:
        return
    whole = read_clip(folder / name, rate=20, native_rate=10 if name == "pictures" else None)
    part = read_clip(folder / name, rate=20, start=start, end=end, native_rate=10 if name == "pictures" else None)
    inside = (whole.times >= start - 1e-9) & (whole.times < (end or 1e9) - 1e-9)
    assert np.allclose(part.times, whole.times[inside])
    assert np.array_equal(part.frames, whole.frames[inside])


def test_a_size_keeps_the_shape_unless_both_sides_are_said(folder) -> None:
    assert read_clip(folder / "a.mp4", height=16).frames.shape[1:] == (16, 24, 3)
    assert read_clip(folder / "a.mp4", width=24, channels=1).frames.shape[1:] == (16, 24, 1)
    assert read_clip(folder / "pictures", height=8, width=8, channels=1).frames.shape == (12, 8, 8, 1)


def test_smaller_frames_are_means_of_the_large_ones(folder) -> None:
    grey = read_clip(folder / "pictures", channels=1).frames[..., 0].astype(float)
    small = read_clip(folder / "pictures", height=8, width=12, channels=1).frames[..., 0].astype(float)
    assert np.abs(grey.reshape(12, 8, 4, 12, 4).mean((2, 4)) - small).max() < 2


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_film_that_was_turned_stands_upright(tmp_path, degrees) -> None:
    try:
        path = film(tmp_path / "turned.mp4", FRAMES[:4], rotation=degrees)
    except AttributeError:
        pytest.skip("this PyAV writes no rotation")
    clip = read_clip(path)
    turned = [np.rot90(frame, k) for frame in bare(path)[:1] for k in (degrees // 90, -degrees // 90)]
    assert any(np.array_equal(clip.frames[0], one) for one in turned)
    assert clip.frames.shape[1:3] == ((48, 32) if degrees % 180 else (32, 48))


def test_damaged_frames_in_the_middle_are_left_out_and_counted(folder, tmp_path) -> None:
    content = bytearray((folder / "a.avi").read_bytes())
    middle = content.index(b"00dc", len(content) // 2)
    size = int.from_bytes(content[middle + 4 : middle + 8], "little")
    content[middle + 8 : middle + 8 + size] = bytes(size)
    (tmp_path / "damaged.avi").write_bytes(content)
    stream = stream_frames(tmp_path / "damaged.avi")
    count = sum(1 for _ in stream)
    assert len(FRAMES) - 3 <= count < len(FRAMES)
    assert stream.damaged >= 1
    assert "damaged" in " ".join(stream.warnings)


def test_a_file_that_ends_early_is_read_as_far_as_it_goes(folder, tmp_path) -> None:
    content = (folder / "a.avi").read_bytes()  # its index is at its end
    (tmp_path / "short.avi").write_bytes(content[: len(content) * 6 // 10])
    clip = read_clip(tmp_path / "short.avi")
    assert 8 <= len(clip) < len(FRAMES)
    assert "20" in " ".join(clip.warnings)


def test_a_damaged_picture_is_left_out_and_counted(folder, tmp_path) -> None:
    for path in (folder / "pictures").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "frame3.png").write_bytes(b"no picture")
    clip = read_clip(tmp_path)
    assert len(clip) == 11
    assert "1 damaged" in clip.warnings[0]


@pytest.mark.parametrize("packed", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_archive_is_read_as_a_folder(folder, tmp_path, packed) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w", packed) as archive:
        archive.write(folder / "a.mp4", "films/a.mp4")
        for path in (folder / "pictures").iterdir():
            archive.write(path, f"pictures/{path.name}")
        held = io.BytesIO()
        np.save(held, FRAMES)
        archive.writestr("arrays/a.npy", held.getvalue())
    inside = tmp_path / "all.zip"
    assert np.array_equal(read_clip(f"{inside}/films/a.mp4").frames, read_clip(folder / "a.mp4").frames)
    assert np.array_equal(read_clip(f"{inside}/pictures").frames, FRAMES[:12])
    assert np.array_equal(read_clip(f"{inside}/arrays/a.npy").frames, FRAMES)


def test_arrays_of_any_layout_are_frames(tmp_path) -> None:
    np.save(tmp_path / "a.npy", FRAMES / np.float32(255))
    np.savez(tmp_path / "a.npz", frames=FRAMES.transpose(0, 3, 1, 2), fps=12.5)
    assert np.abs(read_clip(tmp_path / "a.npy").frames.astype(int) - FRAMES).max() <= 1
    clip = read_clip(tmp_path / "a.npz")
    assert np.array_equal(clip.frames, FRAMES)
    assert clip.rate == 12.5
    assert read_clip(FRAMES[..., 0], channels=1).frames.shape == (20, 32, 48, 1)
    assert np.array_equal(read_clip(clip).frames, clip.frames)
    assert np.array_equal(read_clip(FRAMES[:1] > 100, channels=3).frames, 255 * (FRAMES[:1] > 100))


def test_what_is_written_is_read_back(tmp_path) -> None:
    smooth = np.repeat(np.repeat(moving(8, 8, 8), 6, 1), 6, 2)
    path = write_video(tmp_path / "w.mp4", iter(smooth), 12.5)
    odd = read_clip(write_video(tmp_path / "deep" / "odd.mp4", iter(smooth[:, :33, :41]), 12.5)).frames
    assert odd.shape == (8, 34, 42, 3)
    assert np.abs(odd[:, :33, :41].astype(int) - smooth[:, :33, :41]).mean() < 6
    shutil.rmtree(tmp_path / "deep")
    clip = read_clip(path)
    assert clip.frames.shape == smooth.shape
    assert clip.rate == 12.5
    assert np.abs(clip.frames.astype(int) - smooth).mean() < 12
    assert [each.name for each in tmp_path.iterdir()] == ["w.mp4"]
    with pytest.raises(UsageError, match="no frames"):
        write_video(tmp_path / "none.mp4", iter(()), 10)
    with pytest.raises(OutputError, match="cannot be written"):
        write_video(tmp_path / "new" / "x.nothing", iter(smooth), 10)
    bad = [[smooth[0], smooth[1][:6]], np.zeros((2, 0, 8, 3)), np.zeros((2, 8, 8))]
    for frames, said in zip(bad, ["frame 1 is 6 x", r"\(0, 8, 3\)", r"\(8, 8\)"], strict=True):
        with pytest.raises(UsageError, match=said):
            write_video(tmp_path / "w2.mp4", frames, 10)
    for rate in (0, -1, float("nan"), 1e9):
        with pytest.raises(UsageError, match="the rate is"):
            write_video(tmp_path / "w2.mp4", iter(smooth), rate)
    assert [each.name for each in tmp_path.iterdir()] == ["w.mp4"]


def _bad(where):
    film(where / "whole.mp4", FRAMES)
    (where / "no-index.mp4").write_bytes((where / "whole.mp4").read_bytes()[:2000])
    (where / "empty.mp4").write_bytes(b"")
    (where / "text.mp4").write_text("no video at all\n" * 50)
    with wave.open(str(where / "a.wav"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(4000))
    (where / "nothing").mkdir()
    (where / "broken.npy").write_bytes(b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (9,")
    (where / "all.zip").write_bytes(b"PK not a zip")
    np.save(where / "objects.npy", np.array([{}, {}]), allow_pickle=True)
    np.save(where / "nan.npy", np.full((3, 8, 8), np.nan))
    np.save(where / "flat.npy", np.zeros((3, 8)))
    np.save(where / "none.npy", np.zeros((0, 8, 8), np.uint8))
    np.save(where / "channels.npy", np.zeros((4, 8, 8, 7), np.uint8))
    (where / "bad").mkdir()
    (where / "bad" / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return where


BAD = {
    "no-index.mp4": "cut off before its index",
    "empty.mp4": "empty",
    "text.mp4": "cannot be read as video",
    "a.wav": "no video",
    "nothing": "no pictures",
    "missing.mp4": "does not exist",
    "a\0b.mp4": "does not exist",
    "broken.npy": "NumPy|damaged",
    "all.zip": "archive",
    "all.zip/a.mp4": "archive",
    "objects.npy": "pickle",
    "nan.npy": "not numbers",
    "flat.npy": "expected frames",
    "none.npy": "no frames",
    "channels.npy": "C 1",
    "bad": "no picture that can be read",
}


@pytest.fixture(scope="module")
def bad(tmp_path_factory):
    return _bad(tmp_path_factory.mktemp("bad"))


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_clip_is_refused_in_one_sentence(bad, name) -> None:
    with pytest.raises(DataError, match=BAD[name]) as caught:
        read_clip(f"{bad}/{name}")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "options",
    [
        {"rate": 0}, {"rate": float("nan")}, {"rate": "ten"}, {"height": 0}, {"width": 10**6}, {"channels": 2},
        {"start": -1}, {"start": 2, "end": 1}, {"limit": 0}, {"native_rate": -1},
    ],
)  # fmt: skip
def test_options_that_are_none_are_refused(folder, options) -> None:
    with pytest.raises(UsageError):
        read_clip(folder / "a.mp4", **options)


def test_a_start_after_the_end_is_said(folder) -> None:
    with pytest.raises(DataError, match="no frames from 99 s on"):
        read_clip(folder / "a.mp4", start=99)


def test_frames_that_no_memory_should_hold_are_refused(monkeypatch, folder) -> None:
    monkeypatch.setattr("ostinato.data.video.frames._MOST", 10_000)
    with pytest.raises(NotEnoughMemory, match="smaller height"):
        read_clip(folder / "a.mp4")


def test_a_stream_is_closed_before_its_end(folder) -> None:
    stream = stream_frames(folder / "a.mp4")
    next(stream)
    stream.close()
    assert list(stream) == []


def test_no_kind_of_source_is_a_traceback() -> None:
    for source in (3, None, {}, object(), [], np.zeros(3), np.zeros((2, 2, 2, 2, 2)), np.array(["a"])):
        with pytest.raises(OstinatoError):
            read_clip(source)


def test_a_clip_has_a_length() -> None:
    assert len(Clip(FRAMES, np.arange(20) / 10, 10.0, "x")) == 20
