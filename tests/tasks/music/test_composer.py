"""A composer: streamed equals whole, what is given is kept, what is copied is found, parts and conditions hold."""

import warnings

import numpy as np
import pytest

import ostinato
from ostinato import Composer
from ostinato.data.music import Piece, Pieces, from_frames, of_chords, to_frames
from ostinato.errors import DataError, StreamRowError, UsageError
from ostinato.tasks.music.events import EventCode
from ostinato.tasks.music.keys import key_name, key_number, key_of, sharps_of
from ostinato.tasks.music.reading import NATS
from ostinato.tasks.music.statistics import dissonance, intervals, longest_copy, pitch_classes, self_repetition

FEW = {"hidden_size": 12, "head_size": 8, "steps_per_quarter": 2, "progress": False, "steps": 7, "learning_rate": 2e-2}


def chorale(rng) -> list[list[int]]:
    found = []
    for _ in range(8):
        root = int(rng.choice([48, 53, 55, 57]))
        chord = [root, root + 7, root + 12, root + 16]
        found += [chord, [*chord[:3], chord[3] + int(rng.integers(0, 3))]]
    return found


RNG = np.random.default_rng(0)
DATA = [chorale(RNG) for _ in range(20)]
MELODY = Piece.of([(0, 1, 64), (1, 0.5, 65), (1.5, 0.5, 65), (2.5, 1.5, 69)], tempo=72.0, metre=(3, 4))


@pytest.fixture(scope="module")
def models():
    made = {}

    def model(name):
        if name not in made:
            options = {
                "plain": {}, "nade": {"head": "nade"}, "independent": {"head": "independent"},
                "told": {"key": True, "metre": True}, "events": {"representation": "events"},
                "transformer": {"cell": "transformer"}, "found": {"notes": "found"},
            }[name]  # fmt: skip
            made[name] = Composer(epochs=3, **FEW, **options).fit(DATA)
        return made[name]

    return model


ALL = ["plain", "nade", "independent", "told", "events", "transformer"]


@pytest.mark.parametrize("name", ALL)
@pytest.mark.slow
@pytest.mark.ci
def test_streamed_scores_are_those_of_whole_pieces_and_padding_changes_none(models, name) -> None:
    model = models(name)
    rows = DATA[0]
    if name == "events":
        code = EventCode(2)
        rows = list(code.names(code.encode(from_frames(of_chords(DATA[0]), 2))))
    options = {}
    if name == "told":
        options = {"key": key_name(key_of(from_frames(of_chords(DATA[0]), 2)))}
    stream = model.stream(**options)
    streamed = [stream.push(row)["nats"] for row in rows]
    alone = model.predict([DATA[0]])[0]
    beside = model.predict([DATA[0], DATA[1] * 3, DATA[2][:3]])[0]
    np.testing.assert_allclose(streamed, alone, atol=1e-4)
    np.testing.assert_allclose(beside, alone, atol=1e-4)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("voice", ["melody", "bass", "any"])
def test_a_given_voice_is_kept_note_for_note_where_it_lies(models, name, voice) -> None:
    given = MELODY if voice != "bass" else MELODY.transposed(-12)
    made = models(name).compose(harmonize=given, voice=voice, seed=1, drafts=4)
    assert made.given == 1
    assert made.piece.tempo == 72.0
    for field in ("start", "duration", "pitch", "velocity"):
        np.testing.assert_array_equal(getattr(made.tracks[0], field), getattr(given, field))
    own, all_ = to_frames(given, 2), to_frames(made.piece, 2)
    assert len(all_) == len(own)
    for step in np.flatnonzero(own.any(1)):
        notes = np.flatnonzero(all_[step])
        assert own[step, notes[-1] if voice == "melody" else notes[0]] or voice == "any"
        assert all_[step, own[step].argmax()]


def test_a_voice_that_lies_on_no_grid_is_kept_as_it_was(models) -> None:
    given = Piece.of([(0.1, 0.2, 64), (1 / 3, 0.5, 65), (2.05, 1.13, 69)])
    made = models("plain").compose(harmonize=given, drafts=4)
    for field in ("start", "duration", "pitch"):
        np.testing.assert_array_equal(getattr(made.tracks[0], field), getattr(given, field))


