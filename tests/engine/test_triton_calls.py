"""The Triton backend through `scan`, its choice of tiles, its numbers drawn from a counter, and what it refuses."""

import sys
import warnings
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from triton_cases import VARIANTS, both, largest_error, share_columns

import ostinato
from ostinato.cells import Zoneout
from ostinato.engine.backends.calls import ScanCall
from ostinato.engine.backends.triton import kernels
from ostinato.engine.backends.triton.executable import TritonExecutable
from ostinato.engine.backends.triton.phases import order
from ostinato.engine.backends.triton.prepare import prepare
from ostinato.engine.backends.triton.tiles import Limits, Tiling, chunks, in_threads, tilings, weight_bytes
from ostinato.engine.backends.triton.values import Form
from ostinato.engine.front.state import initial_state, leaves
from ostinato.engine.plan.graph import Unsupported
from ostinato.engine.plan.split import split
from ostinato.engine.run import compiled
from ostinato.engine.run.compiled import find
from ostinato.engine.run.reference import scan_eagerly
from ostinato.errors import EngineWarning

sys.path.append(str(Path(__file__).parents[1] / "cells"))
import samples

pytest.importorskip("triton")
H100 = Limits(132, 232_448)
FORM = Form(Tiling(16, 1, 4), "float32", "float32", "ieee", False, "", False)


@pytest.fixture
def on_triton(monkeypatch):
    """Run scans of the CPU by Triton's kernels."""
    monkeypatch.setattr(compiled, "executable_for", lambda *_: TritonExecutable)
    compiled.release_memory()
    with warnings.catch_warnings():
        warnings.simplefilter("error", EngineWarning)
        yield
    compiled.release_memory()


@pytest.mark.parametrize("lengths", [None, [5, 2, 0]])
def test_a_scan_with_gradients_is_the_eager_loops(on_triton, lengths):
    cell = samples.random_cell("lstm", 4, 6)
    xs = torch.randn(5, 3, 4, dtype=torch.float64, requires_grad=True)
    start = initial_state(cell, xs[0])
    sizes = None if lengths is None else torch.tensor(lengths)
    found = []
    for ys, last in (
        ostinato.scan(cell, xs, start, lengths=sizes),
        scan_eagerly(cell, xs, start, sizes, False, None),
    ):
        loss = ys.sin().sum() + sum(leaf.cos().sum() for leaf in last)
        found.append([ys, *last, *torch.autograd.grad(loss, [*cell.parameters(), xs])])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("asked", [{}, {"lengths": torch.tensor([5, 2, 0])}, {"resets": True}, {"batch_first": True}])
