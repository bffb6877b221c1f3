"""The neighbours of a sequence classifier, and which of many channels it reads."""

from itertools import pairwise

import numpy as np
import pytest
import torch

import ostinato
from ostinato import SequenceClassifier
from ostinato.nn.warped_loops import grouped, warped_distances
from ostinato.tasks.base.warping import WarpedNeighbours
from ostinato.tasks.classify.near import NearBranch, NearPlan
from ostinato.tasks.classify.telling import telling_channels

RNG = np.random.default_rng(0)
SMALL = {"hidden_size": 4, "members": 2, "epochs": 1, "kernels": 84, "convolutions": (4,), "progress": False}


def walks(classes, each, steps=40, seed=0):
    """Sequences of many classes: curves of a class, at a speed that changes."""
    rng = np.random.default_rng(seed)
    curves = np.random.default_rng(1).normal(size=(classes, steps)).cumsum(1)
    targets = np.arange(classes * each) % classes
    places = np.sort(rng.uniform(0, steps - 1, (len(targets), steps)), 1)
    values = [np.interp(place, np.arange(steps), curves[target]) for place, target in zip(places, targets, strict=True)]
    return [value[:, None] + 0.3 * rng.normal(size=(steps, 1)) for value in values], targets


# --- distances -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "channels"), [(1, 1), (16, 2), (37, 5)])
def test_compiled_distances_are_those_of_the_plain_table_alone_and_among_others(count, channels) -> None:
    lengths = RNG.integers(1, 13, count)
    sequences = [RNG.normal(size=(length, channels)).astype(np.float32) for length in lengths]
    block = np.zeros((count, 12, channels), np.float32)
    for row, sequence in enumerate(sequences):
        block[row, : len(sequence)] = sequence
    for steps in (1, 5, 20):
        asked = RNG.normal(size=(steps, channels)).astype(np.float32)
        found = warped_distances(asked, grouped(block), lengths)
        np.testing.assert_allclose(found, WarpedNeighbours(sequences).distances(asked), rtol=1e-5, atol=1e-5)
        alone = [warped_distances(asked, grouped(block[[row]]), lengths[[row]])[0] for row in range(count)]
        assert found.tolist() == alone


def test_a_band_is_at_least_as_far_as_any_path_and_none_at_all_is_the_diagonal() -> None:
    block, asked = RNG.normal(size=(20, 15, 2)).astype(np.float32), RNG.normal(size=(15, 2)).astype(np.float32)
    lengths, groups = np.full(20, 15), grouped(block)
    found = [warped_distances(asked, groups, lengths, band) for band in (0, 1, 4, 14, None)]
    assert all((narrow >= wide - 1e-4).all() for narrow, wide in pairwise(found))
    np.testing.assert_allclose(found[0], ((block - asked) ** 2).sum((1, 2)), rtol=1e-5)
    assert found[3].tolist() == found[4].tolist()


# --- the branch ------------------------------------------------------------------------------------------------------


