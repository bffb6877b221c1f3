"""Triton's kernels of every cell, and of random ones, beside the CPU's: values and gradients, interpreted."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from random_cells import RandomCell
from triton_cases import VARIANTS, as_type, largest_error, products_in_tf32, share_columns

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


SHORT = {name: replace(case, steps=3, batch=2, lengths=case.lengths and (3, 1)) for name, case in VARIANTS.items()}
"""Variants of few rows; steps enough that memory of even and of odd ones is used again."""


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param(own, marks=pytest.mark.ci if own in QUICK else ()) for own in NAMES])
def test_a_row_of_several_programs_gives_the_numbers_of_the_cpu(name, monkeypatch):
    _check_row(name, 2 + NAMES.index(name) % 3, monkeypatch)


@pytest.mark.parametrize(("name", "programs"), [("gru", 4), ("lstm-projected", 3)])
def test_a_row_of_several_programs_of_each_kind(name, programs, monkeypatch):
    _check_row(name, programs, monkeypatch)


def test_a_row_of_programs_that_have_nothing_to_send(monkeypatch):
    _check_row("rnn", 3, monkeypatch, width=6)


def _check_row(name, programs, monkeypatch, width=20):
    share_columns(monkeypatch, programs, rows=1)
    case = list(SHORT.values())[(NAMES.index(name) + programs) % len(SHORT)]
    assert largest_error(samples.random_cell(name, 6, width), 6, case) < 1e-9


PRECISIONS = [(torch.float32, False, 3e-6), (torch.float32, True, 2e-3), (torch.bfloat16, False, 5e-2),
              (torch.float16, False, 1e-2)]  # fmt: skip
"""A type, whether its products are in TF32, and how far from the CPU numbers are at most."""


@pytest.mark.parametrize(("dtype", "tf32", "limit"), PRECISIONS)
@pytest.mark.parametrize(
    "name", ["lstm", *(pytest.param(own, marks=LATER) for own in ("lstm-layernorm", "lstm-projected"))]
)
def test_a_row_of_several_programs_in_other_precisions(name, dtype, tf32, limit, monkeypatch):
    share_columns(monkeypatch, 2, rows=1)
    cell = CATALOGUE[name](6, 20).to(dtype)
    with products_in_tf32(tf32):
        error = largest_error(cell, 6, as_type(SHORT["lengths"], dtype))
    assert error < limit
    assert tf32 <= (error > 1e-6)


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
