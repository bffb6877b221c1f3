"""The forecaster, end to end, on series whose answer is known."""

import warnings
from dataclasses import asdict

import numpy as np
import polars as pl
import pytest
from sklearn.base import clone

import ostinato
from ostinato import Forecaster
from ostinato.artifact import load_artifact, save_artifact
from ostinato.cells import PLAIN
from ostinato.errors import CorruptArtifact, DataError, NonFiniteLoss, StreamRowError, UsageError
from ostinato.tasks.forecast.fitted import Fitted

QUIET = {"progress": False, "hidden_size": 16}


def waves(rows=600, noise=0.05, seed=0):
    """A day of 12 steps and a slow drift, with noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(rows)
    return 50 + 10 * np.sin(2 * np.pi * t / 12) + 0.01 * t + noise * rng.normal(size=rows)


def hourly(values, **columns):
    times = np.datetime64("2022-01-01", "us") + np.arange(len(values)) * np.timedelta64(1, "h")
    return pl.DataFrame({"time": times, "y": values, **columns})


@pytest.fixture(scope="module")
def model():
    return Forecaster(6, target="y", context=24, segment=6, season=12, epochs=12, **QUIET).fit(hourly(waves()))


@pytest.mark.slow
@pytest.mark.ci
def test_no_baseline_is_better_on_a_noisy_wave_by_more_than_chance(model) -> None:
    scores = model.scores_.values
    noisy = Forecaster(6, context=24, segment=6, season=12, epochs=12, **QUIET).fit(waves(noise=2.0))
    own = noisy.scores_.values
    best = min(v["MAE"] for k, v in own.items() if k != "model")
    assert own["model"]["MAE"] < 1.03 * best  # the noise alone is what the best of them err by
    assert scores["model"]["MAE"] < scores["seasonal naive"]["MAE"]
    assert model.score() == pytest.approx(1 - scores["model"]["MAE"] / scores["seasonal naive"]["MAE"])


def test_a_forecast_follows_the_data_in_its_own_units_and_times(model) -> None:
    forecast = model.predict()
    t = np.arange(600, 606)
    np.testing.assert_allclose(forecast.point[0, :, 0], 50 + 10 * np.sin(2 * np.pi * t / 12) + 0.01 * t, atol=0.6)
    assert str(forecast.times[0, 0]) == "2022-01-26T00:00:00.000000"
    assert (np.diff(forecast.quantiles, axis=-1) >= 0).all()
    frame = forecast.to_frame()
    assert frame.columns[:4] == ["time", "target", "forecast", "q0.1"]
    assert frame.height == 6


def test_a_saved_model_gives_the_same_bits(model, tmp_path) -> None:
    model.save(tmp_path / "m")
    again = ostinato.load(tmp_path / "m")
    np.testing.assert_array_equal(again.predict().quantiles, model.predict().quantiles)
    assert again.get_params() == model.get_params()
    np.testing.assert_equal(asdict(again.summary_), asdict(model.summary_))
    scores = again.evaluate(hourly(waves()))
    assert scores == model.scores_
    assert "held-out end" in scores.protocol
    weights = next((tmp_path / "m").glob("weights-*"))
    weights.write_bytes(weights.read_bytes()[:-9])
    with pytest.raises(CorruptArtifact, match="is cut short or was changed"):
        ostinato.load(tmp_path / "m")


@pytest.mark.parametrize(
    ("place", "value"),
    [("encoder", []), ("fitted", []), ("fitted", {"cell": "gru"}), ("baselines", 3), ("parameters", {"odd": 1}),
     ("parameters", 3), ("summary", None), ("history", {"odd": 1})],
)  # fmt: skip
def test_a_model_folder_that_holds_no_forecaster_is_refused(model, tmp_path, place, value) -> None:
    model.save(tmp_path)
    artifact = load_artifact(tmp_path, "forecaster")
    save_artifact(tmp_path, "forecaster", {**artifact.body, place: value}, artifact.tensors)
    with pytest.raises(CorruptArtifact, match="fit it again"):
        ostinato.load(tmp_path)


def test_predicting_from_a_history_equals_predicting_from_the_end_of_training(model) -> None:
    np.testing.assert_allclose(model.predict(hourly(waves())).point, model.predict().point, rtol=1e-6)
    with pytest.raises(DataError, match='has no column "y"'):
        model.predict(hourly(waves()).rename({"y": "x"}))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"cell": "lstm", "num_layers": 2, "normalization": "standard"},
        {"segment": 1, "decoding": "recursive", "output": "gaussian", "epochs": 1, "context": 12},
        {"output": "point", "loss": "mse"},
        {"target": ("y", "z"), "past_covariates": ("w",)},
    ],
)
def test_a_stream_equals_the_batch_on_the_same_history(options) -> None:
    rng = np.random.default_rng(3)
    frame = hourly(waves(300), z=rng.normal(size=300), w=rng.normal(size=300))
    frame = frame.with_columns(pl.when(pl.int_range(300) % 37 == 5).then(None).otherwise(pl.col("y")).alias("y"))
    settings = {"target": "y", "context": 24, "segment": 6, "epochs": 2, **QUIET, **options}
    model = Forecaster(6, **settings).fit(frame[:260])
    stream = model.stream()
    for i in range(260, 300):
        streamed = stream.push(_row(model, frame, i))
        batch = model.predict(frame[: i + 1])
        np.testing.assert_allclose(streamed.point, batch.point, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(streamed.quantiles, batch.quantiles, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(streamed.times, batch.times)


def _row(model, frame, i):
    return {name: frame[name][i] for name in ("time", *model.fitted_.model.encoder.schema.used)}


def test_a_stream_goes_on_from_its_state_and_leaves_gaps_missing(model) -> None:
    rows = waves(700)[600:]
    stream = model.stream()
    for value in rows[:10]:
        stream.push([value])
    state = stream.state()
    other = model.stream()
    other.restore(state)
    np.testing.assert_array_equal(other.push([rows[10]]).point, stream.push([rows[10]]).point)
    gap = stream.push({"time": "2022-01-26 15:00", "y": 55.0})  # the rows of 11:00 to 14:00 never came
    values = np.concatenate([waves(), rows[:11], np.full(4, np.nan), [55.0]])
    np.testing.assert_allclose(gap.point, model.predict(hourly(values)).point, rtol=1e-5)
    reach = model.fitted_.model.encoder.reach
    with pytest.raises(UsageError, match=rf"\"rows\" of the state is no array of numbers of shape \({reach}, 1\)"):
        stream.accept({**stream.kept(), "rows": np.zeros((3, 1))})


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"z": 1.0}, r'the row lacks "y"; expected the columns y'),
        ({"y": 1.0, "q": 2.0}, r'the row has an unknown column "q"'),
        ({"y": "warm"}, r'"warm" in column "y" is not a number'),
        ({"y": float("inf")}, r'column "y" is infinite'),
        ([1.0, 2.0], r"the row has 2 values; expected 1: y"),
        ({"y": 1.0, "time": "2022-01-02"}, r"2022-01-02 is not on the grid of 1 hour at or after 2022-01-26"),
        ({"y": 1.0, "time": "2022-01-26 00:30"}, r"is not on the grid"),
        ({"y": 1.0, "time": "noon"}, r'"noon" in column "time" is not a time'),
    ],
)
def test_a_bad_row_is_refused_and_the_stream_stays_as_it_was(model, row, sentence) -> None:
    stream = model.stream()
    before = stream.forecast().point
    with pytest.raises(StreamRowError, match=sentence):
        stream.push(row)
    np.testing.assert_array_equal(stream.forecast().point, before)


def test_a_cold_stream_starts_from_nothing() -> None:
    model = Forecaster(3, context=8, segment=2, epochs=1, **QUIET).fit(waves(200))
    stream = model.stream(warm=False)
    with pytest.raises(UsageError, match="is cold"):
        stream.forecast()
    for i in range(1, 12):
        point = stream.push([float(i)]).point
        np.testing.assert_allclose(point, model.predict(np.arange(1.0, i + 1)).point, rtol=1e-5)


@pytest.mark.parametrize("output", ["gaussian", "student_t", "quantiles", "point"])
@pytest.mark.parametrize("decoding", ["direct", "recursive"])
def test_every_output_and_decoding_learns_the_wave(output, decoding) -> None:
    model = Forecaster(
        4, context=24, segment=2, output=output, decoding=decoding, epochs=5, learning_rate=6e-3, season=12, **QUIET
    ).fit(waves(500, noise=0.5))
    scores = model.scores_.values
    assert scores["model"]["MAE"] < 1.05 * scores["seasonal naive"]["MAE"]
    assert scores["model"]["MAE"] < 0.4 * scores["naive"]["MAE"]
    if output != "point":
        assert 60 <= scores["model"]["coverage 80 %"] <= 95


def test_counts_are_forecast_as_counts() -> None:
    rng = np.random.default_rng(1)
    counts = rng.poisson(4 + 3 * np.sin(np.arange(600) * 2 * np.pi / 12)).astype(float)
    model = Forecaster(4, context=24, segment=4, output="negative_binomial", epochs=15, season=12, **QUIET).fit(counts)
    quantiles = model.predict().quantiles
    assert (quantiles >= -1e-6).all()
    scores = model.scores_.values
    assert scores["model"]["wQL"] < scores["naive"]["wQL"]
    with pytest.raises(DataError, match=r"has the value 0.5, which is no count"):
        Forecaster(4, context=24, output="negative_binomial", **QUIET).fit(np.r_[counts, 0.5, counts])
    with pytest.raises(UsageError, match="counts, which cannot be shifted"):
        Forecaster(4, output="negative_binomial", normalization="last", **QUIET).fit(counts)


@pytest.mark.slow
@pytest.mark.ci
def test_a_known_covariate_that_decides_the_target_is_used() -> None:
    rng = np.random.default_rng(2)
    plan = rng.integers(0, 2, 900).astype(float)
    frame = hourly(5 * plan + 0.1 * rng.normal(size=900), plan=plan, day=np.where(np.arange(900) % 2, "odd", "even"))
    options = {
        "target": "y",
        "context": 12,
        "segment": 2,
        "epochs": 12,
        "learning_rate": 1e-2,
        "calendar": False,
        **QUIET,
    }
    model = Forecaster(4, known_covariates=("plan", "day"), **options).fit(frame[:890])
    blind = Forecaster(4, **options).fit(frame[:890])
    own, without = (m.scores_["MAE"] for m in (model, blind))
    assert own < 0.3 * without
    forecast = model.predict(future=frame[890:894].drop("y"))
    np.testing.assert_allclose(forecast.point[0, :, 0], frame["y"][890:894], atol=1.5)
    with pytest.raises(
        DataError, match=r"known for the coming steps \(plan, day\); pass a table with their next 4 rows"
    ):
        model.predict()
    streamed = model.stream().push(frame.row(890, named=True), future=frame[891:895].drop("y"))
    batch = model.predict(frame[:891], future=frame[891:895].drop("y"))
    np.testing.assert_allclose(streamed.point, batch.point, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.ci
def test_many_series_of_different_size_and_length_share_one_model_with_static_covariates() -> None:
    parts = []
    for i, (size, rows) in enumerate([(1, 300), (1000, 260), (0.01, 280), (5, 40)]):
        names = [f"s{i}"] * rows
        parts.append(
            pl.DataFrame(
                {"unique_id": names, "ds": np.arange(rows), "y": size * waves(rows, seed=i), "kind": "AB"[i % 2]}
            )
        )
    frame = pl.concat(parts)
    model = Forecaster(6, context=24, segment=6, season=12, epochs=10, static_covariates="kind", **QUIET).fit(frame)
    scores = model.scores_.values
    assert scores["model"]["MASE"] < 0.5 * scores["naive"]["MASE"]
    forecast = model.predict()
    assert forecast.series_ids == ("s0", "s1", "s2", "s3")
    assert forecast.point[1].mean() == pytest.approx(50_000, rel=0.2)
    assert forecast.to_frame().columns[0] == "unique_id"
    one = model.predict(frame.filter(pl.col("unique_id") == "s1"))
    np.testing.assert_allclose(one.point[0], forecast.point[1], rtol=1e-5)
    new = frame.filter(pl.col("unique_id") == "s1").with_columns(unique_id=pl.lit("new"), y=pl.col("y") / 7)
    np.testing.assert_allclose(model.predict(new).point[0] * 7, forecast.point[1], rtol=0.05)
    with pytest.raises(UsageError, match="the model has 4 series; say which one streams"):
        model.stream()


def test_the_same_seed_gives_the_same_forecast_and_resuming_after_a_break_too(tmp_path, monkeypatch) -> None:
    def make():
        return Forecaster(4, context=16, segment=4, epochs=3, **QUIET)

    whole = make().fit(waves(200)).predict().point
    np.testing.assert_array_equal(make().fit(waves(200)).predict().point, whole)
    from ostinato.tasks.forecast.objective import ForecastObjective

    original, seen = ForecastObjective.__call__, []

    def broken(self, module, batch, carry):
        seen.append(1)
        if len(seen) == 30:
            raise KeyboardInterrupt
        return original(self, module, batch, carry)

    monkeypatch.setattr(ForecastObjective, "__call__", broken)
    with pytest.raises(KeyboardInterrupt):
        make().fit(waves(200), directory=tmp_path)
    monkeypatch.undo()
    np.testing.assert_array_equal(make().fit(waves(200), directory=tmp_path, resume=True).predict().point, whole)


def test_a_training_that_breaks_off_keeps_its_last_good_weights(monkeypatch) -> None:
    from ostinato.tasks.forecast.objective import ForecastObjective

    original, seen = ForecastObjective.__call__, []

    def poisoned(self, module, batch, carry):
        seen.append(1)
        step = original(self, module, batch, carry)
        return step if len(seen) < 100 else type(step)(step.loss * float("nan"), step.weight)

    monkeypatch.setattr(ForecastObjective, "__call__", poisoned)
    model = Forecaster(4, context=16, segment=4, epochs=30, **QUIET)
    with pytest.raises(NonFiniteLoss, match="the weights of epoch .* are kept"):
        model.fit(waves(200))
    assert np.isfinite(model.predict().point).all()
    assert "became nan" in model.summary_.stopped


def test_it_keeps_the_manner_of_scikit_learn() -> None:
    model = Forecaster(4, hidden_size=8, quantiles=(0.1, 0.5, 0.9))
    copy = clone(model)
    assert copy is not model
    assert copy.get_params() == model.get_params()
    assert copy.set_params(horizon=9) is copy
    assert repr(copy) == "Forecaster(horizon=9, hidden_size=8, quantiles=(0.1, 0.5, 0.9))"
    with pytest.raises(UsageError, match='no parameter "depth"'):
        model.set_params(depth=2)
    with pytest.raises(UsageError, match="not fitted"):
        model.predict()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"horizon": 0}, "horizon is 0; expected one or more"),
        ({"horizon": -3}, "horizon is -3"),
        ({"context": 0}, "context is 0"),
        ({"segment": 99, "context": 12}, "segment is 99; expected 1 to 12 steps"),
        ({"cell": "gruu"}, 'cell "gruu" is not known; did you mean "gru"'),
        ({"output": "normal"}, 'output is "normal"; expected one of quantiles, point'),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"learning_rate": -1.0}, "learning_rate is -1.0; expected more than 0"),
        ({"scaling": "minmax"}, 'scaling is "minmax"; expected one of auto'),
        ({"quantiles": (0.5, 1.5)}, "expected levels between 0 and 1"),
        ({"decoding": "recursive", "past_covariates": "z"}, "recursive decoding cannot use past covariates"),
    ],
)
def test_a_parameter_that_cannot_be_meant_is_refused(options, sentence) -> None:
    frame = hourly(waves(200), z=waves(200, seed=1))
    with pytest.raises(UsageError, match=sentence):
        Forecaster(**{"horizon": 4, "target": "y", **QUIET, **options}).fit(frame)


def test_a_series_that_is_too_short_is_refused_with_the_count() -> None:
    with pytest.raises(DataError, match=r"the series has 20 rows, but 30 for training \(context 24 \+ horizon 6\)"):
        Forecaster(6, context=24, **QUIET).fit(waves(20))


@pytest.mark.parametrize("horizon", [1, 6, 12])
def test_two_horizons_and_four_rows_are_enough_for_a_forecast(horizon) -> None:
    """Three years of months, forecast a year ahead: what would be the test part is trained on, and a note says so."""
    least = 2 * horizon + 4
    with pytest.raises(DataError, match="give a longer series"):
        Forecaster(horizon, epochs=1, **QUIET).fit(waves(least - 1 - 2 * (horizon == 1)))
    for rows in {least, least + horizon // 2, 3 * horizon + 3}:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            model = Forecaster(horizon, epochs=1, **QUIET).fit(waves(rows))
        assert np.isfinite(model.predict().point).all()
        noted = any(f"{rows} rows are too few to hold some out" in str(one.message) for one in said)
        assert noted == (model.scores_ is None)
        assert noted == (rows < 3 * horizon + 4)


def test_two_years_of_months_have_a_season() -> None:
    months = np.arange(30)
    y = 100 + 2 * months + 30 * np.sin(2 * np.pi * months / 12) + np.random.default_rng(0).normal(size=30)
    times = np.datetime64("2022-01", "M") + months
    table = pl.DataFrame({"time": times.astype("datetime64[us]"), "y": y})
    found = Forecaster(6, target="y", epochs=1, **QUIET).fit(table.head(24)).predict()
    assert np.abs(found.point[0, :, 0] - y[24:]).mean() < 0.4 * np.abs(y[24:] - y[23]).mean()


def test_a_backtest_of_hundreds_of_origins_is_one_batch_after_the_other(model) -> None:
    calls = []
    original = Fitted.run
    Fitted.run = lambda self, *a: (calls.append(1), original(self, *a))[1]
    try:
        scores = model.evaluate(hourly(waves(1400, seed=4)))
    finally:
        Fitted.run = original
    assert scores.count > 1000
    assert len(calls) <= 3
    assert "all rows of other data" in scores.protocol
    # what the regression learned when the model was fitted stands beside it in other data too
    assert all(np.isfinite(own["MAE"]) for own in scores.values.values())


def test_what_happens_inside_is_measured(model) -> None:
    panels = {panel.title: panel for panel in model.summary_.panels}
    gradient, hidden = panels["Gradient through time"], panels["Hidden states"]
    assert len(gradient.x) == 4
    assert min(gradient.lines["norm"]) > 0
    assert "One step is 6 hours, one segment." in gradient.note
    values = np.array(hidden.values)
    assert values.shape == (16, 4)
    assert np.abs(values).max() <= 1


@pytest.mark.parametrize("cell", [*PLAIN, "transformer"])
@pytest.mark.slow
@pytest.mark.ci
def test_every_plain_cell_and_the_transformer_forecast_and_are_saved(cell, tmp_path) -> None:
    model = Forecaster(6, context=24, segment=6, epochs=1, windows_per_epoch=64, cell=cell, **QUIET).fit(waves())
    expected = model.predict().point
    assert np.isfinite(expected).all()
    model.save(tmp_path / "m")
    np.testing.assert_array_equal(ostinato.load(tmp_path / "m").predict().point, expected)
    panels = {panel.title: panel for panel in model.summary_.panels}
    assert ("Gradient through time" in panels) == (cell != "transformer")
