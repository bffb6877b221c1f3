"""Vocabularies: what goes in comes out, nothing crashes, and the same texts give the same numbers."""

import builtins
import gzip
import json
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.data.text import (
    CharacterVocabulary,
    Specials,
    SubwordVocabulary,
    WordVocabulary,
    build_pair,
    encode_corpus,
    read_lines,
    read_parallel,
    split_words,
    vocabulary_from_dict,
)
from ostinato.errors import DataError, MissingExtra, UsageError

TEXTS = ["the cat sat on the mat", "the dog didn't sit", "Größe is 10,000 m²", "one <unk> more"]


@pytest.fixture(scope="module")
def vocabularies():
    pytest.importorskip("tokenizers")
    return [
        WordVocabulary.build(TEXTS),
        WordVocabulary.build(TEXTS, split="words", lower=True),
        CharacterVocabulary.build(TEXTS),
        SubwordVocabulary.build(TEXTS, size=290),
        SubwordVocabulary.build(TEXTS, size=290, model="unigram", normal_form="NFKC"),
    ]


# --- laws of all kinds

anything = st.text(st.characters(), max_size=20)  # lone surrogates and NUL among them


@settings(max_examples=100, deadline=None)
@given(text=anything)
def test_any_text_is_encoded_with_numbers_in_range(vocabularies, text) -> None:
    for vocabulary in vocabularies:
        ids = vocabulary.encode(text)
        assert all(type(i) is int and 0 <= i < len(vocabulary) for i in ids)
        silent = {Specials().pad, Specials().bos, Specials().eos}
        assert not silent & set(ids)
        vocabulary.decode(ids).encode("utf-8")


@settings(max_examples=100, deadline=None)
@given(ids=st.lists(st.integers(-5, 400) | st.sampled_from([-(10**12), 2**63, 10**30]), max_size=12))
def test_any_numbers_are_decoded(vocabularies, ids) -> None:
    for vocabulary in vocabularies:
        text = vocabulary.decode(ids)
        assert vocabulary.decode([0, 2, *ids, 3, 0]) == text


def test_a_number_out_of_range_gives_the_unknown_mark(vocabularies) -> None:
    for vocabulary in vocabularies:
        mark = vocabulary.decode([vocabulary.specials.unk])
        assert mark in ("<unk>", "\ufffd")
        assert vocabulary.decode([len(vocabulary)]) == vocabulary.decode([-1]) == mark
        assert vocabulary.decode(vocabulary.encode("the")) == "the"
        assert vocabulary.decode(np.array([0, 2, 3])) == ""


def test_a_vocabulary_lives_in_json(vocabularies) -> None:
    for vocabulary in vocabularies:
        data = json.loads(json.dumps(vocabulary.to_dict(), allow_nan=False))
        again = vocabulary_from_dict(data)
        assert again == vocabulary
        assert again.to_dict() == data
        for text in (*TEXTS, "Ünseen ﬁ 猫"):
            assert again.encode(text) == vocabulary.encode(text)


def test_known_texts_come_back(vocabularies) -> None:
    whitespace, _, characters, bpe, _ = vocabularies
    for text in TEXTS:
        assert whitespace.decode(whitespace.encode(text)) == text
        assert characters.decode(characters.encode(text)) == text.replace("\ufffd", "")
        assert bpe.decode(bpe.encode(text)) == text


def test_the_spelling_of_a_special_token_is_an_ordinary_text(vocabularies) -> None:
    for vocabulary in vocabularies:
        assert not {0, 2, 3} & set(vocabulary.encode("<eos> <pad> <bos> </s> [PAD]"))
    words = WordVocabulary.build(["a <eos> b"])
    assert words.decode(words.encode("a <eos> b")) == "a <eos> b"


def test_the_normal_form_is_the_same_in_building_and_in_use(vocabularies) -> None:
    for vocabulary in vocabularies:
        assert vocabulary.encode("Gro\u0308ße") == vocabulary.encode("Größe")
    assert CharacterVocabulary.build(["e\u0301"], normal_form="NFD").characters == ("e", "\u0301")


# --- words and characters


