"""Cells of a user's own, in a module that other processes can import."""

from ostinato.cells import CATALOGUE


def wide_gru(input_size, hidden_size):
    return CATALOGUE["gru"](input_size, hidden_size)


def plain_rnn(input_size, hidden_size):
    return CATALOGUE["rnn"](input_size, hidden_size)
