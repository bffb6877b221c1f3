"""Sequence classifiers keep their time: what is planned for any shape of data, and what is cut when it takes longer."""

import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato import SequenceClassifier
from ostinato.errors import OutOfTime
from ostinato.nn.competing_kernels import CompetingKernels
from ostinato.tasks.base.allowance import Allowance
from ostinato.tasks.classify import channels, wide
from ostinato.tasks.classify.channels import ChannelEncoder
from ostinato.tasks.classify.encoding import Part
from ostinato.tasks.classify.examples import Examples
from ostinato.tasks.classify.plan import Plan
from ostinato.tasks.classify.sequence_baselines import Neighbours, _coarser
from ostinato.tasks.classify.steps import SequenceReading, Steps
from ostinato.tasks.classify.weighing import left_out_scores, starts
from ostinato.tasks.classify.wide import WideBranch, _trials, in_turn
from ostinato.tasks.classify.wide_plan import KERNELS, WidePlan


def _encoder(count, shortest, longest, width, classes):
    names = tuple(f"c{i}" for i in range(width))
    usual = (shortest + longest + 1) // 2
    return ChannelEncoder(
        classes=SimpleNamespace(names=list(range(classes))) if classes is None else _Named(classes),
        channels=names, center=np.zeros(width), scale=np.ones(width), masked=False, gap=None,
        reading=SequenceReading(names), lengths=(shortest, usual, longest), count=count,
    )  # fmt: skip


class _Named(list):
    """Classes of which only the number counts."""

    def __init__(self, count):
        super().__init__(range(count))


# --- what is planned -------------------------------------------------------------------------------------------------

SHAPES = st.tuples(
    st.integers(20, 5000), st.integers(1, 5000), st.integers(20, 5000), st.integers(1, 12), st.integers(2, 60)
)


@settings(max_examples=100, deadline=None)
@given(SHAPES, st.sampled_from([2.0, 8.0, 30.0, 300.0]))
def test_the_parts_of_a_fit_add_up_to_its_time_limit_and_memory_is_bounded(shape, limit) -> None:
    count, one, other, width, classes = shape
    parameters = SequenceClassifier(max_seconds=limit)
    plan = Plan.of(parameters, _encoder(count, min(one, other), max(one, other), width, classes))
    branch, rest = plan.wide, count * 0.15 / 0.85
    assert branch.seconds <= 0.3 * limit + 1.0
    assert plan.training_seconds + branch.seconds + rest * branch.answer_seconds <= 1.1 * limit + 1.0
    assert 500 * branch.answer_seconds <= limit + 0.5
    assert branch.solved * branch.features <= 3.1e7
    assert branch.solved >= min(count, 100)
    if limit < 30 and count * (one + other) > 1e7:
        assert plan.smaller, "what was made smaller is said"


def test_small_sets_are_not_made_smaller_and_those_without_a_limit_say_nothing() -> None:
    plan = Plan.of(SequenceClassifier(max_seconds=30.0), _encoder(100, 150, 150, 1, 3))
    assert (plan.wide.kernels, plan.wide.coarser, plan.wide.solved, plan.smaller) == (KERNELS, 1, 100, ())
    assert plan.training_seconds > 25
    free = Plan.of(SequenceClassifier(), _encoder(5000, 5000, 5000, 12, 60))
    assert free.training_seconds is None
    assert free.smaller == ()
    assert free.wide.seconds < 25


def test_a_model_is_of_the_same_shape_whenever_it_is_planned() -> None:
    """A model that is read from a folder is planned again: by sizes, never by a clock."""
    encoder = _encoder(3000, 100, 2500, 3, 9)
    assert Plan.of(SequenceClassifier(max_seconds=8.0), encoder) == Plan.of(
        SequenceClassifier(max_seconds=8.0), encoder
    )


# --- what is cut when it takes longer --------------------------------------------------------------------------------


def _waves(count, classes=3, length=60, seed=0):
    rng = np.random.default_rng(seed)
    targets = np.arange(count) % classes
    steps = np.arange(length)
    waves = [np.sin(steps * (0.2 + 0.3 * target)) + rng.normal(0, 0.2, length) for target in targets]
    return [wave[:, None].astype(np.float32) for wave in waves], targets


