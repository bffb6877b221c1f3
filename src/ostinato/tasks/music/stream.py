"""Music as it is played: a frame, or an event, at a time; how likely it was, and what follows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from ostinato.errors import DataError, StreamRowError, UsageError
from ostinato.streaming import NOTHING, RowStream, Steps, refused, shared_steps
from ostinato.tasks.music.drawing import Sampling, draw_choice
from ostinato.tasks.music.encoding import MusicEncoder, condition_rows
from ostinato.tasks.music.heads import Rule
from ostinato.tasks.music.keys import key_number, metre_of
from ostinato.tasks.music.network import EventNetwork, FrameNetwork

Floats = NDArray[np.float32]
_SEEDS = 2**48
_NOTE = re.compile(r"[+-]?[0-9]{1,6}")


class _MusicStream(RowStream):
    """A stream that keeps what was read last, the layers' output after it, and how many rows there were."""

    def __init__(self, network: Any, encoder: MusicEncoder, temperature: float | None, seed: int | None) -> None:
        super().__init__(shared_steps(network, lambda: network.stack))
        self.network, self.encoder = network, encoder
        if seed is not None and (not isinstance(seed, Integral) or isinstance(seed, bool) or not 0 <= seed < _SEEDS):
            raise UsageError(f"seed is {short(seed)}; expected a whole number from 0 to {_SEEDS - 1:,}")
        self.sampling, self.seed = Sampling(0.0 if temperature is None else temperature), int(seed or 0)
        self.count = 0
        self.output: Floats | None = None

    def reset(self) -> None:
        """Begin a new piece."""
        super().reset()
        self.count, self.output = 0, None

    def kept(self) -> Mapping[str, Any]:
        """Return the state of the layers, what they gave, and how many rows there were."""
        return {**super().kept(), "count": self.count, "output": self.output}

    def accept(self, kept: Mapping[str, Any]) -> None:
        """Resume within a piece."""
        count, output = kept.get("count"), kept.get("output")
        if type(count) is not int or not 0 <= count < 2**53:
            raise refused("has no number of rows")
        if (output is None) != (count == 0):
            raise refused("has no output of the layers")
        if output is not None and not self._fits(output):
            raise refused("has an output of the layers of another size")
        super().accept(kept)
        self.count, self.output = count, output

    def _fits(self, output: Any) -> bool:
        shape = (self.network.stack_width,)
        return isinstance(output, np.ndarray) and output.shape == shape and output.dtype == np.float32

    def generator(self) -> torch.Generator:
        """Return the random numbers of the row that comes: the same after a restore."""
        return torch.Generator().manual_seed((self.seed * 1_000_003 + self.count) % 2**63)


class FrameStream(_MusicStream):
    """Frames one after the other; see `Composer.stream`.

    Args:
        network: in evaluation mode; encoder: of the model.
        temperature: of the notes that are said to follow; 0 or `None`: the best.
        seed: of what is drawn.
        key, metre: that are told to a model with these conditions, `"G"`, `"3/4"`; `None`: the usual ones of training.
    """

    kind = "frames of music"

    def __init__(
        self,
        network: FrameNetwork,
        encoder: MusicEncoder,
        *,
        temperature: float | None = None,
        seed: int | None = None,
        key: str | None = None,
        metre: str | None = None,
    ) -> None:
        super().__init__(network, encoder, temperature, seed)
        above, below = encoder.metre if metre is None else metre_of(metre)
        self._bar = max(1, round(4 * above / below * encoder.steps_per_quarter))
        self._key = encoder.key if key is None else key_number(key)

    def mark(self) -> str:
        """Return what tells the model, and its conditions, from others."""
        return f"{super().mark()} {self._bar} {self._key}"

    def steps(self, row: Any) -> Steps:
        """Read the notes that sound in a step.

        Args:
            row: `[60, 64, 67]`, `{"notes": [60, 64, 67]}` or `"60 64 67"`; none: silence.

        Returns:
            `nats`: how unlikely it was; `next`: the notes that follow, the likeliest ones, or drawn.

        Raises:
            StreamRowError: it is no list of notes that the model has a place for.
        """
        frame = self._frame(row)
        output = self.output
        if output is None:
            output = yield self.row.ask(self._inputs(None, 0))
        features = torch.from_numpy(np.array(output))[None]
        with torch.inference_mode():
            nats = float(self.network.head.losses(features, torch.from_numpy(frame)[None]))
        after = yield self.row.ask(self._inputs(frame, self.count + 1))
        self.output, self.count = np.array(after, np.float32), self.count + 1
        return {"nats": nats, "next": self._next()}

    def _next(self) -> list[int]:
        assert self.output is not None
        rule = Rule.none(1, self.network.notes, self.encoder.most)
        with torch.inference_mode():
            drawn, _ = self.network.head.draw(
                torch.from_numpy(self.output)[None], self.sampling, rule, self.generator()
            )
        return [int(note) + self.encoder.low for note in drawn[0].nonzero()[:, 0].tolist()]

    def _inputs(self, frame: Floats | None, step: int) -> Floats:
        conditions = condition_rows(self.encoder, step, 1, self._bar, self._key)[0]
        found = np.zeros(self.network.notes + 1, np.float32)
        if frame is None:
            found[-1] = 1.0
        else:
            found[:-1] = frame
        return np.concatenate([found, conditions])

    def _frame(self, row: Any) -> Floats:
        notes = _notes(row)
        low, high = self.encoder.low, self.encoder.high
        frame = np.zeros(self.network.notes, np.float32)
        for note in notes:
            if not low <= note <= high:
                raise StreamRowError(
                    f"the note {short(note)} is out of the model's range, {low} to {high}; leave it out"
                )
            frame[note - low] = 1.0
        return frame


