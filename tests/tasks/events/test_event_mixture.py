"""What an event predictor reads of times and columns, its trees, and how they are mixed with the network."""

import math
from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest
import torch

from event_logs import SMALL, case_of, make_desk, rows_of
from ostinato import EventPredictor
from ostinato.errors import ColumnError, CorruptArtifact, DataWarning, StreamRowError, UsageError
from ostinato.tasks.base.classes import cross_entropy
from ostinato.tasks.events.baselines import LastActivities
from ostinato.tasks.events.boosting import (
    Boosting,
    TimeTrees,
    _chosen_rounds,
    _chosen_time_rounds,
    _grown,
    _grown_times,
    _table,
)
from ostinato.tasks.events.cases import Cases, encode_log, scaled_waits
from ostinato.tasks.events.covariates import useless
from ostinato.tasks.events.features import Clock, Pieces, Seen, time_numbers, weekdays
from ostinato.tasks.events.mixture import Mixture
from ostinato.tasks.events.network import PieceLayer
from ostinato.tasks.events.times import TimeScale

# --- times -----------------------------------------------------------------------------------------------------------


def test_times_of_an_event_are_told_as_numbers_and_what_is_not_known_is_missing() -> None:
    moment = datetime(2024, 1, 3, 6)  # a Wednesday
    walls = np.array([(moment - datetime(1970, 1, 1)).total_seconds()])
    flat = Clock.fit(np.zeros(0))  # all hours alike: working time is time
    row = time_numbers(flat, [2], np.array([60.0]), np.array([3600.0]), (walls, walls - 60, walls - 3600))[0]
    assert row == pytest.approx(
        [math.log(61), math.log(3601), math.log(61), math.log(3601), math.log(3), 0.25, (2 + 0.25) / 7, 1]
    )
    assert weekdays(walls).tolist() == [3]
    nothing = np.array([math.nan])
    row = time_numbers(flat, [0], nothing, nothing, (nothing, nothing, nothing))[0]
    assert np.isnan(row).tolist() == [True] * 4 + [False] + [True] * 3
    assert weekdays(nothing).tolist() == [0]


def test_working_time_passes_when_things_happen_and_adds_up() -> None:
    monday = 4 * 86400.0
    office = monday + np.concatenate([day * 86400 + np.arange(9, 17) * 3600 + 60.0 for day in range(5)])
    clock = Clock.fit(np.tile(office, 50))
    at = monday + np.array([8, 9, 17, 24 + 9, 5 * 24, 7 * 24]) * 3600.0
    passed = np.diff(clock(at))
    assert passed[1] > 20 * passed[0]  # a working day against the hour before it
    assert passed[2] < passed[1] / 5  # a night
    assert passed[4] < passed[3] / 5  # a weekend
    assert clock(at[:1] + 7 * 86400) - clock(at[:1]) == pytest.approx([7 * 86400])
    assert clock.rate(np.array([monday + 10 * 3600, math.nan]))[0] > 3


def test_pieces_are_the_share_passed_of_each_and_a_missing_number_is_the_middle_one_and_said() -> None:
    numbers = np.stack([np.append(np.arange(100.0), np.nan), np.full(101, 7.0)], -1)
    layer = PieceLayer(Pieces.fit(numbers))
    found = layer(torch.tensor([[-5.0, 7.0], [49.5, 7.0], [1e9, 7.0], [math.nan, 7.0]])).numpy()
    assert found.shape == (4, 12 + 1)  # a column with one number has no pieces
    assert found[0].tolist() == [0] * 13
    assert found[1, :12].sum() == pytest.approx(6, abs=1e-5)
    assert found[2].tolist() == [1] * 12 + [0]
    np.testing.assert_allclose(found[3, :12], found[1, :12], atol=1e-6)
    assert found[3, 12] == 1


# --- other columns, trees, the mixture -------------------------------------------------------------------------------


