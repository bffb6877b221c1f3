"""The transducer against the sum over every path of the lattice, and its decoders against its loss and each other."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.cells import LSTMCell
from ostinato.errors import ShapeError, UsageError
from ostinato.nn import losses

seeds = st.integers(0, 2**16)


def _random(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _over_all_paths(logits, labels, blank):
    """Return the loss of `(time, labels + 1, classes)` logits by writing out every path, differentiable."""
    scores = logits.log_softmax(-1)
    time, count = logits.shape[0], len(labels)
    totals = []
    # a path is the frames at which its labels are said, in order
    for frames in itertools.combinations_with_replacement(range(time), count):
        score = sum(scores[frame, u, label] for u, (frame, label) in enumerate(zip(frames, labels, strict=True)))
        totals.append(score + sum(scores[t, sum(frame <= t for frame in frames), blank] for t in range(time)))
    return -torch.stack([torch.as_tensor(total) for total in totals]).logsumexp(0)


@settings(deadline=None, max_examples=30)
@given(
    seed=seeds,
    blank=st.integers(0, 2),
    rows=st.lists(st.tuples(st.integers(1, 4), st.lists(st.integers(0, 1), max_size=3)), min_size=1, max_size=3),
)
def test_loss_and_gradient_are_those_over_all_paths_whatever_stands_in_padding(seed, blank, rows) -> None:
    others = [label for label in range(3) if label != blank]
    rows = [(steps, [others[i] for i in labels]) for steps, labels in rows]
    logits = torch.full((5, 5, len(rows), 3), float("nan"), dtype=torch.float64)
    targets = torch.full((len(rows), 4), 99)
    for row, (steps, labels) in enumerate(rows):
        logits[:steps, : len(labels) + 1, row] = _random(seed + row, steps, len(labels) + 1, 3)
        targets[row, : len(labels)] = torch.tensor(labels, dtype=torch.long)
    logits.requires_grad_()
    lengths, target_lengths = torch.tensor([r[0] for r in rows]), torch.tensor([len(r[1]) for r in rows])
    found = losses.transducer_loss(logits, targets, lengths, target_lengths, blank=blank, reduction="none")
    weight = torch.arange(1.0, len(rows) + 1)
    (found * weight).sum().backward()
    for row, (steps, labels) in enumerate(rows):
        alone = logits.detach()[:steps, : len(labels) + 1, row].clone().requires_grad_()
        expected = _over_all_paths(alone, labels, blank)
        (expected * weight[row]).backward()
        torch.testing.assert_close(found[row], expected, rtol=1e-12, atol=1e-12)
        gradient = logits.grad[:, :, row].clone()
        torch.testing.assert_close(gradient[:steps, : len(labels) + 1], alone.grad, rtol=1e-10, atol=1e-12)
        gradient[:steps, : len(labels) + 1] = 0
        assert not gradient.any()


def test_a_padded_row_is_exactly_the_row_alone() -> None:
    logits = torch.randn(9, 5, 2, 6)
    targets = torch.tensor([[1, 2, 3, 4], [5, 5, 0, 0]])
    found = losses.transducer_loss(logits, targets, torch.tensor([9, 6]), torch.tensor([4, 2]), reduction="none")
    alone = losses.transducer_loss(logits[:6, :3, 1:], targets[1:, :2], reduction="none")
    assert torch.equal(found[1:], alone)


def test_gradient_is_right() -> None:
    logits = _random(3, 4, 3, 2, 3).requires_grad_()
    targets, lengths, target_lengths = torch.tensor([[1, 1], [2, 0]]), torch.tensor([4, 2]), torch.tensor([2, 1])
    assert torch.autograd.gradcheck(
        lambda x: losses.transducer_loss(x, targets, lengths, target_lengths, reduction="none"), logits
    )


def test_float32_stays_close_to_float64_on_long_paths() -> None:
    logits, targets = torch.randn(150, 31, 2, 8), torch.randint(1, 8, (2, 30))
    gradients = []
    for dtype in (torch.float32, torch.float64):
        x = logits.detach().clone().to(dtype).requires_grad_()
        losses.transducer_loss(x, targets, reduction="sum").backward()
        gradients.append(x.grad.double())
    torch.testing.assert_close(*gradients, rtol=0, atol=3e-6)


def test_bfloat16_is_computed_in_float32() -> None:
    logits, targets = torch.randn(5, 3, 2, 4).bfloat16(), torch.tensor([[1, 2], [3, 3]])
    assert torch.equal(losses.transducer_loss(logits, targets), losses.transducer_loss(logits.float(), targets))


def test_nothing_as_large_as_the_logits_is_kept_but_the_logits() -> None:
    logits, targets = torch.randn(20, 9, 4, 200, requires_grad=True), torch.randint(1, 200, (4, 8))
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x) or x, lambda x: x):
        losses.transducer_loss(logits, targets)
    others = [x for x in kept if x.data_ptr() != logits.data_ptr()]
    assert len(others) < len(kept)
    places = 29 * 9 * 4  # the lattice by its anti-diagonals
    assert sum(x.numel() * x.element_size() for x in others) < 4 * 8 * places


def test_chunks_of_the_normaliser_change_nothing(monkeypatch) -> None:
    logits, targets = torch.randn(7, 3, 2, 5), torch.tensor([[1, 2], [3, 4]])
    whole = losses.transducer_loss(logits, targets)
    monkeypatch.setattr("ostinato.nn.losses.transducer._CHUNK", 64)
    assert torch.equal(losses.transducer_loss(logits, targets), whole)


def test_reductions_are_over_rows() -> None:
    logits, targets = torch.randn(4, 3, 3, 5), torch.randint(1, 5, (3, 2))
    none = losses.transducer_loss(logits, targets, reduction="none")
    torch.testing.assert_close(losses.transducer_loss(logits, targets), none.mean())
    torch.testing.assert_close(losses.transducer_loss(logits, targets, reduction="sum"), none.sum())


def _model(classes=4):
    predictor = losses.TransducerPredictor(classes, 5, lambda size: LSTMCell(size, 6), num_layers=2).double()
    joint = losses.TransducerJoint(3, 6, 8, classes).double()
    with torch.no_grad():
        joint.output.weight *= 4  # decided enough that labels and blanks mix
    return predictor, joint


@pytest.mark.slow
@pytest.mark.ci
def test_padding_changes_nothing_for_the_whole_model() -> None:
    predictor, joint = _model()
    encoded, targets = _random(1, 6, 2, 3), torch.tensor([[1, 2, 3], [2, 77, 77]])
    logits = joint(encoded, predictor(targets, torch.tensor([3, 1])))
    found = losses.transducer_loss(logits, targets, torch.tensor([6, 4]), torch.tensor([3, 1]), reduction="none")
    alone = losses.transducer_loss(joint(encoded[:4, 1:], predictor(targets[1:, :1])), targets[1:, :1])
    torch.testing.assert_close(found[1], alone, rtol=1e-12, atol=1e-12)


def test_the_predictor_reads_steps_as_it_reads_a_sequence() -> None:
    predictor, _ = _model()
    targets = torch.tensor([[1, 2, 3], [2, 1, 1]])
    whole = predictor(targets)
    output, state = predictor.start(2)
    outputs = [output]
    for labels in targets.T:
        output, state = predictor.step(labels, state)
        outputs.append(output)
    torch.testing.assert_close(torch.stack(outputs), whole, rtol=1e-12, atol=1e-12)


def _greedy_by_hand(predictor, joint, frames, max_symbols):
    labels = []
    for frame in frames:
        for _ in range(max_symbols):
            said = joint(frame[None, None], predictor(torch.tensor([labels], dtype=torch.long))[-1:])[0, 0, 0]
            if said.argmax() == 0:
                break
            labels.append(int(said.argmax()))
    return labels


@pytest.mark.parametrize("seed", range(4))
def test_greedy_decoding_of_a_padded_batch_is_the_definition_row_by_row(seed) -> None:
    torch.manual_seed(seed)
    predictor, joint = _model()
    encoded, lengths = _random(seed, 6, 3, 3), torch.tensor([6, 3, 0])
    found = losses.transducer_greedy(predictor, joint, encoded, lengths, max_symbols=2)
    for row, length in enumerate(lengths):
        assert found[row] == _greedy_by_hand(predictor, joint, encoded[:length, row], 2)
    stream = losses.GreedyTransducer(predictor, joint, max_symbols=2)
    assert [label for frame in encoded[:, :1] for label in stream.push(frame)[0]] == found[0]
    stream.reset()
    assert [label for frame in encoded[:, :1] for label in stream.push(frame)[0]] == found[0]


@pytest.mark.parametrize("seed", range(4))
def test_a_wide_beam_gives_every_labelling_the_probability_of_the_loss(seed) -> None:
    torch.manual_seed(seed)
    predictor, joint = _model(classes=3)
    encoded = _random(seed, 3, 1, 3)
    found = losses.transducer_beam_search(predictor, joint, encoded, torch.tensor([2]), beam_size=10000, max_symbols=3)[
        0
    ]
    assert len(found) == sum(2**n for n in range(7))  # labellings of up to two times three labels
    assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)
    for hypothesis in found:
        if len(hypothesis.labels) <= 3:  # longer ones have paths with more labels at a frame than were tried
            targets = torch.tensor([hypothesis.labels], dtype=torch.long)
            loss = losses.transducer_loss(joint(encoded[:2], predictor(targets)), targets)
            assert hypothesis.score == pytest.approx(-loss.item(), abs=1e-9)


def test_a_beam_keeps_its_size_and_is_no_worse_than_greedy() -> None:
    predictor, joint = _model()
    encoded = _random(5, 5, 2, 3)
    greedy = losses.transducer_greedy(predictor, joint, encoded, max_symbols=3)
    found = losses.transducer_beam_search(predictor, joint, encoded, beam_size=30)
    for row in range(2):
        assert len(found[row]) == 30
        targets = torch.tensor([greedy[row]], dtype=torch.long)
        loss = losses.transducer_loss(joint(encoded[:, row : row + 1], predictor(targets)), targets)
        assert found[row][0].score >= -loss.item() - 1e-3  # the loss also has paths with more labels at a frame


@pytest.mark.slow
@pytest.mark.ci
def test_training_learns_a_small_transduction() -> None:
    torch.manual_seed(0)
    predictor, joint = (part.float() for part in _model())
    encoded = torch.nn.functional.one_hot(torch.tensor([[0, 1, 2, 2, 0, 1]]).T, 3).float()
    targets = torch.tensor([[1, 2, 1, 3]])
    parameters = [*predictor.parameters(), *joint.parameters()]
    optimiser = torch.optim.Adam(parameters, 0.05)
    for _ in range(80):
        optimiser.zero_grad()
        loss = losses.transducer_loss(joint(encoded, predictor(targets)), targets)
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.1
    best = losses.transducer_beam_search(predictor, joint, encoded, max_symbols=4)[0][0]
    assert best.labels == (1, 2, 1, 3)
    loss = losses.transducer_loss(joint(encoded, predictor(targets)), targets)
    assert best.score == pytest.approx(-loss.item(), abs=0.01)


def test_what_does_not_fit_is_refused() -> None:
    logits, targets = torch.zeros(4, 3, 2, 5), torch.tensor([[1, 2], [3, 4]])
    with pytest.raises(ShapeError, match=r"targets has shape \(2, 3\); expected \(2, 2\), \(batch, labels\)"):
        losses.transducer_loss(logits, torch.ones(2, 3, dtype=torch.long))
    with pytest.raises(ShapeError, match="row 1 of lengths is 0; expected 1 to 4"):
        losses.transducer_loss(logits, targets, torch.tensor([4, 0]))
    with pytest.raises(UsageError, match="row 1, label 0: targets is 3, which is the blank"):
        losses.transducer_loss(logits, targets, blank=3)
    with pytest.raises(UsageError, match="blank is 5"):
        losses.transducer_loss(logits, targets, blank=5)
    with pytest.raises(UsageError, match="max_symbols is 0"):
        losses.GreedyTransducer(*_model(), max_symbols=0)
    with pytest.raises(UsageError, match="beam_size is 0"):
        losses.transducer_beam_search(*_model(), torch.zeros(2, 1, 3), beam_size=0)
