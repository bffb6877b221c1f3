"""CTC against the sum and the maximum over every path there is."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.errors import ShapeError, UsageError
from ostinato.nn import losses

seeds = st.integers(0, 2**16)


def _merged(path, blank=0):
    return tuple(label for label, _ in itertools.groupby(path) if label != blank)


def _paths(logits, blank=0):
    """Yield every path of `(time, classes)` logits, its labelling and its log-probability."""
    scores = torch.log_softmax(logits, -1).tolist()
    for path in itertools.product(range(logits.shape[-1]), repeat=len(scores)):
        yield path, _merged(path, blank), sum(row[label] for row, label in zip(scores, path, strict=True))


def _labellings(logits, blank=0):
    found = {}
    for _, labels, score in _paths(logits, blank):
        found[labels] = found.get(labels, 0.0) + math.exp(score)
    return found


def _logits(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(deadline=None, max_examples=40)
@given(
    seed=seeds,
    blank=st.integers(0, 2),
    rows=st.lists(st.tuples(st.integers(0, 5), st.lists(st.integers(0, 1), max_size=4)), min_size=1, max_size=3),
)
def test_loss_and_alignment_are_the_sum_and_the_maximum_over_all_paths(seed, blank, rows) -> None:
    others = [label for label in range(3) if label != blank]
    rows = [(steps, tuple(others[i] for i in labels)) for steps, labels in rows]
    needs = [len(labels) + sum(a == b for a, b in itertools.pairwise(labels)) for _, labels in rows]
    rows = [(max(steps, need), labels) for (steps, labels), need in zip(rows, needs, strict=True)]
    logits = _logits(seed, 9, len(rows), 3)
    targets = torch.full((len(rows), 5), 77)
    for row, (steps, labels) in enumerate(rows):
        logits[steps:, row] = float("nan")
        targets[row, : len(labels)] = torch.tensor(labels, dtype=torch.long)
    lengths, target_lengths = (torch.tensor([f(row) for row in rows]) for f in (lambda r: r[0], lambda r: len(r[1])))
    arguments = (logits, targets, lengths, target_lengths)
    found = losses.ctc_loss(*arguments, blank=blank, reduction="none")
    aligned = losses.ctc_align(*arguments, blank=blank)
    for row, (steps, labels) in enumerate(rows):
        paths = [(score, path) for path, merged, score in _paths(logits[:steps, row], blank) if merged == labels]
        assert found[row].item() == pytest.approx(-math.log(sum(math.exp(score) for score, _ in paths)), abs=1e-10)
        score, path = max(paths)
        assert aligned.scores[row].item() == pytest.approx(score, abs=1e-10)
        assert tuple(aligned.labels[:steps, row].tolist()) == path
        assert not (aligned.labels[steps:, row] != blank).any()
        positions = [p for p, _ in itertools.groupby(aligned.positions[:, row].tolist()) if p >= 0]
        assert positions == list(range(len(labels)))
        at = aligned.positions[:, row] >= 0
        assert torch.equal(targets[row][aligned.positions[at, row]], aligned.labels[at, row])


def test_padding_changes_neither_loss_nor_gradient() -> None:
    lengths, target_lengths = torch.tensor([7, 4, 9]), torch.tensor([3, 1, 0])
    logits = _logits(1, 9, 3, 4)
    for row, length in enumerate(lengths):
        logits[length:, row] = float("nan")
    logits.requires_grad_()
    targets = torch.tensor([[1, 1, 2], [3, 9, 9], [9, 9, 9]])
    found = losses.ctc_loss(logits, targets, lengths, target_lengths, reduction="none")
    found.sum().backward()
    for row, (steps, labels) in enumerate(zip(lengths.tolist(), target_lengths.tolist(), strict=True)):
        alone = logits.detach()[:steps, row : row + 1].clone().requires_grad_()
        single = losses.ctc_loss(alone, targets[row : row + 1, :labels], reduction="sum")
        single.backward()
        torch.testing.assert_close(found[row], single, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(logits.grad[:steps, row], alone.grad[:, 0], rtol=1e-12, atol=1e-12)
        assert not logits.grad[steps:, row].any()


def test_gradient_is_right() -> None:
    targets, lengths = torch.tensor([[1, 1], [2, 0]]), torch.tensor([5, 3])
    logits = _logits(2, 5, 2, 3).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: losses.ctc_loss(x, targets, lengths, torch.tensor([2, 1]), reduction="none"), logits
    )


def test_a_row_too_short_is_named_or_left_out() -> None:
    logits, targets = _logits(3, 4, 2, 3).requires_grad_(), torch.tensor([[1, 2, 0], [2, 2, 2]])
    lengths, target_lengths = torch.tensor([4, 4]), torch.tensor([2, 3])
    with pytest.raises(UsageError, match="row 1 has 4 steps, but its 3 labels need 5"):
        losses.ctc_loss(logits, targets, lengths, target_lengths)
    with pytest.raises(UsageError, match="row 1 has 4 steps"):
        losses.ctc_align(logits, targets, lengths, target_lengths)
    found = losses.ctc_loss(logits, targets, lengths, target_lengths, zero_infinity=True, reduction="none")
    found.sum().backward()
    assert found[0] > 0
    assert found[1] == 0
    assert not logits.grad[:, 1].any()


def test_no_steps_have_loss_zero_for_no_labels() -> None:
    logits = torch.zeros(0, 2, 3, requires_grad=True)
    losses.ctc_loss(logits, torch.zeros(2, 0, dtype=torch.long)).backward()
    assert losses.ctc_loss(logits, torch.zeros(2, 0, dtype=torch.long), reduction="none").tolist() == [0, 0]
    with pytest.raises(UsageError, match="row 0 has 0 steps, but its 1 labels need 1"):
        losses.ctc_loss(logits, torch.ones(2, 1, dtype=torch.long))
    assert losses.ctc_loss(logits, torch.ones(2, 1, dtype=torch.long), zero_infinity=True).item() == 0


def test_reductions_are_over_rows() -> None:
    logits, targets = _logits(4, 6, 3, 4), torch.tensor([[1, 2], [3, 3], [2, 1]])
    none = losses.ctc_loss(logits, targets, reduction="none")
    torch.testing.assert_close(losses.ctc_loss(logits, targets), none.mean())
    torch.testing.assert_close(losses.ctc_loss(logits, targets, reduction="sum"), none.sum())


@settings(deadline=None, max_examples=30)
@given(seed=seeds, steps=st.integers(0, 5), blank=st.integers(0, 2))
def test_a_wide_beam_finds_every_labelling_with_its_probability(seed, steps, blank) -> None:
    logits = 2 * _logits(seed, steps + 1, 1, 3)
    logits[steps:] = float("nan")
    found = losses.ctc_beam_search(logits, torch.tensor([steps]), blank=blank, beam_size=1000)[0]
    expected = _labellings(logits[:steps, 0], blank)
    assert {h.labels for h in found} == set(expected)
    assert all(math.exp(h.score) == pytest.approx(expected[h.labels], rel=1e-9) for h in found)
    assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)


def test_a_narrow_beam_keeps_its_size_and_finds_a_clear_answer() -> None:
    logits = torch.full((6, 1, 4), -5.0)
    for step, label in enumerate([1, 1, 0, 1, 3, 3]):
        logits[step, 0, label] = 5.0
    found = losses.ctc_beam_search(logits, beam_size=2, least_probability=1e-3)[0]
    assert len(found) == 2
    assert found[0].labels == (1, 1, 3)
    assert losses.ctc_greedy(logits) == [[1, 1, 3]]


@settings(deadline=None, max_examples=20)
@given(seed=seeds)
def test_a_language_model_is_added_to_every_labelling_once(seed) -> None:
    logits = _logits(seed, 4, 1, 3)
    table = _logits(seed + 1, 4, 4).tolist()

    def language_model(prefix, label):
        return table[prefix[-1] if prefix else 0][3 if label is None else label]

    found = losses.ctc_beam_search(
        logits, beam_size=1000, language_model=language_model, language_weight=0.7, label_bonus=0.3
    )[0]
    for hypothesis in found:
        text = [*hypothesis.labels, None]
        language = sum(language_model(hypothesis.labels[:i], label) for i, label in enumerate(text))
        acoustic = math.log(_labellings(logits[:, 0])[hypothesis.labels])
        expected = acoustic + 0.7 * language + 0.3 * len(hypothesis.labels)
        assert hypothesis.score == pytest.approx(expected, abs=1e-9)


@settings(deadline=None, max_examples=20)
@given(seed=seeds)
def test_with_a_word_list_only_its_texts_are_written(seed) -> None:
    logits = _logits(seed, 5, 1, 4)
    words = losses.WordList([(1,), (1, 2), (2, 2)], separator=3)
    found = losses.ctc_beam_search(logits, beam_size=1000, words=words)[0]

    def allowed(labels):
        text = "".join(map(str, labels)).removesuffix("3")
        return labels == () or all(word in ("1", "12", "22") for word in text.split("3"))

    expected = {labels for labels in _labellings(logits[:, 0]) if allowed(labels)}
    assert {h.labels for h in found} == expected


@settings(deadline=None, max_examples=30)
@given(seed=seeds, lengths=st.lists(st.integers(0, 8), min_size=1, max_size=3))
def test_greedy_merges_the_best_path_of_the_real_steps(seed, lengths) -> None:
    logits = _logits(seed, 8, len(lengths), 3)
    found = losses.ctc_greedy(logits, torch.tensor(lengths))
    for row, steps in enumerate(lengths):
        assert tuple(found[row]) == _merged(logits[:steps, row].argmax(-1).tolist())


def test_what_does_not_fit_is_refused() -> None:
    logits = torch.zeros(4, 2, 3)
    with pytest.raises(UsageError, match="row 1, label 1: targets is 0, which is the blank"):
        losses.ctc_loss(logits, torch.tensor([[1, 2], [1, 0]]))
    with pytest.raises(UsageError, match="row 0, step 1: targets is 3; expected a class from 0 to 2"):
        losses.ctc_loss(logits, torch.tensor([[1, 3], [1, 2]]))
    with pytest.raises(ShapeError, match=r"expected \(batch, labels\) with 2 rows"):
        losses.ctc_loss(logits, torch.tensor([[1, 2]]))
    with pytest.raises(ShapeError, match="row 0 of target_lengths is 3; expected 0 to 2"):
        losses.ctc_loss(logits, torch.tensor([[1, 2], [1, 2]]), target_lengths=torch.tensor([3, 1]))
    with pytest.raises(UsageError, match="blank is 3"):
        losses.ctc_loss(logits, torch.tensor([[1, 2], [1, 2]]), blank=3)
    with pytest.raises(UsageError, match="beam_size is 0"):
        losses.ctc_beam_search(logits, beam_size=0)
    with pytest.raises(UsageError, match="empty or contains the separator"):
        losses.WordList([(1, 3)], separator=3)
