"""Prefix beam search over the outputs of CTC, frame by frame, all prefixes at once on NumPy arrays.

A stream that is advanced one frame at a time and a whole utterance give the same bits: each frame is taken in by the
same operations, whatever comes in one call.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.errors import ShapeError, UsageError
from ostinato.nn.losses.hypotheses import (
    NEVER,
    Emission,
    Floats,
    Hypothesis,
    Link,
    Prefix,
    PrefixTree,
    Scorer,
    best_rows,
    emissions_of,
    linked,
)

Ints = NDArray[np.int64]


_SUMS = (np.logaddexp, np.maximum)


@dataclass(frozen=True)
class _Paths:
    """The paths of each prefix of a beam, `(prefixes,)`: the logarithm of the probability of all, or of the best one.

    Args:
        blank: of those that end in a blank; label: of those that end in the prefix's last label.
        plus: what makes one number of several paths.
    """

    blank: Floats
    label: Floats
    plus: np.ufunc

    @property
    def total(self) -> Floats:
        found: Floats = self.plus(self.blank, self.label)
        return found

    def before(self, places: Ints, labels: Ints, last: Ints) -> Floats:
        """Return that of the paths after which a label may come: after the same label only those through a blank."""
        return np.where(last[places] == labels, self.blank[places], self.total[places])

    def stayed(self, scores: Floats, last: Ints, blank: int, children: Ints, more: Floats) -> _Paths:
        """Return the paths a frame on, with no label more, and those by which others become some of the prefixes."""
        label = self.label + scores[last]
        label[children] = self.plus(label[children], more)
        return _Paths(self.total + scores[blank], label, self.plus)

    def grown(self, scores: Floats, last: Ints, tried: Ints) -> Floats:
        """Return the paths a frame on, with each of some labels more, `(prefixes, labels)`."""
        found: Floats = self.total[:, None] + scores[tried]
        rows, columns = np.nonzero(last[:, None] == tried)
        found[rows, columns] = self.blank[rows] + scores[last[rows]]
        return found


class CtcBeam:
    """The best labellings of one sequence so far.

    Each prefix has the probability of all its paths, those that end in a blank apart from those that do not; a wide
    enough beam is exact. Beside it stands the best single path of each prefix, which says when labels were written.

    Args:
        classes: how many there are, the blank among them.
        blank: the class that stands for no label.
        beam_size: how many prefixes are kept after each frame.
        scorer: what is added to the score, see `Scorer`.
        least_probability: labels less probable than this at a frame are not tried there; 0 tries all.
        margin: prefixes that score worse than the best by more than this, in nats, are not kept.

    Raises:
        UsageError: `beam_size` is below 1, or `blank` is no class.

    Source: A. Hannun et al., "First-pass large vocabulary continuous speech recognition using bi-directional recurrent
    DNNs", 2014, algorithm 1 (what the scorer adds is kept apart from the paths, so that merged prefixes have it once).

    >>> beam = CtcBeam(2)
    >>> beam.advance(np.log([[0.6, 0.4], [0.6, 0.4]]))
    >>> best = beam.hypotheses()[0]
    >>> best.labels, round(math.exp(best.score), 2)  # the best path alone would say nothing, 0.36
    ((1,), 0.64)
    """

    def __init__(
        self,
        classes: int,
        *,
        blank: int = 0,
        beam_size: int = 16,
        scorer: Scorer | None = None,
        least_probability: float = 0.0,
        margin: float = math.inf,
    ) -> None:
        if beam_size < 1:
            raise UsageError(f"beam_size is {beam_size}; expected 1 or more")
        if not 0 <= blank < classes:
            raise UsageError(f"blank is {blank}; expected a class from 0 to {classes - 1}")
        self.classes, self.blank, self.beam_size, self.margin = classes, blank, beam_size, margin
        self.scorer = scorer
        self._least = math.log(least_probability) if least_probability > 0 else NEVER
        self._others = np.delete(np.arange(classes), blank)
        self.reset()

    def reset(self) -> None:
        """Begin a new sequence."""
        self.frames = 0
        self._tree = PrefixTree(self.scorer, self.blank)
        self._enter([self._tree.root])
        self._all, self._one = (_Paths(np.array([0.0]), np.array([NEVER]), plus) for plus in _SUMS)
        self._blank_links: list[Link | None] = [None]
        self._label_links: list[Link | None] = [None]

    def advance(self, log_probabilities: NDArray[Any]) -> None:
        """Take in frames, `(frames, classes)`.

        Raises:
            ShapeError: they have another number of classes.
            UsageError: a number is NaN or above what a logarithm of probabilities can be.
        """
        rows = np.asarray(log_probabilities, np.float64)
        if rows.ndim != 2 or rows.shape[1] != self.classes:
            raise ShapeError(f"log_probabilities has shape {rows.shape}; expected (frames, {self.classes})")
        if not (rows < np.inf).all():
            raise UsageError("log_probabilities holds NaN or infinity; expected logarithms of probabilities")
        for row in rows:
            self._step(row)
            self.frames += 1
        self._tree.prune(self._nodes)

    def hypotheses(self, *, ended: bool = True) -> list[Hypothesis]:
        """Return the labellings of the beam, best first.

        Args:
            ended: with what the scorer says of their end, those that may not end here left out; else as they stand.
        """
        found = []
        totals = self._all.total.tolist()
        for place, node in enumerate(self._nodes):
            score = totals[place] + node.extra + (self._tree.end(node) if ended else 0.0)
            if score > NEVER:
                found.append(Hypothesis(node.labels(), score, emissions_of(self._best_link(place))))
        return sorted(found, key=lambda hypothesis: -hypothesis.score)

    def best(self) -> Hypothesis:
        """Return the best prefix as it stands."""
        totals = self._all.total + self._extra
        place = int(totals.argmax())
        return Hypothesis(self._nodes[place].labels(), float(totals[place]), emissions_of(self._best_link(place)))

    def kept(self) -> dict[str, Any]:
        """Return all that is held, as plain data; a path that there is not has NaN, since states hold no infinity."""
        scores = np.stack([self._all.blank, self._all.label, self._one.blank, self._one.label])
        return {
            "frames": self.frames,
            "labels": [list(node.labels()) for node in self._nodes],
            "scores": np.where(scores == NEVER, np.nan, scores),
            "blank": [[list(emission) for emission in emissions_of(link)] for link in self._blank_links],
            "label": [[list(emission) for emission in emissions_of(link)] for link in self._label_links],
        }

    def accept(self, kept: Mapping[str, Any]) -> None:
        """Go on from what `kept` gave, to the same bits.

        Raises:
            UsageError: it does not fit.
        """
        labels, scores = kept["labels"], np.asarray(kept["scores"], np.float64)
        known = all(0 <= label < self.classes and label != self.blank for row in labels for label in row)
        fits = 0 < len(labels) <= self.beam_size and len(kept["blank"]) == len(kept["label"]) == len(labels)
        fits = fits and scores.shape == (4, len(labels)) and len({tuple(row) for row in labels}) == len(labels)
        if not known or not fits:
            raise UsageError("the state of the search does not fit this model and beam; begin a new sequence")
        self.frames = int(kept["frames"])
        self._tree = PrefixTree(self.scorer, self.blank)
        self._enter([self._tree.walk(row) for row in labels])
        copied = np.where(np.isnan(scores), NEVER, scores)
        self._all, self._one = (
            _Paths(copied[row], copied[row + 1], plus) for row, plus in zip((0, 2), _SUMS, strict=True)
        )
        self._blank_links = [linked(emissions) for emissions in kept["blank"]]
        self._label_links = [linked(emissions) for emissions in kept["label"]]

    # --- one frame -------------------------------------------------------------------------------------------------

    def _step(self, scores: Floats) -> None:
        """Take in a frame: each prefix as it is and with each label more, and the best of them kept."""
        tried = self._others if self._least == NEVER else self._others[scores[self._others] >= self._least]
        # prefixes that others of the beam become with a label more: their paths are added to those that stay
        children = np.flatnonzero(self._parents >= 0)
        parents = self._parents[children]
        stayed, grown = [], []
        for paths in (self._all, self._one):
            more = paths.before(parents, self._last[children], self._last) + scores[self._last[children]]
            stayed.append(paths.stayed(scores, self._last, self.blank, children, more))
            longer = paths.grown(scores, self._last, tried)
            if len(children):
                rows, columns = np.nonzero(self._last[children][:, None] == tried)
                longer[parents[rows], columns] = NEVER
            grown.append(longer)
        chosen = self._chosen(stayed[0].total, grown[0], tried)
        if len(chosen):
            self._move(chosen, stayed, grown, tried, scores)
        else:  # nothing that the scorer allows is possible: no labelling from here on
            never = np.full(len(self._nodes), NEVER)
            self._all = _Paths(never, never, np.logaddexp)

    def _chosen(self, staying: Floats, grown: Floats, tried: Ints) -> Ints:
        """Return where the best are among those that stay, and behind them those with a label more, row by row."""
        ranks = grown + self._extra[:, None]
        if self._ahead is not None:
            ranks += self._ahead[:, tried]
        return best_rows(np.concatenate([staying + self._extra, ranks.ravel()]), self.beam_size, self.margin)

    def _move(
        self, chosen: Ints, stayed: Sequence[_Paths], grown: Sequence[Floats], tried: Ints, scores: Floats
    ) -> None:
        """Let what was chosen be the beam."""
        nodes, width = self._nodes, max(1, len(tried))
        stays = chosen < len(nodes)
        cells = np.where(stays, 0, chosen - len(nodes))
        places = np.where(stays, chosen, cells // width)
        labels = np.where(stays, self._last[places], tried[cells % width] if len(tried) else self.blank)
        moves = list(zip(stays.tolist(), places.tolist(), labels.tolist(), strict=True))
        links = self._links(moves, stayed[1], scores)
        kept = []
        for paths, longer in zip(stayed, grown, strict=True):
            new = longer.ravel()[cells] if len(tried) else np.full(len(cells), NEVER)
            blanks = np.where(stays, paths.blank[places], NEVER)
            kept.append(_Paths(blanks, np.where(stays, paths.label[places], new), paths.plus))
        self._all, self._one = kept
        self._blank_links, self._label_links = links
        self._enter([nodes[place] if stay else self._tree.child(nodes[place], label) for stay, place, label in moves])

    def _links(
        self, moves: Sequence[tuple[bool, int, int]], best: _Paths, scores: Floats
    ) -> tuple[list[Link | None], list[Link | None]]:
        """Return the emissions of the best paths of what is kept.

        Args:
            moves: of each prefix whether it stays, from which place it comes, and its last label.
            best: the best paths of those that stay.
            scores: of the frame.
        """
        held = (self._one.label + scores[self._last]).tolist()
        paths, parents = best.label.tolist(), self._parents.tolist()
        blanks: list[Link | None] = []
        labels: list[Link | None] = []
        for stay, place, label in moves:
            blanks.append(self._best_link(place) if stay else None)
            score, before = float(scores[label]), self._label_links[place]
            link: Link | None = None
            if not stay:
                link = self._link_before(place, label), Emission(self.frames, self.frames, score)
            elif paths[place] > held[place]:  # its best path is one on which its last label is written now
                link = self._link_before(parents[place], label), Emission(self.frames, self.frames, score)
            elif before is not None and paths[place] > NEVER:
                link = before[0], Emission(before[1].start, self.frames, max(before[1].score, score))
            labels.append(link)
        return blanks, labels

    def _link_before(self, place: int, label: int) -> Link | None:
        """Return the emissions of the path that a label is written after."""
        return self._blank_links[place] if self._nodes[place].label == label else self._best_link(place)

    def _best_link(self, place: int) -> Link | None:
        way = self._label_links if self._one.label[place] > self._one.blank[place] else self._blank_links
        return way[place]

    def _enter(self, nodes: list[Prefix]) -> None:
        """Let prefixes be the beam."""
        for node in getattr(self, "_nodes", ()):
            node.index = -1
        for place, node in enumerate(nodes):
            node.index = place
        self._nodes = nodes
        self._last = np.array([node.label for node in nodes], np.int64)
        self._parents = np.array([-1 if node.parent is None else node.parent.index for node in nodes], np.int64)
        self._extra = np.array([node.extra for node in nodes])
        self._ahead = None if nodes[0].ahead is None else np.stack([node.ahead for node in nodes])  # type: ignore[misc]
