"""How long compiled code lives: shared while somebody uses it, gone afterwards, never gone too early."""

import gc
import os
import threading
import weakref
from pathlib import Path

import pytest
import torch
from torch import nn

import ostinato
from ostinato.engine.backends import default_target
from ostinato.engine.backends.cpu import compiler
from ostinato.engine.run import compiled
from ostinato.engine.run.compiled import find

_MAPS = Path("/proc/self/maps")


class Decay(nn.Module):
    """A cell that is another for every `rate`."""

    def __init__(self, rate):
        super().__init__()
        self.rate = rate

    def initial_state(self, x):
        return x.new_zeros(x.shape[0], 3)

    def forward(self, x, state):
        state = state * self.rate + x
        return state, state


@pytest.fixture(autouse=True)
def _no_disk(monkeypatch):
    monkeypatch.setenv("OSTINATO_CACHE_DIR", "")


def _run(cell, **options):
    return ostinato.scan(cell, torch.ones(4, 2, 3, **options))[0]


def _ready(cell):
    x = torch.ones(4, 2, 3)
    with torch.no_grad():
        return find(cell, cell, x, cell.initial_state(x[0]))


def _maps():
    return len(_MAPS.read_text().splitlines())


def test_equal_cells_run_one_kernel_and_others_another() -> None:
    cells = [Decay(0.125), Decay(0.125), Decay(0.25)]
    first, second, other = (_ready(cell).executable.infer for cell in cells)
    assert first is second
    assert first.address != other.address


@pytest.mark.skipif(not _MAPS.exists(), reason="the system does not list memory maps")
@pytest.mark.slow
@pytest.mark.ci
def test_code_of_cells_that_are_gone_is_freed() -> None:
    def make(rates):
        for rate in rates:
            with torch.no_grad():
                _run(Decay(rate))
        ostinato.engine.release_memory()  # plans wanted last are kept for the next equal cell
        gc.collect()
        return len(compiler._loaded), _maps()

    make([0.5])
    before, maps_before = make([0.51, 0.52])
    after, maps_after = make([0.53 + 0.01 * number for number in range(6)])
    assert after == before
    assert maps_after <= maps_before + 3


@pytest.mark.slow
@pytest.mark.ci
def test_plans_of_cells_that_are_gone_are_few(monkeypatch) -> None:
    monkeypatch.setattr(compiled, "_MOST_RECENT", 5)
    ostinato.engine.release_memory()
    for number in range(12):
        with torch.no_grad():
            _run(Decay(0.3 + 0.01 * number))
    gc.collect()
    assert len(compiled._recent) == 5


def test_code_lives_as_long_as_a_gradient_may_need_it() -> None:
    x = torch.ones(4, 2, 3, requires_grad=True)
    cell = Decay(0.75)
    ys, _ = ostinato.scan(cell, x)
    del cell
    gc.collect()
    ys[-1].sum().backward()
    torch.testing.assert_close(x.grad[:, 0, 0], torch.tensor([0.75**3, 0.75**2, 0.75, 1.0]))


def test_a_function_keeps_its_code_and_the_code_goes_with_it() -> None:
    kernel = _ready(Decay(0.375)).executable.infer
    function, code = kernel.run, weakref.ref(kernel.run.code)
    del kernel
    ostinato.engine.release_memory()
    gc.collect()
    assert code() is not None
    del function
    gc.collect()
    assert code() is None


def test_a_stepper_goes_on_after_its_cell_is_gone() -> None:
    step = ostinato.stepper(Decay(0.625))
    step(torch.ones(1, 3).numpy())
    step.module = None
    gc.collect()
    assert step(torch.zeros(1, 3).numpy()).tolist() == [[0.625] * 3]


def test_cells_made_run_and_dropped_by_threads_give_right_numbers() -> None:
    wrong = []

    def work(number):
        for round_ in range(2):
            rate = 0.001 * (1 + number % 2 + 2 * round_)  # two threads each share a cell's code
            with torch.no_grad():
                ys = _run(Decay(rate))
            if not torch.allclose(ys[1], torch.full((2, 3), 1 + rate)):
                wrong.append(rate)
            gc.collect()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_process_forked_while_a_thread_compiles_can_compile() -> None:
    inside = threading.Event()

    def build():
        inside.set()
        module = compiler.new_module("slow", default_target(torch.device("cpu")))
        threading.Event().wait(0.3)
        return module

    thread = threading.Thread(
        target=lambda: compiler.compile_cached("slow", build, [], default_target(torch.device("cpu")))
    )
    thread.start()
    inside.wait()
    child = os.fork()
    if not child:
        done = compiler.making.acquire(timeout=5) and bool((_run(Decay(0.875))[1] == 1.875).all())
        os._exit(0 if done else 1)
    thread.join()
    assert os.waitpid(child, 0)[1] == 0
