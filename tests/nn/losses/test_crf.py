"""The conditional random field against every sequence of tags there is."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.errors import ShapeError, UsageError
from ostinato.nn import losses
from ostinato.nn.losses import crf_partition

seeds = st.integers(0, 2**16)
ways = pytest.mark.parametrize("way", ["scaled", "logarithms"])


@pytest.fixture(autouse=True)
def _chosen_way(request, monkeypatch) -> None:
    """Let a test with the parameter `way` run by one of the two recursions alone."""
    way = request.node.callspec.params.get("way") if hasattr(request.node, "callspec") else None
    if way == "logarithms":
        monkeypatch.setattr(crf_partition, "_safe", lambda *_: False)
    elif way == "scaled":
        monkeypatch.setattr(crf_partition, "_log_forward", _refuse)


def _refuse(*_):
    raise AssertionError("the recursion in logarithms was not to be used here")


def _crf(seed, tags=3, constraints=None, spread=1.0):
    crf = losses.LinearChainCRF(tags, constraints).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in crf.parameters():
            parameter.copy_(spread * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return crf


def _scores(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64)


def _sequences(crf, scores):
    """Return all allowed tag sequences of `(time, tags)` scores, `(sequences, time)`, and their scores."""
    tags = torch.tensor(list(itertools.product(range(scores.shape[1]), repeat=scores.shape[0])))
    allowed = crf.allowed_start[tags[:, 0]] & crf.allowed_end[tags[:, -1]]
    total = crf.start[tags[:, 0]] + crf.end[tags[:, -1]]
    for step in range(scores.shape[0]):
        total = total + scores[step, tags[:, step]]
        if step:
            allowed &= crf.allowed[tags[:, step - 1], tags[:, step]]
            total = total + crf.transitions[tags[:, step - 1], tags[:, step]]
    return tags[allowed], total[allowed]


STEP_BY_STEP = losses.TagConstraints(  # tag 0 first, then the same or the next one
    torch.tensor([[True, True, False], [False, True, True], [False, False, True]]),
    torch.tensor([True, False, False]),
    torch.tensor([True, True, True]),
)
CONSTRAINTS = {
    "step by step": STEP_BY_STEP,
    "free": None,
    "bio": losses.tag_constraints(["O", "B-X", "I-X"]),
    "iobes": losses.tag_constraints(["S-X", "B-X", "E-X"], "IOBES"),
}


@ways
@pytest.mark.parametrize("constraints", CONSTRAINTS)
@settings(deadline=None, max_examples=15)
@given(seed=seeds, lengths=st.lists(st.integers(1, 5), min_size=1, max_size=3))
@pytest.mark.slow
@pytest.mark.ci
def test_everything_is_as_over_all_sequences_whatever_stands_in_padding(way, constraints, seed, lengths) -> None:
    crf = _crf(seed, constraints=CONSTRAINTS[constraints])
    scores = _scores(seed, 7, len(lengths), 3)
    tags = torch.full((7, len(lengths)), 99)
    alone = [scores[:length, row].clone().requires_grad_() for row, length in enumerate(lengths)]
    expected, marginals = [], []
    for row, length in enumerate(lengths):
        scores[length:, row] = float("nan")
        sequences, totals = _sequences(crf, alone[row])
        chosen = seed % len(sequences)
        tags[:length, row] = sequences[chosen]
        expected.append(totals.logsumexp(0) - totals[chosen])
        shares = totals.softmax(0)
        marginals.append(torch.nn.functional.one_hot(sequences, 3).mul(shares[:, None, None]).sum(0))
    expected = torch.stack(expected)
    weight = torch.arange(1.0, len(lengths) + 1)
    inputs = [*alone, crf.transitions, crf.start, crf.end]
    gradients = torch.autograd.grad((expected * weight).sum(), inputs, allow_unused=True)
    scores.requires_grad_()
    found = crf(scores, tags, torch.tensor(lengths), reduction="none")
    found_gradients = torch.autograd.grad((found * weight).sum(), [scores, crf.transitions, crf.start, crf.end])
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-11)
    for one, other in zip(found_gradients[1:], gradients[len(lengths) :], strict=True):
        torch.testing.assert_close(one, torch.zeros_like(one) if other is None else other, rtol=1e-9, atol=1e-11)
    best, score = crf.decode(scores, torch.tensor(lengths))
    probabilities = crf.marginals(scores, torch.tensor(lengths))
    for row, length in enumerate(lengths):
        torch.testing.assert_close(found_gradients[0][:length, row], gradients[row], rtol=1e-9, atol=1e-11)
        assert not found_gradients[0][length:, row].any()
        torch.testing.assert_close(probabilities[:length, row], marginals[row], rtol=1e-9, atol=1e-12)
        assert not probabilities[length:, row].any()
        sequences, totals = _sequences(crf, alone[row])
        assert best[:length, row].tolist() == sequences[totals.argmax()].tolist()
        assert (best[length:, row] == -1).all()
        torch.testing.assert_close(score[row], totals.max())


@ways
def test_gradient_is_right(way) -> None:
    crf = _crf(3, constraints=CONSTRAINTS["bio"])
    tags, lengths = torch.tensor([[0, 1], [1, 2], [2, 0], [0, 0]]), torch.tensor([4, 2])

    def loss(scores, *parameters):
        names = ("transitions", "start", "end")
        arguments = (scores, tags, lengths)
        named = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(crf, named, arguments, {"reduction": "none"})

    parameters = [crf.transitions, crf.start, crf.end]
    inputs = [x.detach().clone().requires_grad_() for x in (_scores(3, 4, 2, 3), *parameters)]
    assert torch.autograd.gradcheck(loss, inputs)


@ways
def test_padding_changes_nothing(way) -> None:
    crf = _crf(5, tags=6)
    scores, tags = _scores(5, 40, 2, 6), torch.randint(6, (40, 2))
    found = crf(scores, tags, torch.tensor([40, 23]), reduction="none")
    torch.testing.assert_close(found[1], crf(scores[:23, 1:], tags[:23, 1:]), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@settings(deadline=None, max_examples=25)
@given(seed=seeds, spread=st.sampled_from([1.0, 10.0, 60.0, 300.0, 3000.0]))
@pytest.mark.slow
@pytest.mark.ci
def test_scores_of_any_size_give_what_logarithms_give(dtype, seed, spread) -> None:
    crf = _crf(seed, tags=4, spread=spread).to(dtype)
    with torch.no_grad():  # numbers that float32 holds, so that both see the same
        scores = (spread * _scores(seed, 6, 2, 4)).float().to(dtype)
        for parameter in crf.parameters():
            parameter.copy_(parameter.float())
    tags = torch.randint(4, (6, 2), generator=torch.Generator().manual_seed(seed))
    found = crf(scores, tags, reduction="none")
    crf = crf.double()
    expected = torch.stack(
        [
            totals.logsumexp(0) - totals[(sequences == tags[:, row]).all(1)][0]
            for row, (sequences, totals) in enumerate(_sequences(crf, scores[:, row].double()) for row in range(2))
        ]
    )
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=100 * torch.finfo(dtype).eps * spread)
    marginals = crf.to(dtype).marginals(scores)
    torch.testing.assert_close(
        marginals.sum(-1), torch.ones(6, 2, dtype=dtype), rtol=0, atol=100 * torch.finfo(dtype).eps * spread
    )


@ways
def test_a_tag_that_cannot_be_reached_yet_counts_nothing_however_high_its_score(way) -> None:
    crf = losses.LinearChainCRF(3, STEP_BY_STEP)
    scores = torch.zeros(2, 1, 3)
    expected = crf.marginals(scores)
    scores[:, 0, 2] = 120.0  # at two steps no sequence gets there
    torch.testing.assert_close(crf.marginals(scores), expected)
    assert crf.marginals(scores)[:, 0, 2].tolist() == [0.0, 0.0]


def test_a_way_that_opens_late_through_an_underflowing_tag_is_found() -> None:
    # tag 1 begins with e ** -200, and only from it a second step is possible that is not e ** -900
    crf = losses.LinearChainCRF(2)
    with torch.no_grad():
        crf.start.copy_(torch.tensor([0.0, -200.0]))
        crf.transitions.copy_(torch.tensor([[-900.0, -900.0], [0.0, 0.0]]))
        crf.end.zero_()
    loss = crf(torch.zeros(2, 1, 2), torch.tensor([[1], [0]]))
    assert loss.item() == pytest.approx(0.6931, abs=1e-3)


def test_reductions_and_16_bit_scores() -> None:
    crf = losses.LinearChainCRF(3)
    scores, tags = torch.randn(4, 3, 3).bfloat16(), torch.randint(3, (4, 3))
    none = crf(scores, tags, reduction="none")
    assert none.dtype == torch.float32
    torch.testing.assert_close(crf(scores, tags), none.mean())
    torch.testing.assert_close(crf(scores, tags, reduction="sum"), none.sum())


@pytest.mark.slow
@pytest.mark.ci
def test_autocast_changes_nothing() -> None:
    crf = losses.LinearChainCRF(5)
    scores, tags = torch.randn(6, 3, 5), torch.randint(5, (6, 3))
    expected = crf(scores, tags)
    with torch.autocast("cpu"):
        assert torch.equal(crf(scores, tags), expected)


def test_constraints_forbid_what_the_schemes_forbid() -> None:
    names = ["O", "B-X", "I-X", "E-X", "S-X", "B-Y", "I-Y", "E-Y", "S-Y"]
    allowed = losses.tag_constraints(names, "IOBES")
    found = {(a, b) for i, a in enumerate(names) for j, b in enumerate(names) if allowed.transitions[i, j]}
    openers = {"O", "B-X", "S-X", "B-Y", "S-Y"}
    closers = {"O", "E-X", "S-X", "E-Y", "S-Y"}
    inner = {(f"{a}-{kind}", f"{b}-{kind}") for kind in "XY" for a in "BI" for b in "IE"}
    assert found == set(itertools.product(closers, openers)) | inner
    assert {name for name, ok in zip(names, allowed.start, strict=True) if ok} == openers
    assert {name for name, ok in zip(names, allowed.end, strict=True) if ok} == closers
    bio = losses.tag_constraints(["B-X", "I-X", "B-Y", "I-Y", "O"])
    assert not bio.transitions[2, 1]
    assert not bio.transitions[4, 3]
    assert bio.transitions[1, 1]
    assert bio.start.tolist() == [True, False, True, False, True]
    assert bio.end.all()


def test_training_learns_a_rule_between_tags() -> None:
    # the scores say nothing of tags 1 and 2: only that 2 follows 1 tells them apart
    torch.manual_seed(0)
    crf = losses.LinearChainCRF(3)
    tags = torch.tensor([[0, 1, 2, 0, 1, 2]]).T
    scores = torch.zeros(6, 1, 3)
    scores[tags[:, 0] == 0, 0, 0] = 3.0
    optimiser = torch.optim.Adam(crf.parameters(), 0.1)
    for _ in range(60):
        optimiser.zero_grad()
        crf(scores, tags).backward()
        optimiser.step()
    assert crf.decode(scores)[0].tolist() == tags.tolist()


def test_what_does_not_fit_is_refused() -> None:
    crf = losses.LinearChainCRF(3, CONSTRAINTS["bio"])
    scores = torch.zeros(3, 2, 3)
    with pytest.raises(UsageError, match="row 1, step 1: tag 0 may not be followed by the next tag"):
        crf(scores, torch.tensor([[1, 0], [2, 0], [2, 2]]))
    with pytest.raises(UsageError, match="row 0, step 0: tag 2 may not begin a sequence"):
        crf(scores, torch.tensor([[2, 0], [2, 0], [2, 0]]))
    ends = losses.LinearChainCRF(3, CONSTRAINTS["iobes"])
    with pytest.raises(UsageError, match="row 1, step 1: tag 1 may not end a sequence"):
        ends(scores, torch.tensor([[0, 0], [0, 1], [0, 7]]), torch.tensor([3, 2]))
    nothing = losses.LinearChainCRF(2, losses.tag_constraints(["I-X", "B-X"], "IOBES"))
    with pytest.raises(UsageError, match="row 0: the constraints forbid every sequence of its length"):
        nothing.decode(torch.zeros(3, 1, 2))
    with pytest.raises(UsageError, match="row 0: the constraints forbid every sequence of its length"):
        nothing.marginals(torch.zeros(3, 1, 2))
    with pytest.raises(ShapeError, match="row 1 of lengths is 0; expected 1 to 3"):
        crf.decode(scores, torch.tensor([3, 0]))
    with pytest.raises(ShapeError, match="expected \\(3, 2, 3\\), one number a tag of this layer"):
        crf.decode(torch.zeros(3, 2, 4))
    with pytest.raises(UsageError, match="the constraints are for 3 tags; expected 4"):
        losses.LinearChainCRF(4, CONSTRAINTS["bio"])
    with pytest.raises(UsageError, match='tag "I_X" is not a name of BIO; expected O, B-NAME, I-NAME'):
        losses.tag_constraints(["O", "I_X"])
    with pytest.raises(UsageError, match='scheme "X" is not known'):
        losses.tag_constraints(["O"], "X")
    with pytest.raises(UsageError, match="expected each once"):
        losses.tag_constraints(["O", "O"])
