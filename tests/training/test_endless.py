"""Series that are longer than memory: chunks from an array on disk, and exact gradients over all of them."""

import numpy as np
import pytest
import torch
from torch import nn

import ostinato
from ostinato.errors import ShapeError, UsageError
from ostinato.training import SeriesChunks, Step, TrainingConfig, backpropagate, train


@pytest.fixture
def series(tmp_path):
    np.save(tmp_path / "series.npy", np.random.default_rng(0).normal(size=(101, 3)))
    return np.load(tmp_path / "series.npy", mmap_mode="r")


def test_chunks_follow_one_another_along_their_columns(series) -> None:
    chunks = SeriesChunks(series, batch_size=2, steps=15)
    batches = list(chunks.batches(0))
    assert len(chunks) == len(batches) == 4
    assert [batch.continues for batch in batches] == [False, True, True, True]
    inputs = torch.cat([batch.data.inputs for batch in batches])
    targets = torch.cat([batch.data.targets for batch in batches])
    assert np.array_equal(inputs, np.stack([series[:50], series[50:100]], 1))
    assert np.array_equal(targets, np.stack([series[1:51], series[51:101]], 1))


def _loss(ys, targets):
    return (ys[..., :3] - targets).square().sum()


@pytest.mark.parametrize("kept", [None, 1, 2, 100])
@pytest.mark.parametrize("filed", [False, True])
def test_gradients_over_chunks_are_those_of_the_whole(series, kept, filed, tmp_path) -> None:
    cell = nn.GRUCell(3, 4).double()
    chunks = SeriesChunks(series, batch_size=2, steps=9)
    whole = SeriesChunks(series, batch_size=2, steps=1000)[0]
    start = torch.zeros(2, 4, dtype=torch.double, requires_grad=True)
    ys, last = ostinato.scan(cell, whole.inputs, start)
    loss = _loss(ys, whole.targets)
    expected = torch.autograd.grad(loss, [start, *cell.parameters()])
    total, end = backpropagate(
        lambda xs, state: ostinato.scan(cell, xs, state), chunks, _loss, start, kept=kept,
        folder=tmp_path if filed else None,
    )  # fmt: skip
    assert total == pytest.approx(float(loss.detach()))
    torch.testing.assert_close(end, last.detach())
    torch.testing.assert_close([start.grad, *(weight.grad for weight in cell.parameters())], list(expected))


def test_chunks_draw_the_same_random_numbers_again(series) -> None:
    layer = ostinato.nn.Recurrent(ostinato.cells.RNNCell(3, 4), 2, dropout=0.5).double()
    chunks = SeriesChunks(series, batch_size=2, steps=20)
    found = []
    for kept in (None, 1):
        layer.zero_grad()
        torch.manual_seed(0)
        total, _ = backpropagate(layer, chunks, _loss, kept=kept)
        found.append([torch.tensor(total), *(weight.grad.clone() for weight in layer.parameters())])
    torch.testing.assert_close(*found)


def test_a_network_is_trained_on_chunks(series) -> None:
    layer = ostinato.nn.Recurrent(ostinato.cells.GRUCell(3, 3)).double()

    def objective(module, chunk, carry):
        ys, state = module(chunk.inputs, carry)
        return Step(nn.functional.mse_loss(ys, chunk.targets), chunk.inputs.numel(), state)

    history = train(
        layer, objective, SeriesChunks(series, series, batch_size=2, steps=10), None,
        TrainingConfig(epochs=4, learning_rate=0.05, progress=False, patience=None),
    )  # fmt: skip
    assert history.rows[-1].loss < history.rows[0].loss


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"batch_size": 0, "steps": 3}, UsageError, "batch_size is 0"),
        ({"batch_size": 2, "steps": 1.5}, UsageError, "steps is 1.5"),
        ({"batch_size": 101, "steps": 3}, UsageError, "has 101 steps"),
        ({"batch_size": 2, "steps": 3, "targets": np.zeros(7)}, ShapeError, "targets 7"),
    ],
)
def test_what_does_not_fit_is_refused(series, options, error, message) -> None:
    with pytest.raises(error, match=message):
        SeriesChunks(series, **options)


def test_nothing_to_go_back_over_is_refused() -> None:
    with pytest.raises(UsageError, match="no chunks"):
        backpropagate(lambda xs, state: (xs, state), [], _loss)
    with pytest.raises(UsageError, match="kept is 0"):
        backpropagate(lambda xs, state: (xs, state), [(0, 0)], _loss, kept=0)
