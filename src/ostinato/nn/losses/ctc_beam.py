"""Prefix beam search over the outputs of CTC, frame by frame, all prefixes at once on NumPy arrays.

A stream that is advanced one frame at a time and a whole utterance give the same bits: each frame is taken in by the
same operations, whatever comes in one call.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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
        self._enter([self._tree.root], np.array([0.0]), np.array([NEVER]))
        self._path_blank, self._path_label = np.array([0.0]), np.array([NEVER])
        self._blank_links: list[Link | None] = [None]
        self._label_links: list[Link | None] = [None]

    def advance(self, log_probabilities: NDArray[Any]) -> None:
        """Take in frames, `(frames, classes)`.

        Raises:
            ShapeError: they have another number of classes.
        """
        rows = np.asarray(log_probabilities, np.float64)
        if rows.ndim != 2 or rows.shape[1] != self.classes:
            raise ShapeError(f"log_probabilities has shape {rows.shape}; expected (frames, {self.classes})")
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
        totals = np.logaddexp(self._in_blank, self._in_label).tolist()
        for place, node in enumerate(self._nodes):
            score = totals[place] + node.extra + (self._tree.end(node) if ended else 0.0)
            if score > NEVER:
                found.append(Hypothesis(node.labels(), score, emissions_of(self._best_link(place))))
        return sorted(found, key=lambda hypothesis: -hypothesis.score)

    def best(self) -> Hypothesis:
        """Return the best prefix as it stands."""
        totals = np.logaddexp(self._in_blank, self._in_label) + self._extra
        place = int(totals.argmax())
        return Hypothesis(self._nodes[place].labels(), float(totals[place]), emissions_of(self._best_link(place)))

    def kept(self) -> dict[str, Any]:
        """Return all that is held, as plain data."""
        return {
            "frames": self.frames,
            "labels": [list(node.labels()) for node in self._nodes],
            "scores": np.stack([self._in_blank, self._in_label, self._path_blank, self._path_label]),
            "blank": [[list(own) for own in emissions_of(link)] for link in self._blank_links],
            "label": [[list(own) for own in emissions_of(link)] for link in self._label_links],
        }

    def accept(self, kept: Mapping[str, Any]) -> None:
        """Go on from what `kept` gave, to the same bits.

        Raises:
            UsageError: it does not fit.
        """
        labels, scores = kept["labels"], np.asarray(kept["scores"], np.float64)
        known = all(0 <= own < self.classes and own != self.blank for row in labels for own in row)
        fits = 0 < len(labels) <= self.beam_size and len(kept["blank"]) == len(kept["label"]) == len(labels)
        fits = fits and scores.shape == (4, len(labels)) and len({tuple(own) for own in labels}) == len(labels)
        if not known or not fits:
            raise UsageError("the state of the search does not fit this model and beam; begin a new sequence")
        self.frames = int(kept["frames"])
        self._tree = PrefixTree(self.scorer, self.blank)
        self._enter([self._tree.walk(own) for own in labels], scores[0].copy(), scores[1].copy())
        self._path_blank, self._path_label = scores[2].copy(), scores[3].copy()
        self._blank_links = [linked(own) for own in kept["blank"]]
        self._label_links = [linked(own) for own in kept["label"]]

    # --- one frame -------------------------------------------------------------------------------------------------

    def _step(self, scores: Floats) -> None:
        """Take in a frame: each prefix as it is and with each label more, and the best of them kept."""
        blank, last, nodes = self.blank, self._last, self._nodes
        total = np.logaddexp(self._in_blank, self._in_label)
        path = np.maximum(self._path_blank, self._path_label)
        held = scores[last]
        stay_blank, stay_label = total + scores[blank], self._in_label + held
        stay_path_blank, stay_path_label = path + scores[blank], self._path_label + held
        tried = self._others if self._least == NEVER else self._others[scores[self._others] >= self._least]
        # after the same label a path must have come through a blank, or the two would be one
        grown, grown_path = total[:, None] + scores[tried], path[:, None] + scores[tried]
        rows, columns = np.nonzero(last[:, None] == tried)
        grown[rows, columns] = self._in_blank[rows] + held[rows]
        grown_path[rows, columns] = self._path_blank[rows] + held[rows]
        came = self._merge(stay_label, stay_path_label, grown, grown_path, tried, scores)
        ranks = grown + self._extra[:, None]
        if self._ahead is not None:
            ranks += self._ahead[:, tried]
        staying = np.logaddexp(stay_blank, stay_label) + self._extra
        chosen = best_rows(np.concatenate([staying, ranks.ravel()]), self.beam_size, self.margin)
        if not len(chosen):  # nothing that the scorer allows is possible: no labelling from here on
            self._in_blank, self._in_label = np.full((2, len(nodes)), NEVER)
            return
        stays = chosen < len(nodes)
        cells = np.where(stays, 0, chosen - len(nodes))
        places = np.where(stays, chosen, cells // max(1, len(tried)))
        if len(tried):
            labels = np.where(stays, last[places], tried[cells % len(tried)])
        else:
            labels, grown, grown_path = last[places], np.array([NEVER]), np.array([NEVER])
        moves = list(zip(stays.tolist(), places.tolist(), labels.tolist(), strict=True))
        links = self._links(moves, came, scores, stay_path_label)
        self._path_blank = np.where(stays, stay_path_blank[places], NEVER)
        self._path_label = np.where(stays, stay_path_label[places], grown_path.ravel()[cells])
        in_blank = np.where(stays, stay_blank[places], NEVER)
        in_label = np.where(stays, stay_label[places], grown.ravel()[cells])
        self._blank_links, self._label_links = links
        entering = [nodes[place] if stay else self._tree.child(nodes[place], label) for stay, place, label in moves]
        self._enter(entering, in_blank, in_label)

    def _merge(
        self,
        stay_label: Floats,
        stay_path_label: Floats,
        grown: Floats,
        grown_path: Floats,
        tried: Ints,
        scores: Floats,
    ) -> list[int]:
        """Add what prefixes become that are in the beam already; return from which place the best path of each came."""
        came = [-1] * len(self._nodes)
        places = np.flatnonzero(self._parents >= 0)
        if not len(places):
            return came
        parents, labels = self._parents[places], self._last[places]
        same = self._last[parents] == labels
        total = np.logaddexp(self._in_blank[parents], self._in_label[parents])
        added = np.where(same, self._in_blank[parents], total) + scores[labels]
        stay_label[places] = np.logaddexp(stay_label[places], added)
        path = np.maximum(self._path_blank[parents], self._path_label[parents])
        path = np.where(same, self._path_blank[parents], path) + scores[labels]
        better = path > stay_path_label[places]
        stay_path_label[places[better]] = path[better]
        for place, parent in zip(places[better].tolist(), parents[better].tolist(), strict=True):
            came[place] = parent
        where = np.full(self.classes, -1)
        where[tried] = np.arange(len(tried))
        columns = where[labels]
        there = columns >= 0
        grown[parents[there], columns[there]] = NEVER
        grown_path[parents[there], columns[there]] = NEVER
        return came

    def _links(
        self, moves: Sequence[tuple[bool, int, int]], came: Sequence[int], scores: Floats, label_paths: Floats
    ) -> tuple[list[Link | None], list[Link | None]]:
        """Return the emissions of the best paths of what is kept, by (whether it stays, its place, its last label)."""
        blanks: list[Link | None] = []
        labels: list[Link | None] = []
        for stay, place, label in moves:
            blanks.append(self._best_link(place) if stay else None)
            score, before = float(scores[label]), self._label_links[place]
            link: Link | None = None
            if not stay:
                link = self._link_before(place, label), Emission(self.frames, self.frames, score)
            elif came[place] >= 0:
                link = self._link_before(came[place], label), Emission(self.frames, self.frames, score)
            elif before is not None and label_paths[place] > NEVER:
                link = before[0], Emission(before[1].start, self.frames, max(before[1].score, score))
            labels.append(link)
        return blanks, labels

    def _link_before(self, place: int, label: int) -> Link | None:
        """Return the emissions of the path that a label is written after."""
        return self._blank_links[place] if self._nodes[place].label == label else self._best_link(place)

    def _best_link(self, place: int) -> Link | None:
        way = self._label_links if self._path_label[place] > self._path_blank[place] else self._blank_links
        return way[place]

    def _enter(self, nodes: list[Prefix], in_blank: Floats, in_label: Floats) -> None:
        """Let prefixes be the beam."""
        for node in getattr(self, "_nodes", ()):
            node.index = -1
        for place, node in enumerate(nodes):
            node.index = place
        self._nodes, self._in_blank, self._in_label = nodes, in_blank, in_label
        self._last = np.array([node.label for node in nodes], np.int64)
        self._parents = np.array([-1 if node.parent is None else node.parent.index for node in nodes], np.int64)
        self._extra = np.array([node.extra for node in nodes])
        self._ahead = None if nodes[0].ahead is None else np.stack([node.ahead for node in nodes])  # type: ignore[misc]
