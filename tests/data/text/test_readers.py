"""Readers against what was written, good files and bad ones, and against the counts of the real ones."""

import gzip
import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.data.text import (
    read_conllu,
    read_delimited,
    read_json_lines,
    read_lines,
    read_parallel,
    read_tagged,
    read_text,
)
from ostinato.errors import ColumnError, DataError, UsageError


def put(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


# --- lines


def test_lines_come_without_their_ends_and_blank_ones_are_skipped(tmp_path) -> None:
    path = put(tmp_path / "a.txt", "one\r\n\n  two \n \t\nthree")
    assert list(read_lines(path)) == ["one", "  two ", "three"]
    assert list(read_lines(path, keep_blank=True)) == ["one", "", "  two ", " \t", "three"]


def test_a_gzip_file_reads_as_the_plain_one_whatever_its_name(tmp_path) -> None:
    plain = put(tmp_path / "a.txt", "ä\nb\n")
    for name in ("a.txt.gz", "packed"):
        assert list(read_lines(put(tmp_path / name, gzip.compress(plain.read_bytes())))) == ["ä", "b"]
    assert list(read_lines(put(tmp_path / "not.gz", "plain"))) == ["plain"]


def test_rows_are_read_anew_each_time(tmp_path) -> None:
    lines = read_lines(put(tmp_path / "a.txt", "a\nb\n"))
    assert list(lines) == list(lines) == ["a", "b"]
    assert list(zip(lines, lines, strict=True)) == [("a", "a"), ("b", "b")]


def test_only_what_is_asked_for_is_read(tmp_path) -> None:
    path = put(tmp_path / "a.txt", b"good\n" * 10 + b"\xff\n")
    assert list(itertools.islice(read_lines(path), 10)) == ["good"] * 10


def test_a_byte_order_mark_is_skipped_at_the_start_only(tmp_path) -> None:
    assert list(read_lines(put(tmp_path / "a.txt", b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n"))) == ["a", "\ufeffb"]


def test_line_separators_of_unicode_are_ordinary_characters(tmp_path) -> None:
    text = "a\u2028b\x0bc\x85d\x1ce"
    assert list(read_lines(put(tmp_path / "a.txt", text), normal_form="none")) == [text]


def test_a_bad_byte_is_named_by_line_and_place_or_replaced(tmp_path) -> None:
    path = put(tmp_path / "a.txt", b"fine\ncaf\xe9 au lait\n")
    with pytest.raises(DataError, match=r'line 2 of a.txt: the byte 0xe9 in place 4 .*encoding="cp1252".*replace'):
        list(read_lines(path))
    assert list(read_lines(path, errors="replace")) == ["fine", "caf\ufffd au lait"]
    assert list(read_lines(path, encoding="latin-1")) == ["fine", "café au lait"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
def test_a_file_with_a_byte_order_mark_is_what_it_says(tmp_path, encoding) -> None:
    text = "à la\r\ncarte\u2028so\n"
    for pack in (bytes, gzip.compress):
        assert list(read_lines(put(tmp_path / "a.txt", pack(text.encode(encoding))))) == ["à la", "carte\u2028so"]


def test_lines_of_old_macs_end_in_returns(tmp_path) -> None:
    assert list(read_lines(put(tmp_path / "a.txt", b"one\rtwo\r\rthree"))) == ["one", "two", "three"]
    assert list(read_lines(put(tmp_path / "b.txt", b"one\rtwo\nthree"))) == ["one\rtwo", "three"]


@pytest.mark.parametrize(
    ("form", "expected"), [("NFC", "é ﬁ"), ("NFKC", "é fi"), ("NFD", "e\u0301 ﬁ"), ("none", "e\u0301 ﬁ")]
)
def test_the_normal_form_is_the_one_chosen(tmp_path, form, expected) -> None:
    assert read_text(put(tmp_path / "a.txt", "e\u0301 ﬁ"), normal_form=form) == expected


def test_a_whole_text_keeps_every_character(tmp_path) -> None:
    assert read_text(put(tmp_path / "a.txt", "\n\na\r\n \x00b\n\n")) == "\n\na\n \x00b\n\n"


@pytest.mark.parametrize("cut", [3, 12, 30])
def test_a_gzip_file_cut_short_is_an_error(tmp_path, cut) -> None:
    path = put(tmp_path / "a.gz", gzip.compress(b"some text\n" * 100)[:cut])
    with pytest.raises(DataError, match=r"a\.gz cannot be read after line \d+ .*again"):
        list(read_lines(path))


def test_an_empty_file_has_no_lines(tmp_path) -> None:
    assert list(read_lines(put(tmp_path / "a.txt", ""))) == []


def test_what_is_no_file_is_an_error_at_once(tmp_path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_lines(tmp_path / "none.txt")
    with pytest.raises(DataError, match="is a folder"):
        read_lines(tmp_path)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"errors": "ignore"}, 'errors is "ignore"'),
        ({"normal_form": "nfc"}, 'normal_form is "nfc"'),
        ({"encoding": "klingon"}, '"klingon" is not known'),
        ({"encoding": "rot13"}, '"rot13" is not known'),
        ({"encoding": "utf-16"}, "by lines"),
        ({"lower": True}, 'no option "lower"'),
    ],
)
def test_wrong_options_are_refused_at_once(tmp_path, option, message) -> None:
    with pytest.raises(UsageError, match=message):
        read_lines(put(tmp_path / "a.txt", "a"), **option)


# --- JSON lines


def test_json_values_are_found_by_dotted_keys(tmp_path) -> None:
    rows = [
        {"a": {"b": ["x", "ﬁ\u0301"]}, "c.d": "own dot", "n": 1.50, "t": True},
        {"a": {"b": ["", "q"]}, "c.d": "", "n": 7, "t": False},
    ]
    path = put(tmp_path / "a.jsonl", "\n\n".join(json.dumps(row) for row in rows))
    found = list(read_json_lines(path, ("a.b.1", "c.d", "n", "t")))
    assert found == [("ﬁ\u0301", "own dot", "1.5", "true"), ("q", "", "7", "false")]


def test_the_normal_form_does_not_break_the_json(tmp_path) -> None:
    path = put(tmp_path / "a.jsonl", '{"text": "\uff02quoted\uff02"}')
    assert list(read_json_lines(path, ["text"], normal_form="NFKC")) == [('"quoted"',)]


def test_lone_surrogates_and_huge_numbers_are_let_through(tmp_path) -> None:
    path = put(tmp_path / "a.jsonl", '{"text": "\\ud800", "n": 1' + "0" * 5000 + "}")
    assert list(read_json_lines(path, ("text", "n"))) == [("\ud800", "1" + "0" * 5000)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2 of a.jsonl is not JSON .*place 2"),
        ("[1]", "holds a JSON list"),
        ("3", "holds a JSON text or number"),
        ("null", "holds a JSON null"),
        ("{}", 'has no "text".* is nothing'),
        ('{"Text": "a"}', 'has no "text".*"Text"'),
        ('{"text": null}', '"text" is a JSON null'),
        ('{"text": ["a"]}', '"text" is a JSON list'),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_bad_json_lines_are_named(tmp_path, line, message) -> None:
    path = put(tmp_path / "a.jsonl", '{"text": "fine"}\n' + line + "\n")
    with pytest.raises(DataError, match=message):
        list(read_json_lines(path, ["text"]))


# --- CSV and TSV


def test_columns_are_taken_by_name_or_number(tmp_path) -> None:
    path = put(tmp_path / "a.csv", '\ufeffid,"text",label\n1,"so, it ""goes""\non",good\n\n2,,bad\n')
    expected = [("good", 'so, it "goes"\non'), ("bad", "")]
    assert list(read_delimited(path, ("label", "text"))) == expected
    assert list(read_delimited(path, (2, 1))) == expected
    assert list(read_delimited(path, (0,), header=False)) == [("id",), ("1",), ("2",)]


@pytest.mark.parametrize("name", ["a.tsv", "a.tsv.gz", "a.txt"])
def test_a_tab_is_the_delimiter_where_it_is_likely(tmp_path, name) -> None:
    assert list(read_delimited(put(tmp_path / name, "a,b\tc\n"), (0, 1), header=False)) == [("a,b", "c")]


def test_quotes_may_be_ordinary_characters(tmp_path) -> None:
    path = put(tmp_path / "a.tsv", '"Oh" he said\t1\n')
    assert list(read_delimited(path, (0, 1), header=False, quoted=False)) == [('"Oh" he said', "1")]
    with pytest.raises(DataError, match=r"begins on line 1 .*quoted=False"):
        list(read_delimited(path, (0, 1), header=False))


def test_a_single_empty_cell_is_a_record_and_a_blank_line_is_none(tmp_path) -> None:
    assert list(read_delimited(put(tmp_path / "a.csv", 'text\n""\n\n  \nb\n'), ["text"])) == [("",), ("b",)]


@pytest.mark.parametrize(
    ("content", "columns", "message"),
    [
        ("text,label\na,1\nb,c,2\n", ("text", "label"), "line 3 of a.csv has 3 cells; expected 2"),
        ("text,label\na\n", ("text", "label"), "line 2 of a.csv has 1 cell; expected 2"),
        ('text,label\n"a,1\nb,2\n', ("text", "label"), "begins on line 2 .*close the quote"),
        ("text:label\na:1\n", ("text",), 'no column "text"; by the delimiter \',\' .*"text:label"'),
        ("text,text\na,1\n", ("text",), 'two columns "text"'),
        ("text,label\na,1\n", (2,), "there is no column 2"),
        ("text,label\na,1\n", (-1,), "there is no column -1"),
    ],
)
def test_bad_tables_are_named(tmp_path, content, columns, message) -> None:
    path = put(tmp_path / "a.csv", content)
    with pytest.raises(DataError, match=message):
        list(read_delimited(path, columns))


def test_wrong_arguments_of_tables_are_refused(tmp_path) -> None:
    path = put(tmp_path / "a.csv", "a,b\n")
    for columns in ("text", (), (True,), (None,)):
        with pytest.raises(UsageError):
            read_delimited(path, columns)
    for delimiter in ("", ",,", '"', "\n"):
        with pytest.raises(UsageError, match="delimiter"):
            read_delimited(path, (0,), delimiter=delimiter)
    with pytest.raises(ColumnError, match="header=False"):
        list(read_delimited(path, ("a",), header=False))


cells = st.text(st.characters(exclude_characters="\r", exclude_categories=("Cs",)), max_size=8)


@settings(max_examples=50, deadline=None)
@given(rows=st.lists(st.tuples(cells, cells), min_size=1, max_size=6))
def test_what_the_csv_module_writes_is_read_back(tmp_path_factory, rows) -> None:
    import csv

    path = tmp_path_factory.mktemp("csv") / "a.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows(rows)
    if rows[0][0].startswith("\ufeff"):  # it stands behind the quote
        assert path.read_bytes()[:1] == b'"'
    assert list(read_delimited(path, (0, 1), header=False, normal_form="none")) == rows


# --- parallel files


def test_pairs_stay_in_step_and_blank_sides_are_dropped(tmp_path) -> None:
    source, target = put(tmp_path / "a.en", "a\n\nc\x85x\nd\n"), put(tmp_path / "a.de", "A\nB\nC\nD")
    assert list(read_parallel(source, target)) == [("a", "A"), ("c\x85x", "C"), ("d", "D")]
    assert list(read_parallel(source, target, keep_blank=True))[1] == ("", "B")


@pytest.mark.parametrize(("more", "less"), [(5, 3), (3, 5), (1, 0), (0, 1), (3, 2), (2, 3)])
def test_files_out_of_step_are_counted(tmp_path, more, less) -> None:
    source, target = put(tmp_path / "a.en", "a\n" * more), put(tmp_path / "a.de", "b\n" * less)
    with pytest.raises(DataError, match=f"a.en has {more} lines? but a.de has {less}"):
        list(read_parallel(source, target))


# --- tagged text


def test_tagged_sentences_are_parted_by_blank_lines(tmp_path) -> None:
    text = "-DOCSTART- -X- O\n\nEU NNP  B-ORG\n# # O\n\n\n \t\n10\u00a0000 CD O\n"
    found = list(read_tagged(put(tmp_path / "a.txt", text)))
    assert [s.tokens for s in found] == [("EU", "#"), ("10\u00a0000",)]
    assert [s.tags for s in found] == [("B-ORG", "O"), ("O",)]
    assert [s.tags for s in read_tagged(tmp_path / "a.txt", tag=1)] == [("NNP", "#"), ("CD",)]


def test_comments_may_be_switched_off(tmp_path) -> None:
    path = put(tmp_path / "a.txt", "# O\na B\n")
    assert list(read_tagged(path)) == [(("a",), ("B",))]
    assert list(read_tagged(path, comments=None)) == [(("#", "a"), ("O", "B"))]


@pytest.mark.parametrize("mark", [" ", "\t"])
def test_a_token_that_begins_like_a_comment_is_one_where_its_tag_is_known(tmp_path, mark) -> None:
    lines = ["# a corpus", "# O", "1 B", "", "#now B", "is O", "", "# sentence", "a O", "", "## heading", "b B"]
    path = put(tmp_path / "a.txt", "\n".join(lines).replace(" ", mark) + "\n")
    found = list(read_tagged(path))
    assert [own.tokens for own in found] == [("#", "1"), ("#now", "is"), ("a",), ("b",)]
    assert [own.tags for own in found] == [("O", "B"), ("B", "O"), ("O",), ("B",)]


@pytest.mark.parametrize(
    ("line", "what"), [("dog\t", "tag"), ("\tN", "token"), (" \tN", "token"), ("dog\t ", "tag"), ("dog\t\u00a0", "tag")]
)
def test_an_empty_token_or_tag_is_named_by_its_line(tmp_path, line, what) -> None:
    path = put(tmp_path / "a.txt", f"the\tD\n{line}\nbarks\tV\n")
    with pytest.raises(DataError, match=f"line 2 of a.txt has an empty {what}"):
        list(read_tagged(path))


def test_a_no_break_space_is_a_token(tmp_path) -> None:
    assert next(iter(read_tagged(put(tmp_path / "a.txt", "\u00a0 S\nb N\n")))).tokens == ("\u00a0", "b")


def test_universal_dependencies_gives_its_words(tmp_path) -> None:
    rest = "\t_" * 4
    text = (
        "# sent_id = 1\n# text = vámonos al mar\n"
        f"1-2\tvámonos\t_\t_\t_\t_{rest}\n1\tvamos\tir\tVERB\tV\t_{rest}\n2\tnos\tnosotros\tPRON\tP\t_{rest}\n"
        f"2.1\tpues\t_\tX\t_\t_{rest}\n3\t#\t#\tSYM\tS\t_{rest}\n\n"
    )
    path = put(tmp_path / "a.conllu", text)
    assert list(read_conllu(path)) == [(("vamos", "nos", "#"), ("VERB", "PRON", "SYM"))]
    assert list(read_conllu(path, tag="lemma")) == [(("vamos", "nos", "#"), ("ir", "nosotros", "#"))]
    with pytest.raises(UsageError, match="column of CoNLL-U"):
        read_conllu(path, tag="pos")
    with pytest.raises(DataError, match="line 1 of b.conllu has 3 columns"):
        list(read_conllu(put(tmp_path / "b.conllu", "1\ta\tb\n")))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a X\nb\n", r"line 2 of a.txt has 1 column by ' '; expected 2"),
        ("a\tX\nb\tY\tZ\n", "line 2 of a.txt has 3 columns"),
        ("a\n", "the same one"),
    ],
)
def test_bad_tagged_lines_are_named(tmp_path, text, message) -> None:
    with pytest.raises(DataError, match=message):
        list(read_tagged(put(tmp_path / "a.txt", text)))


def test_a_tag_column_that_is_not_there_is_named(tmp_path) -> None:
    with pytest.raises(ColumnError, match="no tag column 3"):
        list(read_tagged(put(tmp_path / "a.txt", "a X\n"), tag=3))


# --- real files: the counts stand in the data's own notes


@pytest.mark.parametrize(
    ("file", "lines", "tokens"),
    [("train.txt.gz", 42_068, 929_589), ("valid.txt", 3_370, 73_760), ("test.txt", 3_761, 82_430)],
)
def test_the_penn_treebank_has_its_tokens(shared_data, file, lines, tokens) -> None:
    sizes = [len(line.split()) + 1 for line in read_lines(shared_data / f"ptb/ptb.{file}")]
    assert (len(sizes), sum(sizes)) == (lines, tokens)


@pytest.mark.parametrize(("part", "rows"), [("train", 6_920), ("dev", 872), ("test", 1_821)])
def test_the_sentiment_treebank_has_its_sentences(shared_data, part, rows) -> None:
    found = list(read_delimited(shared_data / f"sst2/{part}.tsv", (0, 1), header=False))
    assert (len(found), {label for _, label in found}) == (rows, {"0", "1"})


@pytest.mark.parametrize(("part", "rows"), [("train", 29_000), ("val", 1_014), ("test_2016_flickr", 1_000)])
def test_multi30k_has_its_pairs(shared_data, part, rows) -> None:
    folder = shared_data / "multi30k_en_de"
    assert sum(1 for _ in read_parallel(folder / f"{part}.en.gz", folder / f"{part}.de.gz")) == rows


def test_tiny_shakespeare_is_read_whole(shared_data) -> None:
    path = shared_data / "tinyshakespeare/input.txt"
    assert read_text(path).encode() == path.read_bytes()