@pytest.mark.parametrize("name", ALL)
def test_an_opening_stays_as_it_was_and_the_same_seed_writes_the_same(models, name) -> None:
    model = models(name)
    asked = {"prime": MELODY, "bars": 4, "seed": 5, "temperature": 0.9, "top_p": 0.9}
    made, again = model.compose(**asked), model.compose(**asked)
    np.testing.assert_array_equal(to_frames(made.piece, 2), to_frames(again.piece, 2))
    np.testing.assert_array_equal(to_frames(made.piece, 2)[:8], to_frames(MELODY, 2))
    assert made.piece.start[: len(MELODY)].tolist() == MELODY.start.tolist()
    assert made.piece.length == 12.0
    several = model.compose(count=3, bars=2, seed=1)
    assert len(several) == 3
    assert len({own.piece.pitch.tobytes() for own in several}) > 1
    assert all(np.isfinite(own.nats) for own in several)


def test_harmonies_that_were_looked_for_are_likelier_than_the_first_that_comes(models) -> None:
    model = models("plain")
    one = np.mean([model.compose(harmonize=MELODY, drafts=1, seed=i).nats for i in range(12)])
    many = np.mean([model.compose(harmonize=MELODY, drafts=64, seed=i).nats for i in range(12)])
    assert many < one


def test_a_model_is_loaded_with_all_that_it_needs_to_compose(models, tmp_path) -> None:
    model = models("told")
    again = ostinato.load(model.save(tmp_path / "m"))
    one, two = (own.compose(bars=2, seed=3, key="G", metre="3/4") for own in (model, again))
    assert one.piece.metre == (3, 4)
    assert one.piece.sharps == 1
    np.testing.assert_array_equal(one.piece.pitch, two.piece.pitch)
    assert one.plain() == two.plain()


@pytest.mark.slow
@pytest.mark.ci
def test_it_learns_what_follows_what_and_beats_counting(models) -> None:
    model = Composer(epochs=25, **FEW).fit(DATA)
    scores = model.scores_
    assert scores[NATS] < scores.values["note frequencies"][NATS] / 2
    assert scores[NATS] < scores.values["note by note, after the last step"][NATS]
    assert scores.details["without first steps"]["model"] == pytest.approx(scores[NATS], rel=0.5)


def test_the_baselines_are_the_textbook_ones() -> None:
    """Of one piece, by hand: note frequencies, and n-grams of chords that always follow each other."""
    model = Composer(epochs=1, validation=0.0, test=0.0, **FEW).fit([[[60], [64]] * 50])
    scores = model.evaluate([[[60], [64]] * 50])
    half = 2 * -np.log(0.5)
    assert scores.values["note frequencies"][NATS] == pytest.approx(half, rel=0.01)
    assert scores.values["3-grams of chords"][NATS] < 0.05
    assert scores.values["3-grams of chords"]["frame accuracy"] == pytest.approx(1.0)
    assert scores.values["note by note, after the last step"]["frame accuracy"] > 0.95


def test_the_parts_of_a_source_are_kept_and_equal_pieces_lie_on_one_side() -> None:
    pieces = [from_frames(of_chords(own), 2, f"piece {i}") for i, own in enumerate(DATA)]
    parts = ("train",) * 14 + ("validation",) * 3 + ("test",) * 3
    data = Pieces("a set", tuple(pieces), parts)
    model = Composer(epochs=1, **FEW).fit(data)
    assert model.scores_.protocol.startswith("test: the test part of a set; 3 pieces")
    assert model.evaluate(data).protocol.startswith("the test part of a set")
    part = Composer(epochs=1, validation=0.2, **FEW).fit(data[[*range(14), 17, 18, 19]])
    assert np.isfinite(part.history_.rows[0].validation_loss)
    assert part.scores_.protocol.startswith("test: the test part of a set; 3 pieces")
    twice = Composer(epochs=1, test=0.3, validation=0.2, **FEW).fit([*DATA, *DATA])
    assert "are in the training part too" not in twice.scores_.verdict


