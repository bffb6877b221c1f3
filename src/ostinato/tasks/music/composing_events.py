"""Writing events: one after the other drawn from a model, perhaps after an opening, perhaps around a given voice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ostinato.tasks.music.drawing import Sampling, draw_choice
from ostinato.tasks.music.encoding import MusicEncoder
from ostinato.tasks.music.events import EventCode
from ostinato.tasks.music.network import EventNetwork

_NEVER = float("-inf")
_AT_A_TIME = 64  # events at one time, at most: time must go on then
_MOST_EVENTS = 1_000_000


@dataclass(frozen=True)
class EventPlan:
    """What is to be written in events.

    Args:
        steps: how long, the opening included.
        opening: events that come first.
        given: notes that begin and end, each with its step, in time: a voice that must come.
        place: where other notes may lie: `"melody"`: none above it, `"bass"`: none below, `"any"`.
    """

    steps: int
    opening: tuple[int, ...] = ()
    given: tuple[tuple[int, int], ...] = ()
    place: str = "any"


def write_events(
    network: EventNetwork, encoder: MusicEncoder, plan: EventPlan, sampling: Sampling, seed: int
) -> tuple[list[int], float]:
    """Return the events of a piece, and what the model makes of them, nats an event."""
    with torch.inference_mode():
        return _Writing(network, encoder, plan, sampling, seed).write()


class _Writing:
    def __init__(
        self, network: EventNetwork, encoder: MusicEncoder, plan: EventPlan, sampling: Sampling, seed: int
    ) -> None:
        self.network, self.code, self.plan, self.sampling = network, encoder.code, plan, sampling
        self.range = encoder.found_low, encoder.found_high
        self.generator = torch.Generator().manual_seed(seed)
        self.tokens: list[int] = []
        self.now, self.here, self.loss = 0, 0, 0.0
        self.sounding: set[int] = set()
        self.held: set[int] = set()  # of the given voice
        self.state: Any = None
        self.scores = torch.zeros(0)

    def write(self) -> tuple[list[int], float]:
        """Write until the time is up, the given events each in its time."""
        self._read(self.code.begin)
        waiting = list(self.plan.given)
        for token in self.plan.opening:
            self._take(token)
        while len(self.tokens) < _MOST_EVENTS:
            while waiting and waiting[0][0] <= self.now:
                self._force(waiting.pop(0)[1])
            if self.now >= self.plan.steps:
                break
            until = min(waiting[0][0] if waiting else self.plan.steps, self.plan.steps)
            self._take(self._drawn(until))
        return self.tokens, self.loss / max(len(self.tokens), 1)

    def _force(self, token: int) -> None:
        pitch = token % 128
        if token < 128 and pitch in self.sounding:  # a note of the harmony is there: it ends first
            self._take(128 + pitch)
        self._take(token)
        (self.held.add if token < 128 else self.held.discard)(pitch)
        if token < 128:
            for other in [each for each in self.sounding if not self._fits(each, pitch)]:
                self._take(128 + other)

    def _fits(self, note: int, given: int) -> bool:
        return note in self.held or not (
            (self.plan.place == "melody" and note > given) or (self.plan.place == "bass" and note < given)
        )

    def _drawn(self, until: int) -> int:
        code, scores = self.code, self.scores.clone()
        allowed = torch.zeros(code.size, dtype=torch.bool)
        room = min(until - self.now, code.shifts)
        allowed[256 : 256 + room] = True
        if self.here < _AT_A_TIME:
            allowed[256 + code.shifts :] = True
            for pitch in range(self.range[0], self.range[1] + 1):
                allowed[pitch] = pitch not in self.held and all(self._fits(pitch, each) for each in self.held)
            for pitch in self.sounding - self.held:
                allowed[128 + pitch] = True
        return int(draw_choice(scores.masked_fill(~allowed, _NEVER)[None], self.sampling, self.generator)[0])

    def _take(self, token: int) -> None:
        self.loss += float(functional.cross_entropy(self.scores[None], torch.tensor([token])))
        self.tokens.append(token)
        self.here += 1
        if token < 128:
            self.sounding.add(token)
        elif token < 256:
            self.sounding.discard(token - 128)
        elif token < 256 + self.code.shifts:
            self.now, self.here = self.now + token - 255, 0
        self._read(token)

    def _read(self, token: int) -> None:
        scores, self.state = self.network.read(torch.tensor([[token]]), self.state)
        self.scores = scores[0, 0]


def voice_events(code: EventCode, tokens: Tensor | list[int]) -> tuple[tuple[int, int], ...]:
    """Return the notes of events, on and off, each with its step."""
    now, found = 0, []
    for token in tokens:
        if token < 256:
            found.append((now, int(token)))
        elif token < 256 + code.shifts:
            now += int(token) - 255
    return tuple(found)