@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(st.lists(st.sampled_from([*"abcef", "dd"]), max_size=8).map(" ".join), min_size=1, max_size=6),
    min_count=st.integers(1, 3),
    max_size=st.integers(5, 9) | st.none(),
)
def test_the_most_frequent_words_are_kept_ties_in_order(texts, min_count, max_size) -> None:
    counts = Counter(word for text in texts for word in text.split())
    frequent = sorted((-n, word) for word, n in counts.items() if n >= min_count)
    if not frequent:
        with pytest.raises(DataError, match="no token"):
            WordVocabulary.build(texts, min_count=min_count, max_size=max_size)
        return
    found = WordVocabulary.build(iter(texts), min_count=min_count, max_size=max_size)
    room = math.inf if max_size is None else max_size - 4
    assert found.words == tuple(word for rank, (_, word) in enumerate(frequent) if rank < room)
    assert found == WordVocabulary.build(reversed(texts), min_count=min_count, max_size=max_size)
    assert len(found) == 4 + len(found.words)
    assert max_size is None or len(found) <= max_size


def test_the_written_unknown_word_is_the_unknown_token() -> None:
    vocabulary = WordVocabulary.build(["<unk> <unk> a"])
    assert vocabulary.words == ("a",)
    assert vocabulary.encode("a <unk>") == [4, 1]


def test_lone_surrogates_are_never_taken_in() -> None:
    assert WordVocabulary.build(["a \ud800b"]).words == ("a",)
    assert CharacterVocabulary.build(["a\ud800"]).characters == ("a",)


def test_lower_case_is_made_in_building_and_in_use() -> None:
    vocabulary = WordVocabulary.build(["The CAT"], lower=True)
    assert vocabulary.words == ("cat", "the")
    assert vocabulary.encode("tHe Cat") == [5, 4]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't stop—now!", ["Don't", "stop", "—", "now", "!"]),
        ("'quoted' l’homme d'", ["'", "quoted", "'", "l’homme", "d", "'"]),
        ("10,000.50 or .5 1.", ["10,000.50", "or", ".", "5", "1", "."]),
        ("snake_case x=1", ["snake_case", "x", "=", "1"]),
        ("हिन्दी भाषा।", ["हिन्दी", "भाषा", "।"]),
        ("می\u200cخواهم", ["می\u200cخواهم"]),
        ("e\u0301t\u00e9 👍🏽", ["e\u0301t\u00e9", "👍", "🏽"]),
        ("", []),
        (" \n\t", []),
    ],
)
def test_the_splitter_keeps_words_whole(text, words) -> None:
    assert split_words(text, "words") == words


@settings(max_examples=100, deadline=None)
@given(text=st.text(st.characters(), max_size=30))
def test_the_splitter_loses_only_white_space(text) -> None:
    import re

    assert "".join(split_words(text, "words")) == re.sub(r"\s", "", text)


@settings(max_examples=100, deadline=None)
@given(text=st.text(st.characters(max_codepoint=127), max_size=30))
def test_plain_text_splits_the_same_beside_other_scripts(text) -> None:
    assert split_words(text + " é", "words") == [*split_words(text, "words"), "é"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: WordVocabulary.build("a text"), "texts is one text"),
        (lambda: WordVocabulary.build(["a"], split="letters"), 'split is "letters"'),
        (lambda: WordVocabulary.build(["a"], min_count=0), "min_count is 0"),
        (lambda: WordVocabulary.build(["a"], max_size=4), "max_size is 4"),
        (lambda: WordVocabulary.build(["a"], normal_form="nfc"), 'normal_form is "nfc"'),
        (lambda: WordVocabulary(("a", "b", "a")), "'a' twice"),
        (lambda: WordVocabulary(("a", "<unk>")), "special unknown token"),
        (lambda: CharacterVocabulary(("ab",)), "not one character"),
        (lambda: SubwordVocabulary.build(["a"], size=260), "size is 260"),
        (lambda: SubwordVocabulary.build(["a"], model="wordpiece"), 'model is "wordpiece"'),
        (lambda: SubwordVocabulary.build("a"), "texts is one text"),
        (lambda: build_pair(iter([("a", "b")]), WordVocabulary.build), "iterator"),
        (lambda: encode_corpus("a b", WordVocabulary(("a",))), "texts is one text"),
    ],
)
def test_wrong_arguments_are_refused(call, message) -> None:
    with pytest.raises(UsageError, match=message):
        call()


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"kind": "sounds"},
        {"kind": "words"},
        {"kind": "words", "words": ["a", "a"]},
        {"kind": "words", "words": ["a", 3]},
        {"kind": "words", "words": None},
        {"kind": "words", "words": ["a"], "colour": "red"},
        {"kind": "words", "words": ["a"], "split": "x"},
        {"kind": "characters", "characters": ["ab"]},
        {"kind": "subwords", "tokenizer": "{}"},
        {"kind": "subwords", "tokenizer": 3},
    ],
)
def test_damaged_data_is_refused(data) -> None:
    with pytest.raises(DataError, match="vocabulary cannot be read"):
        vocabulary_from_dict(data)


