"""Measures, calibration, the drawing of parts, and baselines, against definitions and peers."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.errors import DataError, UsageError
from ostinato.tasks.base.classes import calibration_error, class_measures, class_scores, confusion_counts
from ostinato.tasks.base.linear import fit_linear
from ostinato.tasks.base.temperature import find_temperature, with_temperature
from ostinato.tasks.base.warping import WarpedNeighbours
from ostinato.tasks.classify.baselines import MostFrequent
from ostinato.tasks.classify.channels import ChannelEncoder, Steps
from ostinato.tasks.classify.encoding import Part
from ostinato.tasks.classify.examples import Classes, Examples, checked_labels, drawn_parts
from ostinato.tasks.classify.sequence_baselines import Neighbours, Statistics
from ostinato.tasks.classify.text_baselines import BagOfWords

NAN = float("nan")


def part_of(items, targets) -> Part:
    """Examples of sequences or texts, as baselines read them."""
    items = tuple(item if isinstance(item, str) else Steps(np.asarray(item), None) for item in items)
    channels = (
        () if isinstance(items[0], str) else tuple(f"c{i}" for i in range(np.atleast_2d(items[0].values).shape[1]))
    )
    return Part(Examples("x", items, tuple(map(str, targets)), channels), items, np.asarray(targets))


def encoder_of(part) -> ChannelEncoder:
    return ChannelEncoder.fit(part.examples, hidden=False)


def error_of(probabilities, targets) -> float:
    return calibration_error(probabilities.max(1), probabilities.argmax(1) == targets)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
def test_measures_are_those_of_scikit_learn(pairs) -> None:
    peer = pytest.importorskip("sklearn.metrics")
    targets, told = (np.array(own) for own in zip(*pairs, strict=True))
    counts = confusion_counts(targets, told, 4)
    assert (counts == peer.confusion_matrix(targets, told, labels=range(4))).all()
    options = {"labels": range(4), "average": None, "zero_division": 0}
    theirs = [peer.precision_score, peer.recall_score, peer.f1_score]
    found = class_scores(counts)
    for ours, score in zip((found.precision, found.recall, found.f1), theirs, strict=True):
        assert ours == pytest.approx(score(targets, told, **options))
    probabilities = np.random.default_rng(0).dirichlet(np.ones(4), len(told))
    found = class_measures(targets, told, probabilities, 4)
    assert found["accuracy"] == pytest.approx(peer.accuracy_score(targets, told))
    assert found["macro F1"] == pytest.approx(peer.f1_score(targets, told, average="macro"))
    assert found["cross-entropy"] == pytest.approx(peer.log_loss(targets, probabilities, labels=range(4)))


def test_the_calibration_error_is_that_of_its_definition() -> None:
    rng = np.random.default_rng(1)
    probabilities, targets = rng.dirichlet(np.ones(3), 200), rng.integers(0, 3, 200)
    expected = 0.0
    for low in np.arange(10) / 10:
        inside = [i for i in range(200) if low < probabilities[i].max() <= low + 0.1 + 1e-12]
        if inside:
            accuracy = np.mean([probabilities[i].argmax() == targets[i] for i in inside])
            expected += len(inside) / 200 * abs(accuracy - np.mean([probabilities[i].max() for i in inside]))
    assert error_of(probabilities, targets) == pytest.approx(expected)
    assert calibration_error([0.75] * 4, [True, True, True, False]) == 0


def test_the_temperature_is_the_one_that_scores_were_sharpened_by() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 2, (20000, 3))
    targets = np.array([rng.choice(3, p=own) for own in with_temperature(scores, 1.0)])
    assert find_temperature(2.5 * scores, targets) == pytest.approx(2.5, rel=0.05)
    raw, after = with_temperature(2.5 * scores, 1.0), with_temperature(2.5 * scores, 2.5)
    assert (raw.argmax(1) == after.argmax(1)).all()
    assert error_of(after, targets) < 0.02 < error_of(raw, targets)


def test_held_out_parts_have_every_class_in_its_share_and_training_all_of_them() -> None:
    labels = ["a"] * 100 + ["b"] * 30 + ["c"]
    train, validation, test = drawn_parts(labels, (0.1, 0.2), seed=1)
    assert sorted([*train, *validation, *test]) == list(range(131))
    counts = [[sum(labels[row] == name for row in part) for name in "abc"] for part in (train, validation, test)]
    assert counts == [[70, 21, 1], [10, 3, 0], [20, 6, 0]]
    again = drawn_parts(labels, (0.1, 0.2), seed=1)
    assert all((a == b).all() for a, b in zip((train, validation, test), again, strict=True))
    assert drawn_parts(labels, (0.1, 0.2), seed=2)[1].tolist() != validation.tolist()
    many = [number // 3 for number in range(300)]  # a hundred classes of three
    assert 15 <= len(drawn_parts(many, (0.1, 0.0), seed=0)[1]) <= 45


def test_labels_stay_whole_numbers_or_become_texts() -> None:
    assert checked_labels(np.array([3, 1]), "x") == (3, 1)
    assert checked_labels(["b ", "a"], "x") == ("b", "a")
    assert checked_labels([1, "a"], "x") == ("1", "a")
    for label in (None, NAN, " "):
        with pytest.raises(DataError, match="example 2 of x has no label"):
            checked_labels(["a", label], "x")
    classes = Classes.of(Examples("x", ("p", "q", "r"), (10, 9, 10)))
    assert classes.names == (9, 10)
    assert classes.numbers(Examples("y", ("p", "q"), ("10", "9"))).tolist() == [1, 0]
    with pytest.raises(DataError, match='example 1 of y has the label "7", which none of the training'):
        classes.numbers(Examples("y", ("p",), (7,)))
    with pytest.raises(DataError, match='all 2 have the label "a"'):
        Classes.of(Examples("x", ("p", "q"), ("a", "a")))


# --- dynamic time warping --------------------------------------------------------------------------------------------


def _warped(a, b, window=math.inf):
    """The recursion as it is written, cell by cell."""
    sums = {(-1, -1): 0.0}
    for i in range(len(a)):
        for j in range(len(b)):
            if len(a) == len(b) and abs(i - j) > window * len(a) + 1e-6:
                continue
            seen = ~np.isnan(a[i]) & ~np.isnan(b[j])
            cost = ((a[i] - b[j])[seen] ** 2).sum() * len(a[i]) / seen.sum() if seen.any() else 0.0
            before = [sums.get(cell, math.inf) for cell in ((i - 1, j), (i, j - 1), (i - 1, j - 1))]
            sums[i, j] = cost + min(before)
    return sums[len(a) - 1, len(b) - 1]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(1, 9), st.integers(1, 3), st.booleans(),
    st.integers(0, 2**31),
)  # fmt: skip
def test_distances_are_those_of_the_recursion(lengths, own, channels, missing, seed) -> None:
    rng = np.random.default_rng(seed)
    sequences = [rng.normal(size=(length, channels)) for length in lengths]
    sequence = rng.normal(size=(own, channels))
    if missing:
        for array in (*sequences, sequence):
            array[rng.random(array.shape) < 0.3] = NAN
    found = WarpedNeighbours(sequences).distances(sequence)
    assert found == pytest.approx([_warped(sequence, other) for other in sequences], rel=1e-4, abs=1e-4)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 10), st.sampled_from([0.0, 0.1, 0.3, 0.5]), st.integers(0, 2**31))
def test_a_window_keeps_the_path_near_the_diagonal(length, window, seed) -> None:
    rng = np.random.default_rng(seed)
    sequences, sequence = [rng.normal(size=(length, 2)) for _ in range(3)], rng.normal(size=(length, 2))
    found = WarpedNeighbours(sequences, window).distances(sequence)
    if window == 0:
        expected = [((sequence - other) ** 2).sum() for other in sequences]
    else:
        # a step of the path is at most length / (length - 1) steps from the diagonal's cells
        expected = [_warped(sequence, other, window * (length - 1) / length) for other in sequences]
    assert found == pytest.approx(expected, rel=1e-4)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 14), st.integers(1, 14), st.sampled_from([0.0, 0.05, 0.4]))
def test_sequences_of_any_lengths_can_be_warped_within_any_window(own, other, window) -> None:
    sequence, training = np.zeros((own, 1)), [np.ones((other, 1)), np.zeros((3, 1))]
    found = WarpedNeighbours(training, window).distances(sequence)
    assert np.isfinite(found).all()
    assert found[0] >= max(own, other) - 1e-3
    assert found[1] == 0


def test_published_neighbours_are_found(shared_data) -> None:
    from ostinato.data.ts_files import read_ts

    folder = shared_data / "ucr_uea" / "BasicMotions"
    train, test = (read_ts(folder / f"BasicMotions_{part}.ts") for part in ("TRAIN", "TEST"))
    names = sorted(set(train.labels))
    targets = [np.array([names.index(label) for label in part.labels]) for part in (train, test)]
    parts = [part_of(own.sequences, numbers) for own, numbers in zip((train, test), targets, strict=True)]
    channels = train.sequences[0].shape[1]
    told = Neighbours.fit(parts[0], np.zeros(channels), np.ones(channels), 1.0, 0).predict(parts[1])
    assert (told.classes == targets[1]).mean() == 0.975  # A. Bagnall et al., 2018, DTW_D not normalised


def test_a_set_that_is_too_large_is_made_smaller(monkeypatch) -> None:
    from ostinato.tasks.classify import sequence_baselines as baselines

    rng = np.random.default_rng(0)
    targets = np.arange(60) % 2
    sequences = [rng.normal(10.0 * target, 1, (150, 1)) for target in targets]
    sequences[0][:100] = NAN
    monkeypatch.setattr(baselines, "_LONGEST", 60)
    monkeypatch.setattr(baselines, "_CELLS", 40 * 50 * 50 * 60)
    part = part_of(sequences, targets)
    told = Neighbours.fit(part, np.zeros(1), np.ones(1), 0.5, 0).predict(part)
    assert (told.classes == targets).all()


# --- the others ------------------------------------------------------------------------------------------------------


def test_the_most_frequent_class_has_the_share_it_had() -> None:
    told = MostFrequent.fit(part_of("abc", [0, 1, 1]), 3).predict(part_of("ab", [0, 0]))
    assert told.classes.tolist() == [1, 1]
    assert told.probabilities[0] == pytest.approx([2 / 6, 3 / 6, 1 / 6])


def test_statistics_tell_what_their_numbers_tell_as_scikit_learn_does() -> None:
    peer = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(0)
    features, targets = rng.normal(size=(80, 4)), rng.integers(0, 3, 80)
    model = peer.LogisticRegression(C=1.0, tol=1e-8, max_iter=1000).fit(features, targets)
    assert fit_linear(features, targets, 3, 1.0, iterations=500).weights == pytest.approx(model.coef_.T, abs=2e-3)
    twice = peer.LogisticRegression(C=1.0, tol=1e-8, max_iter=1000).fit(features, targets > 0)
    assert fit_linear(features, (targets > 0).astype(int), 2, 1.0, iterations=500).weights == pytest.approx(
        twice.coef_.T, abs=2e-3
    )
    quiet, loud = ([scale * rng.normal(size=(int(rng.integers(5, 30)), 2)) for _ in range(20)] for scale in (1, 4))
    part = part_of(quiet + loud, np.repeat([0, 1], 20))
    told = Statistics.fit(encoder_of(part), part).predict(part)
    assert (told.classes == np.repeat([0, 1], 20)).mean() > 0.9
    empty = part_of([np.full((3, 1), NAN), np.full((3, 1), 2.0)] * 2, [0, 1, 0, 1])
    told = Statistics.fit(encoder_of(empty), empty).predict(part_of([quiet[0][:, :1]], [0]))
    assert np.isfinite(told.probabilities).all()


def test_words_are_counted_and_a_class_without_examples_has_no_chance() -> None:
    pytest.importorskip("sklearn")
    texts = ["a fine film", "a dull film"] * 10 + [""]
    train = part_of(texts, [0, 2] * 10 + [0])
    told = BagOfWords.fit(None, train, None, 3).predict(part_of(["fine", "dull", ""], [0, 0, 0]))
    assert told.classes.tolist()[:2] == [0, 2]
    assert told.probabilities[:, 1].tolist() == [0, 0, 0]


def test_a_window_out_of_range_is_refused() -> None:
    with pytest.raises(UsageError, match=r"window is 1.5"):
        WarpedNeighbours([np.zeros((2, 1))], 1.5)
