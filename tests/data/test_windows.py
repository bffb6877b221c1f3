"""Splits, scaling and windows against plain loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.data import Part, Scaler, Schema, Windows, load_panel, split_by_time, window_origins
from ostinato.data import windows as windows_module
from ostinato.errors import DataError, UsageError


def make_panel(lengths, columns=2, seed=0):
    rng = np.random.default_rng(seed)
    names = np.repeat([f"s{i}" for i in range(len(lengths))], lengths)
    data = {f"y{i}": rng.normal(3, 2, len(names)) for i in range(columns)}
    data["y0"][rng.random(len(names)) < 0.1] = np.nan
    data["y0"][0] = 1.0
    plan = {"plan": rng.normal(size=len(names))}
    targets = tuple(data)
    return load_panel(
        {"unique_id": names, **data, **plan}, Schema(target=targets, known_covariates=("plan",)), fitting=False
    )


@settings(max_examples=50, deadline=None)
@given(
    lengths=st.lists(st.integers(2, 30), min_size=1, max_size=4),
    context=st.integers(1, 12),
    horizon=st.integers(1, 6),
    stride=st.integers(1, 4),
    on_disk=st.booleans(),
)
def test_windows_are_what_a_loop_cuts(lengths, context, horizon, stride, on_disk) -> None:
    panel = make_panel(lengths)
    part = Part(np.array([n // 3 for n in lengths]), np.array(lengths))
    origins = window_origins(panel, part, horizon=horizon, stride=stride)
    for i, n in enumerate(lengths):
        mine = origins[origins[:, 0] == i, 1]
        expected = list(range(n - horizon, max(n // 3, 1) - 1, -stride))[::-1]
        assert mine.tolist() == expected
    limit, windows_module._IN_MEMORY = windows_module._IN_MEMORY, 0 if on_disk else windows_module._IN_MEMORY
    try:
        windows = Windows(panel, origins, context=context, horizon=horizon)
    finally:
        windows_module._IN_MEMORY = limit
    if not len(windows):
        return
    arrays = windows.gather(np.arange(len(windows)))
    for w, (i, o) in enumerate(origins):
        values = panel.series[i].values
        for step in range(-context, horizon):
            row = values[o + step] if 0 <= o + step < len(values) else np.full(3, np.nan)
            history = arrays.history[w, context + step] if step < 0 else arrays.future[w, step]
            np.testing.assert_array_equal(history, row[:2])
            np.testing.assert_array_equal(arrays.known[w, context + step], row[2:])


def test_windows_of_a_file_read_only_what_they_need(tmp_path) -> None:
    shape = (400_000, 50)  # 160 MB that is never written: a sparse file
    np.lib.format.open_memmap(tmp_path / "big.npy", "w+", np.float64, shape).flush()
    panel = load_panel(tmp_path / "big.npy", fitting=False)
    windows = Windows(
        panel, window_origins(panel, Part(np.zeros(1, int), np.array([400_000])), horizon=5), context=9, horizon=5
    )
    assert windows._flat is None
    assert windows.gather(np.array([0, 399_000])).history.shape == (2, 9, 50)


@settings(max_examples=50, deadline=None)
@given(lengths=st.lists(st.integers(3, 40), min_size=1, max_size=4), kind=st.sampled_from(["standard", "mean_abs"]))
def test_scales_are_those_of_the_training_rows_only(lengths, kind) -> None:
    panel = make_panel(lengths)
    part = Part(np.zeros(len(lengths), int), np.array([max(2, n // 2) for n in lengths]))
    scaler = Scaler.fit(panel, part, kind)
    for i, series in enumerate(panel.series):
        train = series.values[: part.stop[i], :2]
        with np.errstate(all="ignore"):
            expected = np.nanstd(train, 0) if kind == "standard" else np.nanmean(np.abs(train), 0)
            center = np.nanmean(train, 0) if kind == "standard" else np.zeros(2)
        expected = np.where(np.nan_to_num(expected) > 1e-9, expected, 1)
        np.testing.assert_allclose(scaler.targets.scale[i], expected, rtol=1e-9)
        np.testing.assert_allclose(scaler.targets.center[i], np.nan_to_num(center), rtol=1e-9, atol=1e-12)
    pooled = np.concatenate([s.values[: part.stop[i], 2] for i, s in enumerate(panel.series)])
    np.testing.assert_allclose([scaler.known.center[0], scaler.known.scale[0]], [pooled.mean(), pooled.std()])
    again = Scaler.from_arrays(kind, scaler.series_ids, scaler.to_arrays())
    values = panel.series[0].values[:, :2]
    affine = again.for_panel(panel)
    scaled = (values - affine.center[0]) / affine.scale[0]
    np.testing.assert_allclose(scaled * affine.scale[0] + affine.center[0], values)


def test_large_values_with_small_variation_do_not_cancel() -> None:
    values = 1e9 + np.random.default_rng(0).normal(size=200_000)
    panel = load_panel({"y": values})
    scaler = Scaler.fit(panel, Part(np.zeros(1, int), np.array([200_000])), "standard")
    np.testing.assert_allclose(scaler.targets.scale[0, 0], values.std(), rtol=1e-6)


def test_parts_follow_each_other_in_time_and_hold_a_horizon() -> None:
    panel = make_panel([100, 60])
    split = split_by_time(panel, validation=0.1, test=20, horizon=8, context=10)
    assert split.train.stop.tolist() == [70, 32]
    assert (split.validation.start.tolist(), split.validation.stop.tolist()) == ([70, 32], [80, 40])
    assert split.test.stop.tolist() == [100, 60]
    assert split_by_time(panel, validation=0, test=0, horizon=8, context=10).train.stop.tolist() == [100, 60]


def test_series_that_are_too_short_are_refused_with_the_count() -> None:
    panel = make_panel([30])
    with pytest.raises(DataError, match=r"has 30 rows, but 34 for training \(context 24 \+ horizon 10\)"):
        split_by_time(panel, validation=0.1, test=0.1, horizon=10, context=24)
    with pytest.raises(UsageError, match=r"validation is -0.1; expected a share"):
        split_by_time(panel, validation=-0.1, test=0, horizon=1, context=1)