class EventStream(_MusicStream):
    """Events one after the other; see `Composer.stream`.

    Args:
        network: in evaluation mode; encoder: of the model.
        temperature: of the event that is said to follow; 0 or `None`: the best.
        seed: of what is drawn.
    """

    kind: ClassVar[str] = "events of music"

    def __init__(
        self, network: EventNetwork, encoder: MusicEncoder, *, temperature: float | None = None, seed: int | None = None
    ) -> None:
        super().__init__(network, encoder, temperature, seed)

    def steps(self, row: Any) -> Steps:
        """Read an event.

        Args:
            row: `"on 60"`, `"off 60"`, `"shift 12"`, `"loudness 20"`, or a mapping whose `"event"` it is.

        Returns:
            `nats`: how unlikely it was; `next`: the event that follows, the likeliest one, or drawn.

        Raises:
            StreamRowError: it is no event.
        """
        token = self._token(row)
        output = self.output
        if output is None:
            output = yield self.row.ask(self._inputs(self.encoder.code.begin))
        else:
            yield NOTHING
        with torch.inference_mode():
            scores = self.network.scores(torch.from_numpy(np.array(output)))
            nats = float(functional.cross_entropy(scores[None].double(), torch.tensor([token])))
        after = yield self.row.ask(self._inputs(token))
        self.output, self.count = np.array(after, np.float32), self.count + 1
        with torch.inference_mode():
            scores = self.network.scores(torch.from_numpy(self.output))
            following = int(draw_choice(scores[None], self.sampling, self.generator())[0])
        return {"nats": nats, "next": self.encoder.code.name(following)}

    def _inputs(self, token: int) -> Floats:
        found: Floats = self.network.embedding.weight[token].detach().numpy()
        return found

    def _token(self, row: Any) -> int:
        words = row.get("event") if isinstance(row, Mapping) else row
        if not isinstance(words, str):
            raise StreamRowError('it is no event; expected one such as "on 60", or {"event": "on 60"}')
        try:
            return self.encoder.code.number(words)
        except DataError as error:
            raise StreamRowError(str(error)) from error


def short(value: Any) -> str:
    """Return a value for a message; a whole number of thousands of digits is not written out."""
    if isinstance(value, int) and abs(value) >= 10**12:
        return "a number of more than 12 digits"
    return repr(value)[:40]


def _notes(row: Any) -> list[int]:
    """Return the notes of a row.

    Raises:
        StreamRowError: it has none.
    """
    given = row.get("notes") if isinstance(row, Mapping) else row
    if isinstance(given, str):
        words = given.split()
        if not all(map(_NOTE.fullmatch, words)):
            raise StreamRowError(f'"{given[:40]}" are no notes; expected numbers such as 60 64 67')
        return [int(word) for word in words]
    whole = isinstance(given, Sequence) or (isinstance(given, np.ndarray) and given.ndim == 1)
    if not whole or any(isinstance(each, bool) or not isinstance(each, (int, np.integer)) for each in given):  # type: ignore[union-attr]
        raise StreamRowError('it has no notes; expected a list such as [60, 64, 67], or {"notes": [60, 64, 67]}')
    return [int(each) for each in given]  # type: ignore[union-attr]
