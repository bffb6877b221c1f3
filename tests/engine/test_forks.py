"""A forked process and its parent do not see each other, whatever other threads did at the moment of the fork."""

import os
import threading
import time
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

import ostinato
from ostinato.engine import forks
from ostinato.engine.backends.cpu import memory
from ostinato.engine.run import compiled
from ostinato.nn.dropin import choice

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning"),
]


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(choice, "pays", lambda *_: True)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # PyTorch's own threads do not survive a fork
    yield
    torch.set_num_threads(threads)


def _in_child(check: Callable[[], bool], seconds: float = 60) -> bool:
    """Return what a check says in a forked process; false if it does not come to an end."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if check() else 1
        finally:
            os._exit(code)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.01)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return False


def test_a_program_that_was_written_for_threads_runs_in_a_child_without() -> None:
    cell, xs, start = nn.GRUCell(64, 64), torch.randn(60, 32, 64), torch.zeros(32, 64)
    torch.set_num_threads(2)
    with torch.no_grad():
        ready = compiled.find(cell, cell, xs, start)
        forward = ready.executable.quick_forward(60, 32, False, save=False)
        assert forward.program._teams

        def run():
            return forward(list(cell.parameters()), xs, [start], 0)[0]

        expected = run().numpy()
        assert _in_child(lambda: bool((run().numpy() == expected).all()), 20)


def test_a_child_and_its_parent_write_into_memory_of_their_own() -> None:
    layer, xs = ostinato.nn.GRU(16, 64), torch.randn(40, 32, 16)
    with torch.no_grad():
        live, expected = layer(xs)[0], layer(xs)[0].clone()
        freed = layer(xs)[0].data_ptr()  # its memory is kept for the next call, in both processes

        def check() -> bool:
            mine = layer(xs * 2)[0]
            live.zero_()
            return mine.data_ptr() == freed

        assert _in_child(check)
        assert torch.equal(live, expected)

        inner, outer = os.pipe(), os.pipe()

        def waits() -> bool:
            mine = layer(xs)[0]
            os.write(inner[1], b"x")
            os.read(outer[0], 1)
            return torch.equal(mine, expected)

        def answers() -> None:
            os.read(inner[0], 1)
            layer(xs * 3)
            os.write(outer[1], b"x")

        thread = threading.Thread(target=answers)
        thread.start()
        assert _in_child(waits)
        thread.join()


def test_a_child_trains_as_its_parent_does() -> None:
    layer, xs = ostinato.nn.LSTM(16, 64), torch.randn(40, 32, 16)
    layer(xs)[0].sum().backward()
    expected = [weight.grad.clone() for weight in layer.parameters()]

    def check() -> bool:
        layer.zero_grad()
        layer(xs)[0].sum().backward()
        return all(torch.equal(weight.grad, other) for weight, other in zip(layer.parameters(), expected, strict=True))

    assert _in_child(check)


def test_a_fork_while_another_thread_computes() -> None:
    layer, xs = ostinato.nn.GRU(16, 64), torch.randn(40, 32, 16)
    with torch.no_grad():
        expected = layer(xs)[0].clone()
        stop = threading.Event()

        def compute() -> None:
            with torch.no_grad():
                while not stop.is_set():
                    layer(xs)

        thread = threading.Thread(target=compute)
        thread.start()
        try:
            assert all(_in_child(lambda: torch.equal(layer(xs)[0], expected)) for _ in range(10))
        finally:
            stop.set()
            thread.join()


def test_a_fork_waits_until_nothing_is_half_made() -> None:
    begun, order = threading.Event(), []

    class Slow:
        @forks.lazy
        def value(self) -> int:
            begun.set()
            time.sleep(0.3)
            order.append("made")
            return 7

    slow = Slow()
    thread = threading.Thread(target=lambda: slow.value)
    thread.start()
    begun.wait()
    assert _in_child(lambda: order == ["made"] and slow.value == 7, seconds=10)
    thread.join()


@pytest.mark.skipif(not hasattr(compiled, "making"), reason="traces are not yet made under the lock of forks")
def test_a_fork_while_another_thread_makes_plans() -> None:
    stop = threading.Event()

    def make() -> None:
        while not stop.is_set():
            ostinato.scan(ostinato.cells.GRUCell(3, 5), torch.randn(4, 2, 3))

    thread = threading.Thread(target=make)
    thread.start()
    try:
        cell, xs = ostinato.cells.RNNCell(3, 5), torch.randn(4, 2, 3)
        for _ in range(5):
            time.sleep(0.1)
            assert _in_child(lambda: bool(ostinato.scan(cell, xs)[0].isfinite().all()))
    finally:
        stop.set()
        thread.join()


class _Encoded(Dataset):
    """Examples that a recurrent layer has gone over, in the worker."""

    def __init__(self, layer: nn.Module, xs: torch.Tensor) -> None:
        self.layer, self.xs = layer, xs

    def __len__(self) -> int:
        return len(self.xs)

    def __getitem__(self, index: int) -> torch.Tensor:
        with torch.no_grad():
            return self.layer(self.xs[index])[0]


def test_a_layer_runs_in_the_workers_of_a_data_loader() -> None:
    layer, xs = ostinato.nn.GRU(16, 64), torch.randn(6, 40, 16, 16)
    with torch.no_grad():
        live = [layer(one)[0] for one in xs]
        expected = torch.stack(live)
    loader = DataLoader(_Encoded(layer, xs), batch_size=2, num_workers=2, multiprocessing_context="fork")
    assert torch.equal(torch.cat(list(loader)), expected)
    assert torch.equal(torch.stack(live), expected)


def test_memory_that_is_kept_is_used_again_in_a_child() -> None:
    where = memory.empty((1 << 20,), torch.uint8).data_ptr()
    assert _in_child(lambda: memory.empty((1 << 20,), torch.uint8).data_ptr() == where)
