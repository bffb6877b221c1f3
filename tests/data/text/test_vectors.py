"""Word vectors in the three formats, and broken ones."""

import gzip

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.data.text import WordVocabulary, read_vectors
from ostinato.errors import DataError

VOCABULARY = WordVocabulary(("cat", "dog", ". . .", "Größe", "3"))


def put(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize("header", ["", "9 3\n"])
@pytest.mark.parametrize("end", ["\n", " \n", "\r\n"])  # word2vec and fastText end a line with a space
@pytest.mark.parametrize("packed", [False, True])
def test_the_words_of_the_vocabulary_are_kept(tmp_path, header, end, packed) -> None:
    lines = ["the 9 9 9", "dog 1 -2e-1 .5", "cat 4 5 6", "cat 7 7 7", ". . . 0.1 0.2 0.3", "<unk> 1 1 1", "", "3 2 2 2"]
    text = (header + end.join([*lines, "Gro\u0308ße 8 8 8"]) + end).encode()
    found = read_vectors(put(tmp_path / "v", gzip.compress(text) if packed else text), VOCABULARY)
    assert found.weights.dtype == np.float32
    rows = [[0] * 3, [1] * 3, [0] * 3, [0] * 3, [4, 5, 6], [1, -0.2, 0.5], [0.1, 0.2, 0.3], [8] * 3, [2] * 3]
    np.testing.assert_array_equal(found.weights, np.array(rows, np.float32))
    assert found.found.tolist() == [False, True, False, False, True, True, True, True, True]
    assert found.coverage == 1.0


def test_coverage_is_the_share_of_words_found(tmp_path) -> None:
    assert read_vectors(put(tmp_path / "v.vec", "dog 1\nhorse 2\n"), VOCABULARY).coverage == 0.2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a 1 2\ncat 1\n", "line 2 of v.txt has 1 numbers behind its word; expected 2"),
        ("a 1 2\nb 1\ncat 1 2\n", "line 2 of v.txt has 1 numbers"),
        ("a 1.5 2.5\ncat 1.5 2.5 3.5\n", "line 2 of v.txt has 3 numbers behind its word; expected 2"),
        ("2 3\ncat 1 2\n", "line 2 of v.txt has 2 numbers behind its word; expected 3"),
        ("a 1 2\ncat 1 x\n", 'line 2 of v.txt: "x" is not a finite number'),
        ("a 1 2\ncat 1 nan\n", '"nan" is not a finite'),
        ("a 1 2\ncat 1 1e39\n", '"1e39" is not a finite'),
        ("a 1 2\nb 1 2\n", "none of the vocabulary's"),
        ("cat\n", "at least one"),
        ("", "none of"),
        (b"a 1\n\xff\xfe 1\n", "byte 0xff"),
    ],
)
def test_broken_files_are_named_by_line(tmp_path, text, message) -> None:
    with pytest.raises(DataError, match=message):
        read_vectors(put(tmp_path / "v.txt", text), VOCABULARY)


def test_a_bad_byte_may_be_replaced(tmp_path) -> None:
    path = put(tmp_path / "v.txt", b"caf\xc3 3\ncat 1\n")
    assert read_vectors(path, VOCABULARY, errors="replace").weights[4].tolist() == [1.0]


@settings(max_examples=50, deadline=None)
@given(
    words=st.lists(st.text(st.characters(categories=("L", "N")), min_size=1, max_size=5), min_size=2, unique=True),
    width=st.integers(2, 5),
    header=st.booleans(),
)
def test_what_was_written_is_read_back(tmp_path_factory, words, width, header) -> None:
    rng = np.random.default_rng(len(words))
    matrix = rng.normal(size=(len(words), width)).astype(np.float32)
    rows = [" ".join([word, *map(str, row.tolist())]) for word, row in zip(words, matrix, strict=True)]
    head = [f"{len(words)} {width}"] if header else []
    path = put(tmp_path_factory.mktemp("v") / "v.txt", "\n".join([*head, *rows]))
    wanted = WordVocabulary(tuple(words[1:]), normal_form="none")
    found = read_vectors(path, wanted, normal_form="none")
    np.testing.assert_array_equal(found.weights[4:], matrix[1:])
