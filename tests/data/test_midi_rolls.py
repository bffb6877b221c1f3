"""Piano rolls, as the sets of polyphonic music come: several parts in one file; nothing is unpickled."""

import gzip
import json

import numpy as np
import pytest

from ostinato import Composer
from ostinato.data.music import read_music, to_frames
from ostinato.errors import DataError

ROLLS = [np.random.default_rng(i).random((7 + i, 88)) < 0.05 for i in range(3)]
CHORDS = [[(np.flatnonzero(step) + 21).tolist() for step in roll] for roll in ROLLS]


def same(piece, roll) -> bool:
    return bool((to_frames(piece, 4)[:, 21:109] == roll).all())


def test_every_form_of_the_same_rolls_gives_the_same_pieces_and_parts(tmp_path) -> None:
    from scipy.io import savemat

    cells = np.empty((1, 1), object)
    named = {}
    for name, roll in zip(("traindata", "validdata", "testdata"), ROLLS, strict=True):
        cells = np.empty((1, 1), object)
        cells[0, 0] = roll.astype(float)
        named[name] = cells
    savemat(tmp_path / "a.mat", named)
    np.savez(tmp_path / "a.npz", train=ROLLS[0], valid=ROLLS[1][None], test=ROLLS[2].astype(np.float32))
    parts = {name: [chords] for name, chords in zip(("train", "valid", "test"), CHORDS, strict=True)}
    (tmp_path / "a.json").write_text(json.dumps(parts))
    (tmp_path / "b.json.gz").write_bytes(gzip.compress(json.dumps(parts).encode()))
    for file in ("a.mat", "a.npz", "a.json", "b.json.gz"):
        found = read_music(tmp_path / file)
        assert found.divided
        for part, roll in zip(("train", "validation", "test"), ROLLS, strict=True):
            (piece,) = found.part(part).pieces
            assert same(piece, roll), (file, part)
    assert same(read_music(ROLLS)[:1].pieces[0], ROLLS[0])
    assert same(read_music(CHORDS)[1:2].pieces[0], ROLLS[1])


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.json", "{", "cannot be read as JSON"),
        ("a.json", "[[1, 2], 3]", "no piano roll"),
        ("a.json", '{"a": [[[60, 200]]]}', "expected whole numbers, 0 to 127"),
        ("a.json", '{"a": 3}', "no piano roll"),
        ("a.json", "{}", "has no piano rolls"),
        ("a.mat", "rubbish", "MATLAB"),
        ("a.npz", "rubbish", "NumPy"),
        ("a.pickle", "rubbish", "pickled objects"),
        ("a.txt", "rubbish", "known by its ending"),
    ],
)
def test_what_is_no_file_of_rolls_is_refused_in_one_sentence(name, content, said, tmp_path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError) as caught:
        read_music(tmp_path / name)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_arrays_that_are_no_rolls_and_objects_are_refused(tmp_path) -> None:
    np.savez(tmp_path / "a.npz", a=np.zeros((4, 50)))
    np.savez(tmp_path / "b.npz", a=np.full((4, 88), np.nan))
    np.savez(tmp_path / "c.npz", a=np.full((4, 88), -1.0))
    objects = np.empty(1, object)
    objects[0] = ROLLS[0]
    np.savez(tmp_path / "d.npz", a=objects)
    for name, said in (("a", "shape"), ("b", "no numbers"), ("c", "below 0"), ("d", "pickled objects")):
        with pytest.raises(DataError, match=said):
            read_music(tmp_path / f"{name}.npz")
    with pytest.raises(DataError, match="has no notes"):
        Composer(progress=False).fit([np.zeros((4, 88), bool)] * 3)
