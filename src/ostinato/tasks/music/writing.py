"""A request for music, to pieces that a model writes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np

from ostinato.data.music import Piece, from_frames, note_name
from ostinato.data.music.abc_writing import is_melody
from ostinato.data.music.pieces import FASTEST, SLOWEST, is_metre
from ostinato.errors import DataError, UsageError
from ostinato.tasks.base.task import Model
from ostinato.tasks.music.composing import Conditions, Plan, Voice, write_frames
from ostinato.tasks.music.composing_events import EventPlan, voice_events, write_events
from ostinato.tasks.music.composition import Composition, composition
from ostinato.tasks.music.drawing import Sampling
from ostinato.tasks.music.home import Home, brought_home
from ostinato.tasks.music.keys import key_number, key_of, metre_of, sharps_of
from ostinato.words import counted

Place: TypeAlias = Literal["melody", "bass", "any"]
BARS = 16
_MOST_STEPS = 100_000
_MOST_ROWS = 4_096
_SEEDS = 2**48


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Args:
        quarters: how long; bars, seconds: likewise, in other units; none of them: as long as the given voice, else 16
            bars.
        prime: an opening; harmonize: a voice that is kept note for note; voice: where it lies.
        count: pieces; temperature, top_p, seed: of what is drawn; drafts: that are written side by side for each
            piece around a given voice.
        key, metre, tempo: of the piece; `None`: those of what is given, else the usual ones of training. A model whose
            training transposes pieces writes in any key: what it writes from nothing is moved to this one.
        strike: quarters after which notes that are held are struck again; `None`: they are not.
    """

    quarters: float | None = None
    bars: float | None = None
    seconds: float | None = None
    prime: Piece | None = None
    harmonize: Piece | None = None
    voice: Place = "melody"
    count: int = 1
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int = 0
    drafts: int = 64
    key: str | None = None
    metre: str | tuple[int, int] | None = None
    tempo: float | None = None
    strike: float | None = None

    def __post_init__(self) -> None:
        given = [name for name in ("quarters", "bars", "seconds") if getattr(self, name) is not None]
        if len(given) > 1:
            raise UsageError(f"{given[0]} and {given[1]} both say how long the piece is; give one of them")
        for name in ("quarters", "bars", "seconds", "tempo", "strike"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, (int, float)) and 0 < value < 1e9):
                raise UsageError(f"{name} is {value}; expected more than 0")
        for name in ("count", "drafts"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}; expected one or more")
        if not 0 <= self.seed < _SEEDS:
            raise UsageError(f"seed is {self.seed}; expected a whole number from 0 to {_SEEDS - 1:,}")
        if isinstance(self.metre, str):
            metre_of(self.metre)
        elif self.metre is not None and not is_metre(self.metre):
            raise UsageError(f'metre is {self.metre!r:.40}; expected one such as "3/4"')
        if self.voice not in ("melody", "bass", "any"):
            raise UsageError(f'voice is {self.voice!r}; expected "melody", "bass" or "any"')
        if self.tempo is not None and not SLOWEST <= self.tempo <= FASTEST:
            raise UsageError(
                f"tempo is {self.tempo}; expected quarters a minute, {SLOWEST:g} to {FASTEST:,.0f}: a MIDI file "
                "has no others"
            )


def written(model: Model[Any, Any], request: Request) -> list[Composition]:
    """Return the pieces that a model writes.

    Raises:
        UsageError: what is asked for cannot be.
        DataError: a given piece does not fit the model.
    """
    return _Writer(model, request).write()


