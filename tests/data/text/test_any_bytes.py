"""Whatever bytes a file has, a reader gives rows or one of our errors, never another one."""

import gzip

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ostinato.data import read_ts
from ostinato.data.text import (
    CharacterVocabulary,
    WordVocabulary,
    read_conllu,
    read_delimited,
    read_json_lines,
    read_lines,
    read_parallel,
    read_tagged,
    read_text,
    read_vectors,
)
from ostinato.errors import OstinatoError

READERS = {
    "lines": lambda path, **decoding: read_lines(path, **decoding),
    "text": lambda path, **decoding: [read_text(path, **decoding)],
    "json": lambda path, **decoding: read_json_lines(path, ("a.0", "b"), **decoding),
    "csv": lambda path, **decoding: read_delimited(path, (0, "a"), **decoding),
    "tsv": lambda path, **decoding: read_delimited(path, (0,), header=False, quoted=False, delimiter="\t", **decoding),
    "parallel": lambda path, **decoding: read_parallel(path, path, **decoding),
    "tagged": lambda path, **decoding: read_tagged(path, **decoding),
    "conllu": lambda path, **decoding: read_conllu(path, **decoding),
    "vectors": lambda path, **decoding: [read_vectors(path, WordVocabulary(("a", "1")), **decoding)],
    "ts": lambda path, **decoding: [read_ts(path)],
}
# pieces that these formats give a meaning, among any bytes
MARKS = ["\n", "\r\n", "\r", "\t", " ", ",", ":", '"', "#", "{", "[", "]", "\0", "\ufeff", "é", "e\u0301", "-DOCSTART-"]
VALUES = ["a", "1", "-.5", "null", "nan", "1e999", "1 2\n", "@data\n", "@classLabel true a\n"]
ROWS = ['{"a": [1, "x"], "b": 2}\n', "1-2\tx\t_\tA\t_\t_\t_\t_\t_\t_\n", "a 1 2\n"]
pieces = st.sampled_from([text.encode() for text in (*MARKS, *VALUES, *ROWS)] + [b"\xff", b"\x1f\x8b"])
contents = st.lists(pieces | st.binary(max_size=4), max_size=30).map(b"".join)


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=contents, packed=st.booleans(), cut=st.integers(0, 40), errors=st.sampled_from(["strict", "replace"]))
def test_any_file_is_read_or_refused(tmp_path, name, content, packed, cut, errors) -> None:
    path = tmp_path / "a.csv"
    packed_content = gzip.compress(content)
    path.write_bytes(packed_content[: len(packed_content) - cut] if packed else content)
    try:
        rows = list(READERS[name](path, errors=errors, normal_form="NFKC"))
    except OstinatoError as error:
        message = str(error)
        assert "\n" not in message
        assert ";" in message or "," in message  # it says what to do
        return
    if name not in ("vectors", "ts"):
        texts = [text for row in rows for part in ([row] if isinstance(row, str) else row) for text in part]
        if texts:
            vocabulary = CharacterVocabulary.build([*texts, "x"])
            assert all(vocabulary.decode(vocabulary.encode(text)) == vocabulary._prepared(text) for text in texts)
