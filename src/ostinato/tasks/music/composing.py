"""Writing frames: step after step drawn from a model, perhaps after an opening, perhaps around a given voice.

Around a given voice the notes of it are forced, and what else is drawn has to suit them: many drafts are written side
by side, each weighed by how likely the model held the forced notes, and the better ones are continued (a particle
filter: N. Gordon, D. Salmond and A. Smith, 1993). A draft that leads to where the voice does not fit dies out, so that
what is kept has in effect looked ahead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ostinato.engine import map_state
from ostinato.tasks.music.drawing import Sampling
from ostinato.tasks.music.encoding import MusicEncoder, condition_rows
from ostinato.tasks.music.heads import Rule
from ostinato.tasks.music.network import FrameNetwork

Frames = NDArray[np.bool_]
_ALIVE = 0.5  # share of drafts that must count for something, else the better ones are continued


@dataclass(frozen=True)
class Conditions:
    """What is told of the steps: steps of a bar, and the key."""

    bar: int
    key: int


@dataclass(frozen=True)
class Voice:
    """A given voice: its notes in each step, `(steps, notes)`, and where the other notes may lie.

    Args:
        notes: none or one in a step.
        place: `"melody"`: nothing sounds above it; `"bass"`: nothing below; `"any"`.
    """

    notes: Frames
    place: str

    def allowed(self) -> Frames:
        """Return where notes may sound in each step, `(steps, notes)`: everywhere where the voice rests."""
        sounds = np.asarray(self.notes.any(1))
        at, places = self.notes.argmax(1), np.arange(self.notes.shape[1])
        allowed = np.ones_like(self.notes)
        if self.place == "melody":
            allowed = places <= at[:, None]
        elif self.place == "bass":
            allowed = places >= at[:, None]
        return np.where(sounds[:, None], allowed, True)


@dataclass(frozen=True)
class Plan:
    """What is to be written.

    Args:
        steps: how many, the opening included; count: how many pieces; conditions: metre and key.
        opening: what comes first, `(steps, notes)`, or nothing.
        voice: that the other notes go with; drafts: that are written side by side for each piece.
        most: notes at a time, at most.
    """

    steps: int
    count: int
    conditions: Conditions
    opening: Frames | None = None
    voice: Voice | None = None
    drafts: int = 1
    most: int = 128


def write_frames(
    network: FrameNetwork, encoder: MusicEncoder, plan: Plan, sampling: Sampling, seed: int
) -> tuple[Frames, NDArray[np.float64]]:
    """Return the frames of pieces, `(pieces, steps, notes)`, and what the model makes of each, nats a frame."""
    with torch.inference_mode():
        return _Writing(network, encoder, plan, sampling, seed).write()


class _Writing:
    def __init__(self, network: FrameNetwork, encoder: MusicEncoder, plan: Plan, sampling: Sampling, seed: int) -> None:
        self.network, self.encoder, self.plan, self.sampling = network, encoder, plan, sampling
        self.generator = torch.Generator().manual_seed(seed)
        self.rows = plan.count * plan.drafts
        self.conditions = torch.from_numpy(
            condition_rows(encoder, 0, plan.steps, plan.conditions.bar, plan.conditions.key)
        )
        self.drawn: list[Tensor] = []  # frames of each step, and which rows they were continued from
        self.from_: list[Tensor] = []
        self.losses = torch.zeros(self.rows, dtype=torch.float64)
        self.weights = torch.zeros(plan.count, plan.drafts, dtype=torch.float64)

    def write(self) -> tuple[Frames, NDArray[np.float64]]:
        notes, state = self.network.notes, None
        before: Tensor | None = None
        allowed = None if self.plan.voice is None else self.plan.voice.allowed()
        for step in range(self.plan.steps):
            inputs = torch.zeros(1, self.rows, notes + 1 + self.conditions.shape[1])
            inputs[0, :, notes + 1 :] = self.conditions[step]
            if before is None:
                inputs[0, :, notes] = 1.0
            else:
                inputs[0, :, :notes] = before
            features, state = self.network.read(inputs, state)
            frames = self._step(step, features[0], allowed)
            self.losses += self.network.head.losses(features[0], frames.float()).double()
            rows = self._continued()
            if rows is not None:
                frames, state = frames[rows], map_state(lambda each, rows=rows: each[rows], state)
                self.losses = self.losses[rows]
            self.drawn.append(frames)
            self.from_.append(torch.arange(self.rows) if rows is None else rows)
            before = frames.float()
        return self._chosen()

    def _step(self, step: int, features: Tensor, allowed: Frames | None) -> Tensor:
        """Draw the frames of a step, `(rows, notes)`, and weigh the drafts by what was forced."""
        opening, voice = self.plan.opening, self.plan.voice
        if opening is not None and step < len(opening):
            return torch.from_numpy(opening[step]).expand(self.rows, -1).clone()
        rule = Rule.none(self.rows, self.network.notes, self.plan.most)
        if voice is not None and step < len(voice.notes) and allowed is not None:
            must, may = (torch.from_numpy(each[step]).expand(self.rows, -1) for each in (voice.notes, allowed))
            rule = Rule(must, may, self.plan.most)
        frames, weight = self.network.head.draw(features, self.sampling, rule, self.generator)
        if voice is not None:
            self.weights += weight.double().view_as(self.weights)
        return frames  # type: ignore[no-any-return]

    def _continued(self) -> Tensor | None:
        """Return which rows are continued, `(rows,)`, where too few drafts count for something; else `None`."""
        if self.plan.drafts == 1:
            return None
        shares = self.weights.softmax(-1)
        alive = 1.0 / shares.square().sum(-1)
        if bool((alive >= _ALIVE * self.plan.drafts).all()):
            return None
        return self._systematic(shares)

    def _systematic(self, shares: Tensor) -> Tensor:
        """Draw as many drafts of each piece as there are by their shares, evenly spread; they then count the same."""
        count, drafts = shares.shape
        offsets = torch.rand(count, 1, generator=self.generator, dtype=torch.float64)
        places = (torch.arange(drafts, dtype=torch.float64) + offsets) / drafts
        chosen = torch.searchsorted(shares.cumsum(-1).contiguous(), places).clamp(max=drafts - 1)
        self.weights.zero_()
        return (chosen + torch.arange(count)[:, None] * drafts).flatten()

    def _chosen(self) -> tuple[Frames, NDArray[np.float64]]:
        """Return one draft of each piece, drawn by its weight, from its end back to its beginning."""
        shares = self.weights.softmax(-1)
        multinomial = torch.multinomial(shares, 1, generator=self.generator)[:, 0]
        rows = multinomial + torch.arange(self.plan.count) * self.plan.drafts
        nats = self.losses[rows] / max(self.plan.steps, 1)
        found = []
        for frames, before in zip(reversed(self.drawn), reversed(self.from_), strict=True):
            found.append(frames[rows])
            rows = before[rows]
        pieces = torch.stack(found[::-1], 1) if found else torch.zeros(self.plan.count, 0, self.network.notes).bool()
        return pieces.numpy(), nats.numpy()