def test_other_columns_and_the_hour_are_read_where_they_tell_something(desk) -> None:
    values = desk.scores_.values
    assert values["model"]["accuracy"] > 0.93
    assert values["model"]["accuracy"] > values["last activity (Markov)"]["accuracy"] + 0.15
    assert values["gradient boosting, same features"]["accuracy"] > 0.93
    said = desk.summary_.settings["covariates"]
    assert said.startswith("who, amount (left out: ")
    for words in ("event id names each row", "unit has one value", "code says what the activity says"):
        assert words in said


def test_a_stream_with_other_columns_says_what_the_batch_says_and_one_that_lacks_them_is_answered(desk) -> None:
    log = make_desk(30, seed=2)
    expected = {answer["case"]: answer for answer in desk.answers(log)}
    stream, lines = desk.stream(), desk.stream()
    last, kept = {}, None
    for number, row in enumerate(rows_of(log)):
        if number == 70:
            kept = stream.state()
        last[row["case"]] = stream.push(row)
        as_text = {name: "" if value is None else str(value) for name, value in row.items()}
        assert lines.push(as_text)["probabilities"] == pytest.approx(last[row["case"]]["probabilities"], abs=1e-6)
    for case, answer in expected.items():
        assert last[case]["probabilities"] == pytest.approx(answer["probabilities"], abs=1e-5)
    other = desk.stream()
    other.restore(kept)
    for row in rows_of(log)[70:]:
        last[row["case"]] = other.push(row)
    assert last[row["case"]]["probabilities"] == pytest.approx(expected[row["case"]]["probabilities"], abs=1e-5)
    less = {name: log[name] for name in ("case", "activity", "time")}
    with pytest.warns(DataWarning, match='lacks columns of the training data, which count as missing: "who", "amount"'):
        found = {answer["case"]: answer for answer in desk.answers(less)}
    for row in rows_of(less):
        name = f"less {row['case']}"
        last[name] = lines.push({**row, "case": name})
    for case, answer in found.items():
        assert last[f"less {case}"]["probabilities"] == pytest.approx(answer["probabilities"], abs=1e-5)
    with pytest.raises(StreamRowError, match='its "amount" is "much"; expected a number'):
        stream.push({"case": 1, "activity": "open", "time": "2024-01-01", "amount": "much"})


@pytest.mark.slow
def test_columns_are_read_as_asked() -> None:
    log = make_desk(9)
    options = {**SMALL, "epochs": 1, "test": 0.0}
    assert EventPredictor(covariates="who", **options).fit(log).summary_.settings["covariates"] == "who"
    for nothing in ((), "none"):
        own = EventPredictor(covariates=nothing, **options).fit(log)
        assert own.summary_.settings["covariates"] == "none"
    with pytest.raises(ColumnError, match='no column "whom"; did you mean "who"'):
        EventPredictor(covariates=["whom"], **options).fit(log)


@pytest.mark.parametrize(
    ("cells", "why"),
    [
        (["a", "b", "a", "b", "a", "b"], "says what the activity says"),
        (["a", "a", "a", "a", "a", None], "has one value"),
        ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], "names each row"),
        (["p", "p", "q", "q", "r", "r"], "names each case"),
        (["a", "b", "b", "a", "a", "a"], ""),
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], ""),
    ],
)
def test_a_column_that_tells_nothing_is_left_out_and_why_is_said(cells, why) -> None:
    kind = object if isinstance(cells[0], str) else float
    cases = [np.array(cells[first : first + 2], kind) for first in (0, 2, 4)]
    assert useless(cases, np.array(["open", "close"] * 3, object)) == why