def near_of(sequences, targets, **plan) -> tuple[NearBranch, list[np.ndarray], np.ndarray]:
    lengths = sorted(map(len, sequences))
    arrays = [each.astype(np.float32) for each in sequences]
    made = NearPlan.within(
        len(arrays), (lengths[0], lengths[len(lengths) // 2], lengths[-1]), arrays[0].shape[1], int(targets.max()) + 1,
        **{"seconds": 5.0, "answer": 0.1, "shaped": True, **plan},
    )  # fmt: skip
    branch = NearBranch(made, masked=False)
    return branch, arrays, branch.fit(arrays, targets, np.ones(len(arrays)))


def test_what_neighbours_say_of_a_training_example_they_say_of_it_once_it_is_gone() -> None:
    sequences, targets = walks(4, 4)
    sequences[3], sequences[7] = sequences[3][:30], sequences[7][:25]  # lengths differ
    branch, arrays, left_out = near_of(sequences, targets)
    rest = NearBranch(NearPlan(15, *list(vars(branch.plan).values())[1:]), masked=False)
    for row in (0, 7):
        others = np.delete(np.arange(16), row)
        rest.fit([arrays[other] for other in others], targets[others], np.ones(15))
        rest.how.copy_(branch.how)
        if not branch.how[0]:  # values as they are: what is kept is the same
            found = rest([torch.from_numpy(arrays[row])])[0].numpy()
            np.testing.assert_allclose(found, left_out[row], rtol=1e-4, atol=1e-4)


def test_a_sequence_has_the_same_scores_alone_and_the_only_one_of_a_class_is_not_judged() -> None:
    sequences, targets = walks(5, 3)
    targets[targets == 4] = 0
    targets[0] = 4
    branch, arrays, left_out = near_of(sequences, targets)
    assert np.isnan(left_out).any(1).tolist() == (targets == 4).tolist()
    asked = [torch.from_numpy(each) for each in [*arrays[:4], arrays[5][:9], np.repeat(arrays[6], 6, 0)]]
    together = branch(asked)
    assert together.isfinite().all()
    assert torch.cat([branch([each]) for each in asked]).equal(together)


def test_a_plan_takes_no_longer_than_it_may_and_of_too_many_sequences_there_is_none() -> None:
    for count in (10, 300, 3000, 30_000):
        for steps in (5, 100, 5000):
            for channels in (1, 40):
                plan = NearPlan.within(count, (steps,) * 3, channels, 3, seconds=2.0, answer=0.01, shaped=True)
                assert plan.seconds <= 2.0
                assert plan.count in (0, count)
                assert plan.count * plan.steps * channels <= 1 << 20
    assert not NearPlan.within(30_000, (100,) * 3, 1, 3, seconds=2.0, answer=0.01, shaped=False).count


@pytest.mark.slow
@pytest.mark.ci
def test_many_classes_of_few_examples_are_told_by_neighbours_which_are_kept_with_the_model(tmp_path) -> None:
    sequences, targets = walks(20, 5)
    asked, wanted = walks(20, 2, seed=5)
    model = SequenceClassifier(**SMALL, test=0.0).fit(sequences, [f"c{target}" for target in targets])
    found = model.predict(asked)
    assert model.summary_.settings["weight of the nearest neighbours"] > "0.1"
    assert np.mean([one == f"c{other}" for one, other in zip(found, wanted, strict=True)]) > 0.9
    again = ostinato.load(model.save(tmp_path / "m"))
    assert again.predict_proba(asked).tolist() == model.predict_proba(asked).tolist()


def test_neighbours_that_say_nothing_are_let_go_and_cost_nothing_afterwards(tmp_path) -> None:
    noise, targets = [RNG.normal(size=(20, 1)) for _ in range(40)], [number % 2 for number in range(40)]
    model = SequenceClassifier(**SMALL, test=0.0).fit(noise, targets)
    network = model.fitted_.model.network
    assert network.near is None
    assert not any("near" in name for name in network.state_dict())
    again = ostinato.load(model.save(tmp_path / "m"))
    assert again.predict_proba(noise).tolist() == model.predict_proba(noise).tolist()


# --- channels --------------------------------------------------------------------------------------------------------


def test_of_many_channels_those_that_tell_something_are_found_and_of_noise_all_are_read() -> None:
    rng, targets = np.random.default_rng(3), np.arange(40) % 2
    noise = [torch.from_numpy(rng.normal(size=(50, 9)).astype(np.float32)) for _ in targets]
    assert telling_channels(noise, targets, 2, 0).all()
    waves = [each.clone() for each in noise]
    for wave, target in zip(waves, targets.tolist(), strict=True):
        wave[:, 4] += torch.sin(torch.arange(50) * (0.3 + 0.3 * target))
    assert np.flatnonzero(telling_channels(waves, targets, 2, 0)).tolist() == [4]
    everywhere = [wave[:, [4] * 9] for wave in waves]
    assert telling_channels(everywhere, targets, 2, 0).all()
