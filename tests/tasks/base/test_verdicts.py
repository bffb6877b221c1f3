"""What a verdict says, in words."""

from __future__ import annotations

import re

import numpy as np
import pytest

from ostinato.tasks.base.differences import Difference
from ostinato.tasks.base.judging import Scores, scores_from, stand, verdict_sentences
from ostinato.tasks.base.units import Mean, Units
from ostinato.tasks.base.wording import difference_in_words

BETTER = {"MAE": "lower", "accuracy": "higher", "cross-entropy": "lower"}


def said(measure="MAE", of="windows", **units) -> tuple[str, Scores]:
    """The sentences, and the scores, of values of the same units; those of baselines by their names."""
    named = units if isinstance(next(iter(units.values())), dict) else {n: {measure: v} for n, v in units.items()}
    made = {
        name: Units(
            len(next(iter(own.values()))),
            of,
            {m: Mean(np.asarray(v, float), np.ones(len(v))) for m, v in own.items()},
        )
        for name, own in named.items()
    }
    values = {name: {m: one.total for m, one in own.measures.items()} for name, own in made.items()}
    better = {name: BETTER[name] for own in values.values() for name in own}
    against = stand(values, better, made)
    text = " ".join(verdict_sentences(values, measure, better, against))
    return text, Scores("test", 1, of, values, better, text, {}, against, made)


RNG = np.random.default_rng(0)
HARD = RNG.lognormal(0, 0.5, 36)


def test_a_model_ahead_of_all_says_by_how_much_and_over_what() -> None:
    text, scores = said(model=HARD * 0.96, naive=HARD + RNG.normal(0, 0.02, 36), drift=HARD * 1.5)
    assert text.startswith("The model beats every baseline: MAE ")
    assert re.search(r"of the best of them, naive: 4[.\d]* % lower \(3[.\d]* to 5[.\d]* %\), over 36 windows\.", text)
    assert "+ the model is better than that; paired tests over 36 windows" in str(scores)


def test_a_model_behind_the_best_of_several_loses_to_it() -> None:
    text, scores = said(model=HARD, naive=HARD * 2, drift=HARD * 0.8)
    assert "The model LOSES to a baseline" in text
    assert "25 % higher" in text
    assert "use the baseline, or give the model more to learn from." in text
    table = str(scores).splitlines()
    assert table[4].endswith(" +")
    assert table[5].endswith(" -")


@pytest.mark.parametrize("count", [1, 3, 5])
def test_few_windows_are_too_little_to_tell(count) -> None:
    text, _ = said(model=np.arange(1.0, 1 + count), naive=2 * np.arange(1.0, 1 + count))
    assert text.startswith("Too little to tell from chance: MAE ")
    assert f"over {count} window{'' if count == 1 else 's'}; it takes at least 6 to tell." in text


def test_twenty_sentences_that_differ_by_chance_are_too_little_to_tell() -> None:
    right = np.arange(20) < 14
    text, _ = said("accuracy", "texts", model=right, words=np.roll(right, 3))
    assert text.startswith("Too little to tell from chance: accuracy 0.7 against 0.7 of the best baseline, words")
    assert "over 20 texts; it takes more to tell." in text


def test_about_how_many_would_tell_a_difference_is_said() -> None:
    loss, noise = np.random.default_rng(0).normal([[2], [0]], [[0.1], [1]], (2, 30))
    other = loss + 0.1 + 0.5 * (noise - noise.mean()) / noise.std()
    text, scores = said(model=loss, naive=other)
    found = scores.against["naive"]["MAE"]
    assert text.startswith("Too little to tell from chance")
    count = int(re.search(r"more to tell, about ([\d,]+) windows if", text)[1].replace(",", ""))
    assert count == pytest.approx(30 * ((found.high - found.value) / found.value) ** 2, rel=0.06)


def test_many_texts_that_differ_little_are_level() -> None:
    right = np.random.default_rng(1).random(3000) < 0.8
    other = right.copy()
    other[:40] = ~other[:40]
    text, _ = said("accuracy", "texts", model=right, words=other)
    assert text.startswith("The model is no better than the baselines") or "beats" in text
    assert "points" in text


def test_ahead_by_one_measure_and_behind_by_another_are_both_said() -> None:
    rng = np.random.default_rng(2)
    right, other = rng.random(400) < 0.9, rng.random(400) < 0.6
    loss = rng.lognormal(0, 0.3, 400)
    text, _ = said(
        "accuracy", "texts",
        model={"accuracy": right, "cross-entropy": 1.5 * loss},
        words={"accuracy": other, "cross-entropy": loss},
        none={"accuracy": np.zeros(400), "cross-entropy": 3 * loss},
    )  # fmt: skip
    assert text.startswith("The model beats every baseline: accuracy 0.")
    assert "But it is behind in cross-entropy (1.5" in text


