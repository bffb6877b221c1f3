"""One series, a row at a time: what the network said before against what came. Files and streams are scored by it."""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ostinato.engine import scan
from ostinato.streaming import Headed
from ostinato.streaming.cells import cell_of
from ostinato.tasks.anomaly.encoder import SeriesEncoder
from ostinato.tasks.anomaly.inputs import Inputs
from ostinato.tasks.anomaly.manners import LIKENESS, ROWS, Manner
from ostinato.tasks.anomaly.network import FORECAST
from ostinato.tasks.anomaly.novelty import Novelty
from ostinato.tasks.anomaly.scoring import ASTRAY, MISSING, NOVELTY, STUCK, Errors, novelty_of, score_of
from ostinato.tasks.anomaly.views import VIEWS, Views, unlikeness

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_NORMAL = np.ones(1, np.bool_)
_LEAST = 1e-3
_KNOWN = 200_000  # values before the newest rows that are known
_MARKED = 32  # strange rows that are remembered for a season
_STRANGE = 6.0  # scales that an error is off
_EXPECTING = 3 + ROWS + _MARKED  # rows of the state before those of the views: what is expected, and manners
_WIDEST = 64  # places, beyond which a gap makes what is expected no vaguer
_TAIL = 5  # numbers of a live tail
RHYTHM = VIEWS.index("rhythm")
_SHIFT = 0.5413  # softplus of it is 1
_cells: weakref.WeakKeyDictionary[nn.Module, nn.Module] = weakref.WeakKeyDictionary()


def stepped(network: Any) -> Headed:
    """Return what of a network is stepped: its stack, with the head behind it."""
    return Headed(network.stack, network.head)


