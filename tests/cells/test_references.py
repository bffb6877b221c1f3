"""Every cell of the catalogue against its equations written out in NumPy, row by row."""

import numpy as np
import pytest
import torch

from ostinato.cells import CATALOGUE
from ostinato.engine import initial_state
from references import REFERENCES
from samples import HIDDEN, INPUT, leaves, random_cell, steps


def test_every_cell_has_a_reference() -> None:
    assert set(REFERENCES) == set(CATALOGUE)


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_cell_does_what_its_paper_says(name: str) -> None:
    cell, xs = random_cell(name), steps(name, 6, 3, dtype=torch.double)
    numbers = {key: value.numpy() for key, value in cell.state_dict().items()}
    state = initial_state(cell, xs[0])
    rows = [_row(state, row) for row in range(xs.shape[1])]
    for x in xs:
        y, state = cell(x, state)
        for row in range(xs.shape[1]):
            expected, rows[row] = REFERENCES[name](numbers, x[row].numpy(), rows[row])
            np.testing.assert_allclose(y[row].detach(), expected, rtol=1e-6, atol=1e-9)
    for row, reference in enumerate(rows):
        _assert_same_state(name, _row(state, row), reference)


def _row(state, row: int):
    if isinstance(state, torch.Tensor):
        return state[row].detach().numpy()
    return tuple(_row(part, row) for part in state)


def _assert_same_state(name: str, own, reference) -> None:
    if name in ("slstm", "mlstm"):
        *rest, memory, n, m = own
        own = (*rest, _unscaled(memory, m), _unscaled(n, m), np.zeros_like(m))
    for mine, theirs in zip(_flat(own), _flat(reference), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-6, atol=1e-9)


def _unscaled(memory, m):
    return memory * np.exp(m).reshape(m.shape + (1,) * (memory.ndim - m.ndim))


def _flat(state):
    return [state] if isinstance(state, np.ndarray) else [leaf for part in state for leaf in _flat(part)]


@pytest.mark.parametrize("proj_size", [1, 3])
def test_a_projected_lstm_equals_that_of_torch(proj_size: int) -> None:
    cell = CATALOGUE["lstm-projected"](INPUT, HIDDEN, proj_size)
    peer = torch.nn.LSTM(INPUT, HIDDEN, proj_size=proj_size)
    with torch.no_grad():
        cell.input.weight.copy_(peer.weight_ih_l0)
        cell.input.bias.copy_(peer.bias_ih_l0 + peer.bias_hh_l0)
        cell.recurrent.weight.copy_(peer.weight_hh_l0)
        cell.projection.weight.copy_(peer.weight_hr_l0)
    xs = torch.randn(7, 2, INPUT)
    expected, _ = peer(xs)
    state = initial_state(cell, xs[0])
    for x, y in zip(xs, expected, strict=True):
        own, state = cell(x, state)
        torch.testing.assert_close(own, y)


@pytest.mark.parametrize("name", ["slstm", "mlstm"])
def test_heads_are_cells_of_their_own(name: str) -> None:
    """Two heads give what two cells of one head give, each with its share of the numbers."""
    both = CATALOGUE[name](INPUT, HIDDEN, heads=2)
    parts = [CATALOGUE[name](INPUT, HIDDEN // 2) for _ in range(2)]
    for head, part in enumerate(parts):
        _take_head(name, both, part, head)
    xs = torch.randn(5, 3, INPUT)
    state, states = initial_state(both, xs[0]), [initial_state(part, xs[0]) for part in parts]
    for x in xs:
        y, state = both(x, state)
        outputs = [part(x, own) for part, own in zip(parts, states, strict=True)]
        states = [own for _, own in outputs]
        torch.testing.assert_close(y, torch.cat([out for out, _ in outputs], -1))


def _take_head(name: str, both, part, head: int) -> None:
    with torch.no_grad():
        if name == "slstm":
            part.input.weight.copy_(both.input.weight.chunk(2)[head])
            part.input.bias.copy_(both.input.bias.chunk(2)[head])
            part.recurrent.copy_(both.recurrent[head : head + 1])
            return
        for mine, theirs in [(part.input, both.input), (part.gates, both.gates)]:
            blocks = 2 if mine is part.gates else 4
            mine.weight.copy_(torch.cat([block.chunk(2)[head] for block in theirs.weight.chunk(blocks)]))
            mine.bias.copy_(torch.cat([block.chunk(2)[head] for block in theirs.bias.chunk(blocks)]))


def test_a_missing_value_is_never_read() -> None:
    cell = CATALOGUE["gru-d"](6, HIDDEN)
    xs = steps("gru-d", 5, 3)
    missing = xs.clone()
    missing[..., :2][xs[..., 2:4] == 0] = float("nan")
    state, other = initial_state(cell, xs[0]), initial_state(cell, xs[0])
    for x, holey in zip(xs, missing, strict=True):
        y, state = cell(x, state)
        z, other = cell(holey, other)
        torch.testing.assert_close(y, z)
    z.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in cell.parameters())
    assert len(leaves(state)) == 2