class _Writer:
    def __init__(self, model: Model[Any, Any], request: Request) -> None:
        self.model, self.request, self.encoder = model, request, model.encoder
        self.sampling = Sampling(request.temperature, request.top_p)
        given = request.harmonize or request.prime
        usual = self.encoder.metre if given is None else given.metre
        asked = request.metre
        self.metre = usual if asked is None else metre_of(asked) if isinstance(asked, str) else asked
        self.tempo = request.tempo or (self.encoder.tempo if given is None else given.tempo)
        self.key = self.encoder.key if given is None else key_of(given)
        if request.key is not None:
            self.key = key_number(request.key)
        known = request.key is not None or self.encoder.keyed or given is None or given.sharps is None
        self.sharps = sharps_of(self.key) if known else given.sharps  # type: ignore[union-attr]
        self.bar = 4.0 * self.metre[0] / self.metre[1]
        self.grid: int = self.encoder.steps_per_quarter
        self._check()

    def write(self) -> list[Composition]:
        """Write as many pieces as are asked for."""
        return self._frames() if self.encoder.kind == "frames" else self._events()

    # --- what is asked for -----------------------------------------------------------------------------------------

    def _check(self) -> None:
        request = self.request
        if request.harmonize is not None:
            if not len(request.harmonize):
                raise DataError(f"{request.harmonize.name} has no notes; give a melody")
            if not is_melody(request.harmonize):
                raise DataError(
                    f"{request.harmonize.name} has notes that sound together; the voice that the others go with is one "
                    "note at a time"
                )
            self._in_range(request.harmonize)
        if request.prime is not None:
            if not len(request.prime):
                raise DataError(f"{request.prime.name} has no notes; give an opening with some")
            self._in_range(request.prime)
        if request.prime is not None and request.harmonize is not None:
            raise UsageError("an opening and a voice are both given; give one of them")
        if self.steps > _MOST_STEPS:
            raise UsageError(f"the piece has {counted(self.steps, 'steps')}; expected at most {_MOST_STEPS:,}")
        if request.prime is not None and self.steps <= round(request.prime.length * self.grid):
            raise UsageError(
                f"the opening lasts {request.prime.length:g} quarters, and the piece {self.steps / self.grid:g}; "
                "ask for a longer one"
            )

    def _in_range(self, piece: Piece) -> None:
        low, high = self.encoder.low, self.encoder.high
        outside = [int(each) for each in piece.pitch if not low <= each <= high]
        if outside:
            raise DataError(
                f"{piece.name} has the note {note_name(outside[0])} ({outside[0]}), beyond the model's range, "
                f"{note_name(low)} to {note_name(high)} ({low} to {high}); transpose it"
            )

    @property
    def steps(self) -> int:
        """How many steps of the grid the pieces have."""
        request = self.request
        quarters = request.quarters
        if request.bars is not None:
            quarters = request.bars * self.bar
        elif request.seconds is not None:
            quarters = request.seconds * self.tempo / 60.0
        elif quarters is None and request.harmonize is not None:
            return max(1, math.ceil(request.harmonize.length * self.grid - 1e-6))  # no note of the voice is cut
        quarters = BARS * self.bar if quarters is None else quarters
        return max(1, round(quarters * self.grid))

    @cached_property
    def home(self) -> Home:
        """The usual key of the training pieces."""
        return Home.of(self.encoder.corpus)

    def _in_key(self, piece: Piece) -> Piece:
        """Return what was written from nothing in the key asked for, else, if all were trained on, the usual one."""
        request, parameters = self.request, self.model.parameters
        if self.encoder.keyed or parameters.drums or not len(piece):  # drums have no pitch
            return piece
        moved = None
        if request.key is not None or parameters.transpose:
            moved = brought_home(piece, self.home, self.home.key if request.key is None else self.key, self.encoder)
        return replace(piece, sharps=sharps_of(key_of(piece))) if moved is None else moved

    # --- frames ----------------------------------------------------------------------------------------------------

    def _frames(self) -> list[Composition]:
        request, found = self.request, list[Composition]()
        drafts = 1 if request.harmonize is None else request.drafts
        together = max(1, _MOST_ROWS // drafts)
        for start in range(0, request.count, together):
            plan = self._plan(min(together, request.count - start), drafts)
            frames, nats = write_frames(
                self.model.network, self.encoder, plan, self.sampling, request.seed + 1_000_003 * (start // together)
            )
            found += [
                self._composed(one, float(value), start + i)
                for i, (one, value) in enumerate(zip(frames, nats, strict=True))
            ]
        return found

    def _plan(self, count: int, drafts: int) -> Plan:
        request, opening, voice = self.request, None, None
        steps = self.steps
        if request.prime is not None:
            opening = self.encoder.frames(request.prime)[:steps]
        if request.harmonize is not None:
            notes = np.zeros((steps, self.encoder.notes), bool)
            given = self._one_at_a_time(self.encoder.frames(request.harmonize))[:steps]
            notes[: len(given)] = given
            voice = Voice(notes, request.voice)
        conditions = Conditions(max(1, round(self.bar * self.grid)), self.key)
        return Plan(steps, count, conditions, opening, voice, drafts, self.encoder.most)

    def _one_at_a_time(self, frames: Any) -> Any:
        """Return a voice with one note in a step: of two that the grid brings together, the later one."""
        found = np.zeros_like(frames)
        starts = np.floor(self.request.harmonize.start * self.grid + 0.5).astype(np.int64)  # type: ignore[union-attr]
        for start, pitch in zip(starts, self.request.harmonize.pitch - self.encoder.low, strict=True):  # type: ignore[union-attr]
            run = np.flatnonzero(~frames[start:, pitch])
            end = len(frames) if not len(run) else start + int(run[0])
            found[start:] = False
            found[start:end, pitch] = True
        return found

    def _composed(self, frames: Any, nats: float, number: int) -> Composition:
        request = self.request
        options: dict[str, Any] = {"tempo": self.tempo, "metre": self.metre, "sharps": self.sharps}
        struck = None if request.strike is None else max(1, round(request.strike * self.grid))
        name = f"piece {number + 1}"
        whole = self.encoder.whole(frames)
        if request.harmonize is not None:
            plan = self._plan(1, 1)
            assert plan.voice is not None
            rest = whole & ~self.encoder.whole(plan.voice.notes)
            other = from_frames(rest, self.grid, name, struck=struck, **options)
            melody = replace(request.harmonize.until(self.steps / self.grid), **options)
            return composition((melody, other), self.encoder.corpus, nats, given=1)
        if request.prime is not None:
            return self._after(request.prime, whole, nats, struck, options)
        piece = self._in_key(from_frames(whole, self.grid, name, struck=struck, **options))
        return composition((piece,), self.encoder.corpus, nats)

    def _after(self, prime: Piece, whole: Any, nats: float, struck: int | None, options: dict[str, Any]) -> Composition:
        """Return an opening as it was given, and what follows it; a note that sounds on is held."""
        first = min(len(self.encoder.frames(prime)), len(whole))
        rest = from_frames(whole[first:], self.grid, "rest", struck=struck, **options)
        at = first / self.grid
        end = prime.start + prime.duration
        begins = {int(p): i for i, (s, p) in enumerate(zip(rest.start, rest.pitch, strict=True)) if s == 0}
        held = [i for i in range(len(prime)) if int(prime.pitch[i]) in begins and abs(end[i] - at) <= 0.5 / self.grid]
        notes = [(float(s), float(d), int(p), int(v)) for s, d, p, v in _rows(prime)]
        joined = set()
        for i in held:
            other = begins[int(prime.pitch[i])]
            notes[i] = (notes[i][0], at - notes[i][0] + float(rest.duration[other]), *notes[i][2:])
            joined.add(other)
        notes += [(s + at, d, p, v) for k, (s, d, p, v) in enumerate(_rows(rest)) if k not in joined]
        piece = Piece.of(notes, prime.name, len(whole) / self.grid, **options)
        return composition((piece,), self.encoder.corpus, nats, opening=at)

    # --- events ----------------------------------------------------------------------------------------------------

    def _events(self) -> list[Composition]:
        request, found = self.request, list[Composition]()
        opening = () if request.prime is None else tuple(int(t) for t in self.encoder.code.encode(request.prime))
        given = (
            ()
            if request.harmonize is None
            else voice_events(self.encoder.code, self.encoder.code.encode(request.harmonize).tolist())
        )
        plan = EventPlan(self.steps, opening, given, request.voice)
        for number in range(request.count):
            tokens, nats = write_events(
                self.model.network, self.encoder, plan, self.sampling, request.seed + 1_000_003 * number
            )
            piece = self.encoder.code.decode(tokens, f"piece {number + 1}")
            piece = replace(piece, tempo=self.tempo, metre=self.metre, sharps=self.sharps)
            if request.prime is None and request.harmonize is None:
                piece = self._in_key(piece)
            at = 0.0 if request.prime is None else request.prime.length
            tracks: Sequence[Piece] = (piece,)
            if request.harmonize is not None:
                tracks = (
                    replace(request.harmonize.until(self.steps / self.grid), tempo=self.tempo),
                    _without(piece, request.harmonize, self.grid),
                )
            found.append(
                composition(tuple(tracks), self.encoder.corpus, nats, given=len(tracks) - 1, opening=at, unit="event")
            )
        return found


def _rows(piece: Piece) -> list[tuple[float, float, int, int]]:
    return [
        (float(s), float(d), int(p), int(v))
        for s, d, p, v in zip(piece.start, piece.duration, piece.pitch, piece.velocity, strict=True)
    ]


def _without(piece: Piece, voice: Piece, grid: int) -> Piece:
    """Return a piece without the notes of a voice."""
    known = {(round(float(s) * grid), int(p)) for s, p in zip(voice.start, voice.pitch, strict=True)}
    kept = [row for row in _rows(piece) if (round(row[0] * grid), row[2]) not in known]
    return replace(Piece.of(kept, piece.name, piece.length), tempo=piece.tempo, metre=piece.metre, sharps=piece.sharps)