def test_features_that_take_too_long_are_made_of_fewer_examples_of_every_class(monkeypatch) -> None:
    arrays, targets = _waves(300)
    branch = WideBranch(WidePlan(300, (60, 60, 60), 1, 3, kernels=84, groups=2), values=1, masked=False)
    clock = iter(range(0, 10_000, 100))
    monkeypatch.setattr(wide, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    left_out = branch.fit(arrays, targets, 0, np.ones(300), limited=True)
    solved = ~np.isnan(left_out).any(1)
    assert branch.solved == solved.sum() == 64
    assert np.bincount(targets[solved]).min() >= 20
    assert (left_out[solved].argmax(1) == targets[solved]).mean() > 0.9
    assert (branch([torch.from_numpy(each) for each in arrays]).argmax(1).numpy() == targets).mean() > 0.9


def test_what_counts_beside_values_is_tried_with_what_is_known_before() -> None:
    for names in (("levels", "changes", "patterns", "statistics"), ("levels", "changes", "ends", "patterns")):
        shares, before = _trials(names)
        assert len(shares) == len(before) == len({tuple(each) for each in shares.tolist()})
        assert (shares[:, [names.index(name) for name in ("levels", "ends") if name in names]].max(1) > 0).all()
        assert before.sum() <= 1 + 1e-9
        assert (shares[before.argmax()] > 0).sum() == (1 if "ends" not in names else 2)


def test_rows_come_in_turn_so_that_every_beginning_has_every_class() -> None:
    targets = np.repeat([0, 1, 2, 3], [1000, 10, 1, 89])
    order = in_turn(targets, np.random.default_rng(0))
    assert sorted(order.tolist()) == list(range(1100))
    assert set(targets[order[:4]]) == {0, 1, 2, 3}
    assert 900 / 1100 < (targets[order[:200]] == 0).mean() < 1000 / 1100


def test_networks_are_asked_of_what_they_left_out_only_as_long_as_there_is_time(fitted) -> None:
    model, part = fitted
    every = left_out_scores(model.network, part, 0)
    some = left_out_scores(model.network, part, 0, seconds=0.0)
    assert 0 < len(some.targets) <= 128
    assert len(every.targets) >= len(some.targets)
    with torch.no_grad():
        for fold, member in enumerate(model.network.members):
            assert member is model.network.members[fold]
    assert all(scores.shape == (len(every.targets), 3) for scores in every.scores)


@pytest.fixture(scope="module")
def fitted():
    arrays, targets = _waves(60)
    model = SequenceClassifier(
        hidden_size=4, convolutions=(8,), members=2, kernels=84, epochs=1, max_seconds=60.0, test=0.0, progress=False
    )
    model.fit(arrays, targets)
    found = model.fitted_.model
    return found, model.task.encode(found, model.task.read(found.parameters, (arrays, targets)))


def test_networks_that_saw_little_start_with_less_weight(fitted) -> None:
    model, _ = fitted
    many, few = (starts(SimpleNamespace(wide=model.network.wide), np.zeros(count)) for count in (240, 20))
    assert few[0] < many[0] < 0.6
    assert sum(few) == sum(many) == 1
    assert starts(SimpleNamespace(wide=None), np.zeros(9)) == [1.0]


def test_channels_are_measured_a_block_at_a_time_as_all_at_once(monkeypatch) -> None:
    rng = np.random.default_rng(0)
    items = [Steps((rng.normal(3, 2, (length, 2)) * [1, 100]).astype(np.float32)) for length in (5, 1, 40, 17, 30)]
    items[2].values[3:9, 1] = np.nan
    examples = Examples("data", tuple(items), ("a", "b", "a", "b", "a"), ("x", "y"))
    whole = ChannelEncoder.fit(examples, hidden=False)
    monkeypatch.setattr(channels, "_HELD", 20)
    parts = ChannelEncoder.fit(examples, hidden=False)
    rows = np.concatenate([item.values for item in items]).astype(np.float64)
    for found in (whole, parts):
        assert found.masked
        np.testing.assert_allclose(found.center, np.nanmean(rows, 0), rtol=1e-12)
        np.testing.assert_allclose(found.scale, np.nanstd(rows, 0), rtol=1e-12)


def test_what_was_encoded_is_not_encoded_again_but_by_another_encoder() -> None:
    arrays, targets = _waves(6)
    examples = Examples("data", tuple(Steps(each) for each in arrays), tuple(targets.tolist()), ("x",))
    one = ChannelEncoder.fit(examples, hidden=False)
    other = ChannelEncoder.fit(examples.part(np.arange(3)), hidden=False)
    assert one.encode(examples) is one.encode(examples)
    assert not np.allclose(one.encode(examples)[0], other.encode(examples)[0])
    assert one.encode(examples.part(np.arange(6))) is not one.encode(examples)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(200, 1500, 1, 20), (1500, 300, 6, 5), (40, 5000, 2, 2)])
