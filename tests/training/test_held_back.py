"""Signals that come while training: held back until a step is whole."""

import signal

import pytest
import torch

from ostinato.training import train
from ostinato.training.interrupts import HeldBack
from toy import CONFIG, Rows, make_module, squared_error


def test_an_interrupt_within_a_step_waits_for_its_end_and_is_in_the_checkpoint(tmp_path) -> None:
    expected = make_module()
    train(expected, squared_error, Rows(), Rows(32, seed=1, shuffle=False), CONFIG)
    for steps, training in ((1, True), (30, True), (2, False), (9, False)):
        seen = []

        def objective(module, batch, carry, steps=steps, training=training, seen=seen):
            seen.append(module.training)
            if seen.count(training) == steps and module.training == training:
                signal.raise_signal(signal.SIGINT)  # held back: the step continues
            return squared_error(module, batch, carry)

        where = tmp_path / f"{steps} {training}"
        where.mkdir()
        data = Rows(), Rows(32, seed=1, shuffle=False)
        module = make_module()
        with pytest.raises(KeyboardInterrupt):
            train(module, objective, *data, CONFIG, directory=where)
        assert seen.count(True) == (steps if training else seen.count(True))
        resumed = make_module()
        train(resumed, squared_error, *data, CONFIG, directory=where, resume=True)
        for name, value in expected.state_dict().items():
            assert torch.equal(resumed.state_dict()[name], value)


def test_a_second_interrupt_does_not_wait() -> None:
    with HeldBack() as held:
        signal.raise_signal(signal.SIGINT)
        assert held.pending == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        held.pending = None


def test_an_interrupt_that_nobody_asked_for_is_raised_at_the_end_and_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), HeldBack():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
    with HeldBack() as held:
        held.check()


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with HeldBack() as held:
            signal.raise_signal(signal.SIGINT)
            assert held.pending is None
    finally:
        signal.signal(signal.SIGINT, before)
