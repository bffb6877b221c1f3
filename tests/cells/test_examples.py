"""The examples in the docstrings of the cells run as they stand there."""

import doctest
import importlib
import pkgutil

import pytest

import ostinato.cells

MODULES = [module.name for module in pkgutil.iter_modules(ostinato.cells.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    result = doctest.testmod(importlib.import_module(f"ostinato.cells.{name}"))
    assert result.failed == 0
    assert result.attempted > 0 or name in ("activations", "initialisation")
