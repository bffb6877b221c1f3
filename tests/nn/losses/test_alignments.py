"""CTC and the transducer against sums over every alignment."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.errors import UsageError
from ostinato.nn import losses

# --- CTC -------------------------------------------------------------------------------------------------------------


def _collapsed(path):
    return [label for label, _ in itertools.groupby(path) if label]


def _all_sequences(logs):
    """Return the log-probability of every label sequence, from every path."""
    found = {}
    for path in itertools.product(range(logs.shape[1]), repeat=logs.shape[0]):
        key = tuple(_collapsed(path))
        value = sum(float(logs[t, label]) for t, label in enumerate(path))
        found[key] = math.log(math.exp(found.get(key, -math.inf)) + math.exp(value))
    return found


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 5))
def test_ctc_sums_over_every_alignment(seed, steps) -> None:
    torch.manual_seed(seed)
    scores = 2 * torch.randn(5, 2, 3, dtype=torch.double)
    every = _all_sequences(scores[:steps, 0].log_softmax(-1))
    labels = list(max((key for key in every if key), key=len, default=()))
    targets = torch.ones(5, 2, dtype=torch.long)
    targets[: len(labels), 0] = torch.tensor(labels, dtype=torch.long)
    found = losses.ctc_loss(scores, targets, torch.tensor([steps, 5]), torch.tensor([len(labels), 1]), reduction="none")
    assert float(found[0]) == pytest.approx(-every[tuple(labels)])


@pytest.mark.parametrize("seed", range(5))
def test_prefix_beam_search_finds_the_most_likely_labels(seed) -> None:
    torch.manual_seed(seed)
    scores = 2 * torch.randn(5, 1, 3, dtype=torch.double)
    every = _all_sequences(scores[:, 0].log_softmax(-1))
    ranked = sorted(every.items(), key=lambda item: -item[1])
    (found,) = losses.ctc_beam_search(scores, torch.tensor([5]), beam_size=200)
    for (labels, log), (expected, value) in zip(found[:5], ranked, strict=False):
        assert tuple(labels) == expected
        assert log == pytest.approx(value)
    # a language model that knows only twos
    (twos,) = losses.ctc_beam_search(
        scores, torch.tensor([5]), beam_size=200, language=lambda _, label: 0.0 if label == 2 else -100.0
    )
    assert set(twos[0][0]) <= {2}


def test_greedy_labels_leave_repeats_and_blanks_out() -> None:
    best = torch.tensor([[1, 1, 0, 1, 2, 2, 0], [0, 0, 3, 3, 3, 1, 1]]).t()
    scores = torch.nn.functional.one_hot(best, 4).double()
    assert losses.ctc_greedy(scores, torch.tensor([7, 4])) == [[1, 1, 2], [3]]


@pytest.mark.parametrize("labels", [[1], [1, 1], [1, 2, 1], []])
def test_an_alignment_is_the_best_of_all_that_say_the_labels(labels) -> None:
    torch.manual_seed(1)
    scores = torch.randn(5, 3, dtype=torch.double)
    logs = scores.log_softmax(-1)
    paths = [path for path in itertools.product(range(3), repeat=5) if _collapsed(path) == labels]
    best = max(paths, key=lambda path: sum(float(logs[t, label]) for t, label in enumerate(path)))
    aligned = losses.ctc_align(scores, labels)
    assert tuple(labels[place] if place >= 0 else 0 for place in aligned) == best


def test_rows_that_are_too_short_are_named_or_left_out() -> None:
    scores, targets = torch.randn(4, 2, 3), torch.tensor([[1, 1], [1, 1], [1, 1]])
    lengths, labels = torch.tensor([4, 4]), torch.tensor([1, 3])
    with pytest.raises(UsageError, match="row 1 has 4 steps for 3 labels, which need 5"):
        losses.ctc_loss(scores, targets, lengths, labels)
    found = losses.ctc_loss(scores, targets, lengths, labels, impossible="zero", reduction="none")
    assert found[1] == 0
    assert found[0] > 0
    with pytest.raises(UsageError, match="holds label 0"):
        losses.ctc_loss(scores, torch.zeros(3, 2, dtype=torch.long), lengths, labels)
    with pytest.raises(UsageError, match="1 steps are too few for 2 labels"):
        losses.ctc_align(scores[:1, 0], [1, 2])


# --- the transducer --------------------------------------------------------------------------------------------------


def _every_walk(logs, labels):
    """Return the likelihood of labels from every walk through the lattice of one row, `(time, nodes, classes)`."""
    time, total = logs.shape[0], -math.inf
    for said_at in itertools.combinations_with_replacement(range(time), len(labels)):
        log, u = 0.0, 0
        for t in range(time):
            while u < len(labels) and said_at[u] == t:
                log += float(logs[t, u, labels[u]])
                u += 1
            log += float(logs[t, u, 0])
        total = math.log(math.exp(total) + math.exp(log))
    return -total


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 3)), min_size=1, max_size=3))
def test_the_transducer_sums_over_every_walk(rows) -> None:
    torch.manual_seed(0)
    lengths, labels = (torch.tensor(own) for own in zip(*rows, strict=True))
    scores = torch.randn(len(rows), 4, 4, 3, dtype=torch.double)
    targets = torch.randint(1, 3, (3, len(rows)))
    found = losses.transducer_loss(scores, targets, lengths, labels, reduction="none")
    for row, (time, count) in enumerate(rows):
        own = targets[:count, row].tolist()
        expected = _every_walk(scores[row, :time].log_softmax(-1), own)
        assert float(found[row]) == pytest.approx(expected)


def test_the_transducers_gradient_is_right_and_zero_where_padded() -> None:
    torch.manual_seed(0)
    scores = torch.randn(3, 4, 3, 3, dtype=torch.double, requires_grad=True)
    targets, lengths, labels = torch.randint(1, 3, (2, 3)), torch.tensor([4, 2, 1]), torch.tensor([2, 1, 0])

    def run(scores):
        return losses.transducer_loss(scores, targets, lengths, labels, reduction="none")

    assert torch.autograd.gradcheck(run, (scores,))
    (grad,) = torch.autograd.grad(run(scores).sum(), scores)
    for row in range(3):
        assert (grad[row, lengths[row] :] == 0).all()
        assert (grad[row, :, labels[row] + 1 :] == 0).all()


def test_float32_comes_near_float64_on_a_long_lattice() -> None:
    torch.manual_seed(0)
    scores, targets = 3 * torch.randn(2, 200, 31, 20), torch.randint(1, 20, (30, 2))
    lengths, labels = torch.tensor([200, 150]), torch.tensor([30, 22])
    single = losses.transducer_loss(scores, targets, lengths, labels)
    double = losses.transducer_loss(scores.double(), targets, lengths, labels)
    assert float(single) == pytest.approx(float(double), rel=1e-5)


def test_a_transducer_learns_and_decodes_in_pieces_as_in_one() -> None:
    torch.manual_seed(0)
    embedding, cell = torch.nn.Embedding(4, 12), torch.nn.GRUCell(12, 12)
    encoder, joint = torch.nn.GRU(4, 16), losses.Joint(16, 12, 16, 4)
    modules = torch.nn.ModuleList([embedding, cell, encoder, joint])
    optimiser = torch.optim.Adam(modules.parameters(), 0.02)

    def predict(label, state):
        state = cell(embedding(label), state)
        return state, state

    said = torch.tensor([[1, 2, 3], [3, 1, 1], [2, 2, 1], [3, 3, 2]]).t()
    frames = torch.nn.functional.one_hot(said, 4).float().repeat_interleave(2, 0)
    frames[1::2] = 0
    for _ in range(150):
        state, predictions = torch.zeros(4, 12), []
        for label in torch.cat([torch.zeros(1, 4, dtype=torch.long), said]):
            prediction, state = predict(label, state)
            predictions.append(prediction)
        scores = joint(encoder(frames)[0], torch.stack(predictions))
        loss = losses.transducer_loss(scores, said, torch.full((4,), 6), torch.full((4,), 3))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        heard, start = encoder(frames)[0], (None, torch.zeros(4, 12))
        whole, _ = losses.transducer_greedy(heard, torch.full((4,), 6), joint, predict, start)
        first, middle = losses.transducer_greedy(heard[:3], torch.full((4,), 3), joint, predict, start)
        second, _ = losses.transducer_greedy(heard[3:], torch.full((4,), 3), joint, predict, middle)
    assert whole == said.t().tolist()
    assert [a + b for a, b in zip(first, second, strict=True)] == whole
