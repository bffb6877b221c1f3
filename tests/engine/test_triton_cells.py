"""Triton's kernels of every cell, and of random ones, beside the CPU's: values and gradients, interpreted."""

import sys
from pathlib import Path

import pytest
import torch
from random_cells import RandomCell
from triton_cases import VARIANTS, as_type, largest_error, share_columns

from ostinato.cells import CATALOGUE

sys.path.append(str(Path(__file__).parents[1] / "cells"))
import samples

pytest.importorskip("triton")
NAMES = [name for name in CATALOGUE if not name.startswith("conv")]
QUICK = ("rnn", "gru", "lstm", "lstm-layernorm", "slstm", "gru-d", "rglru", "lru")  # of each kind of plan one
LATER = (pytest.mark.slow, pytest.mark.ci)


@pytest.mark.parametrize("programs", [1, 2])
@pytest.mark.parametrize("name", [pytest.param(own, marks=() if own in QUICK else LATER) for own in NAMES])
@pytest.mark.slow
def test_every_cell_gives_the_numbers_of_the_cpu(name, programs, monkeypatch):
    share_columns(monkeypatch, programs)
    variant = list(VARIANTS)[(NAMES.index(name) + programs) % len(VARIANTS)]
    features = 6
    cell = samples.random_cell(name, features, 20)
    assert largest_error(cell, features, VARIANTS[variant]) < 1e-9


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("programs", [1, 3])
def test_of_rows_that_end_begin_again_and_walk_backwards(variant, programs, monkeypatch):
    share_columns(monkeypatch, programs)
    cell = samples.random_cell("gru-layernorm", 5, 40)
    assert largest_error(cell, 5, VARIANTS[variant]) < 1e-9


@pytest.mark.parametrize("name", ["lstm-layernorm", "gru-reset-before", "slstm"])
def test_one_row_a_program_gives_the_numbers_of_the_cpu(name, monkeypatch):
    share_columns(monkeypatch, 1, rows=1)
    variant = list(VARIANTS)[len(name) % 3]
    assert largest_error(samples.random_cell(name, 5, 12), 5, VARIANTS[variant]) < 1e-9


@pytest.mark.parametrize("seed", [pytest.param(own, marks=() if own < 4 else LATER) for own in range(12)])
def test_cells_made_at_random(seed, monkeypatch):
    share_columns(monkeypatch, 1 + seed % 2, rows=1 if seed % 4 == 0 else 16)
    cell = RandomCell(seed).double()
    assert largest_error(cell, cell.input_size, VARIANTS["plain"]) < 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12, 62))
def test_fifty_more_cells_made_at_random(seed, monkeypatch):
    share_columns(monkeypatch, 1 + seed % 3, rows=1 if seed % 6 == 0 else 16)
    cell = RandomCell(seed).double()
    assert largest_error(cell, cell.input_size, list(VARIANTS.values())[seed % len(VARIANTS)]) < 1e-9


@pytest.mark.parametrize("programs", [1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["lstm", "gru", "lstm-layernorm", "minlstm"])
def test_in_other_precisions(name, dtype, programs, monkeypatch):
    share_columns(monkeypatch, programs)
    cell = CATALOGUE[name](6, 24).to(dtype)
    # between halves, products are rounded here and there
    limit = {torch.float32: 3e-6, torch.bfloat16: 5e-2}[dtype]
    assert largest_error(cell, 6, as_type(VARIANTS["lengths"], dtype)) < limit
