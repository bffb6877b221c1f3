"""Boosted trees as arrays: what scikit-learn's histogram gradient boosting grew, kept and walked without it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.errors import CorruptArtifact
from ostinato.tasks.events.features import Floats

LEAVES = 15
"""Of a tree at most; as many bits as a number of 16 has, less one."""
_ROWS, _TREES = 256, 64  # that are looked at together
_ALL = np.uint16(0xFFFF)
_LOWEST = np.array([0, *((number & -number).bit_length() - 1 for number in range(1, 1 << 16))], np.uint8)


@dataclass(frozen=True)
class Trees:
    """Trees one behind the other.

    Args:
        width: how many features they read.
        start: `(columns,)`, the scores that trees are added to.
        roots: `(trees,)`, where the nodes of each begin; tree `i` is of column `i % columns`.
        features, thresholds, lefts, rights, values: `(nodes,)`; at a leaf there is no feature, -1.
        missing_left: `(nodes,)`, whether a missing number goes to the left.
    """

    width: int
    start: Floats
    roots: NDArray[np.int64]
    features: NDArray[np.int64]
    thresholds: Floats
    missing_left: NDArray[np.bool_]
    lefts: NDArray[np.int64]
    rights: NDArray[np.int64]
    values: Floats

    def __post_init__(self) -> None:
        """Refuse nodes that make no trees, as a damaged file may have them."""
        nodes, places = len(self.values), np.arange(len(self.values))
        parts = (self.features, self.thresholds, self.missing_left, self.lefts, self.rights)
        ends = np.append(self.roots[1:], nodes)
        below = np.repeat(ends - self.roots, np.maximum(ends - self.roots, 0)) if len(self.roots) else places
        if (
            any(part.shape != (nodes,) for part in parts)
            or len(below) != nodes
            or (self.features >= self.width).any()
            or any(((each < 0) | (each >= below)).any() for each in (self.lefts, self.rights))
            or len(self.roots) % max(len(self.start), 1)
        ):
            raise ValueError("its nodes make no trees")

    @classmethod
    def of(cls, model: Any, width: int) -> Trees:
        """Return the trees of a model of scikit-learn."""
        trees = [tree.nodes for row in model._predictors for tree in row]
        nodes = np.concatenate(trees)
        return cls(
            width,
            np.ravel(model._baseline_prediction).astype(np.float64),
            np.cumsum([0, *map(len, trees)])[:-1].astype(np.int64),
            np.where(nodes["is_leaf"] == 1, -1, nodes["feature_idx"].astype(np.int64)),
            nodes["num_threshold"].astype(np.float64),
            nodes["missing_go_to_left"] == 1,
            nodes["left"].astype(np.int64),
            nodes["right"].astype(np.int64),
            nodes["value"].astype(np.float64),
        )

    def __call__(self, rows: Floats) -> Floats:
        """Return the scores of rows, `(rows, columns)`."""
        if rows.shape[1] != self.width:
            raise CorruptArtifact(
                f"the trees of the model read {self.width} numbers, not {rows.shape[1]}; fit it again"
            )
        found = np.empty((len(rows), len(self.roots)))
        # a missing number passes no test, but below all thresholds it passes those that it goes to the left of
        both = np.concatenate([np.where(np.isnan(rows), -np.inf, rows), rows], 1)
        for first in range(0, len(rows), _ROWS):
            for tree in range(0, len(self.roots), _TREES):
                part = slice(first, first + _ROWS), slice(tree, tree + _TREES)
                found[part] = self._paths.values_of(both[part[0]], part[1])
        summed: Floats = self.start + found.reshape(len(rows), -1, len(self.start)).sum(1)
        return summed

    @cached_property
    def _paths(self) -> _Paths:
        return _Paths.of(self)


@dataclass(frozen=True)
class _Paths:
    """Which leaves of a tree each inner node rules out, so that no way has to be walked.

    Leaves are bits, from the left. A node whose test fails rules out those on its left; of what no node rules out the
    leftmost is the leaf that a row comes to.

    Args:
        features: `(trees, nodes)`, those of a missing number that goes to the right count on from the others.
        thresholds: `(trees, nodes)`; infinite where a tree has fewer nodes.
        masks: `(trees, nodes)`, the leaves that a failed test leaves.
        values: `(trees, leaves)`.

    Source: C. Lucchese et al., "QuickScorer: a fast algorithm to rank documents with additive ensembles of regression
    trees", SIGIR 2015.
    """

    features: NDArray[np.int64]
    thresholds: Floats
    masks: NDArray[np.uint16]
    values: Floats

    @classmethod
    def of(cls, trees: Trees) -> _Paths:
        count = len(trees.roots)
        features, thresholds = np.zeros((count, LEAVES), np.int64), np.full((count, LEAVES), np.inf)
        masks, values = np.full((count, LEAVES), _ALL, np.uint16), np.zeros((count, LEAVES + 1))
        for tree, root in enumerate(trees.roots.tolist()):
            nodes, leaves = _in_order(trees, root)
            for place, (node, first, stop) in enumerate(nodes):
                features[tree, place] = trees.features[node] + (0 if trees.missing_left[node] else trees.width)
                thresholds[tree, place] = trees.thresholds[node]
                masks[tree, place] = _ALL ^ ((1 << stop) - (1 << first))
            values[tree, : len(leaves)] = trees.values[leaves]
        return cls(features, thresholds, masks, values)

    def values_of(self, rows: Floats, trees: slice) -> Floats:
        """Return what some of the trees say of rows, `(rows, trees)`."""
        features = self.features[trees]
        numbers = rows[:, features.ravel()].reshape(len(rows), *features.shape)
        left = np.where(numbers <= self.thresholds[trees], _ALL, self.masks[trees])
        bits = np.bitwise_and.reduce(left, -1)
        return np.asarray(self.values[trees][np.arange(features.shape[0]), _LOWEST[bits]])


def _in_order(trees: Trees, root: int) -> tuple[list[tuple[int, int, int]], list[int]]:
    """Return the inner nodes of a tree, each with the range of the leaves on its left, and the leaves.

    Raises:
        CorruptArtifact: the nodes make a circle, or too large a tree.
    """
    nodes, leaves, begun = list[tuple[int, int, int]](), list[int](), 0

    def visit(node: int) -> None:
        nonlocal begun
        begun += 1
        if begun > 2 * LEAVES:
            raise CorruptArtifact("the trees of the model are damaged; fit it again")
        if trees.features[node] < 0:
            leaves.append(node)
            return
        first = len(leaves)
        visit(root + int(trees.lefts[node]))
        nodes.append((node, first, len(leaves)))
        visit(root + int(trees.rights[node]))

    visit(root)
    return nodes, leaves