def test_a_fit_ends_in_time(shape) -> None:
    """A third more than its limit, and twenty seconds for baselines, pictures and what is compiled at first."""
    count, length, width, classes = shape
    rng = np.random.default_rng(0)
    data = list(rng.normal(size=(count, length, width)).astype(np.float32))
    began = time.monotonic()
    SequenceClassifier(max_seconds=6.0, progress=False).fit(data, (np.arange(count) % classes).tolist())
    assert time.monotonic() - began < 1.3 * 6 + 20


# --- kernels that compete --------------------------------------------------------------------------------------------


def test_competing_kernels_are_counted_as_by_a_loop_over_steps() -> None:
    torch.manual_seed(0)
    sequences = [torch.randn(length, 3) for length in (40, 25, 40)]
    kernels = CompetingKernels(3, 40, groups=3)
    kernels.fit(seed=1)
    found = kernels(sequences).view(3, len(kernels.dilations), 3, 16)
    for row, sequence in enumerate(sequences):
        for place, dilation in enumerate(kernels.dilations):
            padded = np.pad(sequence.numpy(), ((4 * dilation, 4 * dilation), (0, 0)))
            wanted = np.zeros((3, 16))
            for step in range(len(sequence)):
                seen = padded[step : step + 8 * dilation + 1 : dilation]
                outputs = np.einsum("kct,tc->k", kernels.weights[place].numpy(), seen).reshape(3, 8)
                for group, each in enumerate(outputs):
                    wanted[group, each.argmax()] += each.max()
                    wanted[group, 8 + each.argmin()] += 1
            np.testing.assert_allclose(found[row, place], np.sqrt(np.maximum(wanted, 0) / len(sequence)), atol=1e-4)


def test_rounding_decides_nothing_where_all_steps_are_alike() -> None:
    kernels = CompetingKernels(1, 64, groups=4)
    kernels.fit(seed=0)
    flat = torch.full((64, 1), 3.3333)
    alone, beside = kernels([flat]), kernels([flat] * 5)
    assert alone[0].equal(beside[3])
    inside = kernels([torch.full((64, 1), 0.0)]).view(len(kernels.dilations), 4, 16)
    assert inside[..., :8].eq(0).all()
    assert inside[..., 8:].eq(1).all()


# --- what stands beside ----------------------------------------------------------------------------------------------


def test_coarser_steps_are_means_of_those_that_are_there() -> None:
    rng = np.random.default_rng(0)
    sequence = rng.normal(size=(11, 2))
    sequence[[0, 4, 5, 6, 7], [0, 1, 1, 1, 1]] = np.nan
    found = _coarser(sequence, 4)
    with np.errstate(invalid="ignore"):
        wanted = np.stack([np.nanmean(sequence[first : first + 4], 0) for first in (0, 8)])
    np.testing.assert_allclose(found[[0, 2]], wanted)
    assert np.isnan(found[1, 1])
    assert found[1, 0] == pytest.approx(sequence[4:8, 0].mean())
    assert _coarser(sequence, 1) is sequence


def test_neighbours_are_as_many_as_there_is_time_for() -> None:
    arrays, targets = _waves(300, length=100)
    examples = Examples("data", tuple(map(Steps, arrays)), tuple(targets.tolist()), ("x",))
    part = Part(examples, arrays, targets)
    neighbours = Neighbours.fit(part, np.zeros(1), np.ones(1), 1.0, 0)
    assert neighbours._kept([100] * 300, 1) == 300
    with Allowance(1.0, 1).piece():
        assert 20 <= neighbours._kept([100] * 300, 1) < 100
    with Allowance(0.01, 1).piece(), pytest.raises(OutOfTime):
        neighbours.predict(part)
