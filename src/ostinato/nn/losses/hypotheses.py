"""What a beam search goes by beside the network, what it returns, and the tree of labellings that it walks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
NEVER = -math.inf


class LanguageModel(Protocol):
    """A function that says how probable the next label is, asked once for each prefix a search tries to extend."""

    def __call__(self, labels: tuple[int, ...], label: int | None, /) -> float:
        """Return the logarithm of the probability of `label` (`None`: the end) after `labels`."""


class Scorer(Protocol):
    """What is added to the score of a labelling, label by label: language models, word lists, words to be preferred.

    A state stands for all that was written before; it is never changed, so that many labellings may share one.
    """

    def start(self) -> Any:
        """Return the state before the first label."""

    def scores(self, state: Any) -> Floats:
        """Return what each class adds if it comes next, `(classes,)`; -inf: it may not. The blank's is not read."""

    def advance(self, state: Any, label: int) -> Any:
        """Return the state after one more label."""

    def end(self, state: Any) -> float:
        """Return what is added if nothing comes any more; -inf: a text may not end here."""


class Emission(NamedTuple):
    """When a label was written, on the best path of its labelling.

    `start` is its first step and `end` its last one; `score` is the highest log-probability that it had there.
    """

    start: int
    end: int
    score: float


@dataclass(frozen=True)
class Hypothesis:
    """One answer of a beam search: its labels, and its score, the logarithm of a probability (larger is better).

    `emissions` says of each label when it was written.
    """

    labels: tuple[int, ...]
    score: float
    emissions: tuple[Emission, ...] = field(default=(), compare=False)


Link: TypeAlias = "tuple[Link | None, Emission]"
"""The emissions of a path, the last one first; paths share their beginnings."""


def emissions_of(link: Link | None) -> tuple[Emission, ...]:
    """Return the emissions of a path in their order."""
    found = []
    while link is not None:
        found.append(link[1])
        link = link[0]
    return tuple(reversed(found))


def linked(emissions: Iterable[Sequence[float]]) -> Link | None:
    """Undo `emissions_of`."""
    link: Link | None = None
    for start, end, score in emissions:
        link = (link, Emission(int(start), int(end), float(score)))
    return link


class Prefix:
    """A labelling as a place in the tree of all that a search has come to.

    Attributes:
        index: where it stands in the beam, -1 if it does not.
        extra: what the scorer adds to it.
        ahead: what the scorer adds for each class that may come next, `None` without a scorer.
        heard: what a transducer's predictor says after it; not used by CTC.
    """

    __slots__ = ("ahead", "children", "extra", "heard", "index", "label", "parent", "state")

    def __init__(self, parent: Prefix | None, label: int, extra: float, state: Any, ahead: Floats | None) -> None:
        self.parent, self.label, self.extra, self.state, self.ahead = parent, label, extra, state, ahead
        self.children: dict[int, Prefix] = {}
        self.index = -1
        self.heard: Any = None

    def labels(self) -> tuple[int, ...]:
        """Return all labels up to here."""
        found, node = [], self
        while node.parent is not None:
            found.append(node.label)
            node = node.parent
        return tuple(reversed(found))


class PrefixTree:
    """The labellings that a search has come to; each exists once, and is asked about once."""

    def __init__(self, scorer: Scorer | None, blank: int) -> None:
        self.scorer, self._grown = scorer, 0
        if scorer is None:
            self.root = Prefix(None, blank, 0.0, None, None)
        else:
            state = scorer.start()
            self.root = Prefix(None, blank, 0.0, state, scorer.scores(state))

    def child(self, node: Prefix, label: int) -> Prefix:
        """Return a labelling with one more label."""
        found = node.children.get(label)
        if found is None:
            if self.scorer is None or node.ahead is None:
                found = Prefix(node, label, 0.0, None, None)
            else:
                state = self.scorer.advance(node.state, label)
                found = Prefix(node, label, node.extra + float(node.ahead[label]), state, self.scorer.scores(state))
            node.children[label] = found
            self._grown += 1
        return found

    def walk(self, labels: Iterable[int]) -> Prefix:
        """Return the place of a labelling."""
        node = self.root
        for label in labels:
            node = self.child(node, label)
        return node

    def end(self, node: Prefix) -> float:
        """Return what the scorer adds to a labelling that ends."""
        return 0.0 if self.scorer is None else self.scorer.end(node.state)

    def prune(self, kept: Sequence[Prefix], most: int = 2000) -> None:
        """Forget all that is not on the way to some labellings, once so many were added: memory stays bounded."""
        if self._grown < most:
            return
        self._grown = 0
        needed: set[int] = set()
        ways: list[Prefix] = []
        for leaf in kept:
            node: Prefix | None = leaf
            while node is not None and id(node) not in needed:
                needed.add(id(node))
                ways.append(node)
                node = node.parent
        for way in ways:
            way.children = {label: child for label, child in way.children.items() if id(child) in needed}


def log_add(a: float, b: float) -> float:
    """Return `log(exp(a) + exp(b))`.

    >>> round(log_add(math.log(2.0), math.log(3.0)), 6) == round(math.log(5.0), 6)
    True
    """
    if a < b:
        a, b = b, a
    return a if b == -math.inf else a + math.log1p(math.exp(b - a))


def best_rows(ranks: Floats, count: int, margin: float = math.inf) -> NDArray[np.int64]:
    """Return where the highest ranks are, best first: `count` at most, none below the best one by more than `margin`.

    Equal ones are in their order; what is -inf is left out.

    >>> best_rows(np.array([1.0, 3.0, NEVER, 2.0]), 3).tolist()
    [1, 3, 0]
    """
    if len(ranks) > count:
        least = np.partition(ranks, len(ranks) - count)[len(ranks) - count]
        rows = np.flatnonzero(ranks >= least)
    else:
        rows = np.arange(len(ranks))
    rows = rows[np.argsort(-ranks[rows], kind="stable")][:count]
    if not len(rows):
        return rows
    best = float(ranks[rows[0]])
    return rows[ranks[rows] >= best - margin] if best > NEVER and margin < math.inf else rows[ranks[rows] > NEVER]
