"""Tunes in ABC notation, standard 2.1 (C. Walshaw and others, 2011), to pieces.

What sounds is read: notes, chords in brackets, rests, ties, accidentals that hold to the end of a bar, key, metre and
unit lengths, tuplets, broken rhythm, repeats with endings, voices. Grace notes, decorations, chord symbols, slurs and
words are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from ostinato.data.music.abc_repeats import Bar, Sound, played
from ostinato.data.music.pieces import FASTEST, LONGEST, SLOWEST, TEMPO, Piece, is_metre
from ostinato.errors import DataError
from ostinato.files import reason

ENDINGS = (".abc",)
_STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_SHARPS, _FLATS = "FCGDAEB", "BEADGCF"
_MAJOR = {"C": 0, "G": 1, "D": 2, "A": 3, "E": 4, "B": 5, "F#": 6, "C#": 7, "F": -1, "BB": -2, "EB": -3, "AB": -4,
          "DB": -5, "GB": -6, "CB": -7, "G#": 8, "D#": 9, "A#": 10}  # fmt: skip
_MODES = {
    "": 0,
    "maj": 0,
    "ion": 0,
    "m": -3,
    "min": -3,
    "aeo": -3,
    "mix": -1,
    "dor": -2,
    "phr": -4,
    "lyd": 1,
    "loc": -5,
}
_DIGITS = 9  # of a whole number, at most
_UNITS = (Fraction(1, 1024), Fraction(1024))  # of whole notes, L: and the beats of Q:
_SHORTEST = Fraction(1, 4096)  # quarters that a note may last
_TUPLET = 1_000  # notes that a tuplet may act on
_BROKEN = 4  # marks of a broken rhythm
_TUPLETS = {2: 3, 3: 2, 4: 3, 5: 2, 6: 2, 7: 2, 8: 3, 9: 2}
_TOKEN = re.compile(
    r'(?P<skip>"[^"]*"|![^!\s]*!|\+[^+\s]*\+|\{[^}]*\}|[~.HLMOPSTuvJRy`\\)*$-]|\s+)'
    r"|(?P<inline>\[[A-Za-z]:[^\]]*\])"
    r"|(?P<ending>\[[1-9][0-9,-]*)"
    r"|(?P<bar>:*\|+[\]:|]*:*(?P<numbers>[1-9][0-9,-]*)?|\[\||::+)"
    r"|(?P<tuplet>\((?P<p>[2-9])(?::(?P<q>[1-9]?))?(?::(?P<r>[0-9]*))?)"
    r"|(?P<slur>\()"
    r"|(?P<chord>\[(?P<within>[^\]|]*)\](?P<clength>[0-9]*/*[0-9]*))"
    r"|(?P<note>(?P<accidental>\^\^|\^|__|_|=)?(?P<letter>[A-Ga-gzxZX])(?P<octave>[',]*)(?P<length>[0-9]*/*[0-9]*))"
    r"|(?P<broken>>+|<+)"
)
_NOTE = re.compile(
    r"(?P<accidental>\^\^|\^|__|_|=)?(?P<letter>[A-Ga-gzx])(?P<octave>[',]*)(?P<length>[0-9]*/*[0-9]*)(?P<tie>-?)"
)


def read_abc(source: str | Path) -> list[Piece]:
    """Read all tunes of a file.

    Raises:
        DataError: it cannot be read, has no tune, or a line is not ABC.
    """
    try:
        text = Path(source).read_bytes().decode("utf-8", "replace")
    except OSError as error:
        raise DataError(f"{source} cannot be read ({reason(error)})") from error
    return parse_abc(text, str(source))


def parse_abc(text: str, name: str = "the tune") -> list[Piece]:
    r"""Return the tunes of a text in ABC notation, each from `X:` on; the voices of one sound together.

    Raises:
        DataError: there is none, or a line is not ABC.

    >>> (tune,) = parse_abc("X:1\nL:1/4\nK:G\n|: G F :|")
    >>> tune.pitch.tolist(), tune.length
    ([67, 66, 67, 66], 4.0)
    """
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    first = [i for i, (_, line) in enumerate(lines) if line.startswith("X:")]
    if not first and any(line.startswith("K:") for _, line in lines):
        first = [0]
    if not first:
        raise DataError(f'{name} has no tune in ABC notation; one begins with a line "X:1" and its notes follow "K:C"')
    tunes = [lines[a:b] for a, b in zip(first, [*first[1:], len(lines)], strict=True)]
    found = [_Tune(name, tune).piece() for tune in tunes]
    return [piece for piece in found if piece is not None]


@dataclass
class _Voice:
    """What is read of a voice so far: sounds and bars, and what still acts on the next note."""

    items: list[Sound | Bar] = field(default_factory=list)
    accidentals: dict[tuple[str, int], int] = field(default_factory=dict)
    tied: dict[tuple[str, int], int] = field(default_factory=dict)  # accidentals that ties carry to the next note
    tuplet: list[Fraction] = field(default_factory=list)
    broken: Fraction | None = None


class _Tune:
    def __init__(self, name: str, lines: list[tuple[int, str]]) -> None:
        self.file, self.lines = name, lines
        self.title, self.metre, self.tempo = "", (4, 4), TEMPO
        self.unit: Fraction | None = None
        self.key, self.sharps, self.in_body, self.number = dict[str, int](), 0, False, 0
        self.voices: dict[str, _Voice] = {}
        self.voice = "1"

    def piece(self) -> Piece | None:
        """Return the tune, `None` if it has no notes."""
        for number, line in self.lines:
            self.number = number
            text = re.split(r"(?<!\\)%", line)[0].strip()
            if re.match(r"[A-Za-z]:(?!\|)", text) and not (self.in_body and text[0] in "|:"):
                self._field(text[0], text[2:].strip())
            elif text and self.in_body:
                self._music(text)
        notes = [note for voice in self.voices.values() for note in self._played(voice)]
        if not notes:
            return None
        name = f"{self.file}, {self.title}" if self.title else self.file
        end = float(max(start + length for start, length, _ in notes))
        return Piece.of(
            [(float(start), float(length), pitch) for start, length, pitch in notes], name, end, tempo=self.tempo,
            metre=self.metre, sharps=self.sharps,
        )  # fmt: skip

    def _played(self, voice: _Voice) -> Iterator[tuple[Fraction, Fraction, int]]:
        for start, length, pitch in played(voice.items):
            if start > LONGEST:
                raise DataError(f"{self._where()} repeats without end; expected at most {LONGEST:,.0f} quarters")
            yield start, length, pitch

    # --- fields ------------------------------------------------------------------------------------------------------

    def _field(self, kind: str, text: str) -> None:
        if kind == "T" and not self.title:
            self.title = text
        elif kind == "M":
            self.metre = self._metre(text)
        elif kind == "L":
            self.unit = self._fraction(text)
        elif kind == "Q":
            self.tempo = self._tempo(text)
        elif kind == "K":
            self._set_key(text)
            self.in_body = True
        elif kind == "V":
            self.voice = (text.split() or ["1"])[0]

    def _metre(self, text: str) -> tuple[int, int]:
        text = {"C": "4/4", "C|": "2/2", "none": "4/4", "": "4/4"}.get(text, text)
        found = re.match(r"\(?(\d+(?:\s*\+\s*\d+)*)\)?\s*/\s*(\d+)", text)
        if not found:
            raise DataError(f'{self._where()}: the metre "{text[:20]}" is none; expected one such as M:3/4')
        above, below = sum(self._whole(each) for each in found[1].split("+")), self._whole(found[2])
        if not is_metre((above, below)):
            raise DataError(f'{self._where()}: the metre "{text[:20]}" is none; expected one such as M:3/4')
        return above, below

    def _fraction(self, text: str) -> Fraction:
        found = re.fullmatch(r"(\d+)\s*(?:/\s*(\d+))?", text)
        above, below = (self._whole(found[1]), self._whole(found[2] or "1")) if found else (0, 0)
        if not above or not below or not _UNITS[0] <= Fraction(above, below) <= _UNITS[1]:
            raise DataError(
                f'{self._where()}: the length "{text[:20]}" is none; expected one such as L:1/8, of {_UNITS[0]} to '
                f"{_UNITS[1]}"
            )
        return Fraction(above, below)

    def _whole(self, text: str) -> int:
        """Return a whole number of a field or a mark; what has more digits than any of them needs is refused."""
        if len(text) > _DIGITS:
            raise DataError(
                f'{self._where()}: "{text[:12]}..." is a number of {len(text):,} digits; expected {_DIGITS} at most'
            )
        return int(text)

    def _tempo(self, text: str) -> float:
        text = re.sub(r'"[^"]*"', "", text).strip()
        if not text:
            return self.tempo
        beat, sign, number = text.rpartition("=")
        words = [] if beat.strip() in ("", "C") else beat.split()
        known = re.fullmatch(r"\d{1,9}(?:\.\d{1,9})?", number.strip()) and (beat.strip() or not sign)
        known = known and all(re.fullmatch(r"\d+/\d+", word) for word in words)
        beats = [self._fraction(word) for word in words] if known else []
        tempo = float(number) * float(4 * sum(beats, Fraction(0)) if beats else 1) if known else 0.0
        if not SLOWEST <= tempo <= FASTEST:
            raise DataError(
                f'{self._where()}: the tempo "{text[:20]}" is none; expected one such as Q:1/4=120, {SLOWEST:g} to '
                f"{FASTEST:,.0f} quarters a minute"
            )
        return tempo

    def _set_key(self, text: str) -> None:
        words = re.sub(r"\b(clef|octave|middle|transpose)=\S+|\b(treble|bass|alto|tenor)\S*", "", text).split()
        said = words[0] if words else "C"
        if said.lower() in ("none", "hp", "hp,"):
            self.sharps, words = (0, []) if said.lower() == "none" else (2, [])
        else:
            found = re.fullmatch(r"([A-Ga-g])([#b]?)([A-Za-z]*)", said)
            mode = (found[3] if found else "") or (words[1] if len(words) > 1 and words[1].isalpha() else "")
            short = mode if mode in ("m", "") else mode.lower()[:3]
            if not found or short not in _MODES:
                raise DataError(f'{self._where()}: the key "{text[:20]}" is none; expected one such as K:D or K:Em')
            self.sharps = _MAJOR[(found[1] + found[2]).upper()] + _MODES[short]
        names = _SHARPS[: self.sharps] if self.sharps > 0 else _FLATS[: -self.sharps] if self.sharps else ""
        self.key = dict.fromkeys(names, 1 if self.sharps > 0 else -1)
        self.sharps = max(-7, min(7, self.sharps))
        for word in words:
            changed = re.fullmatch(r"(\^|_|=)([A-Ga-g])", word)
            if changed:
                self.key[changed[2].upper()] = {"^": 1, "_": -1, "=": 0}[changed[1]]

    # --- music -------------------------------------------------------------------------------------------------------

    def _music(self, text: str) -> None:
        at = 0
        while at < len(text):
            found = _TOKEN.match(text, at)
            voice = self.voices.setdefault(self.voice, _Voice())
            if found is None or found.end() == at:
                raise DataError(f'{self._where()}: "{text[at : at + 12]}" is no music in ABC notation')
            kind = found.lastgroup if found.lastgroup in ("skip", "slur") else next(
                name for name in ("skip", "inline", "ending", "bar", "tuplet", "slur", "chord", "note", "broken")
                if found[name] is not None
            )  # fmt: skip
            at = found.end()
            if kind == "inline":
                self._field(found[0][1], found[0][3:-1].strip())
            elif kind in ("bar", "ending"):
                voice.accidentals.clear()
                voice.items.append(Bar(found[0].lstrip("[").rstrip("0123456789,-"), self._passes(found)))
            elif kind == "tuplet":
                self._tuplet(voice, found)
            elif kind == "broken":
                self._broken(voice, found[0])
            elif kind in ("chord", "note"):
                sound = self._chord(voice, found) if kind == "chord" else self._single(voice, found)
                if text[at : at + 1] == "-":
                    sound = Sound(sound.length, sound.pitches, frozenset(sound.pitches))
                self._add(voice, sound)
                self._carry(voice, found, sound)

    def _add(self, voice: _Voice, sound: Sound) -> None:
        factor = voice.tuplet.pop() if voice.tuplet else Fraction(1)
        if voice.broken is not None:
            factor, voice.broken = factor * voice.broken, None
        voice.items.append(Sound(self._lasting(sound.length * factor), sound.pitches, sound.tied))

    def _carry(self, voice: _Voice, found: re.Match[str], sound: Sound) -> None:
        """Keep the accidentals of tied notes: they act on the next note, over the bar line too, and no further."""
        places = [place for place in map(_place, _NOTE.finditer(found[0])) if place is not None] if sound.tied else []
        shifts = {place: self._shift(voice, place) for place in places}
        voice.tied = {place: shift for place, shift in shifts.items() if _pitch(place, shift) in sound.tied}

    def _lasting(self, length: Fraction) -> Fraction:
        if length < _SHORTEST:
            raise DataError(
                f"{self._where()}: a note or rest lasts less than {_SHORTEST} of a quarter; expected a longer one: are "
                "L: and its length right?"
            )
        return length

    def _single(self, voice: _Voice, found: re.Match[str]) -> Sound:
        if found["letter"] in "ZX":
            bars = self._whole(re.match(r"\d*", found["length"])[0] or "1")  # type: ignore[index]
            if not bars:
                raise DataError(f'{self._where()}: "{found[0][:20]}" is a rest of no bar; expected one such as Z4')
            return Sound(bars * Fraction(4 * self.metre[0], self.metre[1]), ())
        return Sound(self._length(found["length"]) * self._unit(), self._pitches(voice, found))

    def _chord(self, voice: _Voice, found: re.Match[str]) -> Sound:
        within = re.sub(r'"[^"]*"|![^!]*!|[\s~.!]', "", found["within"])
        notes = list(_NOTE.finditer(within))
        if not notes or _NOTE.sub("", within):
            raise DataError(f'{self._where()}: "{found[0][:20]}" is no chord; expected one such as [CEG]2')
        length = self._length(notes[0]["length"]) * self._length(found["clength"]) * self._unit()
        pitches = [pitch for note in notes for pitch in self._pitches(voice, note)]
        tied = frozenset(pitche for note in notes if note["tie"] for pitche in self._pitches(voice, note))
        return Sound(length, tuple(dict.fromkeys(pitches)), tied)

    def _pitches(self, voice: _Voice, note: re.Match[str]) -> tuple[int, ...]:
        place = _place(note)
        if place is None:
            return ()
        if note["accidental"]:
            voice.accidentals[place] = {"^": 1, "^^": 2, "_": -1, "__": -2, "=": 0}[note["accidental"]]
        pitch = _pitch(place, self._shift(voice, place))
        if not 0 <= pitch <= 127:
            raise DataError(
                f"{self._where()}: the note \"{note[0][:20]}\" is beyond what MIDI has; expected C,,,,, to g''''"
            )
        return (pitch,)

    def _shift(self, voice: _Voice, place: tuple[str, int]) -> int:
        """Return how many semitones a note without an accidental is moved by: the bar says it, a tie, or the key."""
        held = voice.tied.get(place, self.key.get(place[0], 0))
        return voice.accidentals.get(place, held)

    def _length(self, text: str) -> Fraction:
        above, slashes, below = re.fullmatch(r"(\d*)(/*)(\d*)", text).groups()  # type: ignore[union-attr]
        if len(text) > 12 or (above and not int(above)) or (below and not int(below)):
            raise DataError(f'{self._where()}: "{text[:20]}" is no length of a note; expected one such as 2 or 3/2')
        if not slashes:
            return Fraction(int(above or 1))
        return Fraction(int(above or 1), int(below) * 2 ** (len(slashes) - 1) if below else 2 ** len(slashes))

    def _unit(self) -> Fraction:
        """Return the length of a note without a number, in quarters."""
        unit = self.unit or Fraction(1, 16 if self.metre[0] / self.metre[1] < 0.75 else 8)
        return 4 * Fraction(unit)

    def _tuplet(self, voice: _Voice, found: re.Match[str]) -> None:
        p = int(found["p"])
        compound = self.metre[0] % 3 == 0 and self.metre[0] > 3
        q = int(found["q"] or (3 if compound and p in (5, 7, 9) else _TUPLETS[p]))
        notes = self._whole(found["r"] or str(p))
        if not 0 < notes <= _TUPLET:
            raise DataError(f'{self._where()}: "{found[0]}" acts on {notes:,} notes; expected 1 to {_TUPLET}')
        voice.tuplet = [Fraction(q, p)] * notes

    def _broken(self, voice: _Voice, mark: str) -> None:
        before = next((i for i in range(len(voice.items) - 1, -1, -1) if isinstance(voice.items[i], Sound)), None)
        if before is None:
            raise DataError(f'{self._where()}: "{mark}" has no note before it; expected one such as A>B')
        if len(mark) > _BROKEN or voice.broken is not None:
            raise DataError(
                f'{self._where()}: "{mark[:12]}" is no broken rhythm; expected {_BROKEN} marks at most between two '
                "notes: A>>B"
            )
        small = Fraction(1, 2 ** len(mark))
        found, other = (2 - small, small) if mark[0] == ">" else (small, 2 - small)
        sound = voice.items[before]
        assert isinstance(sound, Sound)
        voice.items[before] = Sound(self._lasting(sound.length * found), sound.pitches, sound.tied)
        voice.broken = other

    def _passes(self, found: re.Match[str]) -> frozenset[int]:
        """Return the passes that an ending is for, `[1,3` or `|1-2`; none: it is no ending."""
        text = found["numbers"] or (found["ending"] or "")[1:]
        numbers: set[int] = set()
        for part in filter(None, text.split(",")):
            first, last = (each.strip("-") for each in part.partition("-")[::2])
            least = self._whole(first or "1")
            numbers |= set(range(least, min(self._whole(last or first or "1"), 99) + 1))
        return frozenset(numbers)

    def _where(self) -> str:
        return f"line {self.number} of {self.file}"


def _place(note: re.Match[str]) -> tuple[str, int] | None:
    """Return the letter and the octave of a note; `None`: it is a rest."""
    letter = note["letter"]
    if letter in "zx":
        return None
    return letter.upper(), (5 if letter.islower() else 4) + note["octave"].count("'") - note["octave"].count(",")


def _pitch(place: tuple[str, int], shift: int) -> int:
    return 12 * (place[1] + 1) + _STEPS[place[0]] + shift
