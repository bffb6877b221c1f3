"""The notes of a step given the steps before: each by itself, by NADE, or voice by voice from the top.

All heads say the log-likelihood of whole frames, so that they can be compared, and draw frames under a rule: notes that
must sound, notes that may. What a rule takes away of the likelihood is returned as the weight of the draw.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from ostinato.tasks.music.drawing import Sampling, draw_bits, draw_choice

_LOW = -1e9  # in place of minus infinity, which makes NaN of gradients
_ROWS = 16_384  # of scores at a time, when nothing is learned


@dataclass(frozen=True)
class Rule:
    """What a frame must hold, and what it may: both `(rows, notes)`; every note that must sound may sound.

    Args:
        must, may: notes.
        most: how many notes may sound at a time, unless more must.
    """

    must: Tensor
    may: Tensor
    most: int

    @classmethod
    def none(cls, rows: int, notes: int, most: int | None = None) -> Rule:
        """Return the rule that allows all notes."""
        must = torch.zeros(rows, notes, dtype=torch.bool)
        return cls(must, ~must, notes if most is None else most)


class FrameHead(Protocol):
    """What a head does, given features of the steps before, `(rows, features)`."""

    def losses(self, features: Tensor, frames: Tensor) -> Tensor:
        """Return the negative log-likelihood of frames, `(rows, notes)` of zeros and ones, in nats, `(rows,)`."""

    def draw(
        self, features: Tensor, sampling: Sampling, rule: Rule, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return frames, `(rows, notes)`, and the log-likelihood of what the rule forced, `(rows,)`."""


def make_head(name: str, features: int, notes: int, size: int, dropout: float) -> nn.Module:
    """Return a head by its name."""
    if name == "independent":
        return IndependentHead(features, notes)
    return NADEHead(features, notes, size) if name == "nade" else VoicesHead(features, notes, size, dropout)