def said_of(network: Any, features: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """Return what a network says after each step of series, `(steps, outputs)` each, to the bits of a stream."""
    cell = _cells.get(network)
    if cell is None:
        cell = _cells[network] = cell_of(stepped(network))
    found = []
    with torch.no_grad():
        for feature in features:
            if not len(feature):
                outputs = FORECAST * network.sizes.channels
                found.append(np.zeros((0, outputs), np.float32))
                continue
            ys, _ = scan(cell, torch.from_numpy(np.ascontiguousarray(feature))[:, None])
            found.append(ys[:, 0].numpy())
    return found


def ahead(said: NDArray[np.float32], last: Floats, season: Floats, change: Floats) -> tuple[Floats, Floats]:
    """Return where the next value of each channel is expected, and its scale; see `network.expected`."""
    move, follow, spread = said.astype(np.float64).reshape(FORECAST, -1)
    gate = 1 / (1 + np.exp(-follow))
    shifted = spread + _SHIFT
    wide = np.maximum(shifted, 0.0) + np.log1p(np.exp(-np.abs(shifted)))
    return last + change * move + gate * (season - last), change * (wide + _LEAST)


class Expecting:
    """What is expected of the next row, from what the network said after the last one.

    What came as it did a season ago is no surprise, whatever the network has learned of it; and if a season ago came
    something strange, what was expected then is none either: so an anomaly has no echo.

    Args:
        channels: of the series.
        window: steps that are reconstructed; 0: the next step is expected.
        change: the usual change, `(channels,)`.
        length: of the season, in steps.
    """

    def __init__(self, channels: int, window: int, change: Floats, length: int = 1) -> None:
        self.channels, self.window, self.change, self.length = channels, window, change, length
        self.at = 0.0  # the place of the row
        self.marked = np.full(_MARKED, -1.0)  # places of the newest strange rows, and what was expected there
        self.held = np.full((_MARKED, channels), math.nan)
        self.place = np.full(channels, math.nan)
        self.scale = np.ones(channels)
        self.season = np.full(channels, math.nan)
        self.then = np.full(channels, math.nan)  # what was expected a season ago, where something strange came
        self.strange = np.zeros(channels, np.bool_)  # which values were far from what was expected

    def push(self, inputs: Inputs, row: int | None, said: NDArray[np.float32]) -> tuple[Floats, Floats, Floats]:
        """Take a row in; return its error, the scale of that, and what was expected, all `(channels,)`, scaled.

        Args:
            inputs: of the row, or of a whole series.
            row: which one of these; `None`: it is the only one.
            said: what the network says after it.
        """
        values, last, season = (
            each if row is None else each[row] for each in (inputs.values, inputs.last, inputs.season)
        )
        gap = int(inputs.gap if row is None else inputs.gap[row])
        if self.window:
            place, scale = said[-self.channels :].astype(np.float64), self.scale
        else:
            place, scale = self.place, self.scale * math.sqrt(min(max(gap, 1), _WIDEST))
            before = self.season if gap == 1 else np.full(self.channels, math.nan)
            self.place, self.scale = ahead(said, last, season, self.change)
            self.season = np.where(season != last, season, math.nan)
            return self._least(values, place, scale, before, gap), scale, place
        return values - place, scale, place

    def _least(self, values: Floats, place: Floats, scale: Floats, before: Floats, gap: int) -> Floats:
        """Return the error against what the network says, a season ago, or what was expected then."""
        self.at += max(gap, 1)
        error = values - place
        self.then = np.full(self.channels, math.nan)
        if self.length > 1:
            again = values - before
            error = np.where(np.abs(again) < np.abs(error), again, error)
            found = np.flatnonzero(self.marked == self.at - self.length)
            if len(found):
                self.then = self.held[found[0]].copy()
                echo = values - self.then
                error = np.where(np.abs(echo) < np.abs(error), echo, error)
        # not what is only far from an expectation that an echo misled
        self.strange = strange = np.abs(error) > _STRANGE * scale
        if self.length > 1 and strange.any():
            slot = int(self.marked.argmin())  # the oldest
            self.marked[slot], self.held[slot] = self.at, np.where(strange, place, math.nan)
        return error


@dataclass(frozen=True)
class Step:
    """What is found of a row: its score, the view, side and channel of that, and what was expected, scaled."""

    score: float
    why: tuple[int, int, int]
    expected: Floats
    spread: Floats
    begins: bool = False


class SeriesScorer:
    """The state of one series: what is expected next, its views, and the values that were there.

    Args:
        encoder: of the model.
        change: the usual change of the series, `(channels,)`.
        name: of the series; what the model knows of its values is where it begins.
    """

    def __init__(self, encoder: SeriesEncoder, change: Floats, name: str) -> None:
        self.calibration, self.gap = encoder.calibration, encoder.calibration.gap
        self.freedoms, self.threshold = encoder.calibration.freedoms, encoder.threshold
        self.manner = Manner(encoder.channels, encoder.calibration.pace)
        self.quiet = math.inf  # steps since an alarm
        self.values = encoder.novelty(name)
        self.expecting = Expecting(encoder.channels, encoder.window, change, encoder.season)
        self.views = Views(self.calibration.usual, self.calibration.pace)
        self.tail = self.calibration.live()

    def push(self, inputs: Inputs, row: int | None, said: NDArray[np.float32]) -> Step:
        """Take a row in, and score it; see `Expecting.push`."""
        error, scale, place = self.expecting.push(inputs, row, said)
        relations = self.calibration.relations
        values, last, season = (
            each if row is None else each[row] for each in (inputs.values, inputs.last, inputs.season)
        )
        self.manner.push(values, last, season, self.expecting.then, self.expecting.strange)
        manner = relations.widened(self.manner.found, "unknown")
        z = self.views.push(*relations.extended(error, scale), self.freedoms, unlikeness(manner[LIKENESS]))
        novelty, counts = novelty_of(values[None], _NORMAL, self.values, 0)
        unseen, known = relations.widened(novelty[0], "zero"), relations.widened(counts[0], "copied")
        nats = self.calibration.nats(z, unseen, known)
        raw, *why = score_of(nats)
        lasting, *other = score_of(self.calibration.lasting(z, manner))
        score, lasts = self.calibration.together(raw, self.tail.push(raw), lasting)
        if lasts:
            why = other
        if why[0] == RHYTHM and not self._astray(why[2]):  # it is less like a season ago for another reason
            others = np.full_like(nats, math.nan)
            others[..., why[2]] = nats[..., why[2]]
            why = list(score_of(others)[1:])
        return Step(score, self._why(*why), place, scale * self.views.ratio[: len(values)], self._begins(score))

    def _begins(self, score: float) -> bool:
        """Tell whether an alarm begins: there is one, and there was none for as long as alarms are one."""
        alarm = score >= self.threshold
        begins = alarm and self.quiet > self.gap
        self.quiet = 0.0 if alarm else self.quiet + 1
        return begins

    def _why(self, view: int, side: int, channel: int) -> tuple[int, int, int]:
        """Return view, side and channel of a score, or what a channel has been doing that says it better."""
        if channel >= self.expecting.channels:
            return view, side, channel
        if view == MISSING:
            return view, round(100 * self.manner.absent[channel]), channel
        if view == STUCK:
            return view, int(self.manner.run[channel]), channel
        longest = float(self.calibration.manners[0, channel])
        if still := self.manner.stuck(channel, longest):
            return STUCK, still, channel
        if 0 < view < NOVELTY and self._astray(channel):
            return ASTRAY, side, channel
        if view < NOVELTY and not side and (shifted := self.views.shifted(view, channel)):
            return view - 1, int(shifted < 0), channel
        return view, side, channel

    def _astray(self, channel: int) -> bool:
        """Tell whether a channel, and not what is left of one, no longer follows its season."""
        usual = self.calibration.manners[1]
        return channel < len(usual) and self.manner.astray(channel, float(usual[channel]))

    def kept(self) -> tuple[Floats, Floats, Ints]:
        """Return the state: `(rows, channels)`, that of the tail and alarms, and that of values, `(channels, ...)`."""
        expecting = self.expecting
        found = [
            expecting.place[None], expecting.scale[None], expecting.season[None], expecting.held, self.manner.kept()
        ]  # fmt: skip
        quiet = -1.0 if math.isinf(self.quiet) else self.quiet
        views, tail = self.views.kept(), np.concatenate([self.tail.kept(), [quiet, expecting.at], expecting.marked])
        held = np.concatenate([np.pad(np.concatenate(found), ((0, 0), (0, views.shape[1] - len(found[0][0])))), views])
        return held, tail, np.stack([state.kept() for state in self.values])

    def accept(self, kept: Floats, tail: Floats, values: Ints) -> None:
        """Resume from a state."""
        for state, numbers in zip(self.values, values, strict=True):
            state.accept(numbers)
        self.tail.accept(tail[:_TAIL])
        self.quiet = float(tail[_TAIL]) if tail[_TAIL] >= 0 else math.inf
        expecting = self.expecting
        expecting.at, expecting.marked = float(tail[_TAIL + 1]), tail[_TAIL + 2 :].copy()
        first = kept[:_EXPECTING, : expecting.channels].copy()
        expecting.place, expecting.scale, expecting.season = first[:3]
        expecting.held = first[3 : 3 + _MARKED]
        self.manner.accept(first[3 + _MARKED :])
        self.views.accept(kept[_EXPECTING:].copy())


def errors_of(
    encoder: SeriesEncoder,
    inputs: Inputs,
    said: NDArray[np.float32],
    change: Floats,
    rows: int,
    normal: NDArray[np.bool_],
    values: Sequence[Novelty],
) -> Errors:
    """Return the errors of the newest rows of a series, from which the views are calibrated.

    Args:
        encoder: of the model.
        inputs: of the whole series.
        said: what the network says after each row.
        change: the usual change, `(channels,)`.
        rows: how many of the newest.
        normal: `(rows,)`, which rows are not known to be anomalous.
        values: what is known of each channel's values before the series; it goes on.
    """
    expecting = Expecting(encoder.channels, encoder.window, change, encoder.season)
    manner = Manner(encoder.channels, encoder.calibration.pace)
    begin, found, doing = max(0, len(said) - rows), [], []
    for row in range(begin, len(said)):
        found.append(expecting.push(inputs, row, said[row])[:2])
        manner.push(inputs.values[row], inputs.last[row], inputs.season[row], expecting.then, expecting.strange)
        doing.append(manner.found)
    shape = (len(found), encoder.channels)
    error, scale = (np.array([each[i] for each in found]).reshape(shape) for i in (0, 1))
    first = max(0, begin - _KNOWN // encoder.channels)
    novelty = novelty_of(inputs.values[first:], normal[first:], values, begin - first)
    return Errors(error, scale, *novelty, np.array(doing).reshape(len(found), 4, encoder.channels))
