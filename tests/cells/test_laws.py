"""What holds of every cell of the catalogue, whatever its equations."""

import inspect

import pytest
import torch

import ostinato
from ostinato.cells import CATALOGUE, PLAIN
from ostinato.engine import initial_state, map_state
from samples import FRAMES, HIDDEN, INPUT, leaves, random_cell, steps

CELLS = pytest.mark.parametrize("name", CATALOGUE)


@CELLS
def test_outputs_and_states_have_the_shapes_that_are_promised(name: str) -> None:
    cell, xs = CATALOGUE[name](INPUT, HIDDEN), steps(name, 5, 3)
    assert (cell.input_size, cell.hidden_size) == (INPUT, HIDDEN)
    ys, last = ostinato.scan(cell, xs)
    width = HIDDEN // 2 if name == "lstm-projected" else HIDDEN
    assert ys.shape == (5, 3, width, *FRAMES.get(name, ()))
    first = initial_state(cell, xs[0])
    assert [leaf.shape for leaf in leaves(last)] == [leaf.shape for leaf in leaves(first)]
    assert all(leaf.shape[0] == 3 for leaf in leaves(last))


@CELLS
def test_two_hundred_steps_of_random_input_stay_finite(name: str) -> None:
    with torch.no_grad():
        ys, last = ostinato.scan(CATALOGUE[name](INPUT, 32), 3 * steps(name, 200, 2).abs())
    assert ys.isfinite().all()
    assert all(leaf.isfinite().all() for leaf in leaves(last))
    assert ys[-1].abs().max() < 1e4


@CELLS
def test_gradients_reach_every_parameter(name: str) -> None:
    cell = CATALOGUE[name](INPUT, HIDDEN)
    ys, _ = ostinato.scan(cell, steps(name, 8, 3))
    if name == "echo-state":
        assert not list(cell.parameters())
        return
    ys.mul(torch.randn_like(ys)).sum().backward()
    for key, parameter in cell.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        assert parameter.grad.abs().max() > 0, key


@CELLS
def test_a_padded_batch_equals_its_sequences_one_by_one(name: str) -> None:
    cell, xs = random_cell(name), steps(name, 7, 3, dtype=torch.double)
    lengths = torch.tensor([4, 7, 1])
    ys, last = ostinato.scan(cell, xs, lengths=lengths)
    for row, length in enumerate(lengths.tolist()):
        alone, end = ostinato.scan(cell, xs[:length, row : row + 1])
        torch.testing.assert_close(ys[:length, row], alone[:, 0])
        assert not ys[length:, row].any()
        for mine, theirs in zip(leaves(last), leaves(end), strict=True):
            torch.testing.assert_close(mine[row], theirs[0])


@CELLS
def test_a_sequence_in_chunks_equals_the_whole(name: str) -> None:
    cell, xs = CATALOGUE[name](INPUT, HIDDEN), steps(name, 9, 2)
    whole, last = ostinato.scan(cell, xs)
    state, parts = None, []
    for part in xs.split([1, 5, 3]):
        ys, state = ostinato.scan(cell, part, state)
        parts.append(ys)
    assert torch.equal(torch.cat(parts), whole)
    assert all(torch.equal(*both) for both in zip(leaves(state), leaves(last), strict=True))


@CELLS
def test_gradients_equal_finite_differences(name: str) -> None:
    features = 3
    cell, xs = random_cell(name, features, 2), steps(name, 3, 2, features, dtype=torch.double)
    # a state the cell has reached: some cells divide by a part of it that is never near zero there
    with torch.no_grad():
        _, reached = ostinato.scan(cell, xs[:2])
    reached = map_state(lambda leaf: leaf.detach().requires_grad_(), reached)
    given, parameters = leaves(reached), dict(cell.named_parameters())

    def step(x, *tensors):
        mine = iter(tensors[: len(given)])
        state = map_state(lambda _: next(mine), reached)
        weights = dict(zip(parameters, tensors[len(given) :], strict=True))
        y, new = torch.func.functional_call(cell, weights, (x, state))
        return (y, *leaves(new))

    assert torch.autograd.gradcheck(step, (xs[2].requires_grad_(), *given, *parameters.values()))


@CELLS
def test_a_state_dict_holds_all_of_a_cell(name: str) -> None:
    cell, twin = CATALOGUE[name](INPUT, HIDDEN), CATALOGUE[name](INPUT, HIDDEN)
    xs = steps(name, 4, 2)
    twin.load_state_dict(cell.state_dict())
    assert torch.equal(ostinato.scan(cell, xs)[0], ostinato.scan(twin, xs)[0])


@CELLS
def test_a_step_leaves_its_state_as_it_was(name: str) -> None:
    cell, xs = CATALOGUE[name](INPUT, HIDDEN), steps(name, 3, 2)
    _, state = ostinato.scan(cell, xs[:2])
    before = [leaf.clone() for leaf in leaves(state)]
    cell(xs[2], state)
    assert all(torch.equal(*both) for both in zip(before, leaves(state), strict=True))


@CELLS
def test_rows_of_a_batch_do_not_see_each_other(name: str) -> None:
    cell, xs = random_cell(name), steps(name, 4, 3, dtype=torch.double)
    other = xs.clone()
    other[:, 1:] = steps(name, 4, 2, dtype=torch.double)
    torch.testing.assert_close(ostinato.scan(cell, xs)[0][:, 0], ostinato.scan(cell, other)[0][:, 0])


@CELLS
def test_settings_are_kept_under_the_names_of_the_arguments(name: str) -> None:
    """`ostinato.nn.Recurrent` reads them there to make further layers."""
    cell = CATALOGUE[name](INPUT, HIDDEN)
    for argument in inspect.signature(CATALOGUE[name]).parameters:
        assert hasattr(cell, argument), argument


@CELLS
def test_the_documentation_is_complete(name: str) -> None:
    text = inspect.getdoc(CATALOGUE[name])
    for part in ("Shapes:", "Args:", "Use it", "Source", " = ", ">>>"):
        assert part in text, part


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_cell_stacks_in_both_directions(name: str) -> None:
    layer = ostinato.nn.Recurrent(CATALOGUE[name](3, HIDDEN), 2, bidirectional=True)
    with torch.no_grad():
        assert layer(torch.randn(4, 2, 3))[0].shape == (4, 2, 2 * HIDDEN)


def test_the_names_that_are_not_plain_are_those_with_steps_or_outputs_of_their_own() -> None:
    assert set(CATALOGUE) - set(PLAIN) == {"lstm-projected", "cfc", "gru-d", "t-lstm", "conv-lstm", "conv-gru"}
