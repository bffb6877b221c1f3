"""New rows for a forecaster that is there: put behind those it knows, read with its scales and categories."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ostinato.data import Panel, Part, Series, Split, format_time
from ostinato.errors import DataError
from ostinato.tasks.base.holding_out import Shares
from ostinato.tasks.forecast.windows import ForecastEncoder, Ints, Rows, tail_of


def grown(encoder: ForecastEncoder, given: Panel, shares: Shares) -> Rows:
    """Return new data joined to what a forecaster knows, and split.

    Raises:
        DataError: the data is not on the grid, or has too few new rows.
    """
    known = {one.id: one for one in encoder.tail.series}
    joined, seen, shift = [], [], []
    for one in given.series:
        series, first, moved = _joined(encoder, known.pop(one.id, None), one, given)
        joined.append(series)
        seen.append(first)
        shift.append(moved)
    for one in known.values():  # not in the new data: as they were
        joined.append(one)
        seen.append(len(one))
        shift.append(0)
    panel = replace(given, series=tuple(joined))
    split = _split(encoder, panel, np.array(seen), shares)
    return Rows(panel, split=split, shift=np.array(shift), given=given)


def grown_encoder(encoder: ForecastEncoder, panel: Panel) -> ForecastEncoder:
    """Return an encoder with the scales of all series: those that are known keep theirs."""
    names = tuple(one.id for one in panel.series)
    scaler = replace(encoder.scaler, series_ids=names, targets=encoder.scaler.for_panel(panel))
    tail = tail_of(panel, encoder.kept)
    return replace(encoder, scaler=scaler, mase_scales=encoder.mase_scales_of(panel), tail=tail)


def tested_given(rows: Rows) -> Part:
    """Return the rows held out, as places in the data that was given."""
    assert rows.split is not None
    assert rows.split.test is not None
    assert rows.given is not None
    assert rows.shift is not None
    test, count = rows.split.test, len(rows.given.series)
    start, stop = (np.maximum(edge[:count] - rows.shift[:count], 0) for edge in (test.start, test.stop))
    return Part(start, stop)


def _joined(encoder: ForecastEncoder, tail: Series | None, one: Series, given: Panel) -> tuple[Series, int, int]:
    """Return a series with the known rows in front, how many of its rows are known, how many were put in front."""
    if tail is None:
        return one, 0, 0
    frequency = encoder.frequency
    end = frequency.times(tail.start, len(tail), 1)[0]  # when the first new row is due
    known, gap = _places(encoder, tail, one, end)
    if known > 0:  # the data has known rows itself
        return one, min(known, len(one)), 0
    if gap < 0:
        raise DataError(
            f"{given.origin}: the rows from {format_time(one.start)} on are not on the grid of {frequency.describe()} "
            f"that the model's data end on at {format_time(end)}; give rows of the same times"
        )
    # what lies between the known rows and the new ones is missing; more of it than a context is never looked at
    missing = np.full((min(gap, encoder.reach), len(encoder.columns)), np.nan)
    values = np.concatenate([tail.rows(0, len(tail)), missing, one.rows(0, len(one))])
    front = len(tail) + len(missing)
    start = tail.start if len(missing) == gap else frequency.times(one.start, -front, 1)[0]
    return Series(one.id, start, values, one.static, last=one.last), front, front


def _places(encoder: ForecastEncoder, tail: Series, one: Series, end: Any) -> tuple[int, int]:
    """Return how many rows of a series are known, and if none is, how many steps lie before it; -1: off the grid."""
    frequency = encoder.frequency
    if frequency.unit == "row" and one.start == 0 and not _holds(one, tail):
        return 0, 0  # rows without times that do not repeat what is known come after it
    known = int(frequency.places(one.start, np.array([end]))[0])
    return (known, 0) if known > 0 else (0, int(frequency.places(end, np.array([one.start]))[0]))


def _holds(one: Series, tail: Series) -> bool:
    first = int(tail.start)
    rows = one.rows(first, first + len(tail))
    known = tail.rows(0, len(tail))
    return rows.shape == known.shape and np.allclose(rows, known, rtol=1e-9, atol=0, equal_nan=True)


def _split(encoder: ForecastEncoder, panel: Panel, known: Ints, shares: Shares) -> Split:
    horizon = encoder.settings.horizon
    lengths = np.array([len(one) for one in panel.series])
    new = lengths - known
    test, validation = (
        np.maximum(np.round(new * share).astype(np.int64), horizon) for share in (shares.test, shares.validation)
    )
    enough = new - test - validation >= horizon
    if not enough.any():
        raise DataError(
            f"{panel.origin} has {int(new.max())} new rows in its longest series, but an update needs {3 * horizon}: "
            f"{horizon} (the horizon) each to train on, to decide when to stop, and to compare on; wait for more"
        )
    test, validation = np.where(enough, test, 0), np.where(enough, validation, 0)
    first = np.where(enough, known, lengths)
    middle, last = lengths - test - validation, lengths - test
    return Split(Part(first, middle), Part(middle, last), Part(last, lengths))
