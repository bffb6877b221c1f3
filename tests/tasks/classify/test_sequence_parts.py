"""The parts of a sequence classifier: random kernels, a ridge head, folds, weights of branches, augmentation."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.nn.multi_scale import MultiScaleConvolutions
from ostinato.nn.random_kernels import RandomKernels, spread_dilations
from ostinato.tasks.base.weighing import drawn_folds, weigh
from ostinato.tasks.classify.augmenting import Augmentation
from ostinato.tasks.classify.ridge import PENALTIES, fit_ridge
from ostinato.tasks.classify.shapes import differ, shapes_of
from ostinato.tasks.classify.statistics import statistics_of, statistics_size
from ostinato.tasks.classify.views import filled
from ostinato.tasks.classify.wide import WideBranch
from ostinato.tasks.classify.wide_plan import WidePlan

RNG = np.random.default_rng(0)


# --- the wide branch -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("examples", "size"), [(12, 30), (30, 5)])
def test_a_ridge_is_that_of_scikit_learn_and_what_it_says_left_out_is_said_by_fits_without(examples, size) -> None:
    peer = pytest.importorskip("sklearn.linear_model")
    features, targets = RNG.normal(size=(examples, size)) + 3, np.arange(examples) % 3
    wanted = np.where(np.arange(3) == targets[:, None], 1.0, -1.0)
    found = fit_ridge(features, targets, 3)
    own = peer.Ridge(alpha=found.penalty).fit(features, wanted)
    assert found(features) == pytest.approx(own.predict(features), abs=1e-5)
    for row in range(4):
        rest = np.arange(examples) != row
        # the mean of the features is that of all of them: a shift of the others changes only what is not penalised
        without = peer.Ridge(alpha=found.penalty).fit(features[rest], wanted[rest])
        assert found.left_out[row] == pytest.approx(without.predict(features[[row]])[0], abs=1e-5)
    errors = [
        np.mean([
            (peer.Ridge(alpha=own).fit(features[keep], wanted[keep]).predict(features[~keep]) - wanted[~keep]) ** 2
            for keep in (np.arange(examples) != row for row in range(examples))
        ])
        for own in PENALTIES
    ]  # fmt: skip
    assert found.penalty == PENALTIES[int(np.argmin(errors))]


def test_an_example_that_counts_twice_is_one_that_is_there_twice() -> None:
    features, targets = RNG.normal(size=(10, 4)), np.arange(10) % 2
    counts = np.ones(10)
    counts[3] = 2
    weighed = fit_ridge(features, targets, 2, counts)
    twice = fit_ridge(np.vstack([features, features[3:4]]), np.append(targets, targets[3]), 2)
    # counts are scaled to a mean of one, and the penalty with them
    own = 11 / 10
    weights = np.linalg.solve(
        _gram(features, counts) + weighed.penalty * own * np.eye(4), _products(features, targets, counts)
    )
    assert weighed.weights == pytest.approx(weights, abs=1e-8)
    assert weighed.offsets == pytest.approx(twice.offsets)
    assert weighed.mean == pytest.approx(twice.mean)


def _centred(features, counts):
    return features - counts @ features / counts.sum()


def _gram(features, counts):
    own = _centred(features, counts)
    return own.T @ (counts[:, None] * own)


def _products(features, targets, counts):
    wanted = np.where(np.arange(2) == targets[:, None], 1.0, -1.0)
    return _centred(features, counts).T @ (counts[:, None] * _centred(wanted, counts))


@pytest.mark.parametrize("channels", [2, 9])
def test_random_kernels_are_shares_of_steps_above_thresholds(channels) -> None:
    """Against a loop over kernels and steps; every other kernel sees no step whose surrounding is not all there."""
    sequences = [torch.randn(length, channels) for length in (30, 30, 17)]
    kernels = RandomKernels(channels, 30, 84 * 3)
    kernels.fit(sequences, seed=1)
    found = kernels(sequences)
    from ostinato.nn.random_kernels import _WEIGHTS

    for row, own in enumerate(sequences):
        column, first = 0, 0
        for place, (dilation, count) in enumerate(zip(kernels.dilations, kernels.counts, strict=True)):
            margin = 4 * dilation
            padded = np.pad(own.numpy(), ((margin, margin), (0, 0)))
            for threshold in range(first, first + count):
                for kernel in (0, 1, 40, 83):
                    mask = kernels.channel_masks[place, kernel].numpy()
                    outputs = np.array([
                        (padded[step : step + 2 * margin + 1 : dilation] @ mask) @ _WEIGHTS[kernel].numpy()
                        for step in range(len(own))
                    ])  # fmt: skip
                    if (kernel + place) % 2 and len(own) > 2 * margin:
                        outputs = outputs[margin : len(own) - margin]
                    share = (outputs > kernels.thresholds[kernel, threshold].item()).mean()
                    assert found[row, column + kernel].item() == pytest.approx(share, abs=1e-6)
                column += 84
            first += count


@given(st.integers(1, 3000), st.integers(1, 120))
def test_dilations_rise_and_all_thresholds_are_given(steps, each) -> None:
    dilations, counts = spread_dilations(steps, each)
    assert sum(counts) == each
    assert min(counts) >= 1
    assert dilations == sorted(set(dilations))
    assert dilations[0] == 1
    assert 8 * dilations[-1] <= max(steps - 1, 8)


# --- convolutions ----------------------------------------------------------------------------------------------------


def test_a_causal_block_sees_nothing_that_comes_later_and_no_more_than_its_reach() -> None:
    blocks = MultiScaleConvolutions(2, [8, 8], width=7, causal=True).eval()
    xs = torch.randn(40, 1, 2)
    changed = xs.clone()
    changed[20:] += 1
    lengths = torch.tensor([40])
    with torch.no_grad():
        one, two = blocks(xs, lengths)[0], blocks(changed, lengths)[0]
        torch.testing.assert_close(one[:20], two[:20])
        assert not torch.allclose(one[20:], two[20:])
        late = blocks(xs[-blocks.reach :], torch.tensor([blocks.reach]))[0]
    torch.testing.assert_close(late[-1], one[-1], atol=1e-6, rtol=1e-5)


# --- folds and weights -----------------------------------------------------------------------------------------------


@settings(max_examples=50)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(0, 100))
def test_folds_share_each_class_out_and_keep_the_only_one_of_its_class(targets, seed) -> None:
    own = np.array(targets)
    folds = drawn_folds(own, 5, seed)
    for target in set(targets):
        rows = folds[own == target]
        counts = np.bincount(rows[rows >= 0], minlength=5)
        assert (rows == -1).all() if len(rows) == 1 else counts.max() - counts.min() <= 1


def test_the_branch_that_is_right_counts_and_a_dozen_examples_move_little() -> None:
    def scores(count):
        targets = np.arange(count) % 2
        told = np.where(np.arange(count) % 5 == 0, 1 - targets, targets)  # four in five are right
        return [np.where(np.arange(2) == told[:, None], 1.0, -1.0), RNG.normal(size=(count, 2))], targets

    many, few = scores(4000), scores(12)
    found, started = weigh(many[0], [0.7, 2.0], many[1]), weigh(few[0], [0.7, 2.0], few[1])
    assert found[0] == pytest.approx(np.log(4) / 2, rel=0.1)  # says .8
    assert found[1] < 0.1
    assert 0.35 < started[0] < 1.4
    assert started[1] > found[1]
    assert weigh([own[:0] for own in few[0]], [0.7, 2.0], few[1][:0]) == pytest.approx([0.7, 2.0], rel=1e-2)


def test_weights_are_calibrated_where_the_scores_are_too_confident() -> None:
    targets = (RNG.random(4000) < 0.8).astype(np.int64)
    scores = np.tile([0.0, 6.0], (4000, 1))  # says .9975 where .8 is right
    (found,) = weigh([scores], [1.0], targets)
    assert 1 / (1 + np.exp(-6 * found)) == pytest.approx(targets.mean(), abs=0.01)


# --- augmentation ----------------------------------------------------------------------------------------------------


def test_changes_keep_padding_marks_and_length_and_vanish_in_evaluation() -> None:
    own = Augmentation(2, 1.0, bend=True)
    features = torch.randn(30, 8, 3)
    lengths = torch.tensor([30, 1, 2, 17, 30, 5, 9, 30])
    past = torch.arange(30)[:, None] >= lengths
    features[past] = 0
    for _ in range(5):
        found = own(features, lengths)
        assert found.shape == features.shape
        assert found[past].eq(0).all()
        assert found[..., 2].equal(features[..., 2])
        assert found.isfinite().all()
        assert not found.equal(features)
    assert own.eval()(features, lengths) is features
    assert Augmentation(2, 0.0, bend=True)(features, lengths) is features


def test_bent_time_goes_on_and_stays_within_the_sequence() -> None:
    own = Augmentation(1, 1.0, bend=True)
    line = torch.arange(50.0)[:, None, None].expand(50, 64, 1)
    lengths = torch.full((64,), 50)
    found = own._bent(line, lengths)[..., 0]
    assert (found.diff(dim=0) > 0).all()
    assert found.min() >= 0
    assert found.max() <= 49
    assert found[0].max() <= 5
    assert found[-1].min() >= 44


# --- statistics ------------------------------------------------------------------------------------------------------


def test_statistics_are_of_the_values_that_are_there() -> None:
    """Those of a sequence with gaps are those of its values alone, but for the share missing and the quarters."""
    values = torch.randn(24, 3)
    missing = torch.rand(24, 3) < 0.4
    missing[:, 2] = True
    features = torch.cat([values.masked_fill(missing, 0.0), missing.float()], 1)
    found = statistics_of(features, 3, True)
    assert len(found) == statistics_size(3, True)
    table = found[:-1].view(-1, 3)
    for channel in (0, 1):
        alone = values[~missing[:, channel], channel][:, None]
        own = statistics_of(alone, 1, False)
        torch.testing.assert_close(table[:7, channel], own[:7])
        assert table[-1, channel].item() == pytest.approx(missing[:, channel].float().mean().item())
    assert table[:-1, 2].eq(0).all()
    assert found[-1].item() == pytest.approx(np.log(24))


# --- shapes ----------------------------------------------------------------------------------------------------------


def test_a_shape_is_without_level_spread_padding_and_what_is_missing() -> None:
    xs, lengths = torch.randn(20, 3, 2), torch.tensor([20, 13, 1])
    missing = (torch.rand(20, 3, 2) < 0.3).float()
    marked = torch.cat([xs * (1 - missing), missing], -1)
    other = torch.cat([(xs * 1e4 + 3e4) * (1 - missing), missing], -1)
    found = shapes_of(marked, lengths, 2, True)
    torch.testing.assert_close(shapes_of(other, lengths, 2, True), found, atol=1e-3, rtol=1e-3)
    for row, length in enumerate(lengths.tolist()):
        alone = shapes_of(marked[:length, row : row + 1], torch.tensor([length]), 2, True)
        torch.testing.assert_close(found[:length, row : row + 1], alone)
        assert found[length:, row].eq(0).all()
        for channel in range(2):
            there = found[:length, row, channel][missing[:length, row, channel] == 0]
            if len(there) > 1:
                assert there.mean().item() == pytest.approx(0, abs=1e-5)
                assert there.std(correction=0).item() == pytest.approx(1, abs=1e-5)
    assert shapes_of(torch.full((9, 1, 1), 3.3), torch.tensor([9]), 1, False).eq(0).all()


def test_shapes_are_read_apart_where_levels_or_spreads_differ() -> None:
    alike = [RNG.normal(size=(30, 2)) for _ in range(20)]
    gaps = [np.where(RNG.random((30, 2)) < 0.3, np.nan, each) for each in alike]
    assert not differ(alike)
    assert not differ(gaps)
    assert not differ([np.full((5, 1), 3.0 + row) for row in range(9)])  # no shape at all
    for each in (alike, gaps):
        assert differ([sequence * [1, np.exp(row % 4)] for row, sequence in enumerate(each)])
        assert differ([sequence + np.array([0, 3.0]) * (row % 4) for row, sequence in enumerate(each)])


def test_what_is_told_by_shape_is_told_whatever_size_a_sequence_has() -> None:
    rng, targets = np.random.default_rng(0), np.arange(60) % 3
    waves = [np.sin(np.arange(80)[:, None] * (0.2 + 0.1 * each) + rng.uniform(0, 6)) for each in targets]
    noisy = [wave + rng.normal(0, 0.2, wave.shape) for wave in waves]
    sized = [(wave * 10 ** rng.uniform(-3, 3) + 100 * rng.normal()).astype(np.float32) for wave in noisy]
    branch = WideBranch(WidePlan(36, (80, 80, 80), 1, 3, kernels=840, groups=2, shaped=True), values=1, masked=False)
    branch.fit(sized[:36], targets[:36], 0, np.ones(36))
    found = branch([torch.from_numpy(each) for each in sized[36:]])
    assert (found.argmax(1).numpy() == targets[36:]).mean() > 0.9
    factors = {name: branch.scale[branch._columns(name)].abs().median().item() for name in ("levels", "shapes")}
    assert factors["shapes"] > factors["levels"]


def test_where_all_sequences_are_alike_classes_are_told_by_how_many_there_are() -> None:
    alike, targets = [np.zeros((30, 1), np.float32)] * 9, np.array([0, 1, 1] * 3)
    branch = WideBranch(WidePlan(9, (30, 30, 30), 1, 2, kernels=84, groups=1), values=1, masked=False)
    branch.fit(alike, targets, 0, np.ones(9))
    assert branch([torch.zeros(30, 1)] * 2).argmax(1).tolist() == [1, 1]


def test_kernels_read_what_is_missing_on_a_line_between_its_neighbours() -> None:
    whole = torch.arange(12.0)[:, None].expand(12, 2)
    gone = torch.zeros(12, 2)
    gone[[3, 4, 7], 0] = 1
    gone[:, 1] = 1
    marked = torch.cat([whole * (1 - gone), gone], 1)
    branch = WideBranch(WidePlan(9, (12, 12, 12), 2, 2, kernels=84, groups=1), values=2, masked=True)
    assert filled(marked, branch.values, branch.masked).equal(torch.stack([whole[:, 0], torch.zeros(12)], 1))