def test_texts_of_nothing_make_no_vocabulary() -> None:
    for build in (WordVocabulary.build, CharacterVocabulary.build, SubwordVocabulary.build):
        with pytest.raises(DataError):
            build([])
    for build in (WordVocabulary.build, SubwordVocabulary.build):
        with pytest.raises(DataError):
            build(["", " \n"])


# --- subwords


@settings(max_examples=100, deadline=None)
@given(text=st.text(st.characters(exclude_categories=("Cs",)), max_size=20))
def test_subwords_bring_back_every_text_exactly(vocabularies, text) -> None:
    bpe, unigram = vocabularies[3:]
    for vocabulary, form in ((bpe, "NFC"), (unigram, "NFKC")):
        import unicodedata

        ids = vocabulary.encode(text)
        assert vocabulary.decode(ids) == unicodedata.normalize(form, text)
        assert vocabulary.specials.unk not in ids


@pytest.mark.parametrize("model", ["bpe", "unigram"])
@pytest.mark.parametrize("texts", [TEXTS, ["a"], ["\0"], ["x" * 2000], ["\ud800 犬"], ["", " ", "q"]])
def test_the_same_texts_give_the_same_pieces(model, texts) -> None:
    pytest.importorskip("tokenizers")
    built = [SubwordVocabulary.build(texts, model=model, size=300).to_dict() for _ in range(3)]
    assert built[0] == built[1] == built[2]


def test_a_cut_character_becomes_the_replacement_mark(vocabularies) -> None:
    bpe = vocabularies[3]
    ids = bpe.encode("犬")
    assert bpe.decode(ids[:-1]) == "\ufffd"


def test_without_the_library_the_extra_is_named(monkeypatch) -> None:
    real = builtins.__import__

    def without(name, *rest, **named):
        if name.split(".")[0] == "tokenizers":
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    for call in (lambda: SubwordVocabulary.build(["a"]), lambda: SubwordVocabulary("{}")):
        with pytest.raises(MissingExtra, match=r"ostinato\[text\]"):
            call()


def test_shared_pieces_are_one_vocabulary() -> None:
    pairs = [("a dog", "ein Hund"), ("a cat", "eine Katze")]
    source, target = build_pair(pairs, WordVocabulary.build, shared=True)
    assert source is target
    assert set(source.words) == {"a", "dog", "cat", "ein", "Hund", "eine", "Katze"}


# --- corpora


def test_a_corpus_is_its_texts_with_an_end_behind_each() -> None:
    vocabulary = WordVocabulary.build(TEXTS)
    flat = encode_corpus(TEXTS, vocabulary)
    assert flat.dtype == np.int32
    assert flat.tolist() == [i for text in TEXTS for i in [*vocabulary.encode(text), 3]]
    assert encode_corpus(iter(TEXTS), vocabulary, eos=False).size == flat.size - len(TEXTS)
    assert encode_corpus([], vocabulary).shape == (0,)


def test_the_penn_treebank_has_ten_thousand_types(shared_data) -> None:
    lines = read_lines(shared_data / "ptb/ptb.train.txt.gz")
    vocabulary = WordVocabulary.build(lines)
    assert len(vocabulary) - 2 == 10_000  # `<unk>` and the end of a sentence count among them, the other two do not
    ids = encode_corpus(read_lines(shared_data / "ptb/ptb.valid.txt"), vocabulary)
    assert ids.size == 73_760
    with gzip.open(shared_data / "ptb/ptb.train.txt.gz", "rt") as file:
        assert (ids == 1).sum() == (shared_data / "ptb/ptb.valid.txt").read_text().split().count("<unk>")
        assert encode_corpus([next(file)], vocabulary).size == 25


def test_subwords_bring_back_multi30k(shared_data) -> None:
    pytest.importorskip("tokenizers")
    folder = shared_data / "multi30k_en_de"
    pairs = read_parallel(folder / "val.en.gz", folder / "val.de.gz")
    vocabulary, _ = build_pair(pairs, lambda texts: SubwordVocabulary.build(texts, size=2000), shared=True)
    assert len(vocabulary) == 2000
    for pair in pairs:
        for text in pair:
            assert vocabulary.decode(vocabulary.encode(text)) == text
