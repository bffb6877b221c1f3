"""The Triton backend through `scan`, its choice of tiles, its numbers drawn from a counter, and what it refuses."""

import sys
import warnings
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import nn
from triton_cases import VARIANTS, both, share_columns

import ostinato
from ostinato.cells import Zoneout
from ostinato.engine.backends.triton.executable import TritonExecutable
from ostinato.engine.backends.triton.phases import order
from ostinato.engine.backends.triton.prepare import prepare
from ostinato.engine.backends.triton.tiles import Limits, chunks, tilings
from ostinato.engine.front.state import initial_state
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
        assert tiling.rows >= 16


def test_one_program_has_one_phase_and_programs_that_share_a_norm_wait_for_its_sums():
    assert _phases("lstm-layernorm", 64).count == 1
    assert order(_phases("lstm-layernorm", 64).prepared, 4).count == 5
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
    with pytest.raises(Unsupported, match=r"bytes of weights .* no part of it fits"):
        tilings(_phases("lstm", 64), 16, 4, Limits(132, 1000))


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