def test_long_pieces_are_read_through_with_their_state(models) -> None:
    """Truncated backpropagation: each epoch has the batches that are said, the parts of a piece in order."""
    from ostinato.tasks.music.batches import MusicBatches
    from ostinato.tasks.music.encoding import encode

    model = models("plain").fitted_.model
    examples = encode(model.encoder, models("plain").task.read(model.parameters, [DATA[0], DATA[1][:5], DATA[2][:6]]))
    source = MusicBatches(model.encoder, examples, batch_size=2, steps=7, transpose=3, shuffle=True)
    for epoch in range(3):
        batches = list(source.batches(epoch))
        assert len(batches) == len(source)
        assert sum(int(own.data.real.sum()) for own in batches) == 16 + 5 + 6
        same = list(source.batches(epoch))
        assert all(bool((a.data.frames == b.data.frames).all()) for a, b in zip(batches, same, strict=True))
    long = [own for own in batches if own.continues]
    assert len(long) == 2
    low, high = model.encoder.found_low - 21, model.encoder.found_high - 21
    sounding = np.concatenate([own.data.frames.flatten(0, 1).numpy() for own in batches]).any(0)
    assert set(np.flatnonzero(sounding)) <= set(range(low, high + 1))


@pytest.mark.slow
@pytest.mark.ci
def test_notes_beyond_a_piano_are_left_out_with_a_word_or_kept_if_asked() -> None:
    data = [[[5, 60], [62], [64]] for _ in range(8)]
    with pytest.warns(UserWarning, match=r"8 of 32 notes are not among the 88"):
        model = Composer(epochs=1, **FEW).fit(data)
    with pytest.raises(DataError, match="beyond the model's range, A0 to C8"):
        model.compose(prime=Piece.of([(0, 1, 5)]), bars=2)
    kept = Composer(epochs=1, notes="found", **FEW).fit(data)
    assert kept.fitted_.model.encoder.low == 5
    with pytest.warns(UserWarning, match="2 of 2 notes are out of the model's range, F-1 to E4, and are left out"):
        assert np.isfinite(kept.predict([[[127], [0]]])[0]).all()


