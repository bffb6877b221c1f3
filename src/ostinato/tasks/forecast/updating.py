"""New rows for a forecaster that is there: laid behind those it knows, read with its scales and categories."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data import Panel, Part, Scaler, Series, Split, format_time, window_origins
from ostinato.errors import DataError
from ostinato.tasks.forecast.backtest import backtest, mase_scales
from ostinato.tasks.forecast.batches import ForecastObjective, WindowBatches
from ostinato.tasks.forecast.fitted import Fitted, tail_of
from ostinato.tasks.forecast.fitting import VALIDATION_WINDOWS, batch_size, calibrated
from ostinato.tasks.forecast.network import DirectNetwork, RecursiveNetwork
from ostinato.tasks.record import Evaluation
from ostinato.tasks.base.summary import Better
from ostinato.tasks.updating import TEST, VALIDATION, NewRows

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Grown:
    """The known rows of each series with the new ones behind them.

    Args:
        panel: of all series; those that the new data has come first, in its order.
        split: of the new rows alone.
        given: the new data as it was read; `shift (series,)` says how many rows stand before it in the panel.
    """

    panel: Panel
    split: Split
    given: Panel
    shift: Ints

    def test_given(self) -> Part:
        """Return the rows held out, as places in the data that was given."""
        test, count = self.split.test, len(self.given.series)
        assert test is not None
        return Part(
            np.maximum(test.start[:count] - self.shift[:count], 0),
            np.maximum(test.stop[:count] - self.shift[:count], 0),
        )


def grown(fitted: Fitted, data: Any) -> Grown:
    """Return new data joined to what a forecaster knows.

    Raises:
        DataError: the data is wrong, is not on the grid, or has too few new rows.
    """
    given = fitted.load(data)
    known = {one.id: one for one in fitted.tail.series}
    joined, seen, shift = [], [], []
    for one in given.series:
        series, first, moved = _joined(fitted, known.pop(one.id, None), one, given)
        joined.append(series)
        seen.append(first)
        shift.append(moved)
    for one in known.values():  # not in the new data: as they were
        joined.append(one)
        seen.append(len(one))
        shift.append(0)
    panel = replace(given, series=tuple(joined))
    return Grown(panel, _split(fitted, panel, np.array(seen)), given, np.array(shift))


def _joined(fitted: Fitted, tail: Series | None, one: Series, given: Panel) -> tuple[Series, int, int]:
    """Return a series with the known rows in front, how many of its rows are known, how many were put in front."""
    if tail is None:
        return one, 0, 0
    frequency = fitted.frequency
    end = frequency.times(tail.start, len(tail), 1)[0]  # when the first new row is due
    known, gap = _places(fitted, tail, one, end)
    if known > 0:  # the data has known rows itself
        return one, min(known, len(one)), 0
    if gap < 0:
        raise DataError(
            f"{given.origin}: the rows from {format_time(one.start)} on are not on the grid of {frequency.describe()} "
            f"that the model's data end on at {format_time(end)}; give rows of the same times"
        )
    # what lies between the known rows and the new ones is missing; more of it than a context is never looked at
    missing = np.full((min(gap, fitted.settings.context), len(fitted.columns)), np.nan)
    values = np.concatenate([tail.rows(0, len(tail)), missing, one.rows(0, len(one))])
    front = len(tail) + len(missing)
    start = tail.start if len(missing) == gap else frequency.times(one.start, -front, 1)[0]
    return Series(one.id, start, values, one.static), front, front


def _places(fitted: Fitted, tail: Series, one: Series, end: Any) -> tuple[int, int]:
    """Return how many rows of a series are known, and if none is, how many steps lie before it; -1: off the grid."""
    frequency = fitted.frequency
    if frequency.unit == "row" and one.start == 0 and not _holds(one, tail):
        return 0, 0  # rows without times that do not repeat what is known come after it
    known = int(frequency.places(one.start, np.array([end]))[0])
    return (known, 0) if known > 0 else (0, int(frequency.places(end, np.array([one.start]))[0]))


def _holds(one: Series, tail: Series) -> bool:
    first = int(tail.start)
    own = one.rows(first, first + len(tail))
    known = tail.rows(0, len(tail))
    return own.shape == known.shape and np.allclose(own, known, rtol=1e-9, atol=0, equal_nan=True)


def _split(fitted: Fitted, panel: Panel, known: Ints) -> Split:
    horizon = fitted.settings.horizon
    lengths = np.array([len(one) for one in panel.series])
    new = lengths - known
    test, validation = (np.maximum(np.round(new * share).astype(np.int64), horizon) for share in (TEST, VALIDATION))
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


def new_rows(parameters: Mapping[str, Any], fitted: Fitted, rows: Grown) -> NewRows[Fitted]:
    """Return new rows as a fitted forecaster reads them."""
    split, panel = rows.split, rows.panel
    assert split.validation is not None
    assert split.test is not None
    base = replace(fitted, scaler=_scaler(fitted, panel), mase_scales=mase_scales(fitted, panel))
    make, horizon = base.maker(panel), fitted.settings.horizon
    train, validation, test = (
        base.windows(panel, window_origins(panel, part, horizon=horizon))
        for part in (split.train, split.validation, split.test)
    )
    size = batch_size(parameters["batch_size"], len(train))
    held_out = split.test

    def renewed(network: DirectNetwork | RecursiveNetwork) -> Fitted:
        own = replace(
            base,
            network=network,
            test=rows.test_given(),
            fingerprint=rows.given.fingerprint(),
            tail=tail_of(panel, max(fitted.settings.context, 2 * fitted.season)),
        )
        measured = calibrated(own, panel, validation)
        return measured if measured.calibration.any() else own

    def measures(own: Fitted) -> Mapping[str, float]:
        # the model as it was is asked with the same scales: those of the series it knows are its own
        return backtest(
            replace(base, network=own.network, calibration=own.calibration), panel, held_out, None, ""
        ).scores["model"]

    better: dict[str, Better] = {"MAE": "lower", "RMSE": "lower", "MASE": "lower", "sMAPE": "lower"}
    return NewRows(
        network=fitted.network,
        objective=ForecastObjective,
        train=WindowBatches(
            train, make, batch_size=size, per_epoch=parameters["windows_per_epoch"], seed=parameters["seed"]
        ),
        validation=WindowBatches(validation, make, batch_size=256, per_epoch=VALIDATION_WINDOWS),
        test=WindowBatches(test, make, batch_size=256),
        renew=renewed,
        measures=measures,
        better=better,
        source=panel.origin,
        split=f"the last {held_out.rows:,} of {_new(split):,} new rows of {panel.origin}",
        kept="the scale of each series (a new one gets its own), categories and frequency",
    )


def _new(split: Split) -> int:
    return sum(part.rows for part in (split.train, split.validation, split.test) if part is not None)


def _scaler(fitted: Fitted, panel: Panel) -> Scaler:
    """Return the scales of all series: those that are known keep theirs."""
    names = tuple(one.id for one in panel.series)
    return replace(fitted.scaler, series_ids=names, targets=fitted.scaler.for_panel(panel))


def updated_evaluation(fitted: Fitted, rows: Grown, scores: Mapping[str, Mapping[str, float]]) -> Evaluation:
    """Return how the updated model stands beside the baselines on the rows held out, the old one among them."""
    assert rows.split.test is not None
    found = backtest(fitted, rows.panel, rows.split.test, None, "test: the end of the new rows")
    old = {name: own for name, own in scores.items() if name != "model"}
    return replace(found, scores={**found.scores, **old})
