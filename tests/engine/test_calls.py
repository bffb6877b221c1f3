"""How a call of the compiled engine behaves: what it keeps and notices, threads, forks, what it refuses."""

import gc
import inspect
import os
import threading
import warnings
import weakref

import pytest
import torch
from test_scan import LayerNormLSTM
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional as F

import ostinato
from ostinato.engine.backends.cpu import memory
from ostinato.engine.front import watch
from ostinato.engine.run import compiled
from ostinato.engine.run.reference import scan_eagerly
from ostinato.errors import EngineWarning

pytestmark = pytest.mark.filterwarnings("error::ostinato.errors.EngineWarning")


class Dropped(nn.Module):
    """Recurrent dropout and zoneout with fresh numbers at every step."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.cell = nn.RNNCell(input_size, hidden_size)
        self.hidden_size = hidden_size

    def forward(self, x, h):
        new = self.cell(x, F.dropout(h, 0.4, self.training))
        kept = torch.bernoulli(torch.full_like(h, 0.3)) if self.training else 0.3
        h = kept * h + (1 - kept) * new
        return h, h


def test_inference_keeps_nothing_and_training_may_outlive_the_cell() -> None:
    cell, x = nn.GRUCell(5, 20), torch.randn(4, 3, 5)
    with torch.inference_mode():
        assert ostinato.scan(cell, x)[0].is_inference()
    with torch.no_grad():
        assert ostinato.scan(cell, x)[0].grad_fn is None
    weight, gone = cell.weight_hh, weakref.ref(cell)
    ys, _ = ostinato.scan(cell, x)
    del cell
    gc.collect()
    assert gone() is None
    ys.sum().backward()
    assert weight.grad.abs().sum() > 0


@pytest.mark.parametrize("reverse", [False, True])
def test_outputs_that_are_kept_for_gradients_are_guarded_against_changes_in_place(monkeypatch, reverse) -> None:
    cell = nn.GRUCell(3, 5)
    xs = torch.randn(7, 2, 3)
    ys, _ = ostinato.scan(cell, xs, reverse=reverse)
    expected = torch.autograd.grad((ys * 2).square().sum(), cell.weight_hh)
    ys, _ = ostinato.scan(cell, xs, reverse=reverse)
    ys.mul_(2)  # a quick call keeps its outputs apart
    torch.testing.assert_close(torch.autograd.grad(ys.square().sum(), cell.weight_hh), expected)
    monkeypatch.setattr(compiled, "scan_quickly", lambda *_, **__: None)  # and so the longer way
    monkeypatch.setattr("ostinato.engine.run.scan.run_again", lambda *_: None)
    storages = set()

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storages.add(tensor.untyped_storage().data_ptr())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        ys, _ = ostinato.scan(cell, xs, reverse=reverse)
    assert ys.untyped_storage().data_ptr() in storages  # kept once, as output and as the next step's state
    with pytest.raises(RuntimeError, match="modified inplace"):  # at once, not first in the backward pass
        ys.mul_(2)


@pytest.mark.slow
@pytest.mark.ci
def test_a_cell_is_captured_again_when_its_settings_change() -> None:
    cell, x = Dropped(5, 20).eval(), torch.randn(4, 3, 5)
    kept, _ = ostinato.scan(cell, x)
    cell.cell.nonlinearity = "relu"
    changed, _ = ostinato.scan(cell, x)
    assert not torch.equal(kept, changed)
    torch.testing.assert_close(changed, scan_eagerly(cell, x, torch.zeros(3, 20), None, False)[0])


@pytest.mark.slow
@pytest.mark.ci
def test_a_setting_that_changes_at_every_call_ends_in_the_eager_loop(monkeypatch) -> None:
    monkeypatch.setattr(compiled, "_MOST_PLANS", 12)

    class Tempered(nn.Module):
        hidden_size, temperature = 3, 1.0

        def forward(self, x, h):
            h = torch.tanh(x / self.temperature + h)
            return h, h

    cell, x = Tempered(), torch.randn(2, 2, 3)
    with pytest.warns(EngineWarning, match="settings or sizes that keep changing"):  # noqa: PT031
        for step in range(16):
            cell.temperature = 1.0 + step
            torch.testing.assert_close(
                ostinato.scan(cell, x, torch.zeros(2, 3))[0], scan_eagerly(cell, x, torch.zeros(2, 3), None, False)[0]
            )


@pytest.mark.slow
@pytest.mark.ci
def test_random_numbers_are_drawn_again_in_the_backward_pass() -> None:
    cell = Dropped(5, 20).double()
    x = torch.randn(3, 4, 5, dtype=torch.double, requires_grad=True)

    def run(x, *weights):
        torch.manual_seed(7)
        return ostinato.scan(cell, x)[0]

    assert torch.autograd.gradcheck(run, [x, *cell.parameters()], fast_mode=True)
    assert torch.equal(run(x), run(x))
    assert not torch.equal(ostinato.scan(cell, x)[0], ostinato.scan(cell, x)[0])


def test_random_numbers_are_uniform_and_differ_from_row_to_row_and_step_to_step() -> None:
    class Noise(nn.Module):
        hidden_size = 64

        def forward(self, x, h):
            noise = torch.rand_like(h)
            return noise, h + 0 * noise

    torch.manual_seed(0)
    draws, _ = ostinato.scan(Noise(), torch.zeros(40, 30, 1), torch.zeros(30, 64))
    counts = torch.histc(draws, 32, 0, 1)
    expected = draws.numel() / 32
    chi_squared = float(((counts - expected) ** 2 / expected).sum())
    assert chi_squared < 65  # 31 degrees of freedom: exceeded once in 2,500 seeds
    flat = draws.reshape(-1, 64)
    correlation = torch.corrcoef(flat[:300]) - torch.eye(300)
    assert correlation.abs().max() < 0.65
    assert draws.unique().numel() > 0.99 * draws.numel()


def test_what_the_engine_does_not_know_runs_eagerly_with_one_warning_that_names_it() -> None:
    class Odd(nn.Module):
        hidden_size = 4

        def forward(self, x, h):
            h = torch.cumsum(h, -1).tanh() + x
            return h, h

    cell, x = Odd(), torch.randn(3, 2, 4)
    # older versions of PyTorch do not say which line an operation comes from
    line = r".*torch.cumsum\(h, -1\)" if "record_stack_traces" in inspect.signature(make_fx).parameters else ""
    with pytest.warns(EngineWarning, match=rf"Odd runs in the eager loop.*cumsum{line}"):
        ys, _ = ostinato.scan(cell, x)
    torch.testing.assert_close(ys, scan_eagerly(cell, x, torch.zeros(2, 4), None, False)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ostinato.scan(cell, x)


@pytest.mark.parametrize("kind", ["branch", "batch mean", "hook", "in place", "size"])
def test_cells_that_cannot_be_compiled_stay_right(kind) -> None:
    class Unfit(nn.Module):
        hidden_size = 4

        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, x, h):
            if kind == "branch" and x.sum() > 0:
                h = -h
            if kind == "batch mean":
                h = h - h.mean(0)
            if kind == "in place":
                h = h.clone()
                part = h[:, :2]
                part.mul_(2.0)
            if kind == "size":
                h = h / x.shape[0]
            h = torch.tanh(self.linear(x) + h)
            return h, h

    cell, x = Unfit(), torch.randn(5, 3, 4)
    seen = []
    if kind == "hook":
        cell.linear.register_forward_hook(lambda *_: seen.append(1))
    with pytest.warns(EngineWarning):
        ys, _ = ostinato.scan(cell, x, torch.zeros(3, 4))
    assert kind != "hook" or len(seen) == 5
    torch.testing.assert_close(ys, scan_eagerly(cell, x, torch.zeros(3, 4), None, False)[0])


def test_several_python_threads_may_scan_at_once() -> None:
    cell, x = LayerNormLSTM(5, 20), torch.randn(30, 8, 5)
    expected, _ = ostinato.scan(cell, x)
    wrong = []

    def work():
        for _ in range(20):
            ys, _ = ostinato.scan(cell, x)
            if not torch.equal(ys, expected):
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.slow
@pytest.mark.ci
def test_a_forked_process_goes_on_computing() -> None:
    cell, x = nn.GRUCell(64, 64), torch.randn(60, 32, 64)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with torch.no_grad():
            expected, _ = ostinato.scan(cell, x)
            reader, writer = os.pipe()
            child = os.fork()
            if child == 0:
                # compared by NumPy: PyTorch's own threads do not outlive a fork
                same = (ostinato.scan(cell, x)[0].numpy() == expected.numpy()).all()
                os.write(writer, b"y" if same else b"n")
                os._exit(0)
            os.close(writer)
            assert os.read(reader, 1) == b"y"
            os.waitpid(child, 0)
    finally:
        torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.ci
def test_the_operators_keep_pytorchs_rules() -> None:
    cell, x = nn.GRUCell(5, 8), torch.randn(4, 3, 5)
    tensors = watch.tensors_of(cell)
    ready = compiled.find(cell, cell, x, torch.zeros(3, 8))
    assert isinstance(ready, compiled.Ready)
    for lengths in (None, torch.tensor([4, 0, 2])):
        arguments = (list(tensors.values()), x, [torch.randn(3, 8)], lengths, None, False, 0, ready.number, True)
        torch.library.opcheck(torch.ops.ostinato.scan.default, arguments)


@pytest.mark.slow
def test_a_scan_works_inside_torch_compile() -> None:
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.head = nn.GRUCell(5, 8), nn.Linear(8, 2)

        def forward(self, x):
            return self.head(ostinato.scan(self.cell, x)[0]).relu()

    model, x = Model(), torch.randn(4, 3, 5)
    expected = model(x)
    torch.testing.assert_close(torch.compile(model, backend="aot_eager")(x), expected)


@pytest.mark.slow
@pytest.mark.ci
def test_function_transforms_and_autocast_are_right() -> None:
    cell, x = nn.GRUCell(5, 8), torch.randn(6, 4, 3, 5)
    mapped = torch.vmap(lambda one: ostinato.scan(cell, one, torch.zeros(3, 8))[0])(x)
    for one, expected in zip(mapped, x, strict=True):
        torch.testing.assert_close(one, ostinato.scan(cell, expected)[0])
    plain, _ = ostinato.scan(cell, x[0])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside, _ = ostinato.scan(cell, x[0].bfloat16().float())
        half, _ = ostinato.scan(cell, x[0].bfloat16())
    assert inside.dtype is torch.float32
    assert torch.equal(inside, half)
    torch.testing.assert_close(inside, plain, atol=0.05, rtol=0.05)


@pytest.mark.slow
@pytest.mark.ci
def test_hundreds_of_calls_leave_nothing_behind() -> None:
    cell = LayerNormLSTM(5, 20)
    for round_ in range(3):
        for _ in range(150):
            time, batch = int(torch.randint(1, 30, ())), int(torch.randint(1, 12, ()))
            x = torch.randn(time, batch, 5, requires_grad=True)
            ostinato.scan(cell, x, lengths=torch.randint(0, time + 1, (batch,)))[0].sum().backward()
        gc.collect()
        memory.release()
        tensors = sum(isinstance(item, torch.Tensor) for item in gc.get_objects())
        if round_ == 0:
            plans, kept = len(compiled._plans[cell]), tensors
    assert len(compiled._plans[cell]) == plans
    assert tensors <= kept + 5
