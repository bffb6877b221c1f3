"""Where in a stream somebody speaks: energy above a noise floor that follows the room. Causal, a few numbers of state.

It is what ends utterances of a stream; no model of speech, so that steady music or a second voice count as speech.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ostinato.data.audio.resampling import is_samples
from ostinato.errors import DataError, UsageError


@dataclass(frozen=True)
class EndpointSettings:
    """When an utterance begins and ends.

    Args:
        trailing: seconds of silence after which it ends.
        above: decibels above the noise floor that are speech.
        least: decibels of full scale below which nothing is speech, however quiet the room.
        begin: seconds of speech, of the last twice as many, by which it begins.
        longest: seconds after which it ends in any case; `None`: never.
    """

    trailing: float = 0.8
    above: float = 9.0
    least: float = -60.0
    begin: float = 0.06
    longest: float | None = 60.0

    def __post_init__(self) -> None:
        """Refuse numbers that are none.

        Raises:
            UsageError: one is out of range.
        """
        if not (self.trailing > 0 and self.begin > 0 and self.above > 0 and math.isfinite(self.least)):
            raise UsageError("trailing, begin and above are numbers above 0, least a number of decibels")
        if self.longest is not None and not self.longest > 0:
            raise UsageError(f"longest is {self.longest}; expected seconds above 0, or none")


class Endpoint(NamedTuple):
    """Where an utterance begins (`begins`) or ends, in samples since the stream began."""

    begins: bool
    sample: int


_HOP = 0.01  # seconds
_RISE, _FALL = 3.0, 60.0  # decibels a second by which the floor may rise, and fall
_LOUDEST = -30.0  # decibels of full scale that the floor begins at, at most: what is louder is somebody speaking


class EndpointDetector:
    """Says where utterances begin and end, as samples come; the same whatever the packets.

    Every 10 ms the energy is held against a floor, which begins at what is heard first, falls fast to what is quieter,
    and rises slowly otherwise: slower still while somebody speaks, so that a noise that stays is floor in the end.

    Args:
        rate: samples a second.
        settings: when.
    """

    def __init__(self, rate: int, settings: EndpointSettings = EndpointSettings()) -> None:
        self.rate, self.settings = rate, settings
        self._hop = max(int(rate * _HOP), 1)
        self._window = max(round(2 * settings.begin / _HOP), 1)
        self.reset()

    def reset(self) -> None:
        """Begin a new stream."""
        self._rest = np.zeros(0, np.float32)
        self._hops, self._floor = 0, _LOUDEST
        self._begun: int | None = None
        self._quiet = 0
        self._recent: list[bool] = []

    @property
    def speaking(self) -> bool:
        """Whether an utterance has begun and not ended."""
        return self._begun is not None

    @property
    def silence(self) -> float:
        """Seconds of silence at the end of what was heard."""
        return self._quiet * self._hop / self.rate

    def accept(self, samples: NDArray[np.float32]) -> list[Endpoint]:
        """Return where utterances begin and end in more samples, `(samples,)`.

        A beginning is found a little after it was, an end a `trailing` silence after it: the sample of a beginning
        lies before those that it was found by; that of an end is where it was found.
        """
        held = np.concatenate([self._rest, samples])
        whole = len(held) // self._hop
        blocks = held[: whole * self._hop].reshape(whole, self._hop)
        self._rest = held[whole * self._hop :].copy()
        # each block by itself, so that its sum does not depend on how many there are
        powers = [float(np.dot(block, block)) / self._hop for block in blocks.astype(np.float64)]
        found = list[Endpoint]()
        for power in powers:
            found += self._step(10 * math.log10(power + 1e-12))
        return found

    def finish(self) -> list[Endpoint]:
        """Return the end of an utterance that lasts to the end of the stream, and begin a new one."""
        found = [Endpoint(False, self._hops * self._hop + len(self._rest))] if self.speaking else []
        self.reset()
        return found

    def _step(self, level: float) -> list[Endpoint]:
        settings, start = self.settings, self._hops * self._hop
        loud = self._hops > 0 and level > max(self._floor + settings.above, settings.least)
        self._follow(level, loud)
        self._hops += 1
        self._quiet = 0 if loud else self._quiet + 1
        if self._begun is None:
            self._recent = [*self._recent, loud][-self._window :]
            if 2 * sum(self._recent) >= self._window and loud:
                first = self._recent.index(True) - len(self._recent) + 1
                self._begun, self._recent = max(start + first * self._hop, 0), []
                return [Endpoint(True, self._begun)]
            return []
        too_long = settings.longest is not None and (start + self._hop - self._begun) / self.rate >= settings.longest
        if self.silence >= settings.trailing or too_long:
            self._begun = None
            return [Endpoint(False, start + self._hop)]
        return []

    def _follow(self, level: float, loud: bool) -> None:
        """Move the noise floor towards a level."""
        if not self._hops:
            self._floor = min(level, _LOUDEST)
        elif level < self._floor:
            self._floor = max(level, self._floor - _FALL * _HOP)
        else:
            # a noise 20 dB above the room that begins and stays is floor after some 20 s
            self._floor = min(level, self._floor + (0.3 if loud else 1.0) * _RISE * _HOP)

    def state(self) -> dict[str, Any]:
        """Return what is needed to go on."""
        return {
            "rest": self._rest.copy(),
            "hops": self._hops,
            "floor": self._floor,
            "begun": self._begun,
            "quiet": self._quiet,
            "recent": list(self._recent),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Resume from a state.

        Raises:
            DataError: it is none.
        """
        rest, hops, floor, begun = (state.get(name) for name in ("rest", "hops", "floor", "begun"))
        quiet, recent = state.get("quiet"), state.get("recent")
        if not (
            is_samples(rest)
            and len(rest) < self._hop  # type: ignore[arg-type]
            and isinstance(hops, int)
            and isinstance(floor, float)
            and math.isfinite(floor)
            and (begun is None or (isinstance(begun, int) and 0 <= begun <= hops * self._hop))
            and isinstance(quiet, int)
            and 0 <= quiet <= hops
            and isinstance(recent, list)
            and len(recent) <= self._window
            and all(isinstance(flag, bool) for flag in recent)
        ):
            raise DataError("the state of the endpoint detector is damaged or of other settings")
        self._rest, self._hops, self._floor, self._begun = rest.copy(), hops, floor, begun  # type: ignore[union-attr]
        self._quiet, self._recent = quiet, list(recent)
