"""Causal fronts on a stream, and pyramids of layers."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.cells import GRUCell
from ostinato.errors import ShapeError, UsageError
from ostinato.nn import Recurrent, SpectrogramFront
from ostinato.nn.front_steps import FrontSteps
from ostinato.nn.pyramid import Pyramid, paired


def front(strides=(2, 2), causal=True):
    torch.manual_seed(0)
    return SpectrogramFront(6, [2, 3], time_strides=strides, causal=causal).eval()


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([(1, 1), (2, 1), (3, 1), (2, 2), (3, 2), (4, 2)]),
    st.lists(st.integers(0, 7), min_size=1, max_size=8),
)
def test_steps_as_they_come_give_what_the_whole_gives(strides, sizes) -> None:
    own = front(strides)
    xs = torch.randn(max(1, sum(sizes)), 6)
    expected, lengths = own(xs[:, None], torch.tensor([len(xs)]))
    steps, other, parts = FrontSteps(own), FrontSteps(own), []
    for part in torch.split(xs, [*sizes, len(xs) - sum(sizes)]):
        parts.append(steps.push(part))
        assert other.accept(steps.kept())
        steps, other = other, steps
    found = torch.cat(parts)
    assert len(found) == int(lengths)
    assert torch.equal(found, FrontSteps(own).push(xs))
    torch.testing.assert_close(found, expected[:, 0], atol=1e-6, rtol=1e-5)


def test_a_causal_front_sees_no_later_step_and_a_padded_row_is_as_it_is_alone() -> None:
    own = front()
    xs = torch.randn(12, 2, 6)
    later = xs.clone()
    later[8:] += 1
    same = (own(xs)[0] == own(later)[0]).all(-1).all(-1)
    assert same[:2].all()
    assert not same[2:].any()
    xs[7:, 1] = float("nan")
    ys, lengths = own(xs, torch.tensor([12, 7]))
    assert lengths.tolist() == [3, 2]
    torch.testing.assert_close(ys[:2, 1:], own(xs[:7, 1:])[0])
    assert (ys[2:, 1] == 0).all()


def test_what_does_not_fit_a_front_is_refused() -> None:
    with pytest.raises(UsageError, match="make them causal"):
        FrontSteps(front(causal=False))
    steps = FrontSteps(front())
    with pytest.raises(ShapeError, match=r"expected \(steps, 6\)"):
        steps.push(torch.zeros(3, 5))
    before = steps.kept()
    arrays = before["steps"]
    for wrong in (
        None, {}, {**before, "phases": [5, 0]}, {**before, "steps": arrays[:1]},
        {**before, "steps": [arrays[0] + np.inf, arrays[1]]}, {**before, "steps": [arrays[0][..., None], arrays[1]]},
    ):  # fmt: skip
        assert not steps.accept(wrong)
    with pytest.raises(UsageError, match="one number from one up"):
        SpectrogramFront(6, [2, 3], time_strides=[2])


def test_stages_of_a_pyramid_halve_the_steps_and_look_back_alone() -> None:
    torch.manual_seed(0)
    own = Pyramid(lambda size, number: Recurrent(GRUCell(size, 4)), 3, reductions=2, width=4).eval()
    assert own.reduction == 4
    xs, lengths = torch.randn(11, 2, 3), torch.tensor([11, 6])
    ys, shorter = own(xs, lengths)
    assert shorter.tolist() == [3, 2]
    alone, _ = own(xs[:6, 1:], torch.tensor([6]))
    torch.testing.assert_close(ys[:2, 1:], alone)
    later = xs.clone()
    later[9:] += 1
    assert torch.equal(own(later, lengths)[0][:2, 0], ys[:2, 0])
    with pytest.raises(UsageError, match="none or more"):
        Pyramid(lambda size, number: Recurrent(GRUCell(size, 4)), 3, reductions=-1, width=4)
    assert paired(torch.ones(1, 1, 2), torch.tensor([1])).tolist() == [[[0.0, 0.0, 1.0, 1.0]]]
