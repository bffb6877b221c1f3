"""Rows of a table: cells that multiply each row once give what they give of all steps."""

import pytest
import torch
from torch import nn

import ostinato
from ostinato.engine.run import twins
from ostinato.nn import Recurrent, TokenEmbedding
from ostinato.nn.rows import Rows

CELLS = ("lstm", "gru", "rnn", "lstm-layernorm", "sru")


def tokens(count, *shape):
    return torch.randint(count, shape)


@pytest.mark.parametrize("name", CELLS)
def test_a_stack_reads_rows_as_it_reads_their_vectors(name):
    made = ostinato.cells.CATALOGUE[name](5, 6)
    stack = Recurrent(made, 2, bidirectional=name in ("lstm", "gru"))
    table, places = torch.randn(4, 5, requires_grad=True), tokens(4, 7, 3)
    for lengths in (None, torch.tensor([7, 2, 5])):
        for changed in (False, True):
            if changed:
                with torch.no_grad():
                    for parameter in stack.parameters():
                        parameter.mul_(0.5)
            outcomes = []
            for read in (Rows(table, places), table[places]):
                ys, last = stack(read, lengths=lengths)
                wanted = [table, *stack.parameters()]
                loss = ys.square().sum() + sum(leaf.sum() for state in last for leaf in ostinato.engine.leaves(state))
                outcomes.append([ys, *torch.autograd.grad(loss, wanted)])
            for one, other in zip(*outcomes, strict=True):
                torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    assert (twins._twins[stack.cells[0]] is not None) == (name != "sru")


def test_a_cell_that_multiplies_its_state_with_a_second_product_is_not_taken_apart():
    # as wide as its gates together: the second product would take what the first gave, and from zeros nothing shows it
    stack = Recurrent(ostinato.cells.CATALOGUE["lstm-multiplicative"](8, 2), 1)
    table, places = torch.randn(3, 8), tokens(3, 6, 2)
    torch.testing.assert_close(stack(Rows(table, places))[0], stack(table[places])[0])


@pytest.mark.filterwarnings("ignore:RNNCell runs in the eager loop")
@pytest.mark.parametrize("change", ["forward", "hook"])
def test_a_cell_that_is_changed_or_watched_later_is_called_itself(change):
    stack, table, places = Recurrent(ostinato.cells.CATALOGUE["rnn"](4, 4), 1), torch.randn(3, 4), tokens(3, 6, 2)
    stack(Rows(table, places))
    cell, seen = stack.cells[0], []
    if change == "forward":
        cell.forward = lambda x, h: (2 * torch.tanh(cell.input(x) + h),) * 2
    else:
        cell.register_full_backward_hook(lambda _, given, taken: seen.append(given[0].shape))
    ys, expected = stack(Rows(table.requires_grad_(), places))[0], stack(table[places])[0]
    torch.testing.assert_close(ys, expected)
    ys.sum().backward()
    assert len(seen) == (6 if change == "hook" else 0)


class Noisy(nn.Module):
    """A cell of somebody's own, that drops parts of its step while it trains."""

    def __init__(self):
        super().__init__()
        self.input, self.hidden_size = nn.Linear(4, 4), 4

    def forward(self, x, h):
        h = torch.tanh(self.input(x * 2 if self.training else x) + h)
        return h, h


def test_a_cell_that_is_not_of_the_catalogue_is_not_taken_apart():
    stack, table, places = Recurrent(Noisy(), 1, input_size=4), torch.randn(3, 4), tokens(3, 6, 2)
    torch.testing.assert_close(stack(Rows(table, places))[0], stack(table[places])[0])
    assert stack.cells[0] not in twins._twins


def test_an_embedding_gives_rows_where_tokens_repeat_and_drops_the_same_words():
    embedding = TokenEmbedding(5, 3, dropout=0.5)
    places = tokens(5, 6, 4)
    torch.manual_seed(1)
    dense = embedding(places)
    torch.manual_seed(1)
    rows = embedding.rows(places)
    assert rows is not None
    assert torch.equal(rows.dense(), dense)
    assert embedding.rows(places[:1]) is None
    assert TokenEmbedding(5, 3, padding_idx=0).rows(places) is None