@pytest.mark.slow
@pytest.mark.ci
def test_trees_say_what_the_library_says_that_grew_them(desk) -> None:
    model = desk.fitted_.model
    cases = encode_log(model.encoder, desk.task.read(desk, make_desk(60, seed=4)))
    seen, classes = cases.seen(model.encoder.counted), len(model.encoder.known) + 1
    for following, there in ((cases.following, classes), (np.where(cases.following == 0, 0, 1), 2)):
        own = Boosting.fit(seen, following, there)
        rows = _table(seen, own.sizes)
        peer = _grown(rows, following, _chosen_rounds(rows, following))
        np.testing.assert_allclose(own(seen)[:, peer.classes_], peer.predict_proba(rows), atol=1e-9)
    assert Boosting.fit(seen, np.zeros(len(cases.following), np.int64), 2) is None
    waits = scaled_waits(model.encoder.scales, cases)
    times = TimeTrees.fit(seen, waits)
    known = np.flatnonzero(np.isfinite(waits[:, 1]))
    targets = waits[known, 1]
    peer = _grown_times(rows[known], targets, _chosen_time_rounds(rows[known], targets))
    np.testing.assert_allclose(times(seen)[:, 1], peer.predict(rows), atol=1e-9)
    nothing = np.full_like(waits, np.nan)
    assert TimeTrees.fit(seen, nothing) is None
    half = TimeTrees.fit(seen, np.stack([waits[:, 0], nothing[:, 0]], -1))
    assert half.trees[1] is None
    assert np.isnan(half(seen)[:, 1]).all()


def test_a_mixture_gives_held_out_events_no_less_than_its_best_part_and_counts_are_those_of_cases() -> None:
    rng = np.random.default_rng(0)
    cases = Cases(tuple(case_of(list(rng.integers(1, 4, 6)), 3) for _ in range(60)))
    kinds, following = [case.kinds for case in cases.cases], [case.following for case in cases.cases]
    mixture, seen = Mixture.fit(kinds, following, 4, None), cases.seen(np.arange(1, 4))
    parts = [model(seen) for model in mixture._models]
    for order, part in enumerate(parts, 1):
        np.testing.assert_allclose(part, LastActivities.fit(cases, 4, order).predict(cases).probabilities)
    network = rng.dirichlet(np.ones(4), len(cases.following))
    assert mixture(network, seen) is network  # nothing is decided yet
    chosen = mixture.weighed(network, seen, cases.following, 60)
    assert sum(chosen.weights) == pytest.approx(1)
    mixed = chosen(network, seen)
    assert mixed.sum(-1) == pytest.approx(np.ones(len(mixed)))
    best = min(cross_entropy(cases.following, part) for part in (network, *parts))
    assert cross_entropy(cases.following, mixed) < best + 0.03  # the usual weights count as two cases
    sure = np.eye(4)[cases.following] * 0.96 + 0.01
    assert mixture.weighed(sure, seen, cases.following, 60).weights == (1, 0, 0, 0)


def test_times_are_those_of_the_network_or_of_trees_by_their_errors_on_held_out_cases() -> None:
    rng = np.random.default_rng(0)
    waits = np.stack([np.exp(rng.normal(5, 1, 400)), np.full(400, np.nan)], -1)
    scales = (TimeScale.fit("lognormal", waits[:, 0]), TimeScale.fit("lognormal", waits[:, 1]))
    right, wrong = scales[0].scaled(waits[:, 0]), rng.normal(size=400)
    seen = Seen(
        np.zeros((400, 4), np.int64), np.zeros((400, 1), np.int64), right[:, None], np.zeros((400, 0), np.int64)
    )
    trees = TimeTrees.fit(seen, np.stack([right, np.full(400, np.nan)], -1))
    mixture = Mixture(times=trees)

    def raw(centre: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.stack([np.stack([centre, centre], -1), np.zeros((400, 2))], -1))

    assert mixture.with_times(raw(wrong), seen) is not None
    assert torch.equal(mixture.with_times(raw(wrong), seen), raw(wrong))  # nothing is decided yet
    by_trees = mixture.weighed_times(raw(wrong), seen, waits, scales, 200)
    assert by_trees.time_weights == (1.0, 0.0)
    by_network = mixture.weighed_times(raw(right), seen, waits, scales, 200)
    assert by_network.time_weights == (0.0, 0.0)
    few = mixture.weighed_times(raw(wrong), seen, waits, scales, 2)
    assert 0.5 < few.time_weights[0] < 0.75
    moved = few.with_times(raw(wrong), seen)
    share = few.time_weights[0]
    np.testing.assert_allclose(moved[:, 0, 0], (1 - share) * wrong + share * trees(seen)[:, 0], atol=1e-9)
    assert torch.equal(moved[:, 1], raw(wrong)[:, 1])  # there are no trees of that time
    assert torch.equal(moved[..., 1], raw(wrong)[..., 1])  # the deviation is the network's
    with pytest.raises(ValueError, match="other weights"):
        Mixture(times=trees, time_weights=(0.5,))


