"""Looking at a cell and tracing it: quick, shared among equal cells, and never seen by the cell itself."""

import contextlib
import sys
import threading
import time

import numpy as np
import pytest
import torch
from torch import nn

import ostinato
from ostinato.engine.front import watch
from ostinato.engine.run import compiled
from ostinato.engine.run.reference import scan_eagerly

pytestmark = pytest.mark.filterwarnings("ignore::ostinato.errors.EngineWarning")


@pytest.mark.parametrize("name", sorted(ostinato.cells.CATALOGUE))
def test_no_cell_of_the_catalogue_computes_with_its_batch_or_changes_itself(name) -> None:
    cell = ostinato.cells.CATALOGUE[name](6, 8) if "conv" not in name else None
    if cell is None:
        pytest.skip("convolutional cells have another shape")
    seen = watch.look(cell)
    assert not seen.refusal
    assert seen.holds()
    assert not seen.deep, "a cell of the catalogue is compared object by object, quickly"


@contextlib.contextmanager
def untouched(cell):
    """Watch from another thread that every tensor and mode of a module stays in its place."""
    places = [(m, m.training, dict(m._parameters), dict(m._buffers), set(m.__dict__)) for m in cell.modules()]
    wrong, done = [], threading.Event()

    def watcher():
        while not done.is_set():
            for module, training, parameters, buffers, names in places:
                same = all(module._parameters[key] is value for key, value in parameters.items())
                same &= all(module._buffers[key] is value for key, value in buffers.items())
                if not same or module.training != training or set(module.__dict__) != names:
                    wrong.append(module)
            time.sleep(0.0005)  # what computes has the lock for ten times as long before this thread gets it

    thread = threading.Thread(target=watcher)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    assert not wrong


@pytest.mark.parametrize("name", ["gru", "slstm", "lstm-layernorm"])
def test_compiling_leaves_the_cell_untouched_at_every_moment(name) -> None:
    cell = ostinato.cells.CATALOGUE[name](7, 11)
    with untouched(cell):
        ys, _ = ostinato.scan(cell, torch.randn(4, 2, 7))
        ys.sum().backward()
        with torch.no_grad():
            ostinato.scan(cell, torch.randn(4, 2, 7), return_states=True)


@pytest.mark.parametrize("grad", [True, False])
def test_threads_that_meet_a_cell_together_get_the_right_numbers(grad) -> None:
    for seed in range(4):
        torch.manual_seed(seed)
        cell = ostinato.cells.CATALOGUE["gru"](5 + seed, 9).requires_grad_(grad)
        xs = torch.randn(5, 3, 5 + seed)
        with torch.no_grad():
            want = scan_eagerly(cell, xs, torch.zeros(3, 9), None, False)[0]
        found, start = [], threading.Barrier(4)

        def job(cell=cell, xs=xs, found=found, start=start):
            start.wait()
            for _ in range(5):
                with torch.set_grad_enabled(grad):
                    found.append(ostinato.scan(cell, xs)[0].detach())

        threads = [threading.Thread(target=job) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 20
        for ys in found:
            torch.testing.assert_close(ys, want)


def test_equal_cells_share_one_plan() -> None:
    cells = [ostinato.cells.CATALOGUE["gru"](6, 7) for _ in range(5)]
    xs = torch.randn(3, 2, 6)
    for cell in cells:
        ostinato.scan(cell, xs)
    plans = {id(plan) for cell in cells for plan in compiled._plans[cell].values()}
    assert len(plans) == 1
    cells[0].extra = 1.0  # what no step reads makes no other plan
    ostinato.scan(cells[0], xs)
    assert {id(plan) for plan in compiled._plans[cells[0]].values()} == plans


def test_a_mode_that_is_on_at_the_first_call_leaves_nothing_behind() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    layer, xs = ostinato.nn.GRU(6, 13), torch.randn(5, 2, 6)
    with FlopCounterMode(display=False):
        first = layer(xs)[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules["ostinato.engine.run.scan"], "scan_eagerly", None)
        second = layer(xs)[0]
        torch.testing.assert_close(second, first)


@pytest.mark.parametrize("lengths", [[5, 2, 0], (5, 2, 0), np.array([5, 2, 0])])
def test_lengths_may_be_a_list_or_an_array(lengths) -> None:
    cell, xs = ostinato.cells.CATALOGUE["gru"](3, 4), torch.randn(5, 3, 3)
    want = ostinato.scan(cell, xs, lengths=torch.tensor([5, 2, 0]))[0]
    assert torch.equal(ostinato.scan(cell, xs, lengths=lengths)[0], want)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("lstm", 'cell is the text "lstm"; expected a cell'),
        (nn.LSTM(3, 4), "cell is a LSTM layer, which walks over whole sequences itself"),
        (nn.LSTMCell, r"cell is the class LSTMCell.*make one with LSTMCell\(input_size, hidden_size\)"),
        (None, "cell is of type NoneType"),
    ],
)
def test_what_is_no_cell_is_said_in_one_sentence(cell, message) -> None:
    for call in (lambda: ostinato.scan(cell, torch.randn(5, 3, 3)), lambda: ostinato.explain(cell)):
        with pytest.raises(ostinato.errors.UsageError, match=message):
            call()
