"""Tunes in ABC notation: what is written sounds as the standard says, and is written back so that it reads the same."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.data.music import Piece, abc_text, parse_abc, read_abc, read_music
from ostinato.errors import DataError, OstinatoError, UsageError


def heard(music: str, head: str = "L:1/4\nK:C") -> list[tuple[float, float, int]]:
    (tune,) = parse_abc(f"X:1\n{head}\n{music}\n")
    return list(zip(tune.start.tolist(), tune.duration.tolist(), tune.pitch.tolist(), strict=True))


def pitches(music: str, head: str = "L:1/4\nK:C") -> list[int]:
    return [pitch for _, _, pitch in heard(music, head)]


def lengths(music: str, head: str = "L:1/4\nK:C") -> list[float]:
    return [length for _, length, _ in heard(music, head)]


def test_notes_have_their_octave_and_length() -> None:
    assert pitches("C, C c c' c''") == [48, 60, 72, 84, 96]
    assert lengths("C2 C/ C// C3/2 C/4 C") == [2, 0.5, 0.25, 1.5, 0.25, 1]
    assert heard("C z D") == [(0, 1, 60), (2, 1, 62)]
    assert heard("C Z D", "M:3/4\nL:1/4\nK:C")[1][0] == 4
    assert lengths("C", "M:2/4\nK:C") == [0.25]  # a sixteenth in short metres
    assert lengths("C", "M:6/8\nK:C") == [0.5]


def test_accidentals_hold_until_the_bar_and_the_key_says_the_rest() -> None:
    assert pitches("F ^F F c | F =F _B B", "L:1/4\nK:G") == [66, 66, 66, 72, 66, 65, 70, 70]
    assert pitches("F C B", "L:1/4\nK:D") == [66, 61, 71]
    assert pitches("B E A", "L:1/4\nK:Eb") == [70, 63, 68]
    assert pitches("C F B", "L:1/4\nK:Em") == [60, 66, 71]
    assert pitches("C F B", "L:1/4\nK:Ddor") == [60, 65, 71]
    assert pitches("C F [K:D] C F") == [60, 65, 61, 66]


def test_tuplets_broken_rhythm_chords_and_ties_sound_as_they_should() -> None:
    assert lengths("(3CDE F") == pytest.approx([2 / 3] * 3 + [1])
    assert lengths("C>D E<F C>>D") == [1.5, 0.5, 0.5, 1.5, 1.75, 0.25]
    assert heard("[CEG]2 C") == [(0, 2, 60), (0, 2, 64), (0, 2, 67), (2, 1, 60)]
    assert heard("C-C D") == [(0, 2, 60), (2, 1, 62)]
    assert heard("C- | C2 C") == [(0, 3, 60), (3, 1, 60)]


def test_a_tie_carries_its_accidental_over_the_bar_line_to_the_next_note_alone() -> None:
    assert heard("^F-|F F|") == [(0, 2, 66), (2, 1, 65)]
    assert heard("^F-|F-|F F|") == [(0, 3, 66), (3, 1, 65)]
    assert heard("[^F-A]|[FA]") == [(0, 2, 66), (0, 1, 69), (1, 1, 69)]
    assert heard("^F|F") == [(0, 1, 66), (1, 1, 65)]
    assert heard("F-|F", "L:1/4\nK:G") == [(0, 2, 66)]


def test_a_tie_within_a_chord_is_of_its_note_alone() -> None:
    assert heard("[C-E][CE]") == [(0, 2, 60), (0, 1, 64), (1, 1, 64)]
    assert heard("[CE]-[CE]") == [(0, 2, 60), (0, 2, 64)]
    assert pitches('["Am"CE] .C:|: (D):|') == [60, 64, 60, 60, 64, 60, 62, 62]


@pytest.mark.parametrize(
    ("music", "letters"),
    [
        ("|: C D :| E", "CDCDE"),
        ("C D :| E", "CDCDE"),
        ("|: C |1 D :|2 E |] F", "CDCEF"),
        ("|: C |[1 D :|[2 E || F :|", "CDCEFF"),
        ("|: C :: D :| E", "CCDDE"),
        ("|: C |1 D :|2 E :|3 F |]", "CDCECF"),
        ("|: C |: D :|", "CDD"),
    ],
)
def test_repeats_are_played(music, letters) -> None:
    names = {60: "C", 62: "D", 64: "E", 65: "F"}
    assert "".join(names[own] for own in pitches(music)) == letters


def test_what_is_not_heard_is_passed_over_and_voices_sound_together() -> None:
    music = '"Am" C {dc} D !trill! ~E | (F G) .A % a comment'
    assert pitches(music) == [60, 62, 64, 65, 67, 69]
    tune = "V:1\nc d\nw: la la\nV:2\nC2"
    assert heard(tune) == [(0, 2, 60), (0, 1, 72), (1, 1, 74)]
    many = parse_abc("X:1\nT:One\nK:C\nCDE\n\nX:2\nT:Two\nQ:1/8=120\nK:C\nC\n\nX:3\nT:none\nK:C\nz\n")
    assert [own.name for own in many] == ["the tune, One", "the tune, Two"]
    assert many[1].tempo == 60


DIGITS = "1" * 5000
BAD = {
    "no tune": ("hello there", "has no tune"),
    "no music": ("X:1\nK:C\nC D ?? E", 'line 3 of bad.abc: "?? E" is no music'),
    "no key": ("X:1\nK:Qx\nC", 'the key "Qx" is none'),
    "no metre": ("X:1\nM:waltz\nK:C\nC", 'the metre "waltz" is none'),
    "metre of nothing": ("X:1\nM:0/4\nK:C\nC", 'the metre "0/4" is none'),
    "no length": ("X:1\nL:1/0\nK:C\nC", 'the length "1/0" is none'),
    "no tempo": ("X:1\nQ:fast=\nK:C\nC", 'the tempo "fast=" is none'),
    "length 0": ("X:1\nK:C\nC0", "is no length of a note"),
    "beyond MIDI": ("X:1\nK:C\nC,,,,,,,", "is beyond what MIDI has"),
    "broken without a note": ("X:1\nK:C\n> C", "has no note before it"),
    "no chord": ("X:1\nK:C\n[C?]", "is no chord"),
    "metre of thirds": ("X:1\nM:4/3\nK:C\nC", 'the metre "4/3" is none'),
    "metre of digits": (f"X:1\nM:{DIGITS}/4\nK:C\nC", "line 2 of bad.abc"),
    "length of digits": (f"X:1\nL:1/{DIGITS}\nK:C\nC", "a number of 5,000 digits"),
    "length of next to nothing": ("X:1\nL:1/999999999\nK:C\nC", "expected one such as L:1/8, of 1/1024 to 1024"),
    "tuplet of digits": (f"X:1\nK:C\n(3:2:{DIGITS}CDE", "a number of 5,000 digits"),
    "tuplet of all notes": ("X:1\nK:C\n(3:2:100000000CDE", "acts on 100,000,000 notes; expected 1 to 1000"),
    "bars of digits": (f"X:1\nK:C\nZ{DIGITS}", "a number of 5,000 digits"),
    "ending of digits": (f"X:1\nK:C\nC|{DIGITS}", "a number of 5,000 digits"),
    "bracket of digits": (f"X:1\nK:C\nC|[1-{DIGITS}", "a number of 5,000 digits"),
    "tempo of digits": (f"X:1\nQ:{DIGITS}\nK:C\nC", "the tempo"),
    "tempo too slow": ("X:1\nQ:1/4=2\nK:C\nC", 'the tempo "1/4=2" is none; expected one such as Q:1/4=120, 3.58 to'),
    "tempo too fast": ("X:1\nQ:4/1=9999\nK:C\nC", 'the tempo "4/1=9999" is none'),
    "note of no length": ("X:1\nK:C\nC/99999", "lasts less than 1/4096 of a quarter"),
    "much broken": (f"X:1\nK:C\nC{'>' * 5000}C", "is no broken rhythm; expected 4 marks at most"),
    "broken twice": ("X:1\nK:C\nC> > C", "is no broken rhythm"),
    "huge": ("X:1\nK:C\nC99999999999", "quarters; expected at most"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_abc_is_refused_in_one_sentence_with_its_line(name, tmp_path) -> None:
    text, said = BAD[name]
    path = tmp_path / "bad.abc"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        read_abc(path)
    assert said in str(caught.value).replace(f"{tmp_path}/", "")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["Q:" + "1/1" + "1" * 60_000 + "x", "Q:" + "1/1 " * 15_000 + "x", "M:" + "1+" * 30_000, "M:" + "1" * 60_000,
     "L:1" + " " * 60_000 + "x", "K:" + '"' * 60_001, "K:C\n" + "." * 60_000 + ":", "K:C\n" + "|" * 60_000 + "[",
     "K:C\n" + ":" * 60_000 + "x", "K:C\n[" + '"!' * 30_000 + "]", "K:C\n" + "%\\" * 30_000,
     "K:C\nC" + "," * 60_000, "M:" + "x" * 60_000],
)  # fmt: skip
def test_long_lines_take_no_longer_than_they_are(text) -> None:
    begun = time.process_time()
    try:
        parse_abc(f"X:1\n{text}\nK:C\nC")
    except DataError as error:
        assert "\n" not in str(error)  # noqa: PT017
        assert len(str(error)) < 300  # noqa: PT017
    assert time.process_time() - begun < 2


def test_a_file_without_a_sound_is_refused(tmp_path) -> None:
    (tmp_path / "rest.abc").write_text("X:1\nK:C\nz4\n")
    with pytest.raises(DataError, match="has no notes"):
        read_music(tmp_path / "rest.abc")


NOTES = st.lists(st.tuples(st.integers(0, 8), st.integers(1, 24), st.integers(30, 100)), min_size=1, max_size=24)


@settings(max_examples=60, deadline=None)
@given(NOTES, st.integers(-7, 7), st.sampled_from([(4, 4), (3, 4), (6, 8), (5, 4)]))
def test_a_melody_that_is_written_is_read_as_it_was(rows, sharps, metre) -> None:
    notes, now = [], 0
    for rest, lasts, pitch in rows:
        notes.append(((now + rest) / 12, lasts / 12, pitch))
        now += rest + lasts
    melody = Piece.of(notes, "melody", sharps=sharps, metre=metre, tempo=90.0)
    (back,) = parse_abc(abc_text(melody))
    np.testing.assert_allclose(back.start, melody.start)
    np.testing.assert_allclose(back.duration, melody.duration)
    np.testing.assert_array_equal(back.pitch, melody.pitch)
    assert (back.sharps, back.metre, back.tempo) == (sharps, metre, 90.0)


def test_abc_is_written_of_melodies_alone() -> None:
    with pytest.raises(UsageError, match="sound together"):
        abc_text(Piece.of([(0, 1, 60), (0, 1, 64)]))


@pytest.mark.slow
def test_mutated_tunes_raise_only_errors_of_ours() -> None:
    rng = np.random.default_rng(1)
    music = "A2>B (3cd^e | [Ace]2- [A_ce]z Z2 :|2 {g}a,,b''/2 [K:F] ~c!p!d |]"
    text = f'X:1\nT:A\nM:6/8\nL:1/8\nQ:3/8=100\nK:Dm\n|: "Dm" {music}\nV:2\nA>>B\n'
    for _ in range(4000):
        own = list(text)
        for _ in range(int(rng.integers(1, 8))):
            at = int(rng.integers(len(own)))
            own[at : at + int(rng.integers(0, 3))] = [chr(int(rng.choice([*range(32, 127), 10, 955])))]
        try:
            parse_abc("".join(own))
        except OstinatoError as error:
            assert "\n" not in str(error)  # noqa: PT017
