"""Tables and folders of clips, and clips that are kept on disk."""

import zipfile

import numpy as np
import pytest
from films import film, moving

from ostinato.data.video import read_clip_table, read_clips, stream_frames
from ostinato.data.video.clips import content_key
from ostinato.data.video.loading import Flow, LoadedClips, Reader, kind_of_clip
from ostinato.data.video.store import ClipStore
from ostinato.errors import ColumnError, DataError, UsageError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    where = tmp_path_factory.mktemp("set")
    for label, seed in (("walk", 0), ("walk", 1), ("fall", 2)):
        (where / label).mkdir(exist_ok=True)
        film(where / label / f"{seed}.mp4", moving(8, seed=seed))
    (where / "clips.csv").write_text("file,what,who\nwalk/0.mp4,walk,ann\nwalk/1,walk,bob\nfall/2.mp4,fall,ann\n")
    return where


def test_a_table_names_clips_relative_to_it(folder) -> None:
    clips = read_clip_table(folder / "clips.csv", label="what", group="who")
    assert clips.labels == ("walk", "walk", "fall")
    assert clips.groups == ("ann", "bob", "ann")
    assert [str(each) for each in clips.sources] == [
        str(folder / each) for each in ("walk/0.mp4", "walk/1.mp4", "fall/2.mp4")
    ]
    assert clips[[2]].names == ("fall/2.mp4",)
    assert len(clips.joined(clips)) == 6
    keys = list(clips.contents())
    assert len(set(keys)) == 3
    assert keys[0] == content_key(str(folder / "walk" / "0.mp4"))


def test_a_folder_of_a_folder_a_class_and_a_zip_of_it_are_the_same(folder, tmp_path) -> None:
    found = read_clips(folder)
    assert sorted(zip(found.names, found.labels, strict=True)) == [
        ("fall/2.mp4", "fall"), ("walk/0.mp4", "walk"), ("walk/1.mp4", "walk"),
    ]  # fmt: skip
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for name in found.names:
            archive.write(folder / name, f"inner/{name}")
    packed = read_clips(tmp_path / "set.zip")
    assert packed.labels == found.labels
    assert list(packed.contents()) == list(found.contents())


def test_kinds_of_clips_are_told_apart(folder) -> None:
    assert kind_of_clip(str(folder / "walk" / "0.mp4")) == "pixels"
    assert kind_of_clip(np.zeros((9, 32, 32), np.uint8)) == "pixels"
    assert kind_of_clip(np.zeros((9, 32, 32, 3))) == "pixels"
    assert kind_of_clip(np.zeros((9, 1662))) == "landmarks"
    assert kind_of_clip(np.zeros((9, 17, 3))) == "landmarks"
    assert kind_of_clip(np.zeros((9, 5, 17, 3), np.float32)) == "landmarks"


@pytest.mark.parametrize(
    ("text", "columns", "error"),
    [
        ("file,label\n", {}, DataError),
        ("file,label\nnone.mp4,a\n", {}, DataError),
        ("file,label\n,a\n", {}, DataError),
        ("file,label\nwalk/0.mp4,\n", {}, DataError),
        ("thing,label\nwalk/0.mp4,a\n", {}, ColumnError),
        ("file,label\nwalk/0.mp4,a\n", {"group": "who"}, ColumnError),
        ("file,label\nwalk/0.mp4,a\n", {"video": "film"}, ColumnError),
        ("file,sort\nwalk/0.mp4,a\n", {}, ColumnError),
    ],
)
def test_a_table_that_is_wrong_is_refused_in_one_sentence(folder, text, columns, error) -> None:
    (folder / "wrong.csv").write_text(text)
    try:
        with pytest.raises(error) as caught:
            read_clips(folder / "wrong.csv", **columns)
        assert "\n" not in str(caught.value)
    finally:
        (folder / "wrong.csv").unlink()


def test_other_sources_that_are_no_clips_are_refused(folder, tmp_path) -> None:
    for source, error in (
        (tmp_path, DataError), (folder / "walk", DataError), (folder / "walk" / "0.mp4", DataError),
        (([np.zeros((4, 9, 9))], ["a", "b"]), DataError), (([], []), DataError), (3, UsageError),
        (([np.zeros((4, 9, 9))], [None]), DataError), ((["nowhere.mp4"], ["a"]), DataError),
        (([object()], ["a"]), UsageError),
    ):  # fmt: skip
        with pytest.raises(error):
            read_clips(source)


def test_a_clip_is_decoded_once_and_read_from_disk_later(folder, tmp_path, monkeypatch) -> None:
    reader, store = Reader("pixels", rate=10, height=16, width=24), ClipStore(tmp_path)
    clips = read_clips(folder)
    first = [np.array(one) for one in LoadedClips(clips, reader, store)]
    assert len(list(tmp_path.iterdir())) == 3
    monkeypatch.setattr("ostinato.data.video.loading.stream_frames", None)
    again = LoadedClips(clips, reader, store)
    assert all(np.array_equal(a, b) for a, b in zip(again, first, strict=True))
    assert again.lengths == [len(one) for one in first]


def test_a_file_on_disk_that_is_damaged_is_made_again(folder, tmp_path) -> None:
    reader, store = Reader("pixels", rate=10, height=16, width=24), ClipStore(tmp_path)
    clips = read_clips(folder)[[0]]
    whole = np.array(LoadedClips(clips, reader, store)[0])
    (path,) = tmp_path.iterdir()
    for content in (b"", path.read_bytes()[:300], b"rubbish" * 100):
        path.write_bytes(content)
        assert np.array_equal(LoadedClips(clips, reader, store)[0], whole)


def test_what_breaks_off_leaves_nothing_behind(tmp_path) -> None:
    def frames():
        yield np.zeros((4, 4), np.uint8)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ClipStore(tmp_path).put("ab", frames())
    assert list(tmp_path.iterdir()) == []


def test_the_folder_is_bounded_and_the_longest_unused_goes_first(tmp_path) -> None:
    import os

    store = ClipStore(tmp_path, limit=5000)
    for number in range(4):
        store.put(f"{number:02x}", iter(np.full((2, 1000), number, np.uint8)))
        os.utime(tmp_path / f"{number:02x}.npy", (number, number))
        if number == 1:
            assert store.get("00") is not None  # used just now
    assert store.get("01") is None
    assert int(store.get("00")[0, 0]) == 0
    assert int(store.get("03")[0, 0]) == 3


def test_without_a_place_on_disk_clips_are_in_memory(folder, tmp_path) -> None:
    (tmp_path / "file").write_text("in the way")
    store = ClipStore(tmp_path / "file")
    reader = Reader("pixels", rate=10, height=16, width=24)
    assert len(LoadedClips(read_clips(folder)[[0]], reader, store)[0]) == 8
    assert store.get("ab") is None


def test_flow_points_where_things_move(folder) -> None:
    flow = Flow()
    found = [flow.push(frame) for _, frame in stream_frames(folder / "walk" / "0.mp4", channels=1)]
    assert (found[0] == 128).all()
    square = found[3][10:20, 12:28, 0].astype(int)
    assert square.max() > 136  # to the right
    reader = Reader("pixels", rate=10, height=32, width=48, flow=True)
    assert next(reader.read(str(folder / "walk" / "0.mp4"), "a")).shape == (32, 48, 3)
