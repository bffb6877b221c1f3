"""Numbers in figures: none that translations keep is lost, whoever says the translation."""

import dataclasses
import random
from collections import Counter

import pytest

import ostinato
from ostinato import Translator
from ostinato.errors import DataWarning
from ostinato.tasks.base.searching.search import Search
from ostinato.tasks.translate.mix import Mix
from ostinato.tasks.translate.numbers import RUNS, Numbers, mended
from ostinato.tasks.translate.task import together_of

rng = random.Random(0)
YEARS = [str(rng.randint(1000, 2100)) for _ in range(60)]
WORDS = {"2": "two", "3": "three", "4": "four"}
THINGS = {"Hunde": "dogs", "Bälle": "balls", "Kinder": "children"}


def made(count):
    """Return sentences with a year, which stays, and a small number, which is written in words."""
    found = []
    for _ in range(count):
        year, few, thing = rng.choice(YEARS), rng.choice(list(WORDS)), rng.choice(list(THINGS))
        found.append((f"Im Jahr {year} sah Tom {few} {thing}.", f"In {year} Tom saw {WORDS[few]} {THINGS[thing]}."))
    return found


PAIRS = made(160)
NEW = [
    "Im Jahr 987 sah Tom 3 Hunde.", "Im Jahr 77777 sah Tom 4 Bälle.", "Am 12.03.2024 sah Tom 2 Kinder.",
    "Um 10:45 sah Tom 1.250,50 Bälle.", "Im Jahr 1987 sah Tom 1988 Hunde.", "1999 1999 2001",
]  # fmt: skip


@pytest.fixture(scope="module")
def model():
    return Translator(level="word", hidden_size=8, epochs=1, patience=None, progress=False).fit(PAIRS)


def lost(numbers, source, text):
    """Return the runs of digits that a translation was to keep and has not, counted by hand."""
    kept = Counter(run for run in RUNS.findall(source) if numbers.is_kept(run))
    return kept - Counter(RUNS.findall(text))


@pytest.mark.parametrize("mix", [Mix(), Mix(alone=True), Mix(0.0, 0.0, 1e6), Mix(2.0, 1.0, -4.0)])
def test_every_number_that_references_keep_is_in_the_translation(model, mix) -> None:
    own = dataclasses.replace(together_of(model.fitted_.model), mix=mix)
    for beam in (1, 3):
        for source, found in zip(NEW, own.translate(NEW, Search(beam_size=beam)), strict=True):
            assert not lost(own.numbers, source, found[0].text), (source, found[0].text)
            assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    streamed = ["".join(own.pieces(source, Search(beam_size=1))) for source in NEW]
    assert streamed == [each[0].text for each in own.translate(NEW, Search(beam_size=1))]


def test_what_training_writes_in_words_is_not_asked_for_and_new_numbers_stand_where_known_ones_do(model) -> None:
    numbers = model.fitted_.model.encoder.numbers
    assert numbers.wanted("Im Jahr 1234 sah Tom 3 Hunde.") == ["1234"]
    assert "1234" in model.translate("Im Jahr 1234 sah Tom 3 Hunde.").split()[1]


def test_a_saved_model_keeps_what_it_knows_of_numbers(model, tmp_path) -> None:
    model.save(tmp_path / "m")
    other = ostinato.load(tmp_path / "m")
    assert other.fitted_.model.encoder.numbers == model.fitted_.model.encoder.numbers
    assert other.translate(NEW) == model.translate(NEW)


def test_rare_numbers_are_read_as_frequent_ones_each_as_another() -> None:
    numbers = Numbers.fit([(f"um {year}", f"in {year}") for year in ("1990", "2000", "2010") for _ in range(6)])
    read, back = numbers.read_as("1987 2000 1988 1987")
    first, known, second, again = read.split()
    assert ({first, second}, again, known) == ({"1990", "2010"}, first, "2000")
    assert back == {first: "1987", second: "1988"}
    assert numbers.pair_as("1987", "year 1987") == (first, f"year {first}")
    assert Numbers().read_as("1987") == ("1987", {})  # nothing is known that could stand for it


@pytest.mark.parametrize(
    ("text", "source", "wanted", "found"),
    [
        ("2 men in 1985", "zwei Männer um 1987", ["1987"], "2 men in 1987"),
        ("in 1985", "um 1985 und 1987", ["1985", "1987"], "in 1985"),  # nothing was made up
        ("in 85", "um 1987", ["1987"], "in 85"),  # of another length
        ("9 and 8", "7 und 6", ["7", "6"], "7 and 6"),
    ],
)
def test_a_number_that_was_made_up_gives_way_to_one_that_was_lost(text, source, wanted, found) -> None:
    assert mended(text, source, wanted) == found


@pytest.mark.parametrize(
    "change",
    [
        {"shares": (1.0,)},
        {"shares": (2.0,) * 4},
        {"often": ("x",)},
        {"stands": ((),)},
        {"forms": (("#.#", "{0}.{0}"),)},
    ],
)
def test_a_changed_file_is_refused(change) -> None:
    with pytest.raises(ValueError, match="number"):
        Numbers(**change)


def test_dates_and_decimals_are_written_as_translations_write_them() -> None:
    days = [(3, 4, 1990), (12, 5, 2001), (7, 8, 1999), (1, 2, 2003)]
    pairs = [(f"am {d}.{m}.{y} um {d}:{m}", f"on {m}/{d}/{y} at {d}:{m}") for d, m, y in days]
    numbers = Numbers.fit([*pairs, *[(f"{d},{y} kg", f"{d}.{y} kg") for d, _, y in days]])
    assert dict(numbers.forms) == {"#.#.#": "{1}/{0}/{2}", "#,#": "{0}.{1}"}
    assert numbers.written("31.12.1987") == "12/31/1987"
    assert [numbers.written(each) for each in ("3,50", "10:30", "17")] == ["3.50", "10:30", "17"]


def test_strange_sources_are_counted_over_all_of_a_file(model, tmp_path) -> None:
    path = tmp_path / "lines.txt"
    path.write_text("\n".join(["Im Jahr 1990 sah Tom 3 Hunde."] * 70 + ["Жизнь", "日本"] + ["Tom"] * 70), "utf-8")
    with pytest.warns(DataWarning) as said:
        assert len(list(model.answers(path))) == 142
    assert [str(each.message).split(" have")[0] for each in said] == ["2 of the 142 sources"]
