"""The page of the catalogue is the one that its script writes, and what it counts is right."""

import importlib.util
import sys
from pathlib import Path

import pytest

from ostinato.cells import CATALOGUE, WRAPPERS

SCRIPT = Path(__file__).resolve().parents[2] / "docs" / "cells.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("catalogue_page", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclass looks there
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date(script) -> None:
    assert script.PAGE.read_text(encoding="utf-8") == script.page(), "run: python3 dev.py catalogue"


def test_every_cell_and_wrapper_has_a_section(script) -> None:
    text = script.PAGE.read_text(encoding="utf-8")
    for name in [*CATALOGUE, *WRAPPERS]:
        assert text.count(f"\n### {name}\n") == 1


@pytest.mark.parametrize(
    ("name", "parameters", "multiply_adds"),
    [
        ("rnn", 64 * 64 * 2 + 64, 2 * 64 * 64),
        ("lstm", 4 * (64 * 64 * 2 + 64), 8 * 64 * 64),
        ("gru", 3 * (64 * 64 * 2 + 2 * 64), 6 * 64 * 64),
        ("indrnn", 64 * 64 + 2 * 64, 64 * 64),
        ("slstm", 4 * (64 * 64 * 2 + 64), 8 * 64 * 64),
        ("conv-gru", 3 * (9 * 64 * 64 * 2 + 64), 8 * 8 * 6 * 9 * 64 * 64),
    ],
)
def test_costs_are_those_counted_by_hand(script, name: str, parameters: int, multiply_adds: int) -> None:
    cost = script.count(name)
    assert (cost.parameters, cost.multiply_adds) == (parameters, multiply_adds)


def test_pointwise_work_is_counted_once_an_operation(script) -> None:
    # rnn: one sum and one tanh of 64; lstm: the sum of 256, three sigmoids, two tanhs, three products, one sum of 64
    assert script.count("rnn").pointwise == 2 * 64
    assert script.count("lstm").pointwise == 256 + 9 * 64
