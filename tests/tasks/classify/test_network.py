"""The network of a classifier: padding changes nothing, running pooling is pooling, weights of steps add up."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato import SequenceClassifier, TextClassifier
from ostinato.errors import UsageError
from ostinato.nn.pooling import POOLINGS, Pooling
from ostinato.tasks.base.gradients import gradient_norms
from ostinato.tasks.classify.channels import ChannelEncoder, Steps
from ostinato.tasks.classify.encoding import ExampleBatches, Part, padded, scores_of
from ostinato.tasks.classify.examples import Examples
from ostinato.tasks.classify.fronts import TokenFront
from ostinato.tasks.classify.network import ClassifierNetwork
from ostinato.tasks.classify.panels import step_weights
from ostinato.tasks.classify.sequence_network import SequenceNetwork

ALL = "+".join(POOLINGS)
BASE = {"hidden_size": 6, "num_layers": 2, "dropout": 0.3, "input_dropout": 0.2}
RNG = np.random.default_rng(0)


def network(cell="gru", bidirectional=False, pooling=ALL) -> ClassifierNetwork:
    """A network of three classes, of twenty tokens."""
    options = {**BASE, "cell": cell, "bidirectional": bidirectional, "pooling": pooling}
    front = TokenFront(20, 5, embedding_dropout=0.0, word_dropout=0.0, vectors=None, frozen=False)
    return ClassifierNetwork(TextClassifier(**options), front, 3).eval()


def sequence_network(channels=1, missing=False, lengths=(9, 4, 12), **own) -> tuple[SequenceNetwork, list[np.ndarray]]:
    """A network of three classes of sequences, its wide branch solved for; and the features of the sequences."""
    options = {**BASE, "kernels": 84, "members": 2, **own}
    values = [RNG.normal(size=(length, channels)).astype(np.float32) for length in lengths]
    if missing:
        values[0][0] = np.nan
    items = tuple(map(Steps, values))
    examples = Examples("x", items, tuple("abc"), tuple(f"c{i}" for i in range(channels)))
    encoder = ChannelEncoder.fit(examples, hidden=missing)
    made = SequenceNetwork(SequenceClassifier(**options), encoder)
    arrays = encoder.encode(examples)
    if made.wide is not None:
        made.wide.fit(arrays, np.arange(3), 0, np.ones(3))
        assert made.near is not None
        made.near.fit(arrays, np.arange(3), np.ones(3))
        made.shares.copy_(torch.tensor([0.7, 2.0, 0.5]))
    return made.eval(), arrays


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", ["gru", "slstm", "mingru", "transformer"])
@pytest.mark.slow
@pytest.mark.ci
def test_padding_changes_nothing(cell, bidirectional) -> None:
    own = network(cell, bidirectional)
    texts = [RNG.integers(0, 20, length) for length in (1, 7, 4)]
    together = own(*padded(texts))
    apart = torch.cat([own(*padded([text])) for text in texts])
    torch.testing.assert_close(together, apart, atol=2e-6, rtol=1e-5)
    inputs, lengths = padded(texts)
    inputs[lengths[0] :, 0] = 19  # whatever stands in padding
    torch.testing.assert_close(own(inputs, lengths), together, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("cell", ["gru", "transformer"])
@pytest.mark.parametrize("options", [{}, {"stride": 2}, {"bidirectional": False}, {"convolutions": ()}])
def test_padding_changes_nothing_behind_convolutions_either(options, cell) -> None:
    own, arrays = (
        sequence_network(2, True, (1, 40, 9), convolutions=(6, 5), width=9, cell=cell, **options)
        if "convolutions" not in options
        else sequence_network(2, True, (1, 40, 9), cell=cell, **options)
    )
    with torch.no_grad():
        together = own(*padded(arrays))
        apart = torch.cat([own(*padded([one])) for one in arrays])
        torch.testing.assert_close(together, apart, atol=5e-6, rtol=1e-5)
        inputs, lengths = padded(arrays)
        inputs[lengths[0] :, 0] = 19  # whatever stands in padding
        torch.testing.assert_close(own(inputs, lengths), together, atol=5e-6, rtol=1e-5)


def test_padding_changes_nothing_in_training_but_for_chance() -> None:
    """Batch statistics are those of real steps: with twice the padding they and the scores are the same."""
    own, arrays = sequence_network(2, False, (5, 20, 9), dropout=0.0, input_dropout=0.0, augmentation=0.0)
    own.train()
    inputs, lengths = padded(arrays)
    longer = torch.cat([inputs, torch.full_like(inputs, 7.0)])
    torch.testing.assert_close(own(longer, lengths), own(inputs, lengths), atol=1e-5, rtol=1e-4)


def test_scores_come_back_in_the_order_of_the_examples() -> None:
    own = network()
    texts = [RNG.integers(0, 20, length) for length in (5, 1, 9, 1, 3)]
    expected = np.concatenate([own(*padded([text])).detach().double().numpy() for text in texts])
    np.testing.assert_allclose(scores_of(own, texts), expected, atol=2e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(0, 2**31), st.sampled_from([*POOLINGS, "mean+max", ALL]))
def test_pooling_step_by_step_is_pooling_at_once(steps, seed, kinds) -> None:
    generator = torch.Generator().manual_seed(seed)
    ys = 30 * torch.randn(steps, 1, 4, generator=generator)
    pooling = Pooling(kinds, 4, two_ways=False)
    kept = pooling.start()
    with torch.no_grad():
        for step in range(steps):
            kept = pooling.advance(kept, ys[step])
            lengths = torch.tensor([step + 1])
            torch.testing.assert_close(pooling.finish(kept), pooling(ys, lengths), atol=1e-5, rtol=1e-5)


def test_pooling_is_what_its_name_says() -> None:
    ys, lengths = torch.randn(5, 2, 4), torch.tensor([3, 5])
    rows = [ys[:3, 0], ys[:, 1]]
    means, largest = torch.stack([row.mean(0) for row in rows]), torch.stack([row.amax(0) for row in rows])
    torch.testing.assert_close(Pooling("mean+max", 4, two_ways=False)(ys, lengths), torch.cat([means, largest], -1))
    ends = torch.stack([torch.cat([row[-1, :2], row[0, 2:]]) for row in rows])
    torch.testing.assert_close(Pooling("last", 4, two_ways=True)(ys, lengths), ends)


def test_attention_weights_add_up_to_one_and_padding_has_none() -> None:
    pool = Pooling("max+attention", 4, two_ways=False).attention
    weights = pool.weights(torch.randn(6, 2, 4), torch.tensor([6, 2]))
    torch.testing.assert_close(weights.sum(0), torch.ones(2))
    assert weights[2:, 1].eq(0).all()


@pytest.mark.parametrize("pooling", ["attention", "max"])
def test_each_step_has_a_weight_and_the_largest_is_one(pooling) -> None:
    weights = step_weights(network(pooling=pooling), RNG.integers(0, 20, 7))
    assert weights.shape == (7,)
    assert weights.min() >= 0
    assert weights.max() == 1


@pytest.mark.slow
@pytest.mark.ci
def test_gradients_through_time_are_those_of_numerical_differences() -> None:
    own = sequence_network(pooling="mean", kernels=0, bidirectional=False, convolutions=(4,), width=3)[0].double()
    array = RNG.normal(size=(4, 1))
    xs, lengths = padded([array])
    found = gradient_norms(xs, lengths, lambda read: -own.scores(read, lengths).log_softmax(-1)[0, 1])
    slopes = []
    for step in reversed(range(4)):
        change = np.zeros_like(array)
        change[step] = 1e-5
        losses = [-own(*padded([array + sign * change])).log_softmax(-1)[0, 1].item() for sign in (1, -1)]
        slopes.append(abs(losses[0] - losses[1]) / 2e-5)
    assert found == pytest.approx(slopes, rel=1e-4)


def test_every_example_comes_once_an_epoch_in_as_many_batches_as_are_promised() -> None:
    arrays = [np.full(1 + number % 7, number) for number in range(103)]
    part = Part(Examples("x", tuple(arrays), None), arrays, np.arange(103))
    batches = ExampleBatches(part, batch_size=4, seed=3)
    epochs = [list(batches.batches(epoch)) for epoch in (0, 1, 0)]
    for epoch in epochs:
        assert len(epoch) == len(batches)
        assert sorted(int(own) for batch in epoch for own in batch.data.targets) == list(range(103))
        for batch in epoch:
            for column, (length, target) in enumerate(zip(batch.data.lengths, batch.data.targets, strict=True)):
                assert batch.data.inputs[:length, column].eq(target).all()
    firsts = [epoch[0].data.targets.tolist() for epoch in epochs]
    assert firsts[0] == firsts[2] != firsts[1]


def test_words_that_are_dropped_are_read_as_unknown() -> None:
    front = TokenFront(5, 3, embedding_dropout=0.0, word_dropout=0.5, vectors=None, frozen=False)
    vectors, _ = front(torch.full((1000, 1), 4), torch.tensor([1000]))
    unknown = (vectors[:, 0] == front.embedding.weight[1]).all(-1)
    known = (vectors[:, 0] == front.embedding.weight[4]).all(-1)
    assert (unknown ^ known).all()
    assert unknown.double().mean().item() == pytest.approx(0.5, abs=0.06)


def test_values_that_are_dropped_are_marked_as_missing() -> None:
    own, _ = sequence_network(2, True, value_dropout=0.3, augmentation=0.0)
    features = torch.cat([torch.ones(500, 1, 2), torch.zeros(500, 1, 2)], -1)
    found = own.train()._changed(features, torch.tensor([500]))
    assert (found[..., :2] + found[..., 2:4]).eq(1).all()
    assert found[..., 2:4].mean().item() == pytest.approx(0.3, abs=0.05)
    assert own.eval()._changed(features, torch.tensor([500])) is features


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"pooling": "min"}, "pooling is 'min'; expected last, mean, max, attention"),
        ({"pooling": "max+max"}, "pooling is 'max"),
        ({"hidden_size": 0}, "hidden_size is 0"),
        ({"word_dropout": 1.0}, "word_dropout is 1.0"),
        ({"cell": "transformer", "weight_drop": 0.2}, "a transformer has none"),
        ({"cell": "elman"}, 'cell "elman" is not known'),
        ({"embedding_size": 0}, "embedding_size is 0"),
    ],
)
def test_parameters_that_cannot_be_meant_are_refused(options, said) -> None:
    with pytest.raises(UsageError, match=said):
        TextClassifier(progress=False, **options).fit((["a", "b"] * 20, [0, 1] * 20))