def test_trees_have_fewer_and_larger_steps_where_time_is_short_and_as_many_when_they_are_grown_again() -> None:
    rng = np.random.default_rng(0)
    following = rng.integers(0, 3, 300)
    numbers = np.where(rng.random((300, 2)) < 0.2, np.nan, following[:, None] + rng.normal(size=(300, 2)))
    seen = Seen(np.zeros((300, 4), np.int64), np.zeros((300, 1), np.int64), numbers, np.zeros((300, 0), np.int64))
    usual = Boosting.fit(seen, following, 3)
    short = Boosting.fit(seen, following, 3, 1e-3)
    assert usual.rounds.rate == 0.1
    assert short.rounds.rate > 0.3
    assert short.rounds.count * short.rounds.rate < usual.rounds.count * usual.rounds.rate + 1
    again = Boosting.fit(seen.at(np.arange(200)), following[:200], 3, rounds=short.rounds)
    assert again.rounds == short.rounds
    assert len(again.trees.roots) == 3 * short.rounds.count
    alone = np.concatenate([usual(seen.at(np.array([row]))) for row in range(20)])
    np.testing.assert_array_equal(alone, usual(seen)[:20])  # a row alone is the row among others
    damaged = replace(usual.trees, lefts=np.zeros_like(usual.trees.lefts), rights=np.zeros_like(usual.trees.rights))
    with pytest.raises(CorruptArtifact, match="damaged"):
        damaged(np.zeros((1, damaged.width)))


def test_trees_beside_a_network_tell_times_that_it_has_not_learned_yet(desk) -> None:
    hasty = EventPredictor(**{**SMALL, "trees": True, "epochs": 1, "refit": False}).fit(make_desk(200))
    values = hasty.scores_.values
    assert hasty.fitted_.model.encoder.mixture.time_weights[1] > 0.5
    assert values["model"]["MAE left, days"] < values["median by last activity"]["MAE left, days"] * 1.05
    assert "MAE left, days" in values["gradient boosting, same features"]
    assert "of times trees" in hasty.summary_.settings["mixed of"]
    usual = EventPredictor(**{**SMALL, "trees": True, "epochs": 1, "validation": 0.0, "test": 0.0}).fit(make_desk(40))
    assert usual.fitted_.model.encoder.mixture.time_weights == (0.5, 0.5)
    assert sum(usual.fitted_.model.encoder.mixture.weights) == pytest.approx(1)


def test_the_losses_of_times_are_those_of_their_distributions() -> None:
    seconds = np.array([0.0, 10.0, 5000.0, 1e6])
    scale = TimeScale.fit("lognormal", seconds)
    raw = torch.randn(4, 2, dtype=torch.float64)
    wanted = torch.from_numpy(scale.scaled(seconds))
    deviation = (7 * torch.tanh(raw[:, 1] / 7)).exp()
    peer = -torch.distributions.Normal(raw[:, 0], deviation).log_prob(wanted)
    torch.testing.assert_close(scale.losses(raw, wanted), peer)
    np.testing.assert_allclose(scale.seconds(raw)[:, None], scale.quantiles(raw, [0.5]))
    for kind in ("lognormal", "log_mae", "mae"):
        own = TimeScale.fit(kind, np.append(seconds, np.nan))
        exact = torch.stack([torch.from_numpy(own.scaled(seconds)), torch.zeros(4)], -1)
        np.testing.assert_allclose(own.seconds(exact), seconds, rtol=1e-9, atol=1e-6)
    with pytest.raises(UsageError, match="a median only"):
        own.quantiles(exact, [0.1])