class IndependentHead(nn.Module):
    """Each note by itself: `p(note) = sigmoid(W features + b)`."""

    def __init__(self, features: int, notes: int) -> None:
        super().__init__()
        self.scores = nn.Linear(features, notes)

    def start_from(self, shares: Tensor) -> None:
        """Begin with how often each note sounds, `(notes,)`."""
        with torch.no_grad():
            self.scores.bias.copy_(torch.logit(shares, eps=1e-4))

    def losses(self, features: Tensor, frames: Tensor) -> Tensor:
        """Return the loss of each frame; see `FrameHead`."""
        scores = self.scores(features)
        return functional.binary_cross_entropy_with_logits(scores, frames, reduction="none").sum(-1)

    def draw(
        self, features: Tensor, sampling: Sampling, rule: Rule, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return frames and weights; see `FrameHead`."""
        scores = self.scores(features)
        drawn = (draw_bits(scores, sampling, generator) | rule.must) & rule.may
        if rule.most < drawn.shape[1]:
            order = (scores + 1e6 * rule.must).masked_fill(~drawn, _LOW)
            among = torch.zeros_like(drawn).scatter(1, order.topk(max(rule.most, 1)).indices, value=True)
            drawn = drawn & (among | rule.must)
        forced = functional.logsigmoid(scores) * rule.must + functional.logsigmoid(-scores) * ~rule.may
        return drawn, forced.sum(-1)


class NADEHead(nn.Module):
    """Neural autoregressive distribution over notes, from the lowest up (H. Larochelle and I. Murray, AISTATS 2011).

    Its biases depend on the steps before (N. Boulanger-Lewandowski, Y. Bengio and P. Vincent, ICML 2012, RNN-NADE):

        h_i = sigmoid(c + sum of W_j over notes j < i that sound),  c = C features
        p(note i) = sigmoid(V_i h_i + b_i),                         b = B features
    """

    def __init__(self, features: int, notes: int, size: int) -> None:
        super().__init__()
        self.read = nn.Parameter(torch.randn(notes, size) * 0.05)
        self.say = nn.Parameter(torch.randn(notes, size) * 0.05)
        self.hidden_bias, self.bias = nn.Linear(features, size), nn.Linear(features, notes)

    def start_from(self, shares: Tensor) -> None:
        """Begin with how often each note sounds, `(notes,)`."""
        with torch.no_grad():
            self.bias.bias.copy_(torch.logit(shares, eps=1e-4))

    def losses(self, features: Tensor, frames: Tensor) -> Tensor:
        """Return the loss of each frame; see `FrameHead`."""
        sounding = frames[..., None] * self.read
        before = sounding.cumsum(1) - sounding + self.hidden_bias(features)[:, None]
        scores = (torch.sigmoid(before) * self.say).sum(-1) + self.bias(features)
        return functional.binary_cross_entropy_with_logits(scores, frames, reduction="none").sum(-1)

    def draw(
        self, features: Tensor, sampling: Sampling, rule: Rule, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return frames and weights; see `FrameHead`."""
        hidden, bias = self.hidden_bias(features), self.bias(features)
        weight, drawn = torch.zeros(len(features)), torch.zeros_like(rule.must)
        for note in range(len(self.read)):
            score = torch.sigmoid(hidden) @ self.say[note] + bias[:, note]
            must, may = rule.must[:, note], rule.may[:, note]
            left = rule.most - drawn.sum(1) - rule.must[:, note:].sum(1)
            may = may & ((left > 0) | must)
            found = (draw_bits(score, sampling, generator) | must) & may
            weight = weight + functional.logsigmoid(score) * must + functional.logsigmoid(-score) * ~may
            drawn[:, note] = found
            hidden = hidden + found[:, None] * self.read[note]
        return drawn, weight


class VoicesHead(nn.Module):
    """The notes that sound, one after the other from the highest down, and then the end of the step.

    A frame of k notes is k + 1 choices among the notes below the last one and the end; the product of their
    probabilities is that of the frame. What was chosen is read by a sum of its embeddings, as NADE reads it, beside the
    last choice:

        a = relu(C features + sum of W_j over notes j chosen + L_last),  a' = a + relu(M a)
        p(next) = softmax(V a' + b), over notes below the last and the end
    """

    def __init__(self, features: int, notes: int, size: int, dropout: float) -> None:
        super().__init__()
        self.notes = notes
        self.features = nn.Linear(features, size)
        self.chosen = nn.Parameter(torch.randn(notes, size) * 0.1)
        self.last = nn.Parameter(torch.randn(notes + 1, size) * 0.1)
        self.middle, self.scores = nn.Linear(size, size), nn.Linear(size, notes + 1)
        self.dropout = nn.Dropout(dropout)

    def start_from(self, shares: Tensor) -> None:
        """Begin with how often each note sounds, `(notes,)`."""
        with torch.no_grad():
            self.scores.bias[: self.notes].copy_((shares + 1e-4).log())

    def losses(self, features: Tensor, frames: Tensor) -> Tensor:
        """Return the loss of each frame; see `FrameHead`."""
        read = self.features(features)
        if torch.is_grad_enabled() or len(frames) <= _ROWS:
            return self._losses(read, frames)
        parts = zip(torch.split(read, _ROWS), torch.split(frames, _ROWS), strict=True)
        return torch.cat([self._losses(*part) for part in parts])

    def _losses(self, read: Tensor, frames: Tensor) -> Tensor:
        owner, last, target = _choices(frames)
        chosen = frames[owner] * (torch.arange(self.notes, device=last.device) >= last[:, None])
        chosen = chosen * (last < self.notes)[:, None]
        scores = self._scores(read[owner], chosen, last)
        scores = scores.masked_fill(_taken(last, self.notes), _LOW)
        losses = functional.cross_entropy(scores, target, reduction="none")
        return losses.new_zeros(len(frames)).index_add(0, owner, losses)

    def _scores(self, read: Tensor, chosen: Tensor, last: Tensor) -> Tensor:
        units = torch.relu(read + chosen @ self.chosen + self.last[last])
        units = self.dropout(units)
        found: Tensor = self.scores(units + torch.relu(self.middle(units)))
        return found

    def draw(
        self, features: Tensor, sampling: Sampling, rule: Rule, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return frames and weights; see `FrameHead`."""
        read, rows = self.features(features), len(features)
        drawn, weight = torch.zeros_like(rule.must), torch.zeros(rows)
        last, open_ = torch.full((rows,), self.notes), torch.ones(rows, dtype=torch.bool)
        while bool(open_.any()):
            scores = self._scores(read, drawn.to(read.dtype), last)
            scores = scores.masked_fill(_taken(last, self.notes), _LOW)
            allowed = scores.masked_fill(~_allowed(rule, drawn), _LOW)
            weight = weight + open_ * (allowed.logsumexp(-1) - scores.logsumexp(-1))
            choice = draw_choice(allowed, sampling, generator)
            open_ = open_ & (choice < self.notes)
            drawn[open_, choice[open_]] = True
            last = torch.where(open_, choice, last)
        return drawn, weight


def _choices(frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return of every choice that frames are made by its frame, the choice before it and what is chosen, `(choices,)`.

    The choice after the last note is the end, numbered as the notes are many; so is the one before the first.
    """
    (rows, notes), device = frames.shape, frames.device
    counts = frames.sum(1).long()
    frame, flipped = frames.flip(1).nonzero(as_tuple=True)
    note = notes - 1 - flipped
    ends = (counts + 1).cumsum(0)
    place = (ends - counts - 1)[frame] + torch.arange(len(note), device=device) - (counts.cumsum(0) - counts)[frame]
    target = torch.full((int(ends[-1]),), notes, device=device)
    last = target.clone()
    target[place] = note
    last[place + 1] = note
    return torch.repeat_interleave(torch.arange(rows, device=device), counts + 1), last, target


def _taken(last: Tensor, notes: int) -> Tensor:
    """Return which choices are no more after the last one, `(rows, notes + 1)`: it and the notes above it."""
    above = torch.arange(notes, device=last.device) >= last[:, None]
    return functional.pad(above, (0, 1), value=False)


def _allowed(rule: Rule, drawn: Tensor) -> Tensor:
    """Return what may be chosen next, `(rows, notes + 1)`: no note below the highest that must still come."""
    notes = drawn.shape[1]
    left = rule.must & ~drawn
    places = torch.arange(notes)
    highest = torch.where(left, places, -1).amax(1)
    room = rule.most - drawn.sum(1) - left.sum(1)
    notes_allowed = (rule.may & (room > 0)[:, None] | left) & (places >= highest[:, None])
    return torch.cat([notes_allowed, (highest < 0)[:, None]], 1)
