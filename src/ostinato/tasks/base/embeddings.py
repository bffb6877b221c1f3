"""Records as points: which lie near each other, and where they lie in a plane."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ostinato.errors import ShapeError, UsageError
from ostinato.tasks.base.summary import Curve

Floats = NDArray[np.float64]


def nearest(embeddings: ArrayLike, queries: ArrayLike, count: int = 5) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the places of the embeddings nearest to each query, the nearest first, and how alike they are.

    Args:
        embeddings: `(records, features)`, as `embed` gives them.
        queries: `(queries, features)`.
        count: how many for each; no more than there are records.

    Returns:
        Places and cosines, `(queries, count)` each; of those as alike, the first.

    Raises:
        ShapeError: they have not as many features.
        UsageError: `count` is not positive.

    >>> places, cosines = nearest([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], [[2.0, 0.1]], count=2)
    >>> places.tolist()
    [[0, 2]]
    """
    known, asked = (np.atleast_2d(np.asarray(each, np.float64)) for each in (embeddings, queries))
    if known.shape[1] != asked.shape[1]:
        raise ShapeError(f"embeddings have {known.shape[1]} features and queries {asked.shape[1]}; expected as many")
    if count < 1:
        raise UsageError(f"count is {count}; expected one or more")
    cosines = _unit(asked) @ _unit(known).T
    places = np.argsort(-cosines, axis=1, kind="stable")[:, :count].astype(np.int64)
    return places, np.take_along_axis(cosines, places, 1)


def _unit(points: Floats) -> Floats:
    """Return points at distance 1 from the origin; the origin stays."""
    length = np.linalg.norm(points, axis=1, keepdims=True)
    found: Floats = np.divide(points, length, out=np.zeros_like(points), where=length > 0)
    return found


def plane(embeddings: ArrayLike) -> Floats:
    """Return where records lie in the plane of their two greatest variances, `(records, 2)`."""
    points = np.asarray(embeddings, np.float64)
    if len(points) < 2:
        return np.zeros((len(points), 2))
    centered = points - points.mean(0)
    u, s, _ = np.linalg.svd(centered, full_matrices=False)
    found = (u * s)[:, :2]
    found = np.concatenate([found, np.zeros((len(found), 2 - found.shape[1]))], 1)
    # the sign of a direction is nobody's choice: the largest coordinate of each is positive
    signs = np.sign(found[np.abs(found).argmax(0), np.arange(2)])
    return found * np.where(signs == 0, 1, signs)


FEWEST_DRAWN = 8
"""Records in a picture, at least."""


def drawn(count: int, most: int = 300) -> NDArray[np.int64]:
    """Return the places of the records that a picture shows: all, or some that are spread evenly; none of too few.

    >>> drawn(9, 5).tolist(), drawn(7).tolist()
    ([0, 2, 4, 6, 8], [])
    """
    if count < FEWEST_DRAWN:
        return np.zeros(0, np.int64)
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def embedding_panel(embeddings: ArrayLike, groups: Sequence[str]) -> Curve:
    """Return a picture of records in a plane, those of a group as one line of points.

    Args:
        embeddings: `(records, features)`.
        groups: the group of each record.
    """
    points = plane(embeddings)
    order = np.argsort(points[:, 0], kind="stable")
    names = list(dict.fromkeys(groups))
    x = tuple(float(point) for point in points[order, 0])
    lines = {
        name: tuple(float(points[at, 1]) if groups[at] == name else float("nan") for at in order.tolist())
        for name in names
    }
    return Curve("Embeddings", x, lines, "first direction", "second direction", points=True)
