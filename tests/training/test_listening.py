"""Listening to training from outside: heard in order, ended by an exception, changing no number."""

import threading
from dataclasses import replace

import pytest
import torch

from ostinato.training import Listener, listening, train
from toy import CONFIG, Rows, make_module, squared_error


class Note(Listener):
    def __init__(self, fail_at=None):
        self.heard, self.fail_at = [], fail_at

    def begin(self, module):
        self.heard.append("begin")

    def epoch(self, row):
        self.heard.append(row.epoch)
        if row.epoch == self.fail_at:
            raise Enough

    def end(self, history):
        self.heard.append(history.best_epoch)


class Enough(Exception):
    pass


def fit(**changes):
    module = make_module()
    history = train(module, squared_error, Rows(), Rows(32, seed=1, shuffle=False), replace(CONFIG, **changes))
    return module, history


def test_a_listener_hears_the_beginning_each_epoch_and_the_end() -> None:
    with listening(Note()) as outer, listening(Note()) as inner:
        _, history = fit()
    assert outer.heard == inner.heard == ["begin", 1, 2, 3, 4, history.best_epoch]
    fit()
    assert len(outer.heard) == 6  # nothing is heard after the block


def test_listening_changes_no_number() -> None:
    alone, _ = fit()
    with listening(Note()):
        heard, _ = fit()
    for a, b in zip(alone.parameters(), heard.parameters(), strict=True):
        assert torch.equal(a, b)


def test_what_a_listener_raises_ends_the_run_at_once_with_the_best_weights() -> None:
    note = Note(fail_at=2)
    module = make_module()
    with pytest.raises(Enough), listening(note):
        train(module, squared_error, Rows(), Rows(32, seed=1, shuffle=False), CONFIG)
    assert note.heard == ["begin", 1, 2]
    shorter = make_module()
    with pytest.raises(Enough), listening(Note(fail_at=2)):
        train(shorter, squared_error, Rows(), Rows(32, seed=1, shuffle=False), CONFIG)
    assert not module.training
    assert all(torch.equal(a, b) for a, b in zip(module.parameters(), shorter.parameters(), strict=True))
    fit()
    assert note.heard == ["begin", 1, 2]


def test_another_thread_does_not_hear() -> None:
    with listening(Note()) as note:
        other = threading.Thread(target=fit)
        other.start()
        other.join()
    assert note.heard == []