def test_another_measure_is_compared_with_the_baseline_that_is_best_by_it() -> None:
    rng = np.random.default_rng(2)
    right, other = rng.random(400) < 0.9, rng.random(400) < 0.6
    loss = rng.lognormal(0, 0.3, 400)
    text, _ = said(
        "accuracy", "texts",
        model={"accuracy": right, "cross-entropy": 1.001 * loss},
        trees={"accuracy": other, "cross-entropy": 2 * loss},
        counts={"accuracy": np.zeros(400), "cross-entropy": loss},
    )  # fmt: skip
    assert "ahead in cross-entropy" not in text  # of the trees, which are worse by it than counts
    numbers = re.search(r"But it is behind in cross-entropy \((.*) against (.*) of counts\)", text)
    assert numbers is not None
    assert float(numbers[1]) > float(numbers[2])  # with as many digits as tell them apart


def test_what_rounding_leaves_of_a_difference_is_none() -> None:
    touching = Difference("level", 0.0047, -2e-18, 0.0096, 0.06, 300, "cases")
    assert difference_in_words(touching, 0.8, "higher") == "0.47 points higher (0 to 0.96 points), over 300 cases"
    equal = Difference("level", 1e-17, -0.02, 0.02, 1.0, 300, "cases")
    assert difference_in_words(equal, 0.8, "higher").startswith("no difference (2 points lower to 2 higher)")


def test_what_is_not_told_from_a_weaker_baseline_does_not_beat_them_all() -> None:
    rng = np.random.default_rng(3)
    steady = np.full(12, 1.0)
    wild = np.array([0.1, 0.2, 5.0, 0.3, 0.1, 4.0, 0.2, 0.3, 2.4, 0.2, 0.1, 0.4])
    text, _ = said(model=steady - 0.1 + rng.normal(0, 0.01, 12), naive=steady, wild=wild)
    assert text.startswith("The model beats naive, the best baseline")
    assert "not clearly better than wild" in text


def test_without_units_no_more_is_said_than_which_number_is_lower() -> None:
    values = {"model": {"MAE": 1.0}, "naive": {"MAE": 2.0}}
    (text,) = verdict_sentences(values, "MAE", {"MAE": "lower"}, {})
    assert "50 % lower" in text
    assert "beats" not in text


def test_scores_come_back_from_plain_data() -> None:
    for rivals in ({"naive": HARD * 2}, {"naive": HARD}, {}):
        _, scores = said(model=HARD, **rivals)
        assert scores_from(scores.plain()) == scores
    _, scores = said(model=[1.0], naive=[2.0])
    assert scores_from(scores.plain()) == scores


@pytest.mark.parametrize("seed", range(40))
def test_no_interval_holds_what_the_measure_cannot_be(seed) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(6, 14))
    losses = {"model": rng.lognormal(0, 1.5, count), "naive": rng.lognormal(1.5, 1.5, count)}
    answers = {"model": rng.random(count) < 0.97, "naive": rng.random(count) < 0.9}
    for measure, values in (("MAE", losses), ("accuracy", answers)):
        _, scores = said(measure, **values)
        other, row = scores.values["naive"][measure], scores.against["naive"][measure]
        most = 1.0 if measure == "accuracy" else np.inf
        assert other + row.low >= -1e-9 or not np.isfinite(row.low)
        assert other + row.high <= most + 1e-9 or not np.isfinite(row.high)
        assert row.low <= row.value <= row.high


def test_a_loss_is_never_lower_by_more_than_all_of_it() -> None:
    text, _ = said(model=[0.1, 0.2, 0.1, 0.3, 0.2, 0.1, 0.2, 0.1], naive=[0.2, 9.0, 0.3, 0.5, 0.4, 0.2, 0.3, 0.2])
    found = re.search(r"(\d+) % lower \(([.\d]+) to ([.\d]+) %\)", text)
    assert found is not None
    assert float(found[3]) <= 100


def test_a_baseline_that_answered_two_series_does_not_decide_where_others_answered_all() -> None:
    values = {"model": {"MASE": 0.65}, "slow": {"MASE": 0.64}, "naive": {"MASE": 0.8}, "drift": {"MASE": 0.9}}
    slow = Difference("unclear", 0.01, -np.inf, np.inf, 1.0, 2, "series")
    against = {
        "slow": {"MASE": slow},
        "naive": {"MASE": Difference("better", -0.15, -0.2, -0.1, 0.001, 20, "series")},
        "drift": {"MASE": Difference("better", -0.25, -0.3, -0.2, 0.001, 20, "series")},
    }
    first = verdict_sentences(values, "MASE", {"MASE": "lower"}, against)[0]
    assert first.startswith(
        "Leaving out slow, which answered too little to tell (2 series), the model beats every baseline"
    )
    assert "0.8 of the best of them, naive" in first
    alone = {name: row for name, row in values.items() if name in ("model", "slow")}
    first = verdict_sentences(alone, "MASE", {"MASE": "lower"}, {"slow": {"MASE": slow}})[0]
    assert first.startswith("Too little to tell from chance: MASE 0.65 against 0.64 of the best baseline, slow")