def test_a_call_again_of_the_same_shape_is_the_eager_loops(on_triton, asked):
    cell = samples.random_cell("gru-layernorm", 4, 6)
    for _ in range(2):
        xs = torch.randn(5, 3, 4, dtype=torch.float64, requires_grad=True)
        start = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)
        marks = torch.rand(5, 3) < 0.3 if "resets" in asked else None
        given = xs.transpose(0, 1) if "batch_first" in asked else xs
        ys, last = ostinato.scan(cell, given, start, **(asked | {"resets": marks} if marks is not None else asked))
        ys = ys.transpose(0, 1) if "batch_first" in asked else ys
        found = [(ys, last), scan_eagerly(cell, xs, start, asked.get("lengths"), False, marks)]
        gradients = [
            torch.autograd.grad(out.sin().sum() + end.cos().sum(), [*cell.parameters(), xs, start])
            for out, end in found
        ]
        for ours, theirs in zip(*[(*pair, *more) for pair, more in zip(found, gradients, strict=True)], strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


def _by_optimizer(cell):
    for parameter in cell.parameters():
        parameter.grad = torch.ones_like(parameter)
    torch.optim.SGD(cell.parameters(), lr=0.1).step()


CHANGES = {
    "in place": lambda cell: [parameter.detach().mul_(0.5) for parameter in cell.parameters()],
    "through .data": lambda cell: [parameter.data.mul_(0.5) for parameter in cell.parameters()],
    "other .data": lambda cell: [setattr(own, "data", own.data * 0.5) for own in cell.parameters()],
    "by an optimizer": _by_optimizer,
    "by load_state_dict": lambda cell: cell.load_state_dict({k: v * 0.5 for k, v in cell.state_dict().items()}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_parameter_is_seen_by_the_next_call(on_triton, change):
    cell = samples.random_cell("lstm", 4, 6)
    xs = torch.randn(3, 2, 4, dtype=torch.float64)
    with torch.no_grad():
        for _ in range(2):
            before = ostinato.scan(cell, xs)[0]
    CHANGES[change](cell)
    with torch.no_grad():
        after = ostinato.scan(cell, xs)[0]
    assert not torch.equal(before, after)
    torch.testing.assert_close(
        after, scan_eagerly(cell, xs, initial_state(cell, xs[0]), None, False, None)[0], rtol=1e-9, atol=1e-9
    )


VIEWS = {"as_strided", "detach", "empty", "empty_like", "expand", "lift_fresh", "permute", "reshape", "slice",
         "split_with_sizes", "t", "transpose", "unsqueeze", "view"}  # fmt: skip


class Launches(TorchDispatchMode):
    """Counts what PyTorch would launch on a device."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        name = function.overloadpacket.__name__
        self.names += [] if name in VIEWS else [name]
        return function(*arguments, **(named or {}))


@pytest.mark.parametrize(("name", "forward", "backward"), [("lstm", 3, 5), ("gru", 3, 6), ("lstm-layernorm", 3, 9)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_beside_its_kernels_a_call_launches_few_operations(name, forward, backward, dtype, monkeypatch):
    monkeypatch.setattr(kernels, "_start", lambda *_: None)
    cell = ostinato.cells.CATALOGUE[name](8, 8).to(dtype)
    xs = torch.randn(4, 3, 8, dtype=dtype, requires_grad=True)
    state = leaves(initial_state(cell, xs[0].detach()))
    plan = find(cell, cell, xs, initial_state(cell, xs[0].detach())).executable.plan
    executable = TritonExecutable(plan, dtype)
    call = ScanCall([parameter.detach() for parameter in cell.parameters()], xs.detach(), state)
    with Launches() as seen:
        y, last, saved = executable.launch(call, save=True)
    assert len(seen.names) <= forward, seen.names
    dy = torch.ones_like(y)
    with Launches() as seen:
        executable.launch_backward(call, saved, dy, [None] * len(last))
    assert len(seen.names) <= backward, seen.names


class Compiled:
    """Stands for a kernel as Triton has compiled it, launched on memory of the CPU."""

    function, packed_metadata = "function", "metadata"

    def __init__(self, launches):
        self.launches = launches

    def run(self, *arguments):
        self.launches.append(arguments)


def test_a_second_launch_has_the_addresses_of_its_own_arguments(monkeypatch):
    plain, quick = [], []

    class Function:
        def __getitem__(self, grid):
            def launch(*arguments, **options):
                plain.append((grid, arguments, options))
                return Compiled(quick)

            return launch

    monkeypatch.setattr(kernels, "_function", lambda source: Function())
    monkeypatch.setattr(torch._C, "_cuda_getCurrentRawStream", lambda index: 70 + index, raising=False)
    kernel = kernels.make_kernel(_phases("lstm", 16), FORM)
    device = torch.device("cuda", 3)
    names = kernel.source.arguments
    numbers = {"T", "B", "first", "S0", "S1"}

    def values(**more):
        given = {name: 5 if name in numbers or name.endswith(("_t", "_b")) else torch.zeros(8) for name in names} | more
        kernels._start(kernel, (2, 1), given, device)
        return given

    values()
    again = values()
    assert len(plain) == 1
    places = tuple(value if isinstance(value, int) else value.data_ptr() for value in again.values())
    assert quick == [(2, 1, 1, 73, "function", "metadata", None, None, None, *places)]
    values(**{names[0]: torch.zeros(8, dtype=torch.float64)})  # another type
    values(**{names[0]: torch.zeros(9)[1:]})  # an address that is not aligned
    values(T=1 << 31)  # a number of 64 bits
    assert (len(plain), len(quick)) == (4, 1)


class Layered(nn.Module):
    """A cell with a small network on its input: products, what lies between, products again."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.step = nn.Linear(3, 5), nn.Linear(5, 4), nn.GRUCell(4, 6)

    def forward(self, x, state):
        state = self.step(self.second(torch.tanh(self.first(x))) * x.sum(-1, keepdim=True), state)
        return state, state


@pytest.mark.parametrize("variant", ["plain", "lengths", "reversed"])
def test_what_comes_before_the_loop_has_products_on_products(variant):
    assert largest_error(Layered().double(), 3, VARIANTS[variant]) < 1e-9


def test_gradients_accumulate_and_have_memory_of_their_own(on_triton):
    cell = samples.random_cell("gru", 4, 6)
    xs = torch.randn(5, 3, 4, dtype=torch.float64)
    ostinato.scan(cell, xs)[0].sum().backward()
    once = {name: parameter.grad.clone() for name, parameter in cell.named_parameters()}
    ostinato.scan(cell, xs)[0].sum().backward()
    for name, parameter in cell.named_parameters():
        torch.testing.assert_close(parameter.grad, 2 * once[name])
    memories = [parameter.grad.untyped_storage().data_ptr() for parameter in cell.parameters()]
    assert len(set(memories)) == len(memories)


@pytest.mark.parametrize("programs", [1, 2])
def test_random_numbers_are_those_of_the_cpu(programs, monkeypatch):
    share_columns(monkeypatch, programs)
    cell = Zoneout(samples.random_cell("gru", 4, 20), 0.4).train()
    ours, theirs = both(cell, 4, VARIANTS["plain"])
    assert len(ours) > 4
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def _phases(name, width, which="forward"):
    cell = ostinato.cells.CATALOGUE[name](width, width)
    xs = torch.zeros(2, 1, width, requires_grad=True)
    plan = find(cell, cell, xs, initial_state(cell, xs[0].detach())).executable.plan
    program = getattr(plan, which)
    parts = split(program)
    return order(prepare(parts.core if parts else program), 1)


def test_small_cells_have_one_program_a_tile_and_large_ones_share_columns():
    alone = tilings(_phases("lstm", 64), 16, 4, H100)[0]
    assert (alone.rows, alone.columns) == (1, 1)  # a row each, while the device has room
    shared = tilings(_phases("lstm", 256), 16, 4, H100)[0]
    assert shared.columns > 1
    assert shared.columns * shared.block(256) >= 256


@pytest.mark.parametrize("batch", [1, 16, 100, 4000])
@pytest.mark.parametrize("width", [256, 700])
def test_programs_that_wait_for_one_another_fit_the_device(width, batch):
    for tiling in tilings(_phases("lstm", width), batch, 2, H100):
        assert 1 <= tiling.columns <= H100.programs
        assert tiling.rows in (1, 16, 32)
        if tiling.rows == 1:  # all rows at once: who waits for a word must not keep its writer from the device
            assert tiling.columns == 1 or batch * tiling.columns <= H100.programs


@pytest.mark.parametrize("batch", [1, 8, 16, 33, 1000])
@pytest.mark.parametrize(("name", "width"), [("lstm", 64), ("lstm", 256), ("gru", 96), ("lstm-layernorm", 200)])
def test_rows_alone_leave_their_weights_in_registers_of_threads(name, width, batch):
    for which in ("forward", "backward"):
        phases = _phases(name, width, which)
        tiling = in_threads(phases, batch, 4, H100)
        if tiling is not None:
            assert tiling.rows == 1
            assert batch <= 4 * H100.programs
            assert weight_bytes(phases, tiling, 1) <= 32 * tiling.warps * 144


def test_one_program_has_one_phase_and_programs_that_share_a_norm_wait_for_its_sums():
    assert _phases("lstm-layernorm", 64).count == 1
    assert order(_phases("lstm-layernorm", 64).prepared, 4).count == 3
    assert order(_phases("lstm", 64).prepared, 4).count == 1
    assert order(_phases("lstm", 64).prepared, 4).waits_after_step


@pytest.mark.parametrize("depth", [1, 16, 17, 100, 128, 130, 650, 768, 3000])
def test_parts_of_a_row_cover_it_once(depth):
    parts = chunks(depth)
    assert parts[0][0] == 0
    assert all(a + width == b for (a, width), (b, _) in pairwise(parts))
    assert sum(parts[-1]) >= depth > parts[-1][0]
    assert all(width & (width - 1) == 0 and width >= 16 for _, width in parts)


def test_a_cell_that_fits_no_tile_is_refused_with_the_reason():
    small = Limits(2, 1000)
    phases = _phases("lstm", 256)  # of so many weights no thread of two programs can have its part
    assert in_threads(phases, 16, 4, small) is None
    with pytest.raises(Unsupported, match=r"bytes of weights .* no part of it fits"):
        tilings(phases, 16, 4, small)


def test_tensors_on_several_devices_are_refused_by_name():
    with pytest.raises(Unsupported, match="weight is a Tensor on meta and the sequences are on cpu"):
        compiled._check_tensors({"weight": torch.empty(2, device="meta")}, torch.zeros(1, 1, 2))


def test_what_is_kept_on_a_gpu_is_told_without_one():
    cell = nn.GRUCell(8, 300)
    here, there = ostinato.explain(cell), ostinato.explain(cell, device="cuda")
    assert there.compiled
    assert there.saved_bytes == here.saved_bytes > 0
    assert there.forward_flops == here.forward_flops > 0
    assert there.backward_flops == here.backward_flops > 0
    assert "programs share the columns" in str(there)
    assert "before the loop, all steps at once" in str(there)