@pytest.mark.slow
@pytest.mark.ci
def test_notes_beyond_the_range_are_said_wherever_pieces_are_read(models) -> None:
    model, high = models("found"), [[[60], [127], [126, 60]]]
    with pytest.warns(UserWarning, match="2 of 4 notes are out of the model's range") as said:
        scores = model.evaluate(high)
    assert len({str(own.message) for own in said}) == 1
    assert "2 notes out of the model's range left out" in scores.protocol
    assert scores.details["notes left out"] == 2
    with pytest.warns(UserWarning, match="2 of 4 notes"):
        list(model.task.answers(model.fitted_.model, model.task.read(model, high)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.predict(DATA[:1])


@pytest.mark.parametrize(
    "row", ["+-60", "--60", {"notes": "+-1"}, [10**5000], str(10**4000), "\u0661\u0662", [1.5], [True], None]
)
def test_rows_that_are_no_notes_are_refused_in_a_sentence(models, row) -> None:
    with pytest.raises(StreamRowError):
        models("plain").stream().push(row)


def test_streams_and_requests_of_no_sense_are_refused_in_a_sentence(models) -> None:
    for options in ({"seed": "x"}, {"seed": -1}, {"seed": 10**5000}, {"temperature": "hot"}, {"key": 3}, {"metre": 3}):
        with pytest.raises(UsageError, match="expected"):
            models("plain").stream(**options)
    with pytest.raises(StreamRowError, match="is no event"):
        models("events").stream().push("on " + "9" * 5000)
    for options in ({"tempo": 3.5}, {"tempo": float("nan")}, {"tempo": "fast"}, {"metre": (300, 4)}, {"metre": (4, 3)}):
        with pytest.raises(UsageError, match="expected"):
            models("plain").compose(bars=1, **options)


@pytest.mark.parametrize("name", ["plain", "nade", "independent", "events"])
def test_a_temperature_of_next_to_nothing_is_the_best(models, name) -> None:
    cold, best = (models(name).compose(bars=1, temperature=own, seed=1).piece for own in (1e-300, 0.0))
    np.testing.assert_array_equal(cold.pitch, best.pitch)


def test_conditions_of_events_and_unknown_words_are_refused(models) -> None:
    with pytest.raises(UsageError, match="key and metre are conditions of frames"):
        Composer(representation="events", key=True, **FEW).fit(DATA)
    with pytest.raises(UsageError, match="compose takes"):
        models("plain").compose(lenght=3)
    with pytest.raises(UsageError, match="expected a path"):
        Composer(**FEW).fit(3)


# --- events, keys, numbers of music -----------------------------------------------------------------------------------


def test_events_of_a_piece_come_back_as_its_notes() -> None:
    rng = np.random.default_rng(1)
    code = EventCode(4)
    rows, free = [], {}
    for start in sorted(rng.integers(0, 160, 80).tolist()):
        pitch, lasts = int(rng.integers(0, 128)), int(rng.integers(1, 50))
        if start >= free.get(pitch, 0):
            rows.append((start / 4, lasts / 4, pitch, int(rng.integers(1, 128))))
            free[pitch] = start + lasts
    piece = Piece.of(rows, length=80.0)
    back = code.decode(code.encode(piece).tolist())
    for field in ("start", "duration", "pitch", "length"):
        np.testing.assert_array_equal(getattr(back, field), getattr(piece, field))
    assert np.abs(back.velocity.astype(int) - piece.velocity).max() <= 2
    assert [code.number(code.name(own)) for own in range(code.size)] == list(range(code.size))
    assert code.transposed(code.encode(piece.transposed(0)), 0).tolist() == code.encode(piece).tolist()


def test_keys_are_named_found_and_signed() -> None:
    for name, sharps in (("C", 0), ("G", 1), ("F", -1), ("Am", 0), ("F#m", 3), ("Eb", -3), ("Cm", -3)):
        assert sharps_of(key_number(name)) == sharps
    scale = [0, 2, 4, 5, 7, 9, 11, 12, 7, 4, 0]
    for tonic in range(12):
        assert key_of(Piece.of([(i, 1, 60 + tonic + step) for i, step in enumerate(scale)])) == tonic


def slow_copy(own, corpus, shifts) -> int:
    best = 0
    for shift in shifts:
        moved = np.roll(own, shift, 1)
        for piece in corpus:
            for i in range(len(own)):
                for j in range(len(piece)):
                    run = 0
                    while (
                        i + run < len(own) and j + run < len(piece) and (moved[i + run] == piece[j + run]).all()
                        and moved[i + run].any()
                    ):  # fmt: skip
                        run += 1
                    best = max(best, run)
    return best


def test_the_longest_copy_is_what_a_search_of_all_runs_finds() -> None:
    rng = np.random.default_rng(2)
    for _ in range(8):
        corpus = [of_chords([[int(p)] if p > 58 else [] for p in rng.integers(58, 62, 14)]) for _ in range(3)]
        own = of_chords([[int(p)] if p > 58 else [] for p in rng.integers(58, 62, 12)])
        assert longest_copy(own, corpus, transposed=False).steps == slow_copy(own, corpus, [0])
        assert longest_copy(own, corpus).steps == slow_copy(own, corpus, range(-6, 6))
    found = longest_copy(np.roll(corpus[1], 3, 1)[4:9], [corpus[0], corpus[1]])
    assert found.steps >= slow_copy(corpus[1][4:9], [corpus[1]], [0])
    assert longest_copy(own[:0], corpus).steps == longest_copy(own, []).steps == 0


def test_numbers_of_music_are_those_counted_by_hand() -> None:
    frames = of_chords([[60, 64], [60, 61], [60, 72], []])
    np.testing.assert_allclose(pitch_classes([frames])[[0, 1, 4]], [4 / 6, 1 / 6, 1 / 6])
    np.testing.assert_allclose(intervals([frames])[[0, 1, 4]], [1 / 3, 1 / 3, 1 / 3])
    assert dissonance(frames) == pytest.approx(1 / 3)
    assert self_repetition(of_chords([[60], [62], [60], [62], [], []]), 2) == pytest.approx(1 / 4)


# --- keys of what is written, and frames that change -----------------------------------------------------------------


def tunes(rng, tonic: int = 60) -> list[list[list[int]]]:
    scale = [tonic + step for step in (0, 2, 4, 5, 7, 9, 11, 12)]
    return [[[scale[int(i)]] for i in [0, *rng.integers(0, 8, 14), 0]] for _ in range(12)]


@pytest.mark.parametrize("representation", ["frames", "events"])
@pytest.mark.slow
@pytest.mark.ci
def test_what_is_written_from_nothing_is_in_the_usual_key_or_in_that_asked_for(representation) -> None:
    from ostinato.tasks.music.home import Home
    from ostinato.tasks.music.keys import major_of, note_weights

    rng = np.random.default_rng(4)
    model = Composer(epochs=1, representation=representation, **FEW).fit([*tunes(rng), *tunes(rng, 64)[:5]])
    encoder = model.fitted_.model.encoder
    home = Home.of(encoder.corpus)
    assert major_of(home.key) == 0
    for seed in range(6):
        made = model.compose(bars=8, seed=seed).piece
        assert home.away(note_weights(made)) == 0
        assert made.sharps == 0
        assert encoder.low <= made.pitch.min() <= made.pitch.max() <= encoder.high
        other = model.compose(bars=8, seed=seed, key="D").piece
        assert other.sharps == 2
        assert set((other.pitch - made.pitch).tolist()) <= {2, -10, 14}
        assert len(set((other.pitch - made.pitch).tolist())) == 1
    still = model.compose(prime=Piece.of([(0, 1, 66), (1, 1, 68)], sharps=6), bars=2)
    assert still.piece.pitch[:2].tolist() == [66, 68]
    assert still.piece.sharps == 6


def test_a_piece_is_brought_home_by_the_fewest_semitones_within_the_range(models) -> None:
    from dataclasses import replace

    from ostinato.tasks.music.home import Home, brought_home
    from ostinato.tasks.music.keys import note_weights

    encoder = replace(models("plain").fitted_.model.encoder, low=21, high=108, found_low=60, found_high=84)
    piece = Piece.of([(i, 1, 60 + step) for i, step in enumerate([0, 2, 4, 5, 7, 9, 11, 12, 7, 4, 0])])
    home = Home(0, note_weights(piece))
    for semitones in range(25):
        found = brought_home(piece.transposed(semitones), home, 0, encoder)
        moved = int(found.pitch[0]) - 60
        assert moved % 12 == 0
        assert abs(moved - semitones) <= 6 or found.pitch.max() > 84 or moved in (0, 12)
    assert brought_home(piece, home, 2, replace(encoder, low=60, high=72, found_high=72)) is None
    silent = Home(0, np.zeros(12))
    assert silent.away(note_weights(piece)) == 0


def test_repeating_the_last_frame_is_told_from_knowing_what_comes() -> None:
    held = [[60]] * 8 + [[62]] * 8
    model = Composer(epochs=1, validation=0.0, test=0.0, **FEW).fit([held] * 3)
    scores = model.evaluate([held])
    again = scores.values["the last frame again"]
    assert again["frame accuracy"] == pytest.approx(
        14 / 17
    )  # one note missed at first; one missed, one too many where it changes
    assert again["accuracy at changes"] == 0.0
    share, notes = 43.0 / 47, -np.log(0.5 * 0.5)
    assert again[NATS] == pytest.approx(
        (-14 * np.log(share + (1 - share) / 4) + notes - np.log((1 - share) / 4)) / 16, rel=0.02
    )


def test_a_piece_that_holds_still_says_where(models) -> None:
    from ostinato.tasks.music.composition import composition

    corpus = models("plain").fitted_.model.encoder.corpus
    moving = Piece.of([(i, 1, 60 + i % 5) for i in range(32)])
    assert composition((moving,), corpus, 0.1).holds_still == ""
    held = Piece.of([(0, 1, 60), (1, 1, 62), (4, 28, 64)], length=32.0)
    assert composition((held,), corpus, 0.1).holds_still == "from bar 2 to the end (28 quarters) no note begins"
    assert str(composition((held,), corpus, 0.114)).startswith("3 notes, 8 bars, 16 s, 0.11 nats a frame; longest run")
    assert composition((Piece.of([], length=32.0),), corpus, 0.1).still == (0.0, 32.0)
