"""Reasons of alarms: each planted kind is called what it is; an anomaly has no echo; an alarm begins once."""

import re

import numpy as np
import pytest

from ostinato import AnomalyDetector
from ostinato.tasks.anomaly import nab
from ostinato.tasks.anomaly.manners import ABSENT, Manner
from ostinato.tasks.anomaly.relations import Relations
from ostinato.tasks.anomaly.views import Pace

SEASON, ROWS, AT = 48, 1100, 700
FEW = {"hidden_size": 8, "epochs": 6, "learning_rate": 1e-2, "progress": False, "seed": 0, "test": 0}


def usual(seed, rows=ROWS):
    rng = np.random.default_rng(seed)
    return 20 + 3 * np.sin(2 * np.pi * np.arange(rows) / SEASON) + rng.normal(0, 0.15, rows)


def planted(kind):
    values, noise = usual(1), np.random.default_rng(2).normal(0, 1, ROWS)
    run = slice(AT, AT + 60)
    if kind == "spike":
        values[AT] += 4
    elif kind == "drop":
        values[AT] -= 4
    elif kind == "shift":
        values[run] += 2.5
    elif kind == "flat":
        values[run] = values[AT]
    elif kind == "missing season":
        values[run] = 20 + 0.15 * noise[run]
    elif kind == "other season":
        values[run] = 20 + 3 * np.sin(2 * np.pi * np.arange(60) / 15) + 0.15 * noise[run]
    elif kind == "noise":
        values[run] += noise[run]
    elif kind == "drift":
        values[AT - 200 :] += 0.01 * np.minimum(np.arange(ROWS - AT + 200), 250)
    elif kind == "missing":
        values[run][np.arange(60) % 3 > 0] = np.nan
    elif kind == "outage":
        values[run] = np.nan
    return values


@pytest.fixture(scope="module")
def model():
    return AnomalyDetector(false_alarm_rate=1e-3, **FEW).fit(usual(0))


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("spike", "sudden rise|higher than any"),
        ("drop", "sudden drop|lower than any"),
        ("shift", "sudden rise|higher"),
        ("flat", r"stuck at [\d.]+ for \d+ steps"),
        ("missing season", f"no longer follows its course of {SEASON} steps"),
        ("other season", f"no longer follows its course of {SEASON} steps"),
        ("noise", "less steady"),
        ("drift", "higher than"),
        ("missing", r"\d+ % of the last 60 values or so are missing"),
        ("outage", r"\d+ % of the last 60 values or so are missing"),
    ],
)
def test_a_planted_kind_is_called_what_it_is(model, kind, words) -> None:
    rows = list(model.answers(planted(kind)))[AT : AT + 80]
    reasons = [row["reason"] for row in rows if row["alarm"]]
    assert any(re.search(words, reason) for reason in reasons), reasons


def test_an_anomaly_has_no_echo_a_season_later_and_begins_once(model) -> None:
    values = planted("spike")
    assert model.predict(values)[AT]
    assert not model.predict(values)[AT + SEASON - 1 : AT + SEASON + 2].any()
    flat = planted("flat")
    rows = list(model.answers(flat))
    assert sum(row["begins"] for row in rows) == len(model.events(flat))
    assert all(row["alarm"] for row in rows if row["begins"])
    stream = model.stream(warm=False)
    assert [stream.push([value]) for value in flat[:760]] == [
        {name: cell for name, cell in row.items() if name != "row"} for row in rows[:760]
    ]


def test_a_channel_that_no_longer_follows_another_is_found_and_named() -> None:
    rng = np.random.default_rng(0)

    def wandering(rows):
        found = np.zeros(rows)
        for step in range(1, rows):
            found[step] = 0.97 * found[step - 1] + rng.normal(0, 0.3)
        return found

    one, other = wandering(1000), wandering(1000)
    both = np.stack([10 + one + rng.normal(0, 0.05, 1000), 50 + 2 * one + rng.normal(0, 0.1, 1000)], -1)
    found = AnomalyDetector(target=["a", "b"], false_alarm_rate=1e-3, **FEW).fit(
        {"a": both[:700, 0], "b": both[:700, 1]}
    )
    assert len(found.fitted_.model.encoder.calibration.relations) == 2
    both[850:900, 1] = 50 + 2 * other[850:900]
    rows = list(found.answers({"a": both[:, 0], "b": both[:, 1]}))
    assert any("no longer moves with" in row["reason"] for row in rows[850:920])
    assert sum(row["begins"] for row in rows[700:850]) <= 2


def test_relations_are_those_of_channels_that_move_together() -> None:
    rng = np.random.default_rng(0)
    shared, alone = rng.normal(size=400), rng.normal(size=400)
    errors = np.stack([shared, alone, shared + 0.2 * rng.normal(size=400)], -1)
    found = Relations.fit(errors)
    assert found.of.tolist() == [0, 2]
    assert [found.partner(0), found.partner(1)] == [2, 0]
    wide, scales = found.extended(errors, np.ones_like(errors))
    assert wide.shape == scales.shape == (400, 5)
    assert np.abs(wide[:, 3:]).mean() < 0.3
    errors[7, 2] = np.nan
    assert np.isnan(found.extended(errors, np.ones_like(errors))[0][7, [2, 3, 4]]).all()
    assert len(Relations.fit(errors[:50])) == 0  # too few to tell
    assert len(Relations.fit(errors[:, :1])) == 0
    assert len(Relations.fit(rng.normal(size=(400, 3)))) == 0


def test_manners_say_what_stands_still_and_what_left_its_season() -> None:
    manner = Manner(1, Pace(season=12))
    values = np.sin(2 * np.pi * np.arange(160) / 12)[:, None].copy()
    values[100:130] = values[100]
    for step, row in enumerate(values):
        season = values[step - 11] if step >= 11 else row
        manner.push(row, row, season)
        if step == 99:
            assert manner.likeness[0] > 0.99
            assert manner.stuck(0, 1.0) == 0
            assert not manner.astray(0, 0.9)
        if step == 129:
            assert manner.stuck(0, 1.0) == 30
            assert manner.stuck(0, 40.0) == 0
            assert manner.astray(0, 0.9)
    again = Manner(1, Pace(season=12))
    again.accept(manner.kept())
    np.testing.assert_array_equal(again.kept(), manner.kept())
    assert np.isnan(Manner(1, Pace()).likeness).all()
    for _ in range(60):
        again.push(np.full(1, np.nan), row, row)
    assert 0.8 < again.found[ABSENT, 0] < 1


def test_a_detector_that_is_quiet_after_an_alarm_is_scored_by_where_it_calls() -> None:
    judged = nab.Judged.of(40, [(20, 29)], judged_from=0)
    scores = np.zeros(40)
    scores[[3, 4, 5, 20, 21, 35]] = [5.0, 6.0, 5.0, 7.0, 7.0, 1.0]
    best, at = nab.best_called([judged], [scores], 3)
    assert at == 7.0
    assert best == pytest.approx(100.0)
    marks = nab.calls(scores >= 5, 3)
    assert np.flatnonzero(marks).tolist() == [3, 20]
